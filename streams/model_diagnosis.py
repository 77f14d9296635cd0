"""Finds out whether the models are current and their scores good."""

from collections.abc import Iterator

from config.parameters import Parameters
from models.learning.churn_models import ChurnScoring, Quality
from models.learning.scorers import Scorer
from streams.findings import Finding, listed, moment, notice, ok, problem, span
from streams.vitals import DeploymentFacts

#: With a larger mean gap between scores and outcomes, thresholds on scores are misleading.
CALIBRATION_ERROR_MAX = 0.05
#: With fewer matured decisions, quality is reported but not judged.
JUDGED_EXAMPLES_MIN = 500


def snapshot_findings(facts: DeploymentFacts, parameters: Parameters) -> Iterator[Finding]:
    """Whether there is a snapshot, and whether it is recent enough."""
    if facts.snapshot_error is not None:
        yield problem("model", facts.snapshot_error, "see who else writes to model-snapshots")
        return
    snapshot, minimum = facts.snapshot, parameters.learning.minimum_examples
    if snapshot is None:
        words = "no snapshot yet: the shipped priors decide"
        if facts.lessons > 10 * minimum:
            fix = "see the log of the worker that owns labelled-examples: it is the trainer"
            yield problem("model", f"{words}, and {facts.lessons:,} lessons wait", fix)
        else:
            fix = f"nothing, until about {minimum:,} customers have been looked at"
            yield notice("model", words, fix)
        return
    age_ms = max((p.clock_ms for p in facts.partitions), default=0) - snapshot.created_at_ms
    drawn = f"snapshot {snapshot.version} as of {moment(snapshot.created_at_ms)}"
    usual_ms = max(3 * parameters.learning.snapshot_every, parameters.churn.check_in_ms)
    if age_ms > usual_ms:
        yield problem(
            "model",
            f"{drawn}, {span(age_ms)} older than the events it decides for",
            "see the log of the worker that owns labelled-examples: it is the trainer",
        )
    else:
        yield ok("model", f"{drawn}, {span(max(age_ms, 0))} behind the events")
    behind = [p.number for p in facts.partitions if p.model_version < snapshot.version]
    if behind:
        yield notice(
            "model",
            f"partition {listed(behind)} still decides by an older snapshot",
            "nothing, if it has records waiting; else restart a worker: it announces it anew",
        )


def quality_findings(facts: DeploymentFacts) -> Iterator[Finding]:
    """Which model serves, and how good its scores have been."""
    if facts.snapshot is None:
        return
    scoring = facts.snapshot.of(ChurnScoring)
    for horizon, model in scoring.models.items():
        told = {
            found.scorer: found
            for found in scoring.quality
            if f"{found.horizon_days:g}" == horizon and found.kind == "all"
        }
        champion, baseline = told.get("champion"), told.get("baseline")
        about = f"{horizon} days: {_quality_in_words(champion, baseline)}"
        if model.champion == Scorer.BASELINE:
            yield notice(
                "scores",
                f"the baseline serves, for nothing learnt has yet beaten it; {about}",
                "nothing while it is young; later, see what changed in the data it learns from",
            )
        elif _is_uncalibrated(champion):
            yield notice(
                "scores",
                f"the {model.champion} model serves, but its probabilities are off; {about}",
                "trust the order of customers more than thresholds, and see what changed",
            )
        else:
            yield ok("scores", f"the {model.champion} model serves; {about}")


def _quality_in_words(champion: Quality | None, baseline: Quality | None) -> str:
    if champion is None or champion.log_loss is None or champion.auc is None:
        return "no decision that learnt models scored has matured yet"
    words = f"{champion.examples:,} matured, AUC {champion.auc:.3f}"
    if baseline is not None and baseline.log_loss is not None:
        words += f", log loss {champion.log_loss:.3f} against {baseline.log_loss:.3f}"
    return f"{words}, calibration error {champion.calibration_error or 0.0:.3f}"


def _is_uncalibrated(champion: Quality | None) -> bool:
    return (
        champion is not None
        and champion.examples >= JUDGED_EXAMPLES_MIN
        and (champion.calibration_error or 0.0) > CALIBRATION_ERROR_MAX
    )

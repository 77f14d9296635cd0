"""The figures of a demonstration, counted so that they must add up."""

import os
import tempfile
from collections.abc import Sequence
from math import ceil
from pathlib import Path

import msgspec
from msgspec import Struct
from msgspec.structs import asdict, astuple

from agents.trials.demo.failure import DemoFailed
from agents.trials.demo.watch import Figures
from models.learning.churn_models import ALL_KINDS, CHAMPION, ChurnScoring
from models.learning.scorers import Scorer
from models.learning.snapshot import Snapshot

#: Live and replay learn a day's lessons in different orders if a partition was days behind.
DIFFERENCE_MAX = 0.002


class Events(Struct, frozen=True, rename="camel"):
    """Records on the raw topics, repeats included; the last four add up to the first."""

    published: int
    applied: int
    duplicate: int
    late: int
    dead_lettered: int


class Latency(Struct, frozen=True):
    """Milliseconds from the broker's receipt of an event to its receipt of the trigger; null if
    there was no trigger.
    """

    p50: int | None
    p99: int | None


class ModelFigures(Struct, frozen=True, rename="camel"):
    """The quality of the champion and the baseline on the same matured decisions, each scored
    before it was learnt from; null if the shop was too small to tell.
    """

    auc: float | None
    log_loss: float | None
    calibration_error: float | None
    baseline_auc: float | None
    examples: int


class Replayed(ModelFigures, frozen=True):
    """What a new trainer learnt from a replay of the log. ``agrees``: it learnt from as many
    decisions, and no figure differs by more than `DIFFERENCE_MAX`.
    """

    agrees: bool


class Model(ModelFigures, frozen=True):
    """The quality that the workers measured; ``replayed`` is null if nothing was learnt."""

    replayed: Replayed | None


class DemoSummary(Struct, frozen=True, rename="camel"):
    """``triggers`` counts distinct decisions by kind, over all output topics."""

    events: Events
    triggers: dict[str, int]
    events_per_second: float
    latency_ms: Latency
    model: Model


def summarize(
    published: int, figures: Figures, seconds: float, again: Snapshot | None = None
) -> DemoSummary:
    """The figures, with those of the models ``again``, as a replay taught them.

    Raises ``DemoFailed`` unless every published record has exactly one fate.

    Refused and late records are counted by the raw records that the dead letters name, which must
    agree with the workers' counts.
    """
    fates = figures.fates
    events = Events(
        published=published,
        applied=fates["applied"],
        duplicate=fates["duplicate"],
        late=len(figures.late),
        dead_lettered=len(figures.refused),
    )
    total = events.applied + events.duplicate + events.late + events.dead_lettered
    agrees = events.late == fates["late"] and events.dead_lettered == fates["dead_letter"]
    if total != published or not agrees:
        raise DemoFailed(
            f"the figures do not add up: {published:,} records are on the raw topics; the workers "
            f"counted {fates['applied']:,} applied, {fates['duplicate']:,} duplicate, "
            f"{fates['late']:,} late and {fates['dead_letter']:,} dead letters; the dead letters "
            f"name {events.late:,} late and {events.dead_lettered:,} refused records"
        )
    return DemoSummary(
        events=events,
        triggers=dict(figures.triggers),
        events_per_second=round(published / seconds, 1),
        latency_ms=Latency(
            p50=percentile(figures.latencies_ms, 0.5), p99=percentile(figures.latencies_ms, 0.99)
        ),
        model=model_figures(figures.snapshot, again),
    )


def model_quality(snapshot: Snapshot | None) -> ModelFigures:
    """The quality for the shortest horizon, over all kinds of decisions."""
    quality = snapshot.of(ChurnScoring).quality if snapshot is not None else ()
    told = [one for one in quality if one.kind == ALL_KINDS]
    shortest = min((q.horizon_days for q in told), default=0.0)
    by_scorer = {q.scorer: q for q in told if q.horizon_days == shortest}
    champion, baseline = by_scorer.get(CHAMPION), by_scorer.get(Scorer.BASELINE)
    return ModelFigures(
        auc=champion.auc if champion else None,
        log_loss=champion.log_loss if champion else None,
        calibration_error=champion.calibration_error if champion else None,
        baseline_auc=baseline.auc if baseline else None,
        examples=champion.examples if champion else 0,
    )


def model_figures(learnt: Snapshot | None, again: Snapshot | None) -> Model:
    """The quality of what was learnt live, beside that of the replay."""
    live, taught = model_quality(learnt), model_quality(again)
    has_both = again is not None and (live.examples or taught.examples)
    return Model(**asdict(live), replayed=_compared(live, taught) if has_both else None)


def _compared(live: ModelFigures, taught: ModelFigures) -> Replayed:
    agrees = live.examples == taught.examples and all(map(_is_near, astuple(live), astuple(taught)))
    return Replayed(**asdict(taught), agrees=agrees)


def _is_near(one: float | None, other: float | None) -> bool:
    if one is None or other is None:
        return one is other
    return abs(one - other) <= DIFFERENCE_MAX


def percentile(values: Sequence[int], share: float) -> int | None:
    """The smallest value that at least ``share`` of the values don't exceed; None if there are
    none.
    """
    if not values:
        return None
    return sorted(values)[max(ceil(share * len(values)), 1) - 1]


def require_writable(path: Path) -> None:
    """Raise ``DemoFailed`` for a file that can't be written, before a minute's work is lost."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path.parent):
            reason = "it is a directory" if path.is_dir() else None
    except OSError as error:
        reason = str(error.strerror)
    if reason is not None:
        raise DemoFailed(f"{path} can't be written ({reason}): name a file elsewhere")


def write_summary(summary: DemoSummary, path: Path) -> None:
    """Write the summary as JSON; the file appears whole or not at all."""
    content = msgspec.json.format(msgspec.json.encode(summary), indent=2) + b"\n"
    handle, unfinished = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        Path(unfinished).chmod(0o644)
        Path(unfinished).replace(path)
    except BaseException:
        Path(unfinished).unlink(missing_ok=True)
        raise

"""The models: which serves, how good every scorer was, and how well scores are calibrated."""

from collections.abc import Iterable
from typing import NamedTuple

from agents.console.pages.customer import Tile
from agents.console.pages.figures import WIDTH, day, percent
from models.customer.words import counted
from models.events.times import iso
from models.learning.churn_models import ALL_KINDS, CHAMPION, ChurnScoring, Quality
from models.learning.snapshot import Snapshot
from streams.findings import span
from streams.vitals import DeploymentFacts

#: Shown for a measure that cannot be computed yet.
_UNKNOWN = "not yet"


class ScorerView(NamedTuple):
    """The quality of one scorer: lower is better for log loss and calibration, higher for AUC."""

    name: str
    serves: bool
    log_loss: str
    auc: str
    calibration: str
    examples: str


class CurvePoint(NamedTuple):
    """The scores of one bin: its position in the drawing, and the same in words."""

    x: float
    y: float
    words: str


class HorizonModel(NamedTuple):
    """The scores for one horizon, in days. ``curve``: the calibration of served scores, lowest
    scores first.
    """

    horizon: str
    title: str
    lead: str
    scorers: tuple[ScorerView, ...]
    curve: tuple[CurvePoint, ...]


def model_views(snapshot: Snapshot | None) -> tuple[HorizonModel, ...]:
    """The models of a snapshot, by horizon; none before the first snapshot."""
    if snapshot is None:
        return ()
    scoring = snapshot.of(ChurnScoring)
    views = []
    for horizon, model in sorted(scoring.models.items(), key=lambda item: float(item[0])):
        told = [
            one
            for one in scoring.quality
            if f"{one.horizon_days:g}" == horizon and one.kind == ALL_KINDS
        ]
        served = next((one for one in told if one.scorer == CHAMPION), None)
        views.append(
            HorizonModel(
                horizon,
                f"Within {horizon} days",
                f"{model.champion} serves, learnt from {model.examples:,} examples.",
                tuple(_scorer(one, model.champion) for one in told if one.scorer != CHAMPION),
                tuple(_points(served.curve if served is not None else ())),
            )
        )
    return tuple(views)


def standing_of(facts: DeploymentFacts) -> tuple[Tile, ...]:
    """How current the models are; empty before the first snapshot."""
    snapshot = facts.snapshot
    if snapshot is None:
        return ()
    clock_ms = max((one.clock_ms for one in facts.partitions), default=0)
    behind = [one for one in facts.partitions if one.model_version < snapshot.version]
    decides = (
        f"{len(facts.partitions) - len(behind)} of {counted(len(facts.partitions), 'partition')}"
    )
    return (
        Tile("Latest version", f"{snapshot.version}", f"as of {day(iso(snapshot.created_at_ms))}"),
        Tile("Behind the events", span(max(clock_ms - snapshot.created_at_ms, 0)), "by their time"),
        Tile("Decides in", decides, "others adopt it with their next records" if behind else ""),
        Tile("Lessons", f"{facts.lessons:,}", "ever written for the trainer"),
    )


def _scorer(told: Quality, champion: str) -> ScorerView:
    return ScorerView(
        told.scorer,
        told.scorer == champion,
        _figure(told.log_loss),
        _figure(told.auc),
        _figure(told.calibration_error),
        f"{told.examples:,}",
    )


def _figure(value: float | None) -> str:
    return _UNKNOWN if value is None else f"{value:.3f}"


def _points(curve: Iterable[tuple[float, float]]) -> Iterable[CurvePoint]:
    """The points from the lower left to the upper right."""
    for said, came_true in curve:
        words = f"said {percent(said)}, came true {percent(came_true)}"
        yield CurvePoint(round(said * WIDTH, 1), round((1 - came_true) * WIDTH, 1), words)

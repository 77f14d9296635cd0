"""The quality of served scores over time beside the formula's, and the features that drifted."""

from collections.abc import Sequence
from typing import NamedTuple

from agents.console.pages.charts import Chart, line_chart
from agents.console.pages.figures import Bar, day, diverging
from models.events.times import iso
from models.learning.churn_models import CHAMPION
from models.learning.drift import EFFECT_MIN, FEATURES
from models.learning.scorers import Scorer
from models.model_history import FeatureShift, JudgedScores, ModelPoint

#: Rows of the table beside a chart.
_ROWS_MAX = 12
_FORMULA = str(Scorer.BASELINE)
#: The measures to follow: a name, and whether higher or lower is better.
_MEASURES = (("log loss", "lower is better"), ("AUC", "higher is better"),
             ("calibration error", "lower is better"))  # fmt: skip


class TrendRow(NamedTuple):
    """The measurements of one day: of the served scores, and of the formula."""

    day: str
    served: str
    formula: str


class TrendView(NamedTuple):
    """One measure over time. ``chart``: None before two versions can be compared; ``rows``: some of
    its values, latest first.
    """

    name: str
    better: str
    served: str
    formula: str
    chart: Chart | None
    first_day: str
    last_day: str
    rows: tuple[TrendRow, ...]


class DriftView(NamedTuple):
    """Features whose mean has drifted. ``is_far``: whether any drifted far enough to matter."""

    bars: tuple[Bar, ...]
    is_far: bool


def trend_views(points: Sequence[ModelPoint], horizon: str) -> tuple[TrendView, ...]:
    """Each measure of a horizon; none while no decision has matured."""
    judged = [
        (point.at_ms, point.judged.get((horizon, CHAMPION)), point.judged.get((horizon, _FORMULA)))
        for point in points
    ]
    known = [one for one in judged if one[1] is not None or one[2] is not None]
    return tuple(_trend(place, known) for place in range(len(_MEASURES))) if known else ()


def _trend(
    place: int, judged: Sequence[tuple[int, JudgedScores | None, JudgedScores | None]]
) -> TrendView:
    name, better = _MEASURES[place]

    def measured(one: JudgedScores | None) -> float | None:
        return one[place] if one is not None else None

    found = [(at_ms, measured(served), measured(formula)) for at_ms, served, formula in judged]
    served = [(at_ms, value) for at_ms, value, _ in found if value is not None]
    formula = [(at_ms, value) for at_ms, _, value in found if value is not None]
    step = max(-(-len(found) // _ROWS_MAX), 1)
    rows = [
        TrendRow(day(iso(at_ms)), _figure(one), _figure(other))
        for at_ms, one, other in found[::-1][::step]
    ]
    return TrendView(
        name,
        better,
        _figure(found[-1][1]),
        _figure(found[-1][2]),
        line_chart((("dashed", formula), ("served", served))),
        day(iso(found[0][0])),
        day(iso(found[-1][0])),
        tuple(rows),
    )


def _figure(value: float | None) -> str:
    return "not yet" if value is None else f"{value:.3f}"


def drift_view(shifts: Sequence[FeatureShift]) -> DriftView:
    """The features that are watched for drift, farthest first."""
    watched = [one for one in shifts if one.feature in FEATURES]
    bars = diverging([(one.feature.replace("_", " "), one.deviations) for one in watched])
    return DriftView(bars, any(abs(one.deviations) >= EFFECT_MIN for one in watched))

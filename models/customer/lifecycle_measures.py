"""The sums over all customers of classes and stages, and the metrics computed from them."""

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from config.duration import DAY_MS
from config.parameters import Parameters
from models.customer.life_stages import STAGES, CustomerClass
from models.customer.lifecycle_state import VISITORS, Lifecycle
from models.customer.part import Sum
from models.learning.tallies import NO_DAY
from models.measures import Measure, Sample

#: The groups of the funnel: by the channel of the first event, and unidentified visitors.
OTHER: Final = "other"
_CHANNELS: Final = (
    "web",
    "app",
    "store",
    "phone",
    "email",
    "social",
    "third_party",
    OTHER,
    VISITORS,
)
#: Times at a stage are counted by bin; the last one has no end.
_DWELL_ENDS_DAYS: Final = (1 / 24, 0.25, 1, 2, 4, 7, 14, 21, 30, 45, 60, 90, 180, 365)
_DWELL_PLACES: Final = range(len(_DWELL_ENDS_DAYS) + 1)


#: The most sums: stages by channel, and times at stages by bin.
SUMS_MAX: Final = 160


def dwelt(state: Lifecycle, at_ms: int) -> list[Sum]:
    """How long the customer stayed at the stage that they leave now; nothing for an unknown
    visitor.
    """
    if state.cohort == VISITORS:
        return []
    place = bisect_left(_DWELL_ENDS_DAYS, (at_ms - state.stage_since_ms) / DAY_MS)
    return [(f"left:{state.stage}:{place}", at_ms // DAY_MS, 1)]


def standing(state: Lifecycle) -> tuple[str, str, int, str, int]:
    """The fields that `sums_of` reads."""
    return state.customer_class, state.stage, state.reached, state.cohort, state.first_day


def sums_of(state: Lifecycle) -> list[Sum]:
    """One customer's share of the sums, without times at stages, which `dwelt` adds once and for
    all.
    """
    if not state.stage:
        return []
    is_nobody = state.cohort == VISITORS
    now: list[Sum] = [
        (f"class:{VISITORS if is_nobody else state.customer_class}", NO_DAY, 1),
        (f"stage:{VISITORS if is_nobody else state.stage}", NO_DAY, 1),
    ]
    channel = state.cohort if state.cohort in _CHANNELS else OTHER
    return now + [
        (f"reached:{stage}:{channel}", state.first_day, 1)
        for place, stage in enumerate(STAGES)
        if state.reached >> place & 1
    ]


_BY_CLASS = Measure("keepstream_customers_by_class", "Customers by class", ("class",))
_BY_STAGE = Measure(
    "keepstream_customers_by_stage",
    "Customers by the stage of the lifecycle they are at",
    ("stage",),
)
_FUNNEL = Measure(
    "keepstream_funnel_customers",
    "Of those who came lately, how many reached a stage, by the channel they came through",
    ("stage", "channel"),
)
_CONVERSION = Measure(
    "keepstream_funnel_conversion_ratio",
    "Of those who reached the stage before this one, how many reached this one",
    ("stage", "channel"),
)
_DWELL = Measure(
    "keepstream_stage_dwell_days", "Median time at a stage, of those who left it lately", ("stage",)
)
_LEFT = Measure(
    "keepstream_stage_left_customers", "How often customers left a stage lately", ("stage",)
)


MEASURES: Final = (_BY_CLASS, _BY_STAGE, _FUNNEL, _CONVERSION, _DWELL, _LEFT)


def keys(_parameters: Parameters) -> list[str]:
    """The keys of all sums."""
    return [
        *(f"class:{one}" for one in (*CustomerClass, VISITORS)),
        *(f"stage:{one}" for one in (*STAGES, VISITORS)),
        *(f"reached:{stage}:{channel}" for stage in STAGES for channel in _CHANNELS),
        *(f"left:{stage}:{place}" for stage in STAGES for place in _DWELL_PLACES),
    ]


def samples(sums: Mapping[str, int], _parameters: Parameters) -> Iterator[Sample]:
    """The metrics computed from the sums."""
    for one in (*CustomerClass, VISITORS):
        yield Sample(_BY_CLASS, (one,), sums.get(f"class:{one}", 0))
    for stage in (*STAGES, VISITORS):
        yield Sample(_BY_STAGE, (stage,), sums.get(f"stage:{stage}", 0))
    for stage in STAGES:
        left = [sums.get(f"left:{stage}:{place}", 0) for place in _DWELL_PLACES]
        if any(left):
            yield Sample(_LEFT, (stage,), sum(count for count in left))
            yield Sample(_DWELL, (stage,), _median_days(left))
    for channel in _CHANNELS:
        reached = [sums.get(f"reached:{stage}:{channel}", 0) for stage in STAGES]
        if reached[0]:
            yield from _funnel(channel, reached)


def _median_days(left: Sequence[int]) -> float:
    """The median time of those who left, as if they were spread evenly over its bin. A median in
    the last bin, which has no end, is the beginning of that bin.
    """
    wanted, before = sum(count for count in left) / 2, 0
    for place, count in enumerate(left):
        if before + count >= wanted and place < len(_DWELL_ENDS_DAYS):
            begin = _DWELL_ENDS_DAYS[place - 1] if place else 0.0
            part = (wanted - before) / count
            return begin + part * (_DWELL_ENDS_DAYS[place] - begin)
        before += count
    return float(_DWELL_ENDS_DAYS[-1])


def _funnel(channel: str, reached: Sequence[int]) -> Iterator[Sample]:
    for place, (stage, count) in enumerate(zip(STAGES, reached, strict=True)):
        yield Sample(_FUNNEL, (stage, channel), count)
        if place and reached[place - 1]:
            yield Sample(_CONVERSION, (stage, channel), count / reached[place - 1])

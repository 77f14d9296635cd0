"""A customer's place among all customers: by orders, by their size, by active days, and by the
spend expected of them.
"""

from bisect import bisect_left
from collections.abc import Callable, Sequence
from math import nan
from typing import Final

from msgspec import Struct

from config.duration import DAY_MS
from models.customer.active_days import active_within
from models.customer.engagement import engagement
from models.customer.purchases import history, window_365d
from models.customer.scene import Context, Scene
from models.customer.scores import expected_spend_90d
from models.learning.tiers import ENDS, Side, TierCuts, TierParameters
from models.money import minor_per_unit

#: The readings of other parts that the ranks use.
READS: Final = (engagement, expected_spend_90d, history, window_365d)
SIDES: Final = tuple(Side)
#: The bin of a value that is not known yet: it has none, and no rank.
NO_BIN: Final = -1
_UNKNOWN: Final = -1
_ACTIVE_DAYS: Final = 28
#: The weights of the score, by `Side`; expected spend is not in it.
_WEIGHTS: Final = (0.4, 0.4, 0.2, 0.0)
#: The upper ends of the bins of each side.
_ENDS: Final = tuple(ENDS.values())


class TierRanks(Struct, frozen=True, gc=False):
    """A customer's place among all: the bin of each `Side`, and the rank in percent, -1 where it is
    not known; the score, and the rank by ``expected`` spend, NaN before there is a model.
    """

    bins: list[int]
    percents: list[int]
    score: float
    expected: float
    orders: int
    net_minor: int


def ranked(scene: Scene) -> TierRanks | None:
    """The customer's place on each side; None without an order in a year. It is written without a
    loop because every check-in needs it.
    """
    orders, net_minor = scene.of(window_365d)
    if not orders or scene.of(history) is None:
        return None
    context, today = scene.context, scene.at_ms // DAY_MS
    typical_minor, expected_minor = context.settled(_typical_minor), scene.of(expected_spend_90d)
    by_frequency, by_order, by_activity, by_expected = context.of(_ranks)
    days = active_within(scene.of(engagement).active_days, today, _ACTIVE_DAYS)
    order = net_minor / orders / typical_minor
    of_frequency, of_order, of_activity, of_expected = _ENDS
    bins = [bisect_left(of_frequency, orders), bisect_left(of_order, order)]
    bins.append(bisect_left(of_activity, days))
    frequency, size = by_frequency(bins[0], orders), by_order(bins[1], order)
    activity = by_activity(bins[2], days)
    percents = [round(100 * frequency), round(100 * size), round(100 * activity)]
    # Rounded, so that a customer exactly on the cut is in.
    score = round(_WEIGHTS[0] * frequency + _WEIGHTS[1] * size + _WEIGHTS[2] * activity, 9)
    if expected_minor is None:
        # Not known before there is a model.
        bins.append(NO_BIN)
        percents.append(_UNKNOWN)
        return TierRanks(bins, percents, score, nan, orders, net_minor)
    expected = expected_minor / typical_minor
    bins.append(bisect_left(of_expected, expected))
    rank = by_expected(bins[3], expected)
    percents.append(round(100 * rank))
    return TierRanks(bins, percents, score, rank, orders, net_minor)


def _typical_minor(context: Context) -> float:
    """A typical order of the shop, in minor units."""
    parameters = context.parameters
    return parameters.value.typical_order * minor_per_unit(parameters.money.currency)


#: The rank of a value that is in the bin at a place.
_RankOf = Callable[[int, float], float]


def _ranks(context: Context) -> list[_RankOf]:
    """How each side ranks a value."""
    cuts, parameters = context.snapshot.of(TierCuts), context.parameters
    section, typical = parameters.of(TierParameters), parameters.value.typical_order

    def rank_of(side: Side) -> _RankOf:
        spread = cuts.spread(side)
        if spread is not None:
            return spread.rank
        return lambda _place, value: section.rank(side, value, typical)

    return [rank_of(side) for side in SIDES]


def score_of(percents: Sequence[int]) -> float:
    """The score of a customer with these ranks, without that by expected spend."""
    score = 0.0
    for weight, percent in zip(_WEIGHTS, percents, strict=True):
        score += weight * percent / 100 if weight else 0.0
    # Percents have no more digits: .56, and not .5599999999999999.
    return round(score, 3)

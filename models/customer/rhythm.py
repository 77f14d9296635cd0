"""A customer's own clock: how long between purchases is usual, and when silence is too long."""

from functools import lru_cache
from itertools import pairwise
from math import exp, log, nan
from statistics import median
from typing import NamedTuple

from config.duration import DAY_MS
from config.parameters import Parameters
from models.customer.days import Days
from models.customer.purchases import GAPS_MAX, Purchases

#: A century: no date that follows from a silence is too late to be written down.
_SILENCE_DAYS_MAX = 36_525.0


class Rhythm(NamedTuple):
    """The gaps between purchase days, in days, oldest first, and what they are like; the last
    three are NaN without any.
    """

    gaps: tuple[float, ...]
    median: float
    mean: float
    variance: float


@lru_cache(maxsize=16_384)
def rhythm_of(days: Days) -> Rhythm:
    """The rhythm of the latest purchase days, as many as `GAPS_MAX` asks for.

    Remembered: a customer is looked at several times between two purchases.
    """
    gaps = tuple(float(later - earlier) for earlier, later in pairwise(days))
    if not gaps:
        return Rhythm((), nan, nan, nan)
    mean = sum(gaps) / len(gaps)
    variance = sum((gap - mean) ** 2 for gap in gaps) / len(gaps)
    return Rhythm(gaps, median(gaps), mean, variance)


def typical_gap_days(purchases: Purchases, prior_gap_days: float, prior_weight: float) -> float:
    """The usual gap between purchase days, drawn towards the population's."""
    rhythm = rhythm_of(purchases.purchase_days[-GAPS_MAX - 1 :])
    return shrunk_gap_days(rhythm, prior_gap_days, prior_weight)


def shrunk_gap_days(rhythm: Rhythm, prior_gap_days: float, prior_weight: float) -> float:
    """The median gap, drawn towards the population's.

    A weighted mean of the logarithms: gaps are ratios (twice as long, half as long), and the
    population's counts as ``prior_weight`` gaps of one's own.
    """
    count = len(rhythm.gaps)
    if not count:
        return prior_gap_days
    own = count * log(rhythm.median)
    return exp((own + prior_weight * log(prior_gap_days)) / (count + prior_weight))


def overdue_at_ms(purchases: Purchases, prior_gap_days: float, parameters: Parameters) -> int:
    """When the silence after the last purchase becomes too long; 0 without a purchase."""
    last_at_ms = purchases.last_at_ms
    if not last_at_ms:
        return 0
    overdue = parameters.overdue
    gap_days = typical_gap_days(purchases, prior_gap_days, overdue.prior_weight)
    silence_days = min(overdue.multiple * gap_days, _SILENCE_DAYS_MAX)
    return last_at_ms + max(overdue.floor, round(silence_days * DAY_MS))

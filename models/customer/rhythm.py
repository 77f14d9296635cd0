"""A customer's buying rhythm: the usual gap between purchases, and when silence is too long."""

from functools import lru_cache
from itertools import pairwise
from math import exp, log, nan
from statistics import median
from typing import NamedTuple

from config.duration import DAY_MS
from config.parameters import Overdue
from models.learning.history import Days

#: A customer's rhythm is computed from this many of their latest gaps at most.
GAPS_MAX = 12
#: A century: a limit that keeps the end of a silence within the dates that can be written.
_SILENCE_DAYS_MAX = 36_525.0


class Rhythm(NamedTuple):
    """The gaps between purchase days, in days, oldest first, with their median, mean and variance,
    which are NaN without gaps.
    """

    gaps: tuple[float, ...]
    median: float
    mean: float
    variance: float


def rhythm_of(days: Days) -> Rhythm:
    """The rhythm of the latest purchase days among ``days``."""
    return _rhythm_of(days[-GAPS_MAX - 1 :])


@lru_cache(maxsize=16_384)
def _rhythm_of(days: Days) -> Rhythm:
    # Cached: a customer's rhythm is needed several times between two purchases.
    gaps = tuple(float(later - earlier) for earlier, later in pairwise(days))
    if not gaps:
        return Rhythm((), nan, nan, nan)
    total = 0.0
    for gap in gaps:
        total += gap
    mean = total / len(gaps)
    squares = 0.0
    for gap in gaps:
        squares += (gap - mean) ** 2
    return Rhythm(gaps, median(gaps), mean, squares / len(gaps))


def typical_gap_days(rhythm: Rhythm, prior_gap_days: float, prior_weight: float) -> float:
    """The median gap, drawn towards the population's.

    A weighted mean of logarithms, because gaps compare as ratios (twice as long, half as long).
    The population's gap has the weight of ``prior_weight`` own gaps.
    """
    count = len(rhythm.gaps)
    if not count:
        return prior_gap_days
    own = count * log(rhythm.median)
    return exp((own + prior_weight * log(prior_gap_days)) / (count + prior_weight))


def overdue_at_ms(last_at_ms: int, days: Days, prior_gap_days: float, overdue: Overdue) -> int:
    """When the silence after the last purchase becomes too long, in ms; 0 without a purchase."""
    if not last_at_ms:
        return 0
    gap_days = typical_gap_days(rhythm_of(days), prior_gap_days, overdue.prior_weight)
    silence_days = min(overdue.multiple * gap_days, _SILENCE_DAYS_MAX)
    return last_at_ms + max(overdue.floor, round(silence_days * DAY_MS))

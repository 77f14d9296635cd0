"""A customer's buying rhythm: the usual gap between purchases, and when silence is too long."""

from functools import lru_cache
from itertools import pairwise
from math import ceil, exp, log, nan, sqrt
from statistics import NormalDist, median
from typing import NamedTuple

from config.duration import DAY_MS
from config.parameters import Overdue
from models.learning.history import Days

#: A customer's rhythm is computed from this many of their latest gaps at most.
GAPS_MAX = 12
#: A century: a limit that keeps the end of a silence within the dates that can be written.
_SILENCE_DAYS_MAX = 36_525.0
_YEAR_DAYS = 365.0
#: Customers with a usual gap of this length or more buy by the year, however few purchases show it.
_RARELY_DAYS = 180.0
#: How many own gaps the population's median counts as, and how many the usual spread does.
_PRIOR_GAPS, _PRIOR_DEGREES = 1.0, 2.0


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
    """The median gap, drawn towards the population's, as the churn models know it.

    A weighted mean of logarithms, because gaps compare as ratios (twice as long, half as long).
    The population's gap has the weight of ``prior_weight`` own gaps.
    """
    count = len(rhythm.gaps)
    if not count:
        return prior_gap_days
    own = count * log(rhythm.median)
    return exp((own + prior_weight * log(prior_gap_days)) / (count + prior_weight))


class Clock(NamedTuple):
    """When a customer is expected to buy again, in days after the last purchase.

    ``expected_days``: the usual gap; ``overdue_days``: the silence that all but few of their own
    gaps stay below; ``spread``: the standard deviation of their logarithms; ``is_seasonal``: they
    buy at the same time of the year.
    """

    expected_days: float
    overdue_days: float
    spread: float
    is_seasonal: bool


def clock_of(days: Days, prior_gap_days: float, overdue: Overdue) -> Clock:
    """The clock of a customer who bought on these days, by their latest `GAPS_MAX` gaps.

    The logarithms of gaps are taken as normal, with the usual conjugate prior: the population's
    median gap counts as one own gap, and ``overdue.spread`` as two. The percentile is the
    prediction of the next gap, so it is wider for customers with few gaps. A. Gelman et al. (2013),
    "Bayesian Data Analysis", 3.3, with the normal's quantile in place of Student's t.
    """
    return _clock_of(days[-GAPS_MAX - 1 :], prior_gap_days, overdue)


@lru_cache(maxsize=16_384)
def _clock_of(days: Days, prior_gap_days: float, overdue: Overdue) -> Clock:
    # Cached, as a rhythm is: only the next purchase or snapshot changes it.
    rhythm = _rhythm_of(days)
    prior_mean = log(min(prior_gap_days, _SILENCE_DAYS_MAX))
    mean, spread = _log_gap(rhythm.gaps, prior_mean, overdue.spread)
    season_days = _season_days(rhythm, overdue.season_slack / DAY_MS)
    floor_days = overdue.floor / DAY_MS
    if season_days:
        late_days = season_days + overdue.season_slack / DAY_MS
        return Clock(season_days, max(late_days, floor_days), spread, True)
    wider = spread * sqrt(1.0 + 1.0 / (_PRIOR_GAPS + len(rhythm.gaps)))
    # The limit is applied to the logarithm, because the exponential of a wild spread would
    # overflow.
    late_log = min(mean + _quantile(overdue.percentile) * wider, log(_SILENCE_DAYS_MAX))
    return Clock(exp(mean), max(exp(late_log), floor_days), spread, False)


@lru_cache(maxsize=64)
def _quantile(share: float) -> float:
    return NormalDist().inv_cdf(share)


def _log_gap(
    gaps: tuple[float, ...], prior_mean: float, prior_spread: float
) -> tuple[float, float]:
    """The posterior mean of the logarithm of a gap, and its standard deviation."""
    count, total = len(gaps), 0.0
    logs = [log(gap) for gap in gaps]
    for one in logs:
        total += one
    own = total / count if count else prior_mean
    squares = _PRIOR_DEGREES * prior_spread**2
    for one in logs:
        squares += (one - own) ** 2
    weight = _PRIOR_GAPS + count
    squares += _PRIOR_GAPS * count / weight * (own - prior_mean) ** 2
    return (_PRIOR_GAPS * prior_mean + total) / weight, sqrt(squares / (_PRIOR_DEGREES + count))


def _season_days(rhythm: Rhythm, slack_days: float) -> float:
    """The period of a customer who buys by the year, else 0.

    Whole years if their gaps are near that, and never less than their own usual gap: a customer who
    buys every 500 days is not late after a year.
    """
    if not rhythm.gaps:
        return 0.0
    years = max(round(rhythm.median / _YEAR_DAYS), 1) * _YEAR_DAYS
    is_near = abs(rhythm.median - years) <= slack_days
    if rhythm.median >= _RARELY_DAYS:
        return years if is_near else max(rhythm.median, _YEAR_DAYS)
    is_yearly = all(_off_year(gap) <= slack_days for gap in rhythm.gaps)
    return years if len(rhythm.gaps) >= 2 and is_yearly else 0.0


def _off_year(gap_days: float) -> float:
    """How far a gap is from the nearest number of years, of which there is at least one."""
    return abs(gap_days - max(round(gap_days / _YEAR_DAYS), 1) * _YEAR_DAYS)


def overdue_at_ms(last_at_ms: int, days: Days, prior_gap_days: float, overdue: Overdue) -> int:
    """When the silence after the last purchase becomes too long, in ms; 0 without a purchase."""
    if not last_at_ms:
        return 0
    # Rounded up, so that the silence then is never shorter than the clock says.
    return last_at_ms + ceil(clock_of(days, prior_gap_days, overdue).overdue_days * DAY_MS)

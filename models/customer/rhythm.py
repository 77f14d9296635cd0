"""A customer's own clock: how long between purchases is usual, and when silence is too long."""

from collections.abc import Sequence
from math import exp, log
from statistics import median

from config.duration import DAY_MS
from config.parameters import Parameters
from models.customer.purchases import Purchases, gaps_days

#: A century: no date that follows from a silence is too late to be written down.
_SILENCE_DAYS_MAX = 36_525.0


def typical_gap_days(purchases: Purchases, prior_gap_days: float, prior_weight: float) -> float:
    """The usual gap between purchase days, drawn towards the population's."""
    return shrunk_gap_days(gaps_days(purchases), prior_gap_days, prior_weight)


def shrunk_gap_days(gaps: Sequence[float], prior_gap_days: float, prior_weight: float) -> float:
    """The median of ``gaps``, drawn towards the population's.

    A weighted mean of the logarithms: gaps are ratios (twice as long, half as long), and the
    population's counts as ``prior_weight`` gaps of one's own.
    """
    if not gaps:
        return prior_gap_days
    own = len(gaps) * log(median(gaps))
    return exp((own + prior_weight * log(prior_gap_days)) / (len(gaps) + prior_weight))


def overdue_at_ms(purchases: Purchases, prior_gap_days: float, parameters: Parameters) -> int:
    """When the silence after the last purchase becomes too long; 0 without a purchase."""
    last_at_ms = purchases.last_at_ms
    if not last_at_ms:
        return 0
    overdue = parameters.overdue
    gap_days = typical_gap_days(purchases, prior_gap_days, overdue.prior_weight)
    silence_days = min(overdue.multiple * gap_days, _SILENCE_DAYS_MAX)
    return last_at_ms + max(overdue.floor, round(silence_days * DAY_MS))

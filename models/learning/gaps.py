"""Gaps between purchase days against the customer's own: what drift in buying shows in first."""

from bisect import bisect_right
from itertools import pairwise
from math import log

from models.customer.days import Days

#: The gaps that a customer's own mean is taken of, the latest ones; and how few are too few.
OWN_GAPS_MAX = 64
OWN_GAPS_MIN = 3
#: How many residuals one check-in tells at most, the latest ones.
RESIDUALS_MAX = 16


def gap_residuals(days: Days, after_day: int, until_day: int) -> tuple[float, ...]:
    """For each purchase day in (after, until]: the logarithm of the gap before it, less the mean
    of those of the customer's gaps before that one, in order.

    Its expectation is zero for whoever keeps to their rhythm, however fast or slow that is, so it
    does not move with who the customers are.
    """
    first, last = bisect_right(days, after_day), bisect_right(days, until_day)
    first = max(first, last - RESIDUALS_MAX)
    known = days[max(first - OWN_GAPS_MAX - 1, 0) : last]
    logs = [log(later - earlier) for earlier, later in pairwise(known)]
    told = []
    for index in range(max(len(logs) - (last - first), OWN_GAPS_MIN), len(logs)):
        own = logs[max(index - OWN_GAPS_MAX, 0) : index]
        total = 0.0
        for gap in own:
            total += gap
        told.append(logs[index] - total / len(own))
    return tuple(told)

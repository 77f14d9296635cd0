"""Gaps between purchase days, compared with the customer's usual gap: drift in buying shows here
first.
"""

from bisect import bisect_right
from itertools import pairwise
from math import log

from models.learning.history import Days

#: A customer's own mean is over at most this many of their latest gaps, and at least the next
#: number.
OWN_GAPS_MAX = 64
OWN_GAPS_MIN = 3
#: A check-in reports at most this many residuals, the latest ones.
RESIDUALS_MAX = 16


def gap_residuals(days: Days, after_day: int, until_day: int) -> tuple[float, ...]:
    """For each purchase day in (after, until], in order: the log of the gap before it, minus the
    mean log of the customer's earlier gaps. Days since 1970; with fewer than `OWN_GAPS_MIN` earlier
    gaps there is no residual.

    Its expectation is zero for customers who keep their rhythm, fast or slow, so it does not change
    with the mix of customers.
    """
    first, last = bisect_right(days, after_day), bisect_right(days, until_day)
    if first >= last:
        # Most check-ins come after a week without a purchase.
        return ()
    first = max(first, last - RESIDUALS_MAX)
    known = days[max(first - OWN_GAPS_MAX - 1, 0) : last]
    logs = [log(later - earlier) for earlier, later in pairwise(known)]
    told = []
    for index in range(max(len(logs) - (last - first), OWN_GAPS_MIN), len(logs)):
        own = logs[max(index - OWN_GAPS_MAX, 0) : index]
        total = 0.0
        for one in own:
            total += one
        told.append(logs[index] - total / len(own))
    return tuple(told)

"""Silent churn: who thins out by their own measure, long before they would count as gone.

It needs no label of its own. What is thin is asked of the customer's own rhythm, by the tail of a
Poisson distribution; the churn score brings what the whole shop has taught. docs/learning.md tells
what it was measured against.
"""

from math import exp, sqrt

from config.duration import DAY_MS
from models.learning.features import History, days_since

#: With less history than this there is no rhythm to fall behind.
LIFE_DAYS_MIN = 84.0
PURCHASE_DAYS_MIN = 8
#: What is lately: a fortnight notices, eight weeks make sure.
WINDOW_DAYS = (14, 56)


def silent_churn(past: History, churn_probability: float, at_ms: int) -> float | None:
    """How much speaks for a customer thinning out, in 0..1; None for who has too little history.

    Bayes' rule with the churn score as the prior: whoever stays shows purchase days as few as
    lately with the geometric mean of `rhythm_tails`; of whoever thins out, few is what we expect.
    It ranks customers and is no calibrated probability: the windows overlap, and people are less
    regular than a Poisson process.
    """
    if past.life < LIFE_DAYS_MIN or past.repeats + 1 < PURCHASE_DAYS_MIN:
        return None
    short, long = rhythm_tails(past, at_ms)
    stays = (1.0 - churn_probability) * sqrt(short * long)
    total = churn_probability + stays
    return churn_probability / total if total else 0.0


def rhythm_tails(past: History, at_ms: int) -> tuple[float, float]:
    """P(no more purchase days than there were) in each of `WINDOW_DAYS`, at the own rate."""
    rate = (past.repeats + 1) / past.life
    short, long = (
        poisson_tail(days_since(past, at_ms - days * DAY_MS), rate * days) for days in WINDOW_DAYS
    )
    return short, long


def poisson_tail(count: int, mean: float) -> float:
    """P(N ≤ count) for a Poisson N; term by term, for means are of days within weeks."""
    term = total = exp(-mean)
    for number in range(1, count + 1):
        term *= mean / number
        total += term
    return min(total, 1.0)

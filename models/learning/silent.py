"""Silent churn: customers who buy less often than they used to, long before they count as lost.

It needs no label of its own: the tail of a Poisson distribution compares recent purchases with the
customer's own rate, and the churn score adds what was learnt from all customers. docs/learning.md
describes the evaluation.
"""

from math import exp, sqrt

from config.duration import DAY_MS
from models.learning.history import History, days_since, is_known_since

#: With less history than this, there is no rate to compare with.
LIFE_DAYS_MIN = 84.0
PURCHASE_DAYS_MIN = 8
#: The short window of recent purchases reacts early, the long one confirms.
WINDOW_DAYS = (14, 56)


def silent_churn(past: History, churn_probability: float, at_ms: int) -> float | None:
    """The strength of the evidence for silent churn, in 0..1; None with too little history, or if
    purchase days within the windows are no longer known.

    Bayes' rule with the churn score as the prior. The likelihood of so few recent purchase days is
    the geometric mean of `rhythm_tails` for a customer who stays, and 1 for one who is leaving. It
    ranks customers, but is not a calibrated probability: the windows overlap, and people are less
    random than a Poisson process.
    """
    if not has_rhythm(past, at_ms):
        return None
    short, long = rhythm_tails(past, at_ms)
    stays = (1.0 - churn_probability) * sqrt(short * long)
    total = churn_probability + stays
    return churn_probability / total if total else 0.0


def has_rhythm(past: History, at_ms: int) -> bool:
    """Whether there is enough history to compare with, and every purchase day in the windows is
    known.
    """
    if past.life < LIFE_DAYS_MIN or past.repeats + 1 < PURCHASE_DAYS_MIN:
        return False
    return is_known_since(past, at_ms - max(WINDOW_DAYS) * DAY_MS)


def rhythm_tails(past: History, at_ms: int) -> tuple[float, float]:
    """P(at most the observed purchase days) in each of `WINDOW_DAYS`, at the customer's rate."""
    rate = (past.repeats + 1) / past.life
    short, long = (
        poisson_tail(days_since(past, at_ms - days * DAY_MS), rate * days) for days in WINDOW_DAYS
    )
    return short, long


def poisson_tail(count: int, mean: float) -> float:
    """P(N ≤ count) for a Poisson N. Summed term by term, because counts are small."""
    term = total = exp(-mean)
    for number in range(1, count + 1):
        term *= mean / number
        total += term
    return min(total, 1.0)

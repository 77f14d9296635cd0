"""Silent churn: customers who still buy, but far less often than before."""

import numpy as np
from msgspec import Struct

from agents.trials.evaluation.decisions import (
    Bools,
    Decisions,
    Floats,
    Outcomes,
    Past,
    PurchaseTable,
    days_bought,
)
from agents.trials.evaluation.metrics import Bootstrap, Interval, Ranking, interval

#: A customer thins out with fewer purchase days than this share of what their own rate predicts.
SHARE = 0.25
#: Days of history that are enough for a rate of one's own.
LIFE_DAYS_MIN = 84
PURCHASE_DAYS_MIN = 8


class ThinningTold(Struct, frozen=True, rename="camel"):
    """One scorer's AUC, and its lead over the first scorer on the same rows; None without
    scores.
    """

    scorer: str
    auc: Interval | None = None
    gain: Interval | None = None


class ThinningComparison(Struct, frozen=True, rename="camel"):
    """How well several scorers predict thinning out in the ``horizon_days`` after a check-in."""

    horizon_days: int
    rows: int
    customers: int
    share: float
    scorers: tuple[ThinningTold, ...]


def thinning(bought: PurchaseTable, at: Decisions, seen: Past, horizon_days: int) -> Outcomes:
    """Whether the purchase days in the horizon are fewer than `SHARE` times the customer's own rate
    before the decision times the horizon. The rate is all purchase days over all days of life, the
    first included in both. Known only at check-ins, and for customers with enough history.
    """
    rate = (seen.repeats + 1.0) / (seen.life + 1.0)
    came = days_bought(bought, at, horizon_days)
    has_history = (seen.life >= LIFE_DAYS_MIN) & (seen.repeats + 1 >= PURCHASE_DAYS_MIN)
    is_over = at.day + horizon_days <= bought.last_day
    return Outcomes(came < SHARE * rate * horizon_days, has_history & at.is_check_in & is_over)


def compare_thinning(
    at: Decisions, thinned: Bools, scores: dict[str, Floats], horizon_days: int, seed: int
) -> ThinningComparison:
    """Compare all scorers on these rows; the first of ``scores`` is the one to beat."""
    bootstrap = Bootstrap(at.customer, seed)
    rankings = {
        name: Ranking(said, thinned) for name, said in scores.items() if np.isfinite(said).all()
    }
    drawn = {name: bootstrap.aucs(ranking) for name, ranking in rankings.items()}
    reference = next(iter(scores))
    told = []
    for name in scores:
        if name not in rankings:
            told.append(ThinningTold(name))
            continue
        estimate = rankings[name].auc()
        gain = None
        if name != reference and reference in rankings:
            lead = estimate - rankings[reference].auc()
            gain = interval(lead, drawn[name] - drawn[reference])
        told.append(ThinningTold(name, interval(estimate, drawn[name]), gain))
    return ThinningComparison(
        horizon_days, len(thinned), bootstrap.customers, float(thinned.mean()), tuple(told)
    )

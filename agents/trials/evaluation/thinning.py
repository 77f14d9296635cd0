"""Silent churn: customers who still come, and far less often than they used to."""

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

#: Thinned out: fewer purchase days than this share of what the own rate so far promises.
SHARE = 0.25
#: Enough history to have a rate of one's own.
LIFE_DAYS_MIN = 84
PURCHASE_DAYS_MIN = 8


class ThinningTold(Struct, frozen=True, rename="camel"):
    """One scorer's AUC, and its lead over the first scorer's on the same rows; None without
    answers.
    """

    scorer: str
    auc: Interval | None = None
    gain: Interval | None = None


class ThinningComparison(Struct, frozen=True, rename="camel"):
    """Who thins out in the ``horizon_days`` after a check-in, told by several scorers."""

    horizon_days: int
    rows: int
    customers: int
    share: float
    scorers: tuple[ThinningTold, ...]


def thinning(bought: PurchaseTable, at: Decisions, seen: Past, horizon_days: int) -> Outcomes:
    """Whether the purchase days in the horizon are fewer than `SHARE` of the customer's own rate
    until the decision times the horizon. The rate counts all purchase days over all days of life,
    the first included in both. Known at check-ins, of customers with enough of a history.
    """
    rate = (seen.repeats + 1.0) / (seen.life + 1.0)
    came = days_bought(bought, at, horizon_days)
    has_history = (seen.life >= LIFE_DAYS_MIN) & (seen.repeats + 1 >= PURCHASE_DAYS_MIN)
    is_over = at.day + horizon_days <= bought.last_day
    return Outcomes(came < SHARE * rate * horizon_days, has_history & at.is_check_in & is_over)


def compare_thinning(
    at: Decisions, thinned: Bools, scores: dict[str, Floats], horizon_days: int, seed: int
) -> ThinningComparison:
    """All scorers on the rows given, the first of ``scores`` is what the others must beat."""
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

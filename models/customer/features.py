"""The features of a customer for the churn models, at one moment.

Only events up to that moment count: later orders that are already in the row are left out.
"""

from collections.abc import Sequence
from math import log, log1p, sqrt

from config.duration import DAY_MS
from models.customer.engagement import engagement, intensity
from models.customer.purchases import levels, purchases
from models.customer.rhythm import rhythm_of, typical_gap_days
from models.customer.scene import Scene
from models.customer.support import open_tickets, unhappiness
from models.learning.feature_names import pack
from models.learning.history import History, days_since
from models.learning.log_odds import clipped, logit
from models.learning.population import Population
from models.learning.purchases_ahead import baseline

#: The readings of other parts that features use.
READS = (engagement, intensity, levels, open_tickets, purchases, unhappiness)
#: The horizon whose BG/NBD probability is a feature.
_BGNBD_DAYS = 28.0
_RECENT_MS = 28 * DAY_MS
#: Log odds that are features are limited to ± this.
_LOGIT_MAX = 6.0
#: Overdue silence is limited to this many standard deviations of the customer's own gaps.
_OVERDUE_MAX = 10.0


def extract(scene: Scene, past: History) -> bytes:
    """The features in the order of `feature_names.NAMES`, packed: models score exactly the numbers
    that they learn from.
    """
    at_ms, population = scene.at_ms, scene.snapshot.of(Population)
    order_minor = population.order_minor
    (orders_7d, orders_28d, orders_84d), (spend_7d, spend_28d, spend_84d) = levels(scene)
    rhythm = rhythm_of(past.days)
    typical = typical_gap_days(rhythm, population.gap_days, scene.parameters.overdue.prior_weight)
    mean, variance = (rhythm.mean, rhythm.variance) if rhythm.gaps else (typical, typical**2)
    recency_days, repeats = past.recency, past.repeats
    # Compared without `max`: that call takes longer than everything done with its result.
    recency, often = log1p(recency_days), log1p(orders_28d) if orders_28d > 0.0 else 0.0
    present, (level, views) = engagement(scene), intensity(scene)
    net_minor = purchases(scene).net_minor
    unseen_ms = at_ms - present.last_at_ms
    model = population.bgnbd
    quiet = baseline(past, model, _BGNBD_DAYS) if model is not None else 0.5
    silent = logit(quiet, _LOGIT_MAX)
    overdue = (recency_days - mean) / sqrt(variance + 1.0)
    values = (
        log1p(orders_7d) if orders_7d > 0.0 else 0.0,
        often,
        log1p(orders_84d) if orders_84d > 0.0 else 0.0,
        log1p(spend_7d / order_minor if spend_7d > 0.0 else 0.0),
        log1p(spend_28d / order_minor if spend_28d > 0.0 else 0.0),
        log1p(spend_84d / order_minor if spend_84d > 0.0 else 0.0),
        recency,
        recency * recency,
        log1p(past.life),
        log1p(repeats),
        log1p(net_minor / order_minor) if net_minor > 0 else 0.0,
        log((orders_28d + 0.1) / (orders_84d + 0.3)),
        log((recency_days + 1.0) / (typical + 1.0)),
        clipped(overdue, _OVERDUE_MAX),
        sqrt(variance) / (mean + 1.0),
        1.0 if repeats == 0 else 0.0,
        silent,
        log1p(days_since(past, at_ms - _RECENT_MS)),
        # Silence means more for customers who used to buy more often.
        recency * often,
        silent * often,
        _longer_gaps(rhythm.gaps, recency_days),
        log1p(level) if level > 0.0 else 0.0,
        log1p(views) if views > 0.0 else 0.0,
        log1p(unseen_ms / DAY_MS if unseen_ms > 0 else 0.0),
        float(open_tickets(scene)),
        unhappiness(scene),
    )
    return pack(values)


def _longer_gaps(gaps: Sequence[float], recency_days: float) -> float:
    """The log odds that this silence goes on for four more weeks, from the customer's own gaps that
    lasted at least as long; without such gaps, the odds are one to three.
    """
    lasted = went_on = 0
    for gap in gaps:
        if gap > recency_days:
            lasted += 1
            went_on += gap > recency_days + _BGNBD_DAYS
    return logit((went_on + 0.5) / (lasted + 2.0), _LOGIT_MAX)

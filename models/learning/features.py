"""What a churn model sees of a customer at one moment.

Only what happened up to that moment counts: an order after it, already in the row, is left out.
"""

from bisect import bisect_right
from collections.abc import Sequence
from math import log, log1p, sqrt
from struct import Struct as Layout
from typing import NamedTuple

from config.duration import DAY_MS
from config.parameters import Parameters
from models.customer.days import Days, purchase_days
from models.customer.decay import decayed
from models.customer.engagement import intensity_at
from models.customer.purchases import GAPS_MAX, Purchases
from models.customer.rhythm import rhythm_of, shrunk_gap_days
from models.customer.row import Row
from models.learning.bgnbd import BgNbd, p_no_purchase
from models.learning.log_odds import logit
from models.learning.snapshot import Snapshot

NAMES = (
    "orders_7d",
    "orders_28d",
    "orders_84d",
    "spend_7d",
    "spend_28d",
    "spend_84d",
    "recency",
    "recency_squared",
    "tenure",
    "frequency",
    "spend",
    "trend",
    "recency_over_gap",
    "overdue",
    "gap_variation",
    "one_timer",
    "bgnbd",
    "days_28d",
    "recency_by_orders",
    "bgnbd_by_orders",
    "longer_gaps",
    "intensity",
    "views",
    "unseen",
    "open_tickets",
    "unhappy",
)
_LAYOUT = Layout(f"<{len(NAMES)}f")
#: The horizon whose BG/NBD probability is a feature.
_BGNBD_WEEKS = 4.0
_RECENT_MS = 28 * DAY_MS
#: Beyond it a model says no more than "certainly".
_LOGIT_MAX = 6.0


class History(NamedTuple):
    """A customer's purchase days up to a moment, in BG/NBD's terms; times in days."""

    days: Days
    repeats: int
    last: float
    life: float
    recency: float


def history(purchases: Purchases, at_ms: int) -> History | None:
    """None for somebody who had not bought by ``at_ms``."""
    days = _days_until(purchases, at_ms)
    bought = len(days) + purchases.retired_days
    if not bought:
        return None
    first_day = min(purchases.first_at_ms // DAY_MS, days[0] if days else 1 << 40)
    last_day = days[-1] if days else purchases.retired_last_at_ms // DAY_MS
    today = at_ms / DAY_MS
    return History(
        days=days,
        repeats=bought - 1,
        last=float(last_day - first_day),
        life=max(today - first_day, float(last_day - first_day)),
        recency=max(today - last_day, 0.0),
    )


def _days_until(purchases: Purchases, at_ms: int) -> Days:
    if purchases.last_at_ms <= at_ms:
        return purchases.purchase_days
    return purchase_days(order for order in purchases.orders if order.placed_at_ms <= at_ms)


def baseline(past: History, model: BgNbd, horizon_days: float) -> float:
    """BG/NBD's probability of no purchase within the horizon."""
    return p_no_purchase(model, past.repeats, past.last / 7.0, past.life / 7.0, horizon_days / 7.0)


def extract(
    row: Row, past: History, at_ms: int, snapshot: Snapshot, parameters: Parameters
) -> tuple[float, ...]:
    """The features in the order of `NAMES`, rounded to what `pack` keeps of them.

    A model is trained on the very numbers that it scores.
    """
    orders, spend = _levels(row.purchases, at_ms, parameters)
    rhythm = rhythm_of(past.days[-GAPS_MAX - 1 :])
    typical = shrunk_gap_days(rhythm, snapshot.gap_days, parameters.overdue.prior_weight)
    mean, variance = (rhythm.mean, rhythm.variance) if rhythm.gaps else (typical, typical**2)
    recency = log1p(past.recency)
    intensity, views = intensity_at(row.engagement, at_ms, parameters)
    unseen_days = max(at_ms - row.engagement.last_at_ms, 0) / DAY_MS
    model = snapshot.bgnbd
    quiet = baseline(past, model, 7 * _BGNBD_WEEKS) if model is not None else 0.5
    silent = logit(quiet, _LOGIT_MAX)
    often = [log1p(max(level, 0.0)) for level in orders]
    values = (
        *often,
        *[log1p(max(level, 0.0) / snapshot.order_minor) for level in spend],
        recency,
        recency * recency,
        log1p(past.life),
        log1p(past.repeats),
        log1p(max(row.purchases.net_minor, 0) / snapshot.order_minor),
        log((orders[1] + 0.1) / (orders[2] + 0.3)),
        log((past.recency + 1.0) / (typical + 1.0)),
        min(max((past.recency - mean) / sqrt(variance + 1.0), -10.0), 10.0),
        sqrt(variance) / (mean + 1.0),
        1.0 if past.repeats == 0 else 0.0,
        silent,
        log1p(days_since(past, at_ms - _RECENT_MS)),
        # Silence says more the more often somebody used to buy.
        recency * often[1],
        silent * often[1],
        _longer_gaps(rhythm.gaps, past.recency),
        log1p(max(intensity, 0.0)),
        log1p(max(views, 0.0)),
        log1p(unseen_days),
        float(len(row.support.open_tickets())),
        _unhappiness(row),
    )
    return unpack(pack(values))


def pack(values: tuple[float, ...]) -> bytes:
    """Features as single precision floats: half the bytes, and more than data tells."""
    return _LAYOUT.pack(*values)


def unpack(content: bytes) -> tuple[float, ...]:
    """Raises ``ValueError`` for the features of a release that had other ones."""
    if len(content) != _LAYOUT.size:
        raise ValueError(f"not the {len(NAMES)} features of this release")
    return _LAYOUT.unpack(content)


def days_since(past: History, since_ms: int) -> int:
    """How many purchase days there were after the day of ``since_ms``."""
    return len(past.days) - bisect_right(past.days, since_ms // DAY_MS)


def _longer_gaps(gaps: Sequence[float], recency_days: float) -> float:
    """The log odds that a silence as long as this one goes on for four more weeks, by those of the
    customer's own gaps that lasted as long; without any, one to three.
    """
    lasted = [gap for gap in gaps if gap > recency_days]
    went_on = sum(gap > recency_days + 7.0 * _BGNBD_WEEKS for gap in lasted)
    return logit((went_on + 0.5) / (len(lasted) + 2.0), _LOGIT_MAX)


def _levels(
    purchases: Purchases, at_ms: int, parameters: Parameters
) -> tuple[list[float], list[float]]:
    """Decayed orders and net spend, one level a half-life, of the orders up to ``at_ms``."""
    half_lives = parameters.purchases.half_lives
    if purchases.as_of_ms <= at_ms:
        zeros = (0.0,) * len(half_lives)
        lag_ms = at_ms - purchases.as_of_ms
        shares = [decayed(1.0, lag_ms, half_life) for half_life in half_lives]
        running = purchases.decayed_orders or zeros, purchases.decayed_net_minor or zeros
        counted, earned = ([x * share for x, share in zip(r, shares, strict=True)] for r in running)
        return counted, earned
    # The running levels hold orders that were yet to come: add up those that had come.
    orders, spend = [0.0] * len(half_lives), [0.0] * len(half_lives)
    for order in purchases.orders:
        if order.is_purchase and order.placed_at_ms <= at_ms:
            lag_ms, net_minor = at_ms - order.placed_at_ms, order.net_minor
            for index, half_life in enumerate(half_lives):
                left = decayed(1.0, lag_ms, half_life)
                orders[index] += left
                spend[index] += left * net_minor
    return orders, spend


def _unhappiness(row: Row) -> float:
    """0 for a content customer or an unknown one, to 1 for the worst last answer."""
    shares = [a.share for a in (row.support.nps, row.support.csat) if a is not None]
    return 1.0 - min(shares) if shares else 0.0

"""Recency, frequency and money: exact over rolling windows, and decayed.

An order is what is known of it by now: placed, changed, refunded, cancelled, in whatever order
the news came. Each piece of news replaces what the order contributed before.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from copy import copy
from math import exp2, nan
from typing import Any

from msgspec import Struct, field

from config.duration import DAY_MS
from config.limits import PositiveMs
from config.parameters import Parameters, Section
from models.customer.anomaly import Anomaly, purchase_anomaly
from models.customer.anomaly import in_words as anomaly_in_words
from models.customer.decay import decayed
from models.customer.fingerprint import fingerprint
from models.customer.part import SCORE, Fact, Line, Part, ProfileSection, Timer
from models.customer.rfm import SEGMENT_WORDS, RfmScores, Segment, rfm_scores
from models.customer.rhythm import Clock, clock_of, overdue_at_ms, rhythm_of
from models.customer.row import State
from models.customer.scene import Scene
from models.customer.words import counted, moment_in_words
from models.events.event import NOTHING, Amount, Event, EventType, Text
from models.events.rejection import Reason, Rejected
from models.events.wire import iso_or_none
from models.learning.history import Days, History
from models.learning.population import Population
from models.money import AMOUNT_MINOR_MAX, minor_units
from models.money import in_words as money_in_words

COMPLETED, UPDATED = "Order Completed", "Order Updated"
REFUNDED, CANCELLED = "Order Refunded", "Order Cancelled"
SILENCE = "silence"
WINDOW_DAYS = (30, 90, 365)
#: Refunds of older orders no longer find them.
REFUNDABLE_MS = WINDOW_DAYS[-1] * DAY_MS
_OVERDUE = "overdue"
_NEVER = 1 << 62


class PurchaseParameters(Section, frozen=True):
    """``half_lives`` of the decayed levels, the shortest first."""

    section = "purchases"
    half_lives: tuple[PositiveMs, PositiveMs, PositiveMs]


class Product(Struct, frozen=True, omit_defaults=True, gc=False):
    product_id: str | None = None
    sku: str | None = None
    price: Amount | None = None
    quantity: Amount | None = None


class OrderNews(Struct, frozen=True, omit_defaults=True):
    """An order placed or changed; at least one of the amounts must be there."""

    order_id: Text | None = None
    revenue: Amount | None = None
    subtotal: Amount | None = None
    total: Amount | None = None
    currency: str | None = None
    coupon: str | None = None

    @property
    def amount(self) -> float | None:
        """The most net of the amounts that are there."""
        if self.revenue is not None:
            return self.revenue
        return self.subtotal if self.subtotal is not None else self.total


class OrderEnd(Struct, frozen=True, omit_defaults=True):
    """An order refunded or cancelled: wholly unless an amount or products say in part."""

    order_id: Text
    revenue: Amount | None = None
    total: Amount | None = None
    currency: str | None = None
    products: tuple[Product, ...] | None = None


def _check_amount(news: OrderNews) -> None:
    if news.amount is None:
        raise Rejected(Reason.REQUIRED_MISSING, "$.properties.revenue", "an order has an amount")


def _stated(name: str) -> dict[str, Any]:
    return {"required": [name], "properties": {name: {"type": "number"}}}


_NEWS = EventType(
    shape=OrderNews,
    check=_check_amount,
    rules={"anyOf": [_stated(name) for name in ("revenue", "subtotal", "total")]},
)
_END = EventType(shape=OrderEnd)
EVENTS = {COMPLETED: _NEWS, UPDATED: _NEWS, REFUNDED: _END, CANCELLED: _END}


class Order(State):
    """One order by what was heard of it; ``placed_at_ms`` is 0 until it was heard of itself."""

    id: int
    placed_at_ms: int = 0
    gross_minor: int = 0
    priced_at_ms: int = 0
    refunded_minor: int = 0
    void: bool = False
    ended_at_ms: int = 0

    @property
    def is_purchase(self) -> bool:
        """Whether it is placed, and neither cancelled nor refunded to the last cent."""
        if not self.placed_at_ms or self.void:
            return False
        gross_minor = self.gross_minor
        # A free order counts.
        return not gross_minor or self.refunded_minor < gross_minor

    @property
    def net_minor(self) -> int:
        """What it brought after refunds; never below zero."""
        return max(self.gross_minor - self.refunded_minor, 0) if self.is_purchase else 0

    @property
    def known_since_ms(self) -> int:
        return self.placed_at_ms or self.ended_at_ms


def _sort_key(order: Order) -> tuple[int, int]:
    return order.placed_at_ms or order.ended_at_ms, order.id


class Purchases(State):
    """A customer's orders and what they add up to.

    ``orders`` are sorted by (time, id) and reach back as far as a window or a refund can.
    ``retired_days`` counts the purchase days of orders that are no longer kept.
    ``days`` are the days of the purchases among ``orders``.
    ``decayed_orders`` and ``decayed_net_minor`` hold one level a half-life, as of ``as_of_ms``.
    """

    orders: list[Order] = field(default_factory=list)
    count: int = 0
    net_minor: int = 0
    first_at_ms: int = 0
    retired_last_at_ms: int = 0
    decayed_orders: list[float] = field(default_factory=lambda: [0.0, 0.0, 0.0])
    decayed_net_minor: list[float] = field(default_factory=lambda: [0.0, 0.0, 0.0])
    as_of_ms: int = 0
    retired_days: int = 0
    days: Days = ()

    @property
    def last_at_ms(self) -> int:
        """Time of the latest purchase; 0 when there is none."""
        orders = self.orders
        if orders and orders[-1].is_purchase:
            return orders[-1].placed_at_ms
        for order in reversed(orders):
            if order.is_purchase:
                return order.placed_at_ms
        return self.retired_last_at_ms


def purchase_days(orders: Iterable[Order]) -> Days:
    """The days of the purchases among ``orders``, ascending, each once."""
    return tuple(sorted({order.placed_at_ms // DAY_MS for order in orders if order.is_purchase}))


def _record(state: Purchases, event: Event, scene: Scene) -> None:
    """Take in one piece of news about an order."""
    parameters = scene.parameters
    last_before_ms = state.last_at_ms
    _take_news(state, event, parameters)
    _retire(state, scene.context.clock_ms - parameters.time.lateness, parameters.bounds.orders)
    # News of an older order doesn't begin again a silence that has been dealt with.
    last_at_ms, row = state.last_at_ms, scene.row
    if last_at_ms != last_before_ms or row.due(_OVERDUE).due_ms:
        gap_days = scene.snapshot.of(Population).gap_days
        row.set_due(_OVERDUE, overdue_at_ms(last_at_ms, state.days, gap_days, parameters.overdue))
    scene.raise_moment(SCORE)


def _take_news(state: Purchases, event: Event, parameters: Parameters) -> None:
    orders, properties = state.orders, event.properties
    order = _known(state, event)
    if order is None:
        order = Order(_order_id(event))
    else:
        del orders[orders.index(order)]
    was_purchase, net_before_minor = order.is_purchase, order.net_minor
    placed_before_ms, currency = order.placed_at_ms, parameters.money.currency
    if isinstance(properties, OrderNews):
        _place(order, properties, event.occurred_at_ms, currency)
    else:
        _end(order, properties, event, currency)
    orders.insert(bisect_left(orders, _sort_key(order), key=_sort_key), order)

    half_lives = parameters.of(PurchaseParameters).half_lives
    if was_purchase:
        _shift(state, -1, -net_before_minor, placed_before_ms, half_lives)
    if order.is_purchase:
        _shift(state, 1, order.net_minor, order.placed_at_ms, half_lives)
    state.count += order.is_purchase - was_purchase
    state.net_minor += order.net_minor - net_before_minor
    if order.placed_at_ms:
        state.first_at_ms = min(state.first_at_ms or _NEVER, order.placed_at_ms)
    _note_day(state, order, was_purchase, placed_before_ms)


def _order_id(event: Event) -> int:
    return fingerprint(event.properties.order_id or event.message_id)


def _known(state: Purchases, event: Event) -> Order | None:
    """The order that the event is about, as it is by now."""
    order_id = _order_id(event)
    for order in reversed(state.orders):
        if order.id == order_id:
            return order
    return None


def _place(order: Order, news: OrderNews, at_ms: int, currency: str) -> None:
    order.placed_at_ms = min(order.placed_at_ms or at_ms, at_ms)
    if at_ms < order.priced_at_ms:
        return
    amount = news.amount
    assert amount is not None
    gross_minor = minor_units(amount, currency)
    if at_ms == order.priced_at_ms:
        # Two prices of one moment: which came first is not known, so the higher one stands.
        gross_minor = max(gross_minor, order.gross_minor)
    order.gross_minor, order.priced_at_ms = gross_minor, at_ms


def _end(order: Order, news: OrderEnd, event: Event, currency: str) -> None:
    at_ms = event.occurred_at_ms
    if order.placed_at_ms and order.placed_at_ms < at_ms - REFUNDABLE_MS:
        return
    order.ended_at_ms = min(order.ended_at_ms or at_ms, at_ms)
    amount = _refunded(news) if event.name == REFUNDED else None
    if amount is None:
        order.void = True
    else:
        refunded_minor = order.refunded_minor + minor_units(amount, currency)
        order.refunded_minor = min(refunded_minor, AMOUNT_MINOR_MAX)


def _refunded(news: OrderEnd) -> float | None:
    """The amount of a partial refund; None for a full one."""
    if news.revenue is not None or news.total is not None:
        return news.revenue if news.revenue is not None else news.total
    amount, is_priced = 0.0, False
    for product in news.products or ():
        if product.price is not None:
            is_priced = True
            amount += product.price * (1.0 if product.quantity is None else product.quantity)
    return amount if is_priced else None


def _shift(
    state: Purchases, orders: int, net_minor: int, at_ms: int, half_lives: Sequence[int]
) -> None:
    """Add to the decayed levels, as `decay.added` does, all of them at once."""
    lag_ms = at_ms - state.as_of_ms
    counts, nets = state.decayed_orders, state.decayed_net_minor
    for place, half_life_ms in enumerate(half_lives):
        if lag_ms > 0:
            left = exp2(-lag_ms / half_life_ms)
            counts[place] = counts[place] * left + orders
            nets[place] = nets[place] * left + net_minor
        elif lag_ms == 0:
            counts[place] += orders
            nets[place] += net_minor
        else:
            left = exp2(lag_ms / half_life_ms)
            counts[place] += orders * left
            nets[place] += net_minor * left
    if lag_ms > 0:
        state.as_of_ms = at_ms


def _note_day(state: Purchases, order: Order, was_purchase: bool, placed_before_ms: int) -> None:
    """Keep `days` right once an order has changed."""
    days = state.days
    if order.is_purchase:
        if was_purchase and placed_before_ms == order.placed_at_ms:
            return
        day = order.placed_at_ms // DAY_MS
        if not was_purchase and (not days or day >= days[-1]):
            if not days or day > days[-1]:
                state.days = (*days, day)
            return
    elif not was_purchase:
        return
    state.days = purchase_days(state.orders)


def _retire(state: Purchases, settled_ms: int, orders_max: int) -> None:
    """Let go of orders that no window and no refund can reach, and of the oldest beyond the bound.

    ``settled_ms``: nothing older can arrive any more.
    """
    orders = state.orders
    horizon_ms = settled_ms - REFUNDABLE_MS
    keep_from = max(len(orders) - orders_max, 0)
    while keep_from < len(orders) and orders[keep_from].known_since_ms < horizon_ms:
        keep_from += 1
    if not keep_from:
        return
    retired = [order.placed_at_ms for order in orders[:keep_from] if order.is_purchase]
    del orders[:keep_from]
    state.days = purchase_days(orders)
    state.retired_last_at_ms = max([*retired, state.retired_last_at_ms])
    retired_days = {at_ms // DAY_MS for at_ms in retired}.difference(state.days)
    state.retired_days += len(retired_days)


def _fall_silent(scene: Scene) -> None:
    """Told by the clock of now: it has learnt since the deadline was set."""
    due_ms = overdue_at(scene)
    if due_ms > scene.at_ms:
        scene.row.set_due(_OVERDUE, due_ms)
    else:
        scene.raise_moment(SILENCE)


def renew_deadline(scene: Scene) -> None:
    """Set the end of the present silence by what is usual by now; one that was told stays told."""
    if scene.row.due(_OVERDUE).due_ms:
        scene.row.set_due(_OVERDUE, max(overdue_at(scene), scene.at_ms))


def _united(states: Sequence[Purchases], parameters: Parameters) -> Purchases:
    """One person's purchases: an order that several ids have news of is one order.

    Exact as long as the ids' retired orders are of different orders and days.
    """
    one = Purchases()
    by_id: dict[int, Order] = {}
    for state in states:
        for order in state.orders:
            known = by_id.get(order.id)
            by_id[order.id] = copy(order) if known is None else _merged(known, order)
        one.retired_days += state.retired_days
        one.retired_last_at_ms = max(one.retired_last_at_ms, state.retired_last_at_ms)
    one.orders = sorted(by_id.values(), key=_sort_key)
    one.days = purchase_days(one.orders)
    kept = [order for order in one.orders if order.is_purchase]
    half_lives = parameters.of(PurchaseParameters).half_lives
    for order in kept:
        _shift(one, 1, order.net_minor, order.placed_at_ms, half_lives)
    one.count, one.net_minor = len(kept), 0
    for order in kept:
        one.net_minor += order.net_minor
    _add_retired(one, states, half_lives)
    first = [order.placed_at_ms for order in one.orders if order.placed_at_ms]
    first += [state.first_at_ms for state in states if state.first_at_ms]
    one.first_at_ms = min(first, default=0)
    return one


def _add_retired(one: Purchases, states: Sequence[Purchases], half_lives: Sequence[int]) -> None:
    """Add what each state still counts of orders that it no longer keeps."""
    for state in states:
        kept = [order for order in state.orders if order.is_purchase]
        rest = Purchases()
        rest.as_of_ms = state.as_of_ms
        rest.decayed_orders = list(state.decayed_orders)
        rest.decayed_net_minor = list(state.decayed_net_minor)
        count, net_minor = state.count, state.net_minor
        for order in kept:
            _shift(rest, -1, -order.net_minor, order.placed_at_ms, half_lives)
            count -= 1
            net_minor -= order.net_minor
        one.count += count
        one.net_minor += net_minor
        if count:
            _add_levels(one, rest, half_lives)


def _add_levels(one: Purchases, rest: Purchases, half_lives: Sequence[int]) -> None:
    as_of_ms = max(one.as_of_ms, rest.as_of_ms)
    for place, half_life_ms in enumerate(half_lives):
        for mine, theirs in (
            (one.decayed_orders, rest.decayed_orders),
            (one.decayed_net_minor, rest.decayed_net_minor),
        ):
            mine[place] = decayed(mine[place], as_of_ms - one.as_of_ms, half_life_ms) + decayed(
                theirs[place], as_of_ms - rest.as_of_ms, half_life_ms
            )
    one.as_of_ms = as_of_ms


def _merged(one: Order, other: Order) -> Order:
    """What two ids know of the same order."""
    earlier, later = sorted((one, other), key=lambda order: (order.priced_at_ms, order.gross_minor))
    placed = [order.placed_at_ms for order in (earlier, later) if order.placed_at_ms]
    ended = [order.ended_at_ms for order in (earlier, later) if order.ended_at_ms]
    return Order(
        one.id,
        min(placed, default=0),
        later.gross_minor,
        later.priced_at_ms,
        min(one.refunded_minor + other.refunded_minor, AMOUNT_MINOR_MAX),
        one.void or other.void,
        min(ended, default=0),
    )


def purchases(scene: Scene) -> Purchases:
    """The customer's purchases; read only."""
    return scene.row.read(PURCHASES)


def order_of_event(scene: Scene) -> Order | None:
    """The order that this moment's event was about, after its news."""
    event = scene.event
    if event is None or event.name not in EVENTS or event.properties is NOTHING:
        return None
    return _known(scene.of(purchases), event)


def history(scene: Scene) -> History | None:
    """The purchase days up to this moment; None for somebody who had not bought by then."""
    state, at_ms = scene.row.read(PURCHASES), scene.at_ms
    last_at_ms = state.last_at_ms
    if last_at_ms <= at_ms:
        days = state.days
    else:
        days = purchase_days(order for order in state.orders if order.placed_at_ms <= at_ms)
    bought = len(days) + state.retired_days
    if not bought:
        return None
    first_day = state.first_at_ms // DAY_MS
    if days and days[0] < first_day:
        first_day = days[0]
    last_day = days[-1] if days else state.retired_last_at_ms // DAY_MS
    today = at_ms / DAY_MS
    last = float(last_day - first_day)
    return History(days, bought - 1, last, max(today - first_day, last), max(today - last_day, 0.0))


def levels(scene: Scene) -> tuple[list[float], list[float]]:
    """Decayed orders and net spend in minor units, one level a half-life, of the orders up to this
    moment.
    """
    state, at_ms = scene.row.read(PURCHASES), scene.at_ms
    half_lives = scene.parameters.of(PurchaseParameters).half_lives
    lag_ms = at_ms - state.as_of_ms
    if lag_ms == 0:
        return state.decayed_orders, state.decayed_net_minor
    if lag_ms > 0:
        short, middle, long = [exp2(-lag_ms / half_life_ms) for half_life_ms in half_lives]
        counts, nets = state.decayed_orders, state.decayed_net_minor
        return (
            [counts[0] * short, counts[1] * middle, counts[2] * long],
            [nets[0] * short, nets[1] * middle, nets[2] * long],
        )
    # The running levels hold orders that were yet to come: add up those that had come.
    orders, spend = [0.0] * len(half_lives), [0.0] * len(half_lives)
    for order in state.orders:
        if order.is_purchase and order.placed_at_ms <= at_ms:
            for place, half_life_ms in enumerate(half_lives):
                share = decayed(1.0, at_ms - order.placed_at_ms, half_life_ms)
                orders[place] += share
                spend[place] += share * order.net_minor
    return orders, spend


def window(state: Purchases, at_ms: int, days: int) -> tuple[int, int]:
    """(count, net in minor units) of the purchases in (at - days, at]."""
    count = net_minor = 0
    begin_ms = at_ms - days * DAY_MS
    for order in reversed(state.orders):
        placed_at_ms = order.placed_at_ms
        if (placed_at_ms or order.ended_at_ms) <= begin_ms:
            break
        if order.is_purchase and placed_at_ms <= at_ms:
            count += 1
            net_minor += order.net_minor
    return count, net_minor


def window_30d(scene: Scene) -> tuple[int, int]:
    """(count, net in minor units) of the last 30 days."""
    return window(scene.row.read(PURCHASES), scene.at_ms, 30)


def window_90d(scene: Scene) -> tuple[int, int]:
    """(count, net in minor units) of the last 90 days."""
    return window(scene.row.read(PURCHASES), scene.at_ms, 90)


def window_365d(scene: Scene) -> tuple[int, int]:
    """(count, net in minor units) of the last 365 days."""
    return window(scene.row.read(PURCHASES), scene.at_ms, 365)


def net_until(state: Purchases, at_ms: int) -> int:
    """Net revenue of the orders placed by ``at_ms``, in minor units."""
    net_minor = state.net_minor
    for order in reversed(state.orders):
        if order.known_since_ms <= at_ms:
            break
        if order.placed_at_ms > at_ms:
            net_minor -= order.net_minor
    return net_minor


def gaps_days(state: Purchases) -> list[float]:
    """Days between the latest purchases, oldest first; several on one UTC day are one."""
    return list(rhythm_of(state.days).gaps)


def clock(scene: Scene) -> Clock:
    """When the customer is expected to buy again, by their own gaps and the population's."""
    days, gap_days = scene.row.read(PURCHASES).days, scene.snapshot.of(Population).gap_days
    return clock_of(days, gap_days, scene.parameters.overdue)


def usual_gap_days(scene: Scene) -> float:
    """The customer's own usual gap, drawn towards the population's."""
    return scene.of(clock).expected_days


def overdue_at(scene: Scene) -> int:
    """When the silence after the last purchase becomes too long, in ms; 0 without a purchase."""
    state, gap_days = scene.row.read(PURCHASES), scene.snapshot.of(Population).gap_days
    return overdue_at_ms(state.last_at_ms, state.days, gap_days, scene.parameters.overdue)


def silent_days(scene: Scene) -> float:
    """Days since the last purchase; NaN without one."""
    last_ms = scene.row.read(PURCHASES).last_at_ms
    return max(scene.at_ms - last_ms, 0) / DAY_MS if last_ms else nan


def _of_clock(read: Callable[[Clock], float]) -> Callable[[Scene], float]:
    """NaN for somebody who has not bought."""
    return lambda s: read(s.of(clock)) if s.row.read(PURCHASES).last_at_ms else nan


def _expected_order_days(scene: Scene) -> float:
    return scene.of(clock).expected_days - silent_days(scene)


def _overdue_at(scene: Scene) -> str:
    return iso_or_none(overdue_at(scene)) or ""


def _average_order(scene: Scene) -> float:
    bought = scene.row.read(PURCHASES)
    return scene.money(bought.net_minor) / bought.count if bought.count else 0.0


def _anomaly(scene: Scene) -> Anomaly | None:
    past = scene.of(history)
    return purchase_anomaly(past, scene.at_ms) if past is not None else None


def _deviations(scene: Scene) -> float:
    found = _anomaly(scene)
    return found.deviations if found is not None else nan


def _scores(scene: Scene) -> RfmScores | None:
    state = scene.row.read(PURCHASES)
    if not state.count:
        return None
    count, net_minor = scene.of(window_365d)
    recency_days = max(scene.at_ms - state.last_at_ms, 0) / DAY_MS
    population = scene.snapshot.of(Population)
    return rfm_scores(recency_days, count, net_minor, state.count, population)


def _segment(scene: Scene) -> str:
    scores = scene.of(_scores)
    return str(scores.segment) if scores is not None else ""


FACTS = {
    "orders": Fact(
        lambda s: float(s.row.read(PURCHASES).count), "{:.0f} purchases so far", "purchases ever"
    ),
    "orders_30d": Fact(
        lambda s: float(s.of(window_30d)[0]), "{:.0f} in 30 days", "purchases, 30 days"
    ),
    "orders_90d": Fact(
        lambda s: float(s.of(window_90d)[0]), "{:.0f} in 90 days", "purchases, 90 days"
    ),
    "orders_365d": Fact(
        lambda s: float(s.of(window_365d)[0]), "{:.0f} in a year", "purchases, a year"
    ),
    "net_30d": Fact(
        lambda s: s.money(s.of(window_30d)[1]), "spent {:.2f} in 30 days", "net spend, 30 days"
    ),
    "net_90d": Fact(
        lambda s: s.money(s.of(window_90d)[1]), "spent {:.2f} in 90 days", "net spend, 90 days"
    ),
    "net_365d": Fact(
        lambda s: s.money(s.of(window_365d)[1]), "spent {:.2f} in a year", "net spend, a year"
    ),
    "average_order": Fact(_average_order, "{:.2f} an order", "net spend an order"),
    "silent_days": Fact(silent_days, "now {:.0f} days", "days since the last purchase"),
    "typical_gap_days": Fact(
        lambda s: s.of(usual_gap_days), "usually every {:.0f} days", "the customer's own usual gap"
    ),
    "overdue_ratio": Fact(
        lambda s: silent_days(s) / s.of(usual_gap_days),
        "{:.1f} times the usual gap",
        "silence over the usual gap",
    ),
    "expected_order_days": Fact(
        _expected_order_days,
        "the next purchase expected in {:.0f} days",
        "days until the next purchase is expected, below 0 once it should have come",
    ),
    "overdue_days": Fact(
        _of_clock(lambda found: found.overdue_days),
        "overdue after {:.0f} days",
        "days of silence from which a purchase is overdue, by the customer's own clock",
    ),
    "overdue_at": Fact(
        _overdue_at, "overdue at {}", "when a purchase is or was overdue, in ISO 8601", str
    ),
    "gap_spread": Fact(
        _of_clock(lambda found: found.spread),
        "gaps that vary by {:.2f} of their logarithm",
        "standard deviation of the logarithm of the customer's gaps",
    ),
    "is_seasonal": Fact(
        _of_clock(lambda found: float(found.is_seasonal)),
        "buys by the year: {:.0f}",
        "1 for somebody who buys at the same time of the year, else 0",
    ),
    "purchase_anomaly": Fact(
        _deviations,
        "purchases {:+.1f} deviations from their usual",
        "purchase days of the last 14 against the customer's own usual, in standard deviations",
    ),
    "segment": Fact(_segment, "{}", "named segment, empty for somebody who has not bought", str),
}


class _View(Struct, frozen=True, rename="camel"):
    pass


class Window(_View, frozen=True):
    """Purchases of the last ``days``."""

    days: int
    orders: int
    net_minor: int


class DecayedLevel(_View, frozen=True):
    """Orders and net spend, each halving within ``half_life_days``."""

    half_life_days: int
    orders: float
    net_minor: float


class RfmView(_View, frozen=True):
    """``segment`` and the scores are null for somebody who has not bought."""

    recency_days: float | None
    orders: int
    net_minor: int
    first_order_at: str | None
    last_order_at: str | None
    windows: tuple[Window, ...]
    decayed: tuple[DecayedLevel, ...]
    recency_score: int | None
    frequency_score: int | None
    monetary_score: int | None
    segment: Segment | None


def _rfm_view(scene: Scene) -> RfmView:
    state, at_ms, scores = scene.row.read(PURCHASES), scene.at_ms, scene.of(_scores)
    return RfmView(
        recency_days=max(at_ms - state.last_at_ms, 0) / DAY_MS if state.count else None,
        orders=state.count,
        net_minor=state.net_minor,
        first_order_at=iso_or_none(state.first_at_ms),
        last_order_at=iso_or_none(state.last_at_ms),
        windows=tuple(Window(days, *window(state, at_ms, days)) for days in WINDOW_DAYS),
        decayed=tuple(_decayed_levels(scene)),
        recency_score=scores.recency if scores else None,
        frequency_score=scores.frequency if scores else None,
        monetary_score=scores.monetary if scores else None,
        segment=scores.segment if scores else None,
    )


def _decayed_levels(scene: Scene) -> Iterator[DecayedLevel]:
    """Of all that is counted, as ``orders`` and ``net_minor`` beside them are."""
    state, parameters = scene.row.read(PURCHASES), scene.parameters
    lag_ms = scene.at_ms - state.as_of_ms
    for place, half_life_ms in enumerate(parameters.of(PurchaseParameters).half_lives):
        yield DecayedLevel(
            half_life_ms // DAY_MS,
            decayed(state.decayed_orders[place], lag_ms, half_life_ms),
            decayed(state.decayed_net_minor[place], lag_ms, half_life_ms),
        )


def _rfm_in_words(rfm: RfmView, _as_of: str, currency: str) -> Iterator[Line]:
    if rfm.recency_days is None:
        yield Line("purchases", "none")
        return
    if rfm.segment is not None:
        yield Line("segment", f"{rfm.segment}: {SEGMENT_WORDS[rfm.segment]}")
        scores = (rfm.recency_score, rfm.frequency_score, rfm.monetary_score)
        yield Line("scores", "recency {}, frequency {}, monetary {}, of 5".format(*scores))
    last = moment_in_words(rfm.last_order_at)
    yield Line("last purchase", f"{rfm.recency_days:.1f} days before ({last})")
    net = money_in_words(rfm.net_minor, currency)
    since = moment_in_words(rfm.first_order_at)
    yield Line("purchases", f"{counted(rfm.orders, 'order')}, {net} net, since {since}")
    for span in rfm.windows:
        net = money_in_words(span.net_minor, currency)
        yield Line(f"last {span.days} days", f"{counted(span.orders, 'order')}, {net}")


def _anomaly_lines(found: Anomaly, _as_of: str, _currency: str) -> Iterator[Line]:
    yield Line("buying", anomaly_in_words(found))


PURCHASES: Part[Purchases] = Part(
    name="purchases",
    code="pu",
    about="Orders as they stand after refunds and changes: how lately, how often, how much.",
    state=Purchases,
    united=_united,
    parameters=PurchaseParameters,
    events=EVENTS,
    listens=frozenset(EVENTS),
    record=_record,
    timers=(Timer(_OVERDUE, _fall_silent),),
    moments={SILENCE: "the customer's own clock says that a purchase is overdue"},
    offers=(
        purchases,
        order_of_event,
        history,
        levels,
        window_365d,
        clock,
        renew_deadline,
        silent_days,
        usual_gap_days,
        overdue_at,
    ),
    facts=FACTS,
    sections=(
        ProfileSection("rfm", RfmView, _rfm_view, _rfm_in_words, place=100),
        ProfileSection("purchase_anomaly", Anomaly | None, _anomaly, _anomaly_lines, place=420),
    ),
)

"""Recency, frequency and money: exact over rolling windows, and decayed.

An order is what is known of it by now: placed, changed, refunded, cancelled, in whatever order
the news came. Each piece of news replaces what the order contributed before.
"""

from bisect import bisect_left
from collections.abc import Iterator
from itertools import pairwise

from msgspec import Struct
from msgspec.structs import replace

from config.duration import DAY_MS
from config.parameters import Parameters
from models.customer.days import Days, purchase_days, with_news
from models.customer.decay import added, decayed
from models.customer.fingerprint import fingerprint
from models.events import catalogue
from models.events.catalogue import Name
from models.events.wire import Event

WINDOW_DAYS = (30, 90, 365)
#: Refunds of older orders no longer find them.
REFUNDABLE_MS = WINDOW_DAYS[-1] * DAY_MS
#: The gaps that a customer's own rhythm is read from.
GAPS_MAX = 12
#: No one thing is worth more: sums of it must fit in 64 bits.
_WORTH_MINOR_MAX = 10**15
_WHOLE_CURRENCIES = (
    "BIF",
    "CLP",
    "DJF",
    "GNF",
    "ISK",
    "JPY",
    "KMF",
    "KRW",
    "PYG",
    "RWF",
    "UGX",
    "VND",
    "VUV",
    "XAF",
    "XOF",
    "XPF",
)
_MINOR_PER_UNIT = {
    **dict.fromkeys(_WHOLE_CURRENCIES, 1),
    **dict.fromkeys(("BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"), 1_000),
}


class Order(Struct, frozen=True, array_like=True, gc=False):
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
        """Placed and neither cancelled nor refunded to the last cent; free orders count."""
        if self.void or not self.placed_at_ms:
            return False
        return not (self.gross_minor and self.refunded_minor >= self.gross_minor)

    @property
    def net_minor(self) -> int:
        """What it brought after refunds; never below zero."""
        return max(self.gross_minor - self.refunded_minor, 0) if self.is_purchase else 0

    @property
    def known_since_ms(self) -> int:
        return self.placed_at_ms or self.ended_at_ms


class Purchases(Struct, frozen=True, array_like=True):
    """A customer's orders and what they add up to.

    ``orders`` are sorted by (time, id) and reach back as far as a window or a refund can.
    ``retired_days`` counts the purchase days of orders that are no longer kept.
    ``days`` are the days of the purchases among ``orders``.
    ``decayed_orders`` and ``decayed_net_minor`` hold one level a half-life, as of ``as_of_ms``.
    """

    orders: tuple[Order, ...] = ()
    count: int = 0
    net_minor: int = 0
    first_at_ms: int = 0
    retired_last_at_ms: int = 0
    decayed_orders: tuple[float, ...] = ()
    decayed_net_minor: tuple[float, ...] = ()
    as_of_ms: int = 0
    retired_days: int = 0
    days: Days = ()

    @property
    def purchase_days(self) -> Days:
        """``days``, whoever wrote the row: an earlier release did not keep them."""
        return self.days or purchase_days(self.orders)

    @property
    def last_at_ms(self) -> int:
        """Time of the latest purchase; 0 when there is none."""
        for order in reversed(self.orders):
            if order.is_purchase:
                return order.placed_at_ms
        return self.retired_last_at_ms


def minor_units(amount: float, currency: str) -> int:
    """``amount`` in the currency's smallest unit."""
    return min(round(amount * minor_per_unit(currency)), _WORTH_MINOR_MAX)


def minor_per_unit(currency: str) -> int:
    """How many of its smallest units make one of the currency."""
    return _MINOR_PER_UNIT.get(currency, 100)


def record_order(
    purchases: Purchases, event: Event, clock_ms: int, parameters: Parameters
) -> Purchases:
    """``purchases`` after one piece of news about an order."""
    properties = event.properties
    assert isinstance(properties, catalogue.Order | catalogue.OrderEnd)
    order_id = fingerprint(properties.order_id or event.message_id)
    ids = [known.id for known in purchases.orders]
    index = ids.index(order_id) if order_id in ids else None
    before = Order(order_id) if index is None else purchases.orders[index]
    if isinstance(properties, catalogue.Order):
        after = _placed(before, properties, event.occurred_at_ms, parameters.money.currency)
    else:
        after = _ended(before, properties, event, parameters.money.currency)
    rest = (
        purchases.orders
        if index is None
        else purchases.orders[:index] + purchases.orders[index + 1 :]
    )
    key = (after.known_since_ms, after.id)
    place = bisect_left(rest, key, key=lambda order: (order.known_since_ms, order.id))
    purchases = _account(purchases, before, after, parameters)
    orders = (*rest[:place], after, *rest[place:])
    days = with_news(purchases.purchase_days, before, after, orders)
    purchases = replace(purchases, orders=orders, days=days)
    return _retire(purchases, clock_ms - parameters.time.lateness, parameters.bounds.orders)


def _placed(order: Order, news: catalogue.Order, at_ms: int, currency: str) -> Order:
    placed_at_ms = min(order.placed_at_ms or at_ms, at_ms)
    if at_ms < order.priced_at_ms:
        return replace(order, placed_at_ms=placed_at_ms)
    amount = next(x for x in (news.revenue, news.subtotal, news.total) if x is not None)
    gross_minor = minor_units(amount, currency)
    if at_ms == order.priced_at_ms:
        # Two prices of one moment: which came first is not known, so the higher one stands.
        gross_minor = max(gross_minor, order.gross_minor)
    return replace(order, placed_at_ms=placed_at_ms, gross_minor=gross_minor, priced_at_ms=at_ms)


def _ended(order: Order, news: catalogue.OrderEnd, event: Event, currency: str) -> Order:
    if order.placed_at_ms and order.placed_at_ms < event.occurred_at_ms - REFUNDABLE_MS:
        return order
    ended_at_ms = min(order.ended_at_ms or event.occurred_at_ms, event.occurred_at_ms)
    amount = _refunded(news) if event.name == Name.ORDER_REFUNDED else None
    if amount is None:
        return replace(order, void=True, ended_at_ms=ended_at_ms)
    refunded_minor = min(order.refunded_minor + minor_units(amount, currency), _WORTH_MINOR_MAX)
    return replace(order, refunded_minor=refunded_minor, ended_at_ms=ended_at_ms)


def _refunded(news: catalogue.OrderEnd) -> float | None:
    """The amount of a partial refund; None for a full one."""
    if news.revenue is not None or news.total is not None:
        return news.revenue if news.revenue is not None else news.total
    priced = [p for p in news.products or () if p.price is not None]
    if not priced:
        return None
    return sum((p.price or 0.0) * (1.0 if p.quantity is None else p.quantity) for p in priced)


def _account(
    purchases: Purchases, before: Order, after: Order, parameters: Parameters
) -> Purchases:
    """Replace what ``before`` contributed by what ``after`` does."""
    half_lives = parameters.purchases.half_lives
    orders = purchases.decayed_orders or (0.0,) * len(half_lives)
    net = purchases.decayed_net_minor or (0.0,) * len(half_lives)
    as_of_ms = purchases.as_of_ms
    for order, sign in ((before, -1), (after, 1)):
        if order.is_purchase:
            at_ms = order.placed_at_ms
            orders = _shifted(orders, as_of_ms, sign, at_ms, half_lives)
            net = _shifted(net, as_of_ms, sign * order.net_minor, at_ms, half_lives)
            as_of_ms = max(as_of_ms, at_ms)
    first = [at_ms for at_ms in (purchases.first_at_ms, after.placed_at_ms) if at_ms]
    return replace(
        purchases,
        count=purchases.count + after.is_purchase - before.is_purchase,
        net_minor=purchases.net_minor + after.net_minor - before.net_minor,
        first_at_ms=min(first, default=0),
        decayed_orders=orders,
        decayed_net_minor=net,
        as_of_ms=as_of_ms,
    )


def _shifted(
    levels: tuple[float, ...],
    levels_at_ms: int,
    amount: float,
    at_ms: int,
    half_lives: tuple[int, ...],
) -> tuple[float, ...]:
    return tuple(
        added(level, levels_at_ms, amount, at_ms, half_life)
        for level, half_life in zip(levels, half_lives, strict=True)
    )


def _retire(purchases: Purchases, settled_ms: int, orders_max: int) -> Purchases:
    """Let go of orders that no window and no refund can reach, and of the oldest beyond the bound.

    ``settled_ms``: nothing older can arrive any more.
    """
    orders = purchases.orders
    horizon_ms = settled_ms - REFUNDABLE_MS
    keep_from = max(len(orders) - orders_max, 0)
    while keep_from < len(orders) and orders[keep_from].known_since_ms < horizon_ms:
        keep_from += 1
    if not keep_from:
        return purchases
    retired = [order.placed_at_ms for order in orders[:keep_from] if order.is_purchase]
    kept_days = purchase_days(orders[keep_from:])
    retired_days = {at_ms // DAY_MS for at_ms in retired}.difference(kept_days)
    return replace(
        purchases,
        orders=orders[keep_from:],
        retired_last_at_ms=max([*retired, purchases.retired_last_at_ms]),
        retired_days=purchases.retired_days + len(retired_days),
        days=kept_days,
    )


def window(purchases: Purchases, at_ms: int, days: int) -> tuple[int, int]:
    """(count, net in minor units) of the purchases in (at - days, at]."""
    count = net_minor = 0
    begin_ms = at_ms - days * DAY_MS
    for order in reversed(purchases.orders):
        placed_at_ms = order.placed_at_ms
        if (placed_at_ms or order.ended_at_ms) <= begin_ms:
            break
        # As `is_purchase` and `net_minor` have it, which as properties take most of the time.
        gross_minor, refunded_minor = order.gross_minor, order.refunded_minor
        is_given_back = order.void or (gross_minor and refunded_minor >= gross_minor)
        if 0 < placed_at_ms <= at_ms and not is_given_back:
            count += 1
            net_minor += max(gross_minor - refunded_minor, 0)
    return count, net_minor


def levels(
    purchases: Purchases, at_ms: int, parameters: Parameters
) -> Iterator[tuple[int, float, float]]:
    """(half-life in days, decayed orders, decayed net in minor units) as of ``at_ms``."""
    half_lives = parameters.purchases.half_lives
    zeros = (0.0,) * len(half_lives)
    lag_ms = at_ms - purchases.as_of_ms
    for half_life, orders, net in zip(
        half_lives,
        purchases.decayed_orders or zeros,
        purchases.decayed_net_minor or zeros,
        strict=True,
    ):
        yield (
            half_life // DAY_MS,
            decayed(orders, lag_ms, half_life),
            decayed(net, lag_ms, half_life),
        )


def gaps_days(purchases: Purchases) -> list[float]:
    """Days between the latest purchases, oldest first; several on one UTC day are one."""
    latest = purchases.purchase_days[-GAPS_MAX - 1 :]
    return [float(later - earlier) for earlier, later in pairwise(latest)]

"""What a row keeps of prices: the discount of each order, and how much a customer looks for one."""

from collections.abc import Sequence
from copy import copy
from typing import Final

from msgspec import field, msgpack

from config.limits import Positive, PositiveInt, PositiveMs, Share
from config.parameters import Parameters, Section
from models.customer.decay import added
from models.customer.order_news import OrderNews
from models.customer.order_products import number_or_none
from models.customer.order_state import Order
from models.customer.row import State
from models.events.event import Event

#: The latest purchases of a customer; older ones weigh little.
PURCHASES_MAX: Final = 32


class PriceParameters(Section, frozen=True):
    section = "prices"
    enabled: bool
    half_life: PositiveMs
    hunting_half_life: PositiveMs
    discounted_from: Share
    typical_share: Share
    typical_weight: Positive
    purchases_min: PositiveInt
    dependent_at: Share


class PricedOrder(State):
    """An order's discount as a share of its list value (``depth``), by the latest event that states
    one, and whether any event states a coupon.
    """

    placed_at_ms: int
    id: int
    priced_at_ms: int = 0
    depth: float = 0.0
    has_coupon: bool = False
    is_purchase: bool = False


class Prices(State):
    """The latest orders by (time, id), and a decayed count of signs of hunting for a price.

    ``full_ms``: the time of the latest purchase at full price before these orders.
    """

    orders: list[PricedOrder] = field(default_factory=list)
    hunting: float = 0.0
    hunting_at_ms: int = 0
    full_ms: int = 0


_STORED = msgpack.Decoder(Prices)


def unpack_earlier(content: bytes) -> Prices:
    """Read version 1 or 2, in which an event without a discount counted as one that says there is
    none.
    """
    state = _STORED.decode(content)
    for order in state.orders:
        if not order.depth:
            order.priced_at_ms = 0
    return state


def sort_key(order: PricedOrder) -> tuple[int, int]:
    """Orders are sorted by (time, id)."""
    return order.placed_at_ms, order.id


def follow(known: PricedOrder, order: Order, event: Event) -> None:
    """Note what the event of an order says of its price, and the order as it now stands."""
    known.placed_at_ms, known.is_purchase = order.placed_at_ms, order.is_purchase
    news, at_ms = event.properties, event.occurred_at_ms
    if not isinstance(news, OrderNews):
        return
    # What an event does not state stays as it is.
    known.has_coupon = known.has_coupon or bool(news.coupon)
    depth = _depth(news)
    if depth is not None and at_ms >= known.priced_at_ms:
        # Of two discounts of one moment, it is not known which came first, so the lower one counts.
        known.depth = min(depth, known.depth) if at_ms == known.priced_at_ms else depth
        known.priced_at_ms = at_ms


def _depth(news: OrderNews) -> float | None:
    """The discount's share of the list value, which is the discount plus what was paid; None if it
    is not stated.
    """
    discount = number_or_none(getattr(news, "discount", None))
    if not discount:
        return discount
    return discount / ((news.amount or 0.0) + discount)


def let_go(state: Prices, section: PriceParameters) -> None:
    """Keep the latest orders; of earlier ones, only the latest at full price."""
    while len(state.orders) > PURCHASES_MAX:
        order = state.orders.pop(0)
        if order.is_purchase and not is_discounted(order, section):
            state.full_ms = max(state.full_ms, order.placed_at_ms)


def is_dropped(state: Prices, order: Order) -> bool:
    """Whether an order that is not among the latest was dropped: a dropped order is not counted
    again.
    """
    orders = state.orders
    return len(orders) == PURCHASES_MAX and (order.placed_at_ms, order.id) < sort_key(orders[0])


def is_discounted(order: PricedOrder, section: PriceParameters) -> bool:
    """Whether its discount is large enough, or it has a coupon."""
    return order.has_coupon or order.depth >= section.discounted_from


def united(states: Sequence[Prices], parameters: Parameters) -> Prices:
    """One person's prices: of each order its latest price, and the signs of all ids added up.

    Not additive: a refund that was heard under another id than its order is not seen.
    """
    one = Prices()
    half_life_ms = parameters.of(PriceParameters).hunting_half_life
    orders: dict[int, PricedOrder] = {}
    for state in states:
        for order in state.orders:
            known = orders.get(order.id)
            orders[order.id] = copy(order) if known is None else _merged(known, order)
        at_ms = state.hunting_at_ms
        one.hunting = added(one.hunting, one.hunting_at_ms, state.hunting, at_ms, half_life_ms)
        one.hunting_at_ms = max(one.hunting_at_ms, at_ms)
        one.full_ms = max(one.full_ms, state.full_ms)
    one.orders = sorted(orders.values(), key=sort_key)
    let_go(one, parameters.of(PriceParameters))
    return one


def _merged(one: PricedOrder, other: PricedOrder) -> PricedOrder:
    """One order by the events of two ids."""
    latest = copy(max(one, other, key=lambda order: order.priced_at_ms))
    if one.priced_at_ms == other.priced_at_ms:
        latest.depth = min(one.depth, other.depth)
    latest.has_coupon = one.has_coupon or other.has_coupon
    latest.placed_at_ms = min(one.placed_at_ms, other.placed_at_ms)
    latest.is_purchase = one.is_purchase and other.is_purchase
    return latest

"""The margin on what customers buy, by the categories of the products, where margins differ.

In a shop that sells phones and their cases, a customer who buys cases is worth more than their
revenue says. An order's margin is that of its products, weighted by price; a refund takes back the
same share of what it refunds. Events without products leave the margin as it is.
"""

from bisect import insort
from collections.abc import Mapping, Sequence
from copy import copy
from typing import Final

from msgspec import field

from config.limits import Share
from config.parameters import Parameters, Section
from models.customer.order_news import CANCELLED, COMPLETED, REFUNDED, UPDATED, OrderNews
from models.customer.part import Fact, Part
from models.customer.purchases import order_of_event, purchases
from models.customer.row import State
from models.customer.scene import Scene
from models.events.event import Event

#: The latest orders of a customer, which show what they buy.
ORDERS_MAX: Final = 32


class MarginParameters(Section, frozen=True):
    """``by_category``: the share of net revenue that is left; all other categories have the shop's
    margin.
    """

    section = "margins"
    open_tables = ("by_category",)
    enabled: bool
    by_category: Mapping[str, Share]


class SoldOrder(State):
    """An order with the ``margin`` of its products by its latest event, and its present net."""

    placed_at_ms: int
    id: int
    news_at_ms: int = 0
    margin: float = 0.0
    net_minor: int = 0

    @property
    def sort_key(self) -> tuple[int, int]:
        return self.placed_at_ms, self.id


class Margins(State):
    """The latest orders, by (time, id)."""

    orders: list[SoldOrder] = field(default_factory=list)


def _sort_key(order: SoldOrder) -> tuple[int, int]:
    return order.sort_key


def _record(state: Margins, event: Event, scene: Scene) -> None:
    """Keep an order as it stands after its event."""
    order = scene.of(order_of_event)
    if order is None or not order.placed_at_ms:
        return
    known = next((one for one in state.orders if one.id == order.id), None)
    if known is None:
        known = SoldOrder(order.placed_at_ms, order.id, margin=scene.parameters.value.gross_margin)
    else:
        state.orders.remove(known)
    known.placed_at_ms = order.placed_at_ms
    known.net_minor = order.net_minor if order.is_purchase else 0
    news = event.properties
    if isinstance(news, OrderNews) and event.occurred_at_ms >= known.news_at_ms:
        margin = _margin_of(news, scene.parameters)
        if margin is not None:
            if event.occurred_at_ms == known.news_at_ms:
                # Of two lists of products at one moment, it is not known which came first.
                margin = min(margin, known.margin)
            known.news_at_ms, known.margin = event.occurred_at_ms, margin
    insort(state.orders, known, key=_sort_key)
    del state.orders[:-ORDERS_MAX]


def _take_up(scene: Scene) -> None:
    """Update the known orders; the products of orders that came meanwhile are not known."""
    if not scene.row.read(MARGINS).orders:
        return
    known = {one.id: one for one in scene.of(purchases).orders if one.placed_at_ms}
    state = scene.row.edit(MARGINS)
    for one in state.orders:
        if (order := known.get(one.id)) is not None:
            one.placed_at_ms = order.placed_at_ms
            one.net_minor = order.net_minor if order.is_purchase else 0
    state.orders.sort(key=_sort_key)


def _margin_of(news: OrderNews, parameters: Parameters) -> float | None:
    """The mean margin of the products, weighted by price; the shop's if there are none, and None if
    products or their prices are not stated.
    """
    if news.products is None:
        return None
    margins, usual = parameters.of(MarginParameters).by_category, parameters.value.gross_margin
    worth = left = 0.0
    is_said = not news.products
    for product in news.products:
        price = product.unit
        if price is not None:
            is_said = True
            category = product.category if isinstance(product.category, str) else ""
            worth += price * product.pieces
            left += price * product.pieces * margins.get(category, usual)
    if not is_said:
        return None
    return left / worth if worth else usual


def margin_share(scene: Scene) -> float:
    """The share of the customer's net revenue that is left after the cost of goods."""
    usual = scene.parameters.value.gross_margin
    if not MARGINS.is_on(scene.parameters):
        return usual
    net = left = 0.0
    for order in scene.row.read(MARGINS).orders:
        if order.net_minor > 0:
            net += order.net_minor
            left += order.net_minor * order.margin
    return left / net if net else usual


def _united(states: Sequence[Margins], _parameters: Parameters) -> Margins:
    """One person's orders, each by its latest news, and the lowest net that an id knows of it.

    Not additive: what was given back under another id than the order's is not seen.
    """
    orders: dict[int, SoldOrder] = {}
    for state in states:
        for order in state.orders:
            known = orders.get(order.id)
            orders[order.id] = copy(order) if known is None else _merged(known, order)
    return Margins(sorted(orders.values(), key=_sort_key)[-ORDERS_MAX:])


def _merged(one: SoldOrder, other: SoldOrder) -> SoldOrder:
    latest = copy(max(one, other, key=lambda order: order.news_at_ms))
    if one.news_at_ms == other.news_at_ms:
        latest.margin = min(one.margin, other.margin)
    latest.placed_at_ms = min(one.placed_at_ms, other.placed_at_ms)
    latest.net_minor = min(one.net_minor, other.net_minor)
    return latest


MARGINS: Part[Margins] = Part(
    name="margins",
    code="mg",
    about="What is left of what customers buy, by the categories of products.",
    state=Margins,
    united=_united,
    parameters=MarginParameters,
    has_own_file=True,
    listens=frozenset({COMPLETED, UPDATED, REFUNDED, CANCELLED}),
    record=_record,
    take_up=_take_up,
    offers=(margin_share,),
    reads=(order_of_event, purchases),
    facts={
        "margin_share": Fact(
            margin_share,
            "a margin of {:.0%}",
            "the part of what the customer buys that is left after the goods are paid for",
            least=0.0,
            most=1.0,
        )
    },
)

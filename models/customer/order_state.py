"""What is kept of an order: its events, and its state by them."""

from typing import Any, NamedTuple

from msgspec import field

from models.customer.row import State

#: What ends an order; of one moment, in this order: a partial refund, a full one, a cancellation.
PART, WHOLE, CANCELLATION = 0, 1, 2
#: The latest events of one order that are kept one by one.
NEWS_MAX = 64


class OrderItem(State):
    """A product of an order: ``unit`` is the price of one, in the order's currency. ``product`` is
    the key by the product's id alone, 0 if that is the ``key`` itself.
    """

    key: int
    unit: float
    pieces: float
    product: int = 0


class End(State):
    """A cancellation or refund of an order. ``id``: the fingerprint of the refund's id, 0 without.

    ``amount`` is as stated, in ``currency`` or, if that is empty, in the order's; ``unpriced``:
    (key, key by product, pieces) of products that were given back without a price.
    """

    at_ms: int
    kind: int
    id: int = 0
    amount: float | int = 0
    currency: str = ""
    unpriced: list[tuple[int, int, float]] = field(default_factory=list)

    @property
    def key(self) -> tuple[Any, ...]:
        return self.at_ms, self.kind, -self.amount, self.currency, self.unpriced, self.id


class Paid(NamedTuple):
    """What was paid in another currency than the shop's, and its rate on the order's day."""

    amount: float
    currency: str
    rate: float
    day: int


UNPAID = Paid(0.0, "", 0.0, 0)


class Detail(State):
    """What only some orders have.

    ``placements``: (time, whether it was paid) of all events that placed it, ascending; ``ends``
    likewise. ``paid``: for an order in another currency than the shop's. ``items`` were listed at
    ``items_at_ms``. ``cancelled_at_ms``: 0 unless it is cancelled by now; ``unpriced``: refunds of
    products whose price was never stated. ``given_minor``: the sum of refunds that are no longer
    kept one by one. ``currency_at_ms``: 0 if the price came with its currency, else when the
    currency that it is taken to be in was named.
    """

    placements: list[tuple[int, bool]] = field(default_factory=list)
    ends: list[End] = field(default_factory=list)
    paid: Paid | None = None
    items: list[OrderItem] = field(default_factory=list)
    items_at_ms: int = 0
    cancelled_at_ms: int = 0
    unpriced: int = 0
    given_minor: int = 0
    currency_at_ms: int = 0


class Order(State):
    """One order by its events; ``placed_at_ms`` is 0 until an event has placed it.

    ``gross_minor`` is by the latest price, in the shop's currency; ``detail`` is None for an order
    with a single event: that it was completed, without products, for an amount.
    """

    id: int
    placed_at_ms: int = 0
    gross_minor: int = 0
    priced_at_ms: int = 0
    refunded_minor: int = 0
    void: bool = False
    ended_at_ms: int = 0
    detail: Detail | None = None

    @property
    def is_purchase(self) -> bool:
        """Whether it is placed, and neither cancelled nor refunded to the last cent."""
        if not self.placed_at_ms or self.void:
            return False
        gross_minor = self.gross_minor
        # An order for nothing counts.
        return not gross_minor or self.refunded_minor < gross_minor

    @property
    def net_minor(self) -> int:
        """What it brought after refunds; never below 0."""
        return max(self.gross_minor - self.refunded_minor, 0) if self.is_purchase else 0

    @property
    def known_since_ms(self) -> int:
        return self.placed_at_ms or self.ended_at_ms

    def cancelled_ms(self) -> list[int]:
        """When it was cancelled, since it was last anything else; empty if it is not cancelled."""
        detail = self.detail
        if detail is None or not detail.cancelled_at_ms:
            return []
        return [
            end.at_ms
            for end in detail.ends
            if end.kind == CANCELLATION and end.at_ms >= detail.cancelled_at_ms
        ]


def sort_key(order: Order) -> tuple[int, int]:
    return order.placed_at_ms or order.ended_at_ms, order.id


def first_detail(order: Order) -> Detail:
    detail = Detail()
    if order.placed_at_ms:
        detail.placements = [(order.placed_at_ms, True)]
    return detail

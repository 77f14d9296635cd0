"""One order: what is heard of it, and what it is by all that was heard.

The latest news wins, by the time of events and not of their arrival: a cancelled order that is paid
after all is an order, and one that is cancelled after it was paid is none. What was given back
stays given back until the order is paid anew.
"""

from collections.abc import Iterator, Mapping, Sequence
from operator import attrgetter
from typing import Any, ClassVar, Final, NamedTuple

from msgspec import Struct, field
from msgspec.structs import force_setattr

from config.duration import DAY_MS
from config.names import folded
from config.parameters import Money
from models.customer.fingerprint import fingerprint
from models.customer.row import State
from models.events.codes import code
from models.events.event import Amount, Event, EventType, Text
from models.events.numbers import number_in
from models.events.rejection import Reason, Rejected
from models.money import (
    AMOUNT_MINOR_MAX,
    code_of,
    foreign,
    minor_units,
    rate_of,
    shop_minor,
)

COMPLETED, UPDATED = "Order Completed", "Order Updated"
REFUNDED, CANCELLED = "Order Refunded", "Order Cancelled"
#: What ends an order, at one moment in this order: part of it given back, all of it, cancelled.
PART, WHOLE, CANCELLATION = 0, 1, 2
#: Of one order, this many of the latest news are told apart, and this many of its products.
NEWS_MAX = 64
PRODUCTS_MAX = 100
#: No price or quantity is more, so that their product is an amount.
_NUMBER_MAX = 1e12
_ITEM_BITS = 32


def _named(field: str, *aliases: str) -> dict[str, str]:
    return dict.fromkeys(aliases, field)


class Product(Struct, frozen=True, omit_defaults=True, gc=False):
    """A product of an order, or of what is given back of it. A price or a quantity that is not a
    number is not known; a quantity that is not known is one. ``category`` is looked at where one
    has a margin of its own.
    """

    product_id: str | int | float | None = None
    sku: str | int | float | None = None
    variant: str | int | float | None = None
    price: float | str | None = None
    quantity: float | str | None = None
    category: Any = None
    aliases: ClassVar[Mapping[str, str]] = {
        **_named("product_id", "item_id"),
        **_named("variant", "item_variant", "variant_id"),
        **_named("category", "item_category"),
    }

    @property
    def key(self) -> int:
        """What tells it from the order's other products: the variant, else the product."""
        sku, variant, product = self.sku, self.variant, self.product_id
        if sku not in (None, ""):
            return _key(f"{sku}")
        if variant not in (None, ""):
            return _key(f"{product} {variant}")
        return _key(f"{product}") if product not in (None, "") else 0

    @property
    def product_key(self) -> int:
        """The key of a product that is named by its id alone."""
        return _key(f"{self.product_id}") if self.product_id not in (None, "") else self.key

    @property
    def unit(self) -> float | None:
        """The price of one; None if it is not known."""
        return number_or_none(self.price)

    @property
    def pieces(self) -> float:
        found = number_or_none(self.quantity)
        return 1.0 if found is None else found


def _key(text: str) -> int:
    # 0 is the key of a product without any id, which is no product of the order.
    return (fingerprint(text) >> (63 - _ITEM_BITS)) or 1


def number_or_none(value: float | str | None) -> float | None:
    """A price, quantity or amount that is none of these without costing its event."""
    said = number_in(value) if isinstance(value, str) else None
    try:
        number = said if said is not None else float(-1.0 if value is None else value)
    except ValueError:
        return None
    # NaN is not within, either.
    return number if 0.0 <= number <= _NUMBER_MAX else None


#: What pixels, tag managers and shop systems call the fields of orders, the likeliest first.
_IDS: Final = ("transaction_id", "order_number", "increment_id")
_LISTS: Final = ("items", "line_items")
_CURRENCIES: Final = ("currency_code", "order_currency", "presentment_currency")
_TOTALS: Final = (
    *("total_price", "grand_total", "order_total", "total_amount", "order_value", "order_amount"),
    *("amount", "value", "$value"),
)
_REFUND_TOTALS: Final = ("refunded_amount", "refund_total", "refund_value", "subtotal")
_PARTIAL: Final = ("is_partial", "partial_refund", "refund_type", "type")
#: What only a part of an order has, and what may be a sum of several refunds.
_PARTS: Final = (
    *("amount_refunded", "total_refunded", "refunds", "product_id", "sku", "price", "quantity"),
)
_HOLDERS: Final = ("properties", "ecommerce", "order")
#: What a system says of an order that is none, or is none any more.
_ENDED: Final = {
    **dict.fromkeys(
        (
            *("cancelled", "canceled", "voided", "void", "failed", "declined", "rejected"),
            *("expired", "abandoned", "draft", "checkoutdraft", "trash", "deleted"),
        ),
        CANCELLED,
    ),
    **dict.fromkeys(("refunded", "fullyrefunded"), REFUNDED),
}
_STATUSES: Final = ("status", "order_status", "financial_status", "payment_status")


class OrderNews(Struct, frozen=True, omit_defaults=True):
    """An order placed or changed; at least one of the amounts must be there.

    With a status such as ``cancelled``, ``failed`` or ``refunded`` it is news of that.
    """

    order_id: Text | None = None
    revenue: Amount | None = None
    subtotal: Amount | None = None
    total: Amount | None = None
    currency: str | None = None
    coupon: str | None = None
    products: tuple[Product, ...] | None = None
    status: str | None = None
    order_status: str | None = None
    financial_status: str | None = None
    payment_status: str | None = None
    test: Any = None
    #: They only say what a part of the order is worth, should it be given back.
    dispensable: ClassVar[frozenset[str]] = frozenset({"products"})
    aliases: ClassVar[Mapping[str, str]] = {
        **_named("order_id", *_IDS, "id"),
        **_named("subtotal", "subtotal_price"),
        **_named("total", *_TOTALS),
        **_named("currency", *_CURRENCIES),
        **_named("products", *_LISTS),
        **_named("coupon", "coupon_code", "discount_code", "promo_code"),
        **_named("test", "is_test", "test_order"),
    }
    holders: ClassVar[tuple[str, ...]] = _HOLDERS
    as_is: ClassVar[frozenset[str]] = frozenset(_STATUSES)

    def __post_init__(self) -> None:
        _limit(self)
        said = _statuses_of(self)
        if said != _NO_STATUSES:
            force_setattr(self, "status", _ended_by(said))
            for name in _STATUSES[1:]:
                force_setattr(self, name, None)
        if self.test is not None:
            force_setattr(self, "test", True if _is_said(self.test) else None)

    @property
    def amount(self) -> float | None:
        """The most net of the amounts that are there."""
        if self.revenue is not None:
            return self.revenue
        return self.subtotal if self.subtotal is not None else self.total


class OrderRefund(Struct, frozen=True, omit_defaults=True):
    """An order refunded: wholly unless an amount or products say in part.

    A refund counts once: by its ``refund_id``, else by its order, amount and time; told with an id
    and without it is one refund. Products without a price are worth what the order says of them.
    """

    order_id: Text
    refund_id: str | None = None
    revenue: Amount | None = None
    total: Amount | None = None
    refund_amount: Amount | None = None
    amount: Amount | None = None
    value: Amount | None = None
    currency: str | None = None
    products: tuple[Product, ...] | None = None
    #: A code such as ``damaged``; anything else may be personal.
    reason: str | None = None
    # What says that it is a part, though not how much.
    partial: Any = None
    part: Any = None
    dispensable: ClassVar[frozenset[str]] = frozenset({"reason"})
    in_any_case: ClassVar[bool] = True
    is_exact: ClassVar[bool] = True
    aliases: ClassVar[Mapping[str, str]] = {
        **_named("order_id", *_IDS),
        **_named("total", *_REFUND_TOTALS),
        **_named("currency", *_CURRENCIES),
        **_named("products", *_LISTS, "refund_line_items", "refunded_items", "refunded_products"),
        **_named("partial", *_PARTIAL),
        **_named("part", *_PARTS),
    }
    holders: ClassVar[tuple[str, ...]] = (*_HOLDERS, "refund")

    def __post_init__(self) -> None:
        _limit(self)
        is_part = not self.products and (self.part is not None or _is_partial(self.partial))
        force_setattr(self, "part", None)
        force_setattr(self, "reason", code(self.reason))
        # Under whichever name, for a part that is taken for the whole is a purchase lost.
        said = (self.total, self.refund_amount, self.amount, self.value)
        force_setattr(self, "total", next((one for one in said if one is not None), None))
        for name in ("refund_amount", "amount", "value"):
            force_setattr(self, name, None)
        force_setattr(self, "partial", True if is_part and self.stated is None else None)

    @property
    def stated(self) -> float | None:
        """What was given back in all, if it says so."""
        return self.revenue if self.revenue is not None else self.total

    @property
    def has_amount(self) -> bool:
        """Whether it says how much was given back."""
        if self.stated is not None:
            return True
        return any(product.unit is not None for product in self.products or ())


class OrderCancellation(Struct, frozen=True, omit_defaults=True):
    """An order cancelled, whatever was said of amounts."""

    order_id: Text
    #: As that of a refund.
    reason: str | None = None
    dispensable: ClassVar[frozenset[str]] = frozenset({"reason"})

    def __post_init__(self) -> None:
        force_setattr(self, "reason", code(self.reason))


_statuses_of: Final = attrgetter(*_STATUSES)
_NO_STATUSES: Final = (None,) * len(_STATUSES)


def _ended_by(said: Sequence[str | None]) -> str | None:
    """The first status by which an order has ended."""
    words = (folded(one or "") for one in said)
    return next((word for word in words if word in _ENDED), None)


def _is_said(said: Any) -> bool:
    """Whether it is a yes, as such or as a text."""
    return str(said).strip().lower() in ("true", "1", "yes")


def _is_partial(said: Any) -> bool:
    """Whether it says partial: by a yes, or by a word with that in it."""
    return _is_said(said) or (isinstance(said, str) and "partial" in folded(said))


def _limit(news: OrderNews | OrderRefund) -> None:
    products = news.products
    if products is not None and len(products) > PRODUCTS_MAX:
        force_setattr(news, "products", products[:PRODUCTS_MAX])


def _check_refund(news: OrderRefund) -> None:
    if news.partial:
        raise Rejected(
            Reason.REQUIRED_MISSING,
            "$.properties.total",
            "a part of an order is given back, and it is not said how much",
            "give the amount in total, or what was given back in products",
        )


def _check_amount(news: OrderNews) -> None:
    if news.test:
        raise Rejected(
            Reason.OUT_OF_RANGE, "$.properties.test", "a test is no purchase", "leave out tests"
        )
    if news.status is not None:
        if news.order_id is None:
            raise Rejected(
                Reason.REQUIRED_MISSING, "$.properties.order_id", "which order has ended"
            )
        return
    if news.amount is None:
        raise Rejected(Reason.REQUIRED_MISSING, "$.properties.revenue", "an order has an amount")


def _stated(name: str) -> dict[str, Any]:
    return {"required": [name], "properties": {name: {"type": ["number", "string"]}}}


def _ended(news: OrderNews) -> tuple[str, dict[str, Any]] | None:
    """The event that it is if the order has ended by it."""
    return None if news.status is None else (_ENDED[news.status], {"order_id": news.order_id})


#: Stricter than what is understood: any status is that of an order with a digit in its id.
_WHICH_HAS_ENDED: Final = {
    "if": {
        "anyOf": [
            {"required": [name], "properties": {name: {"type": "string"}}} for name in _STATUSES
        ]
    },
    "then": {
        "required": ["order_id"],
        "properties": {
            "order_id": {
                "anyOf": [
                    {"type": "integer", "minimum": 1},
                    {"type": "string", "pattern": "[1-9]"},
                ]
            }
        },
    },
}
_NEWS = EventType(
    shape=OrderNews,
    check=_check_amount,
    instead=_ended,
    rules={
        "anyOf": [_stated(name) for name in ("revenue", "subtotal", "total")],
        "allOf": [{"properties": {"test": {"enum": [False, None]}}}, _WHICH_HAS_ENDED],
    },
    value=lambda news: news.amount,
)
EVENTS = {
    COMPLETED: _NEWS,
    UPDATED: _NEWS,
    REFUNDED: EventType(
        shape=OrderRefund,
        check=_check_refund,
        rules={
            "allOf": [
                {"properties": {"partial": {"enum": [False, None]}, "part": {"type": "null"}}}
            ]
        },
        value=lambda refund: refund.stated,
        code=lambda refund: refund.reason,
    ),
    CANCELLED: EventType(shape=OrderCancellation, code=lambda cancelled: cancelled.reason),
}


class OrderItem(State):
    """A product of an order: ``unit`` is the price of one, in the order's currency. ``product``
    finds it by its product's id alone, 0 if that is the ``key`` itself.
    """

    key: int
    unit: float
    pieces: float
    product: int = 0


class End(State):
    """An order cancelled or given back. ``id``: the fingerprint of the refund's, 0 without.

    ``amount`` is as it was stated, in ``currency`` or, if that is empty, in the order's;
    ``unpriced``: (key, key by product, pieces) of products that were given back without a price.
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


_UNPAID = Paid(0.0, "", 0.0, 0)


class Detail(State):
    """What only some orders have.

    ``placements``: (time, whether it was paid) of all that was heard of it being placed, ascending;
    ``ends`` likewise. ``paid``: of an order in another currency than the shop's.
    ``items`` were told at ``items_at_ms``. ``cancelled_at_ms``: 0 unless it is cancelled by now;
    ``unpriced``: refunds of products whose price was never told. ``given_minor``: of refunds that
    are no longer told apart.
    """

    placements: list[tuple[int, bool]] = field(default_factory=list)
    ends: list[End] = field(default_factory=list)
    paid: Paid | None = None
    items: list[OrderItem] = field(default_factory=list)
    items_at_ms: int = 0
    cancelled_at_ms: int = 0
    unpriced: int = 0
    given_minor: int = 0


class Order(State):
    """One order by what was heard of it; ``placed_at_ms`` is 0 until it was heard of itself.

    ``gross_minor`` is by the latest price, in the shop's currency; ``detail`` is None for an order
    of which one thing was heard: that it was completed, without products, for such an amount.
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
        # A free order counts.
        return not gross_minor or self.refunded_minor < gross_minor

    @property
    def net_minor(self) -> int:
        """What it brought after refunds; never below zero."""
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


def order_id(event: Event) -> int:
    """The fingerprint of the order that the event is about."""
    return fingerprint(event.properties.order_id or event.message_id)


def take(order: Order, event: Event, money: Money) -> None:
    """Take in one piece of news about the order."""
    if isinstance(event.properties, OrderNews):
        _place(order, event.properties, event, money)
    else:
        _end(order, event, money)
    _conclude(order, money)


def _place(order: Order, news: OrderNews, event: Event, money: Money) -> None:
    at_ms, is_payment = event.occurred_at_ms, event.name == COMPLETED
    detail, amount = order.detail, news.amount
    assert amount is not None
    is_first = not order.placed_at_ms
    if detail is None and not (is_payment and (is_first or at_ms == order.placed_at_ms)):
        detail = order.detail = Detail()
        # Until now it was a payment that was heard of, if anything.
        detail.placements = [] if is_first else [(order.placed_at_ms, True)]
    if detail is not None and (at_ms, is_payment) not in detail.placements:
        detail.placements = sorted([*detail.placements, (at_ms, is_payment)])[-NEWS_MAX:]
    order.placed_at_ms = min(order.placed_at_ms or at_ms, at_ms)
    if at_ms >= order.priced_at_ms:
        _price(order, amount, foreign(news.currency, money), at_ms, money)
    _list_items(order, news, at_ms)


def _price(order: Order, amount: float, currency: str, at_ms: int, money: Money) -> None:
    """The order's price from ``at_ms`` on. Two prices of one moment: which came first is not known,
    so the higher one stands.
    """
    paid, day = None, at_ms // DAY_MS
    if currency:
        paid = Paid(amount, currency, rate_of(currency, at_ms, money), day)
    gross_minor = shop_minor(amount, currency, at_ms, money)
    detail = order.detail
    before = detail.paid if detail is not None else None
    if at_ms == order.priced_at_ms:
        before_minor = order.gross_minor
        if before is not None:
            before_minor = shop_minor(before.amount, before.currency, at_ms, money)
        if (before_minor, before or _UNPAID) >= (gross_minor, paid or _UNPAID):
            return
    order.gross_minor, order.priced_at_ms = gross_minor, at_ms
    if paid is not None and detail is None:
        detail = order.detail = _first_detail(order)
    if detail is not None:
        detail.paid = paid


def _first_detail(order: Order) -> Detail:
    detail = Detail()
    if order.placed_at_ms:
        detail.placements = [(order.placed_at_ms, True)]
    return detail


def _list_items(order: Order, news: OrderNews, at_ms: int) -> None:
    """Keep what a refund without prices needs to know of the order's products."""
    items: list[OrderItem] = []
    for product in news.products or ():
        unit, key, by_product = product.unit, product.key, product.product_key
        if unit is not None:
            items.append(
                OrderItem(key, unit, product.pieces, by_product if by_product != key else 0)
            )
    if not items:
        return
    detail = order.detail
    if detail is None:
        detail = order.detail = _first_detail(order)
    if at_ms == detail.items_at_ms:
        items = max(items, detail.items, key=_plain)
    if at_ms >= detail.items_at_ms:
        detail.items, detail.items_at_ms = items, at_ms


def _plain(items: Sequence[OrderItem]) -> list[tuple[float, ...]]:
    return [(item.key, item.unit, item.pieces) for item in items]


def _end(order: Order, event: Event, money: Money) -> None:
    new = _end_of(event)
    detail = order.detail
    if detail is None:
        detail = order.detail = _first_detail(order)
    order.ended_at_ms = min(order.ended_at_ms or new.at_ms, new.at_ms)
    _add_end(order, detail, new, money)


def _add_end(order: Order, detail: Detail, new: End, money: Money) -> None:
    for known in detail.ends:
        if new.id and known.id == new.id:
            # Told again, the earlier word counts.
            if known.key <= new.key:
                return
            detail.ends.remove(known)
            break
        if known.key == new.key:
            return
    detail.ends.append(new)
    detail.ends.sort(key=lambda end: end.key)
    while len(detail.ends) > NEWS_MAX:
        _forget_end(order, detail, money)


def _end_of(event: Event) -> End:
    news, at_ms = event.properties, event.occurred_at_ms
    if event.name == CANCELLED:
        return End(at_ms, CANCELLATION)
    refund = fingerprint(news.refund_id) if news.refund_id else 0
    currency = code_of(news.currency)
    stated = news.stated
    if stated is not None:
        return End(at_ms, PART, refund, stated, currency)
    if not news.products:
        return End(at_ms, WHOLE, refund)
    amount, unpriced = 0.0, []
    for product in news.products:
        unit, pieces = product.unit, product.pieces
        if unit is not None:
            amount += unit * pieces
        else:
            unpriced.append((product.key, product.product_key, pieces))
    return End(at_ms, PART, refund, amount, currency, sorted(unpriced))


def _forget_end(order: Order, detail: Detail, money: Money) -> None:
    """Make room: the oldest refund is a sum from now on, unless one is another told again."""
    again = _told_again(detail, money)
    if again:
        detail.ends.remove(again[0])
        return
    parts = [end for end in detail.ends if end.kind == PART]
    if not parts:
        del detail.ends[0]
        return
    detail.ends.remove(parts[0])
    given_minor = _given_minor(order, parts[0], {}, money)[0]
    detail.given_minor = min(detail.given_minor + given_minor, AMOUNT_MINOR_MAX)


def _told_again(detail: Detail, money: Money) -> list[End]:
    """The refunds that say what another says, and have no id of their own: one system gives a
    refund an id, and the next tells of it without, or without the currency.

    They stay among the order's news, so that it does not matter which is heard of first.
    """
    if len(detail.ends) < 2:
        return []
    seen = {_said(end, detail, money) for end in detail.ends if end.id}
    again = []
    for end in detail.ends:
        if not end.id:
            said = _said(end, detail, money)
            if said in seen:
                again.append(end)
            seen.add(said)
    return again


def _said(end: End, detail: Detail, money: Money) -> tuple[Any, ...]:
    currency = end.currency or (detail.paid.currency if detail.paid else money.currency)
    return end.at_ms, end.kind, end.amount, currency, tuple(end.unpriced)


def _price_rank(order: Order) -> tuple[int, int, Paid]:
    paid = order.detail.paid if order.detail is not None else None
    return order.priced_at_ms, order.gross_minor, paid or _UNPAID


def merged(one: Order, other: Order, money: Money) -> Order:
    """What two ids of one person know of the same order."""
    both = Order(
        one.id,
        placed_at_ms=min(
            one.placed_at_ms or other.placed_at_ms, other.placed_at_ms or one.placed_at_ms
        ),
    )
    both.ended_at_ms = min(
        one.ended_at_ms or other.ended_at_ms, other.ended_at_ms or one.ended_at_ms
    )
    first, last = sorted((one, other), key=_price_rank)
    both.gross_minor, both.priced_at_ms = last.gross_minor, last.priced_at_ms
    details = [order.detail or _first_detail(order) for order in (first, last)]
    both.detail = detail = Detail()
    placements = {*details[0].placements, *details[1].placements}
    detail.placements = sorted(placements)[-NEWS_MAX:]
    detail.paid = details[1].paid
    lists = sorted(details, key=lambda known: (known.items_at_ms, _plain(known.items)))
    detail.items, detail.items_at_ms = lists[1].items, lists[1].items_at_ms
    detail.given_minor = min(details[0].given_minor + details[1].given_minor, AMOUNT_MINOR_MAX)
    for end in (*details[0].ends, *details[1].ends):
        _add_end(both, detail, end, money)
    _conclude(both, money)
    return both


def _conclude(order: Order, money: Money) -> None:
    """What the order is by now: go through its news in the order of time."""
    detail = order.detail
    if detail is None:
        return
    _convert(order, detail, money)
    left = {item.key: item.pieces for item in detail.items}
    given_minor, unpriced = detail.given_minor, 0
    cancelled_at_ms, is_given_back = 0, False
    again = {id(end) for end in _told_again(detail, money)}
    for at_ms, end, is_payment in _news(detail):
        if id(end) in again:
            continue
        if end is None:
            if is_payment and (cancelled_at_ms or is_given_back):
                # Paid anew: what was given back belongs to what was paid before.
                given_minor, unpriced, is_given_back = 0, 0, False
                left = {item.key: item.pieces for item in detail.items}
            cancelled_at_ms = 0
        elif end.kind == CANCELLATION:
            cancelled_at_ms = cancelled_at_ms or at_ms
        elif end.kind == WHOLE:
            is_given_back = True
        else:
            amount_minor, is_priced = _given_minor(order, end, left, money)
            given_minor = min(given_minor + amount_minor, AMOUNT_MINOR_MAX)
            unpriced += not is_priced
    order.refunded_minor, order.void = given_minor, bool(cancelled_at_ms) or is_given_back
    detail.cancelled_at_ms, detail.unpriced = cancelled_at_ms, unpriced
    is_more = detail.ends or detail.items or detail.paid is not None or detail.given_minor
    if not is_more and detail.placements == [(order.placed_at_ms, True)]:
        order.detail = None


def _convert(order: Order, detail: Detail, money: Money) -> None:
    """What was paid in the shop's currency: at the rate that was known when it was paid, unless the
    order turns out to be of another day.
    """
    paid, day = detail.paid, order.placed_at_ms // DAY_MS
    if paid is None:
        return
    if day != paid.day:
        rate = rate_of(paid.currency, order.placed_at_ms, money)
        paid = detail.paid = paid._replace(rate=rate, day=day)
    order.gross_minor = minor_units(paid.amount * paid.rate, money.currency)


def _news(detail: Detail) -> Iterator[tuple[int, End | None, bool]]:
    """Placements and ends by time; of one moment an end is the later."""
    placements, place = detail.placements, 0
    for end in detail.ends:
        while place < len(placements) and placements[place][0] <= end.at_ms:
            yield placements[place][0], None, placements[place][1]
            place += 1
        yield end.at_ms, end, False
    for at_ms, is_payment in placements[place:]:
        yield at_ms, None, is_payment


def _given_minor(order: Order, end: End, left: dict[int, float], money: Money) -> tuple[int, bool]:
    """What was given back, in minor units, and whether all of it has a price. ``left``: pieces of
    the order's products that were not given back yet.
    """
    detail = order.detail
    assert detail is not None
    paid = detail.paid
    amount, is_priced = float(end.amount), True
    for key, by_product, pieces in end.unpriced:
        item = _item(detail.items, key, by_product)
        if item is None:
            is_priced = False
            continue
        some = min(pieces, left.get(item.key, item.pieces))
        left[item.key] = left.get(item.key, item.pieces) - some
        amount += some * item.unit
    currency = foreign(end.currency, money)
    if paid is not None and (currency == paid.currency or not end.currency):
        # So all that is given back is all that was paid.
        amount_minor = minor_units(amount * paid.rate, money.currency)
    else:
        amount_minor = shop_minor(amount, currency, order.placed_at_ms or end.at_ms, money)
    return amount_minor, is_priced


def _item(items: Sequence[OrderItem], key: int, by_product: int) -> OrderItem | None:
    """The item of this key, else the first that is the product."""
    if not key:
        return None
    for item in items:
        if item.key == key:
            return item
    for item in items:
        if by_product in (item.key, item.product) or key == item.product:
            return item
    return None

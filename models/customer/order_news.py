"""The events that shops send about orders, with the names of fields that shop systems use."""

import re
from collections.abc import Mapping, Sequence
from operator import attrgetter
from typing import Any, ClassVar, Final

from msgspec import Struct
from msgspec.structs import force_setattr

from config.names import folded
from models.customer.order_products import Product, take_coupon, take_discount, take_minus
from models.events.codes import code
from models.events.event import Amount, EventType, Text
from models.events.rejection import Reason, Rejected
from models.events.times import moment_of

COMPLETED, UPDATED = "Order Completed", "Order Updated"
REFUNDED, CANCELLED = "Order Refunded", "Order Cancelled"
#: How many products of an order are read.
PRODUCTS_MAX = 100


def _named(field: str, *aliases: str) -> dict[str, str]:
    return dict.fromkeys(aliases, field)


#: What pixels, tag managers and shop systems call the fields of orders, the likeliest first.
_IDS: Final = ("transaction_id", "order_number", "increment_id")
#: A shop system's own order has its lines, and then its ``id`` is the order's: ``transaction_id``
#: is that of a payment, which may come later, and refunds do not name the ``order_number``.
_ITSELF: Final = {"order_id": "line_items"}
_LISTS: Final = ("items", "line_items", "contents", "lines", "order_items", "order_lines")
_RETURNED: Final = (
    *("refund_line_items", "refunded_items", "refunded_products", "returned_items"),
    *("returned_products", "product"),
)
_CURRENCIES: Final = (
    *("currency_code", "order_currency", "order_currency_code", "transaction_currency"),
    "presentment_currency",
)
_TOTALS: Final = (
    *("total_price", "grand_total", "order_total", "total_amount", "order_value", "order_amount"),
    *("amount", "value", "$value"),
)
_REFUND_TOTALS: Final = ("refunded_amount", "refund_total", "refund_value", "subtotal", "$value")
_PARTIAL: Final = ("is_partial", "partial_refund", "refund_type", "type")
_CANCELLED_IN_PART: Final = (*_PARTIAL, "cancellation_type", "cancel_type", "status")
#: Unknown fields of a refund that may say how much of the order it covers.
_says_how_much: Final = re.compile(
    r"(?!order|original|tax|shipping|discount|fee|currency|customer).*"
    r"(amount|total|price|value|cents|percent|item|lines?$|lineid|product|sku|quantity|qty"
    r"|creditmemo|exchanged?$)|(refunds?|refunded|refundsum|transactions)$"
).match
_HOLDERS: Final = (
    "properties",
    "data",
    "ecommerce",
    "checkout",
    "purchase",
    "actionfield",
    "order",
)
#: The statuses of an order that never was one, or no longer is.
_ENDED: Final = {
    **dict.fromkeys(
        (
            *("cancelled", "canceled", "voided", "void", "failed", "declined", "rejected"),
            *("expired", "abandoned", "draft", "checkoutdraft", "trash", "deleted"),
            *("paymentfailed", "refused", "incomplete", "quote", "fraud", "fraudulent"),
            *("cancelledbycustomer", "cancelledbymerchant", "canceledbycustomer"),
        ),
        CANCELLED,
    ),
    **dict.fromkeys(
        ("refunded", "fullyrefunded", "chargeback", "chargedback", "returned"), REFUNDED
    ),
}
_STATUSES: Final = (
    *("status", "order_status", "financial_status", "payment_status"),
    *("state", "order_state", "payment_state"),
)
_ENDED_BY_FLAG: Final = (
    *("cancelled", "canceled", "is_cancelled", "is_canceled", "cancelled_at", "canceled_at"),
    *("voided", "is_voided", "voided_at", "draft", "is_draft"),
)
#: The fields that mark a test order, and the words for one.
_TRIALS: Final = ("is_test", "test_order", "sandbox", "is_sandbox", "environment")
_TRIED_OUT: Final = frozenset({"test", "testing", "sandbox"})
#: What Stripe calls its own objects, whose amounts are in smallest units.
_OF_STRIPE: Final = frozenset({"payment_intent", "charge", "invoice", "checkout.session", "refund"})


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
    state: str | None = None
    order_state: str | None = None
    payment_state: str | None = None
    #: Whether, or since when, the order has ended.
    ended: Any = None
    test: Any = None
    live: Any = None
    #: What Stripe calls what it sends.
    object: Any = None
    #: Products only tell what a part of the order is worth if that is refunded.
    dispensable: ClassVar[frozenset[str]] = frozenset({"products"})
    aliases: ClassVar[Mapping[str, str]] = {
        **_named("order_id", *_IDS, "id", "$event_id"),
        **_named("revenue", "net_revenue", "order_revenue", "purchase_revenue"),
        **_named("subtotal", "subtotal_price"),
        **_named("total", *_TOTALS),
        **_named("currency", *_CURRENCIES),
        **_named("products", *_LISTS),
        **_named("coupon", "coupon_code", "discount_code", "promo_code"),
        **_named("test", *_TRIALS),
        **_named("live", "livemode"),
        **_named("ended", *_ENDED_BY_FLAG),
    }
    itself: ClassVar[Mapping[str, str]] = _ITSELF
    holders: ClassVar[tuple[str, ...]] = _HOLDERS
    as_is: ClassVar[frozenset[str]] = frozenset({*_STATUSES, "ended", "live", "object"})

    def __post_init__(self) -> None:
        _limit(self)
        if self.products and (coupon := take_coupon(self.products)) and not self.coupon:
            force_setattr(self, "coupon", coupon)
        said = _statuses_of(self)
        if said != _NO_STATUSES:
            force_setattr(self, "status", _ended_by(said))
            for name in _STATUSES[1:]:
                force_setattr(self, name, None)
        if self.ended is not None:
            if self.status is None and _has_happened(self.ended):
                force_setattr(self, "status", "cancelled")
            force_setattr(self, "ended", None)
        if self.test is not None or self.live is not None:
            force_setattr(self, "test", True if _is_trial(self.test, self.live) else None)
            force_setattr(self, "live", None)
        if self.object is not None:
            force_setattr(self, "object", self.object if _is_of_stripe(self.object) else None)

    @property
    def amount(self) -> float | None:
        """The most net of the amounts that are there."""
        if self.revenue is not None:
            return self.revenue
        return self.subtotal if self.subtotal is not None else self.total


class OrderRefund(Struct, frozen=True, omit_defaults=True):
    """A refund: of the whole order, unless an amount or products say of a part.

    A refund counts once: by its ``refund_id``, else by its order, amount and time; with an id and
    without it, it is one refund. Products without a price are worth what the order says of them.
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
    # Says that it is a part, though not how much.
    partial: Any = None
    part: Any = None
    dispensable: ClassVar[frozenset[str]] = frozenset({"reason", "refund_id"})
    in_any_case: ClassVar[bool] = True
    is_exact: ClassVar[bool] = True
    aliases: ClassVar[Mapping[str, str]] = {
        **_named("order_id", *_IDS),
        **_named("total", *_REFUND_TOTALS),
        **_named("currency", *_CURRENCIES),
        **_named("products", *_LISTS, *_RETURNED),
        **_named("partial", *_PARTIAL),
    }
    holders: ClassVar[tuple[str, ...]] = (*_HOLDERS, "refund")
    #: Ledgers write refunds as amounts below 0.
    is_absolute: ClassVar[bool] = True

    @staticmethod
    def likely(key: str, value: Any) -> str | None:
        """``part`` if an unknown field may say that only a part of the order is refunded, else
        None.
        """
        if "full" in key:
            return "part" if _is_denied(value) else None
        return "part" if _says_how_much(key) is not None and value is not False else None

    def __post_init__(self) -> None:
        _limit(self)
        if self.products:
            # Of what is given back, only what it was worth matters.
            take_coupon(self.products)
            take_discount(self.products)
            take_minus(self.products)
        is_part = not self.products and (self.part is not None or _is_partial(self.partial))
        force_setattr(self, "part", None)
        force_setattr(self, "reason", code(self.reason))
        # Amounts under any of these names: a partial refund that is taken as a whole one loses a
        # purchase.
        said = (self.total, self.refund_amount, self.amount, self.value)
        force_setattr(self, "total", next((one for one in said if one is not None), None))
        for name in ("refund_amount", "amount", "value"):
            force_setattr(self, name, None)
        force_setattr(self, "partial", True if is_part and self.stated is None else None)

    @property
    def stated(self) -> float | None:
        """The total that was refunded, if it is given."""
        return self.revenue if self.revenue is not None else self.total

    @property
    def has_amount(self) -> bool:
        """Whether it says how much was refunded."""
        if self.stated is not None:
            return True
        return any(product.unit is not None for product in self.products or ())


class OrderCancellation(Struct, frozen=True, omit_defaults=True):
    """A cancelled order, whatever amounts it states."""

    order_id: Text
    #: As in a refund.
    reason: str | None = None
    # Says that it is a part.
    partial: Any = None
    dispensable: ClassVar[frozenset[str]] = frozenset({"reason"})
    in_any_case: ClassVar[bool] = True
    aliases: ClassVar[Mapping[str, str]] = {
        **_named("order_id", *_IDS, "id"),
        **_named("partial", *_CANCELLED_IN_PART),
    }
    itself: ClassVar[Mapping[str, str]] = _ITSELF
    holders: ClassVar[tuple[str, ...]] = _HOLDERS

    def __post_init__(self) -> None:
        force_setattr(self, "reason", code(self.reason))
        force_setattr(self, "partial", True if _is_partial(self.partial) else None)


_statuses_of: Final = attrgetter(*_STATUSES)
_NO_STATUSES: Final = (None,) * len(_STATUSES)


def _ended_by(said: Sequence[str | None]) -> str | None:
    """The first status that ends an order."""
    words = (folded(one or "") for one in said)
    return next((word for word in words if word in _ENDED), None)


def _is_said(said: Any) -> bool:
    """Whether it is a yes, as a boolean or as text."""
    return str(said).strip().lower() in ("true", "1", "yes")


def _is_denied(said: Any) -> bool:
    """Whether it is a no, as a boolean or as text."""
    return str(said).strip().lower() in ("false", "0", "no")


def _has_happened(said: Any) -> bool:
    """Whether it is a yes, or the time at which it happened."""
    return _is_said(said) or (isinstance(said, str) and moment_of(said) is not None)


def _is_trial(test: Any, live: Any) -> bool:
    """Whether it is a test order."""
    is_named = isinstance(test, str) and test.strip().lower() in _TRIED_OUT
    return _is_said(test) or is_named or (live is not None and _is_denied(live))


def _is_of_stripe(said: Any) -> bool:
    return isinstance(said, str) and said in _OF_STRIPE


def _is_partial(said: Any) -> bool:
    """Whether it says partial: by a yes, or by a word that contains it or means an exchange."""
    if not isinstance(said, str):
        return _is_said(said)
    word = folded(said)
    return _is_said(said) or "partial" in word or "exchange" in word


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


def _check_cancellation(news: OrderCancellation) -> None:
    if news.partial:
        raise Rejected(
            Reason.OUT_OF_RANGE,
            "$.properties.partial",
            "a part of an order is cancelled",
            "send Order Refunded with what the part is worth, or Order Updated with what is left",
        )


def _check_amount(news: OrderNews) -> None:
    if news.object is not None:
        raise Rejected(
            Reason.OUT_OF_RANGE,
            "$.properties.object",
            "an object of Stripe's own, whose amounts are in smallest units",
            "have Stripe post it to a webhook of the collector, or say revenue in whole units",
        )
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
    """The event, a refund or a cancellation, that is meant if the order has ended."""
    return None if news.status is None else (_ENDED[news.status], {"order_id": news.order_id})


#: Stricter than the code: with any status, the order's id needs a digit above 0.
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
    CANCELLED: EventType(
        shape=OrderCancellation,
        check=_check_cancellation,
        rules={"allOf": [{"properties": {"partial": {"enum": [False, None]}}}]},
        code=lambda cancelled: cancelled.reason,
    ),
}

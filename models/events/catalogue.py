"""Which events exist, on which topic they are published, and what of them state needs.

Only the fields named here travel on: no names, addresses or free text.
"""

from enum import StrEnum
from typing import Annotated

import msgspec
from msgspec import Meta, Struct
from msgspec.structs import force_setattr

from models.events.opinion import Cancellation, Review, code

Amount = Annotated[float, Meta(ge=0, le=1e12)]
Number = Annotated[float, Meta(ge=-1e12, le=1e12)]
Text = Annotated[str, Meta(min_length=1, max_length=256)]


class Name(StrEnum):
    """The event names that change more than engagement."""

    PRODUCT_VIEWED = "Product Viewed"
    PRODUCT_ADDED = "Product Added"
    PRODUCT_REMOVED = "Product Removed"
    CART_VIEWED = "Cart Viewed"
    CHECKOUT_STARTED = "Checkout Started"
    ORDER_COMPLETED = "Order Completed"
    ORDER_UPDATED = "Order Updated"
    ORDER_REFUNDED = "Order Refunded"
    ORDER_CANCELLED = "Order Cancelled"
    TICKET_OPENED = "Ticket Opened"
    TICKET_REPLIED = "Ticket Replied"
    TICKET_ESCALATED = "Ticket Escalated"
    TICKET_REOPENED = "Ticket Reopened"
    TICKET_SOLVED = "Ticket Solved"
    COMPLAINT_FILED = "Complaint Filed"
    SURVEY_RESPONDED = "Survey Responded"
    PRODUCT_REVIEWED = "Product Reviewed"
    SUBSCRIPTION_CANCELLED = "Subscription Cancelled"
    CAMPAIGN_COST = "Campaign Cost"


class Nothing(Struct, frozen=True, gc=False):
    """Of this event, its name and time are all that state needs."""


class Product(Struct, frozen=True, omit_defaults=True, gc=False):
    product_id: str | None = None
    sku: str | None = None
    price: Amount | None = None
    quantity: Amount | None = None


class CartProduct(Struct, frozen=True, omit_defaults=True, gc=False):
    """A product put into or taken out of the cart."""

    product_id: str | None = None
    sku: str | None = None
    name: str | None = None
    price: Amount | None = None
    quantity: Amount | None = None


class Order(Struct, frozen=True, omit_defaults=True):
    """An order placed or changed; at least one of the amounts must be there."""

    order_id: Text | None = None
    revenue: Amount | None = None
    subtotal: Amount | None = None
    total: Amount | None = None
    currency: str | None = None
    coupon: str | None = None


class OrderEnd(Struct, frozen=True, omit_defaults=True):
    """An order refunded or cancelled: wholly unless an amount or products say in part."""

    order_id: Text
    revenue: Amount | None = None
    total: Amount | None = None
    currency: str | None = None
    products: tuple[Product, ...] | None = None


class Priority(StrEnum):
    URGENT = "urgent"
    HIGH = "high"
    NORMAL = "normal"
    LOW = "low"


class Ticket(Struct, frozen=True, omit_defaults=True, gc=False):
    """A support ticket's life; ``author`` tells an agent's reply from the customer's own; a
    complaint may say what it is about in ``complaint``.
    """

    ticket_id: Text
    priority: Priority | None = None
    author: str | None = None
    category: str | None = None
    resolution: str | None = None
    complaint: str | None = msgspec.field(default=None, name="type")


class SurveyKind(StrEnum):
    NPS = "nps"
    CSAT = "csat"
    CES = "ces"


class Survey(Struct, frozen=True, omit_defaults=True, gc=False):
    """An answer to a survey; the scale of a CSAT is 1 to 5 unless it says otherwise. A reason
    travels if it is a code such as ``too_expensive``; anything else may be personal.
    """

    kind: SurveyKind
    score: Number
    survey_id: str | None = None
    scale_min: Number | None = None
    scale_max: Number | None = None
    higher_is_better: bool | None = None
    ticket_id: str | None = None
    order_id: str | None = None
    reason: str | None = None

    def __post_init__(self) -> None:
        force_setattr(self, "reason", code(self.reason))


class ActionOutcome(Struct, frozen=True, omit_defaults=True, gc=False):
    """What became of an action; ``decision_id`` is the id of the decision it was taken for."""

    decision_id: Text


class CampaignCost(Struct, frozen=True, omit_defaults=True, gc=False):
    """What was spent on winning customers through a channel; it belongs to nobody, so it needs no
    userId.
    """

    channel: Text
    amount: Amount
    currency: str | None = None


#: How far an action came, by the event that says so.
OUTCOMES: dict[str, str] = {
    "Action Delivered": "delivered",
    "Action Opened": "opened",
    "Action Clicked": "clicked",
    "Action Accepted": "accepted",
    "Action Rejected": "rejected",
    "Action Failed": "failed",
}

Properties = (
    Nothing
    | CartProduct
    | Order
    | OrderEnd
    | Ticket
    | Survey
    | Review
    | Cancellation
    | ActionOutcome
    | CampaignCost
)

#: What an event of each name carries, where that matters.
SHAPES: dict[str, type[Struct]] = {
    Name.PRODUCT_ADDED: CartProduct,
    Name.PRODUCT_REMOVED: CartProduct,
    Name.ORDER_COMPLETED: Order,
    Name.ORDER_UPDATED: Order,
    Name.ORDER_REFUNDED: OrderEnd,
    Name.ORDER_CANCELLED: OrderEnd,
    Name.TICKET_OPENED: Ticket,
    Name.TICKET_REPLIED: Ticket,
    Name.TICKET_ESCALATED: Ticket,
    Name.TICKET_REOPENED: Ticket,
    Name.TICKET_SOLVED: Ticket,
    Name.COMPLAINT_FILED: Ticket,
    Name.SURVEY_RESPONDED: Survey,
    Name.PRODUCT_REVIEWED: Review,
    Name.SUBSCRIPTION_CANCELLED: Cancellation,
    Name.CAMPAIGN_COST: CampaignCost,
    **dict.fromkeys(OUTCOMES, ActionOutcome),
}

#: Decoders of ``properties`` by event name; a name that is missing here needs none.
DECODERS: dict[str, msgspec.json.Decoder[Properties]] = {
    str(name): msgspec.json.Decoder(shape) for name, shape in SHAPES.items()
}

CLICKSTREAM, TRANSACTIONS, SUPPORT, FEEDBACK = RAW_TOPICS = (
    "clickstream",
    "transactions",
    "support",
    "feedback",
)

_NAMES_BY_TOPIC: dict[str, tuple[str, ...]] = {
    CLICKSTREAM: (
        "Products Searched",
        "Product List Viewed",
        "Product List Filtered",
        "Product Clicked",
        "Product Viewed",
        "Product Added",
        "Product Removed",
        "Cart Viewed",
        "Checkout Started",
        "Checkout Step Viewed",
        "Checkout Step Completed",
        "Payment Info Entered",
        "Promotion Viewed",
        "Promotion Clicked",
        "Product Added to Wishlist",
        "Product Removed from Wishlist",
        "Wishlist Product Added to Cart",
        "Product Shared",
        "Cart Shared",
        "Product Reviewed",
        "Signed Up",
        "Signed In",
        "Lead Captured",
        "Lead Qualified",
        "Lead Lost",
        "Asset Downloaded",
        "Event Attended",
        "Referral Sent",
        "Referral Converted",
    ),
    TRANSACTIONS: (
        "Order Completed",
        "Order Updated",
        "Order Refunded",
        "Order Cancelled",
        "Coupon Entered",
        "Coupon Applied",
        "Coupon Denied",
        "Coupon Removed",
        "Points Redeemed",
        "Subscription Started",
        "Subscription Renewed",
        "Subscription Cancelled",
        "Invoice Issued",
        "Invoice Paid",
        "Invoice Overdue",
        "Payment Failed",
    ),
    SUPPORT: (
        "Ticket Opened",
        "Ticket Replied",
        "Ticket Escalated",
        "Ticket Reopened",
        "Ticket Solved",
        "Complaint Filed",
        "Live Chat Conversation Started",
        "Live Chat Conversation Ended",
        "Survey Requested",
        "Survey Responded",
        "Survey Dismissed",
        "Brand Mentioned",
    ),
    FEEDBACK: (
        "Email Delivered",
        "Email Opened",
        "Email Link Clicked",
        "Email Bounced",
        "Email Marked as Spam",
        "Unsubscribed",
        "Action Delivered",
        "Action Opened",
        "Action Clicked",
        "Action Accepted",
        "Action Rejected",
        "Action Failed",
        "Campaign Cost",
        "Consent Granted",
        "Consent Revoked",
    ),
}

#: Where each known name is usually published; any raw topic takes any of them.
TOPIC_BY_NAME: dict[str, str] = {
    name: topic for topic, names in _NAMES_BY_TOPIC.items() for name in names
}

#: What the customer did not do: no interaction, and no sign of being there.
PASSIVE = frozenset(
    {
        "Email Delivered",
        "Email Bounced",
        "Action Delivered",
        "Action Failed",
        "Campaign Cost",
        "Survey Requested",
        "Invoice Issued",
        "Invoice Overdue",
        "Payment Failed",
        "Lead Lost",
        "Lead Qualified",
        "Coupon Denied",
        "Order Updated",
        "Order Refunded",
        "Order Cancelled",
        "Ticket Escalated",
        "Ticket Solved",
        "identify",
        "alias",
        "group",
    }
)


def topic_of(kind: str, event: str | None) -> str:
    """The topic to publish an event on; whatever is not known is clickstream."""
    return TOPIC_BY_NAME.get(event or "", CLICKSTREAM) if kind == "track" else CLICKSTREAM

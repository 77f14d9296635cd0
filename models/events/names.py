"""The conventional names of events, their topics, and which of them are passive, that is, not done
by the customer. Parts add names and shapes of their own.
"""

from collections.abc import Mapping

from config.topics import CLICKSTREAM, FEEDBACK, SUPPORT, TRANSACTIONS

#: The types of an event line; only ``track`` events have a name.
EVENT_TYPES = frozenset({"track", "identify", "page", "screen", "group", "alias"})

#: What customers do, by the usual topic.
_DONE_BY_CUSTOMERS: Mapping[str, tuple[str, ...]] = {
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
        "Asset Downloaded",
        "Event Attended",
        "Referral Sent",
        "Referral Converted",
    ),
    TRANSACTIONS: (
        "Order Completed",
        "Coupon Entered",
        "Coupon Applied",
        "Coupon Removed",
        "Points Redeemed",
        "Subscription Started",
        "Subscription Renewed",
        "Subscription Cancelled",
        "Invoice Paid",
    ),
    SUPPORT: (
        "Ticket Opened",
        "Ticket Replied",
        "Ticket Reopened",
        "Complaint Filed",
        "Live Chat Conversation Started",
        "Live Chat Conversation Ended",
        "Survey Responded",
        "Survey Dismissed",
        "Brand Mentioned",
    ),
    FEEDBACK: (
        "Email Opened",
        "Email Link Clicked",
        "Email Marked as Spam",
        "Unsubscribed",
        "Action Opened",
        "Action Clicked",
        "Action Accepted",
        "Action Rejected",
        "Consent Granted",
        "Consent Revoked",
    ),
}
#: What the shop, its systems and others do, and what merely happens.
_DONE_BY_OTHERS: Mapping[str, tuple[str, ...]] = {
    CLICKSTREAM: (
        "Cart Abandoned",
        "Lead Qualified",
        "Lead Lost",
    ),
    TRANSACTIONS: (
        "Order Updated",
        "Order Refunded",
        "Order Cancelled",
        "Order Fulfilled",
        "Order Shipped",
        "Order Delivered",
        "Coupon Denied",
        "Invoice Issued",
        "Invoice Overdue",
        "Payment Failed",
    ),
    SUPPORT: (
        "Ticket Escalated",
        "Ticket Solved",
        "Survey Requested",
    ),
    FEEDBACK: (
        "Email Sent",
        "SMS Sent",
        "SMS Delivered",
        "SMS Failed",
        "Push Sent",
        "Push Delivered",
        "Push Failed",
        "WhatsApp Sent",
        "WhatsApp Delivered",
        "Email Delivered",
        "Email Bounced",
        "Action Delivered",
        "Action Failed",
        "Campaign Cost",
    ),
}

#: The usual topic of each known name; any raw topic accepts any of them.
TOPIC_BY_NAME: Mapping[str, str] = {
    name: topic
    for table in (_DONE_BY_CUSTOMERS, _DONE_BY_OTHERS)
    for topic, names in table.items()
    for name in names
}

#: Events that the customer did not do: no interactions, and no sign of activity.
PASSIVE = frozenset(
    {"identify", "alias", "group", *(name for names in _DONE_BY_OTHERS.values() for name in names)}
)

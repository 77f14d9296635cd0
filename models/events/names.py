"""The names that events have by convention, the topics where they are published, and which of them
are passive: not done by the customer. Parts add names and shapes of their own.
"""

from collections.abc import Mapping

from config.topics import CLICKSTREAM, FEEDBACK, SUPPORT, TRANSACTIONS

#: The types of an event line; only ``track`` events have a name.
EVENT_TYPES = frozenset({"track", "identify", "page", "screen", "group", "alias"})

_NAMES_BY_TOPIC: Mapping[str, tuple[str, ...]] = {
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
TOPIC_BY_NAME: Mapping[str, str] = {
    name: topic for topic, names in _NAMES_BY_TOPIC.items() for name in names
}

#: Events that the customer did not do: no interactions, and no sign of activity.
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

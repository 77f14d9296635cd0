"""Validates JSON Schema as another program would, and has the properties that events need."""

from typing import Any

from jsonschema import Draft202012Validator

from models.catalogue import SHAPES

#: The required properties of the events of each name.
LEAST: dict[str, dict[str, Any]] = {
    "Credit Assessed": {"score": 50},
    "Improvement Released": {"topic": "service"},
    "Order Completed": {"revenue": 20},
    "Order Updated": {"total": 20},
    "Order Refunded": {"order_id": "o"},
    "Order Cancelled": {"order_id": "o"},
    "Survey Responded": {"kind": "nps", "score": 9},
    "Campaign Cost": {"channel": "search", "amount": 20},
    "Points Adjusted": {"points": -5},
    "Customer Merged": {"from_user_id": "u"},
    "Customer Split": {"id": "u"},
    **{
        f"{whose} Changed": {"granted": False}
        for whose in (
            "Consent",
            "Marketing Consent",
            "Email Subscription",
            "SMS Subscription",
            "Push Subscription",
        )
    },
    **{name: {"ticket_id": "t"} for name in SHAPES if name.startswith(("Ticket", "Complaint"))},
    **{name: {"decision_id": "d"} for name in SHAPES if name.startswith("Action")},
}


def faults(schema: dict[str, Any], value: Any) -> list[str]:
    """What is wrong with ``value``; empty if it is valid. ``schema`` must itself be a valid
    schema.
    """
    return [error.message for error in Draft202012Validator(schema).iter_errors(value)]

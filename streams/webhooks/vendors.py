"""The formats of marketing tools: each decision becomes a customer event of the tool.

Each follows the tool's documentation, which docs/webhooks.md links. The event's name is
``keepstream`` and the decision's kind, and its properties are flat. If the tool has ids for events,
the decision's id is used, so that the tool recognises a repeat.
"""

from base64 import b64encode
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Any, Final
from urllib.parse import quote
from uuid import UUID

from config.endpoints import Endpoint
from models.decisions.trigger import ActionWithdrawn, NextBestAction
from streams.webhooks.messages import Message

Headers = Mapping[str, str]

#: The fields of decisions that are sent, with their names in the tools.
_TOLD: Final = {
    "id": "decision_id",
    "kind": "kind",
    "group": "group",
    "action": "action",
    "channel": "channel",
    "owner": "owner",
    "dueAt": "due_at",
    "notBefore": "not_before",
    "valueAtStake": "value_at_stake",
    "decisionId": "withdrawn_decision_id",
    "because": "because",
}
#: The revision of Klaviyo's API that this follows.
KLAVIYO_REVISION: Final = "2026-07-15"
_ULID_DIGITS: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_ULID_LENGTH: Final = 26


def event_name(message: Message) -> str:
    """The event's name in the tools."""
    return f"keepstream {message.kind}"


def properties(message: Message, endpoint: Endpoint) -> dict[str, str | float]:
    """The decision as texts and numbers, without missing fields. A fact keeps its own name; if a
    property has the same name, the property wins.
    """
    data = message.fields(endpoint.rule.facts)["data"]
    facts = flat(data.get("facts", {}))
    told = {name: data[field] for field, name in _TOLD.items() if data.get(field) is not None}
    if churn := data.get("churn"):
        told["churn_probability"] = churn["probability"]
    if reasons := data.get("reasons"):
        told["reasons"] = "; ".join(reason["words"] for reason in reasons)
    return {**facts, **told}


def flat(facts: Mapping[str, Any]) -> dict[str, str | float]:
    """The known facts as texts and numbers."""
    return {
        name: ", ".join(value) if isinstance(value, list | tuple) else value
        for name, value in facts.items()
        if value is not None
    }


def _number_of(message: Message) -> int:
    """A decision's id as a number of 128 bits."""
    try:
        return UUID(hex=message.id).int
    except ValueError:
        return int.from_bytes(blake2b(message.id.encode(), digest_size=16).digest())


def _ulid(message: Message) -> str:
    number, digits = _number_of(message), []
    for _ in range(_ULID_LENGTH):
        number, digit = divmod(number, 32)
        digits.append(_ULID_DIGITS[digit])
    return "".join(reversed(digits))


def _seconds(message: Message) -> int:
    return message.decided_at_ms // 1_000


def basic(endpoint: Endpoint) -> Headers:
    """The headers to log in by user and key."""
    login = b64encode(f"{endpoint.rule.user}:{endpoint.secrets[0]}".encode()).decode()
    return {"Authorization": f"Basic {login}"}


def key_after(word: str, **more: str) -> Callable[[Endpoint], Headers]:
    """The headers to log in by a key after ``word``, and ``more`` headers."""
    return lambda endpoint: {"Authorization": f"{word} {endpoint.secrets[0]}", **more}


def customerio_path(message: Message) -> str:
    """The path of a person's events. Dots are escaped, too: ``..`` would be another path."""
    who = quote(message.user_id, safe="").replace(".", "%2E")
    return f"/api/v1/customers/{who}/events"


def customerio(message: Message, endpoint: Endpoint) -> Any:
    return {
        "name": event_name(message),
        # For recognising repeats; it must look like a ULID.
        "id": _ulid(message),
        "timestamp": _seconds(message),
        "data": properties(message, endpoint),
    }


def braze(message: Message, endpoint: Endpoint) -> Any:
    event = {
        "external_id": message.user_id,
        "name": event_name(message),
        "time": message.timestamp,
        "properties": properties(message, endpoint),
    }
    return {"events": [event]}


def klaviyo(message: Message, endpoint: Endpoint) -> Any:
    metric = {"type": "metric", "attributes": {"name": event_name(message)}}
    profile = {"type": "profile", "attributes": {"external_id": message.user_id}}
    attributes = {
        "properties": properties(message, endpoint),
        "time": message.timestamp,
        "unique_id": message.id,
        "metric": {"data": metric},
        "profile": {"data": profile},
    }
    return {"data": {"type": "event", "attributes": attributes}}


def hubspot(message: Message, endpoint: Endpoint) -> Any:
    who = "email" if "@" in message.user_id else "objectId"
    return {
        "eventName": endpoint.rule.event,
        who: message.user_id,
        "occurredAt": message.timestamp,
        "uuid": str(UUID(int=_number_of(message))),
        "properties": {name: str(value) for name, value in properties(message, endpoint).items()},
    }


def dittofeed(message: Message, endpoint: Endpoint) -> Any:
    return {
        "messageId": message.id,
        "event": event_name(message),
        "userId": message.user_id,
        "timestamp": message.timestamp,
        "properties": properties(message, endpoint),
    }


def mautic(message: Message, endpoint: Endpoint) -> Any:
    """The contact whose field, which the endpoint names, has the customer's id. It gets a tag for
    the decision, which a withdrawal removes, and fields with the decision, its id and its time.
    """
    content = message.content
    what, sign = message.kind, ""
    if isinstance(content, NextBestAction):
        what = content.action or what
    elif isinstance(content, ActionWithdrawn):
        # Mautic removes a tag that has a minus in front.
        what, sign = content.action, "-"
    decided_at = datetime.fromtimestamp(_seconds(message), UTC)
    facts = flat(message.facts(endpoint.rule.facts))
    return {
        endpoint.rule.field: message.user_id,
        "tags": [f"{sign}keepstream {what}"],
        "keepstream_decision": message.kind if sign else what,
        "keepstream_decision_id": message.id,
        "keepstream_decided_at": f"{decided_at:%Y-%m-%d %H:%M:%S}",
        **{f"keepstream_{name}": value for name, value in facts.items()},
    }

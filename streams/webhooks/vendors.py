"""The formats of marketing tools: a decision as an event of the customer, of the tool's own kind.

Each is what the tool's documentation says, which docs/webhooks.md names. The event's name is
``keepstream`` and the decision's kind, its properties are flat, and the tool's own id of an event,
where it has one, is the decision's, so that a repeat is recognised there.
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

#: Fields of decisions that are told, by the name they have there.
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
#: The revision of Klaviyo's API that this was written for.
KLAVIYO_REVISION: Final = "2026-07-15"
_ULID_DIGITS: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_ULID_LENGTH: Final = 26


def event_name(message: Message) -> str:
    """What tools know the event by."""
    return f"keepstream {message.kind}"


def properties(message: Message, endpoint: Endpoint) -> dict[str, str | float]:
    """What a tool can use of a decision: texts and numbers, without what it has not. A fact has its
    own name, and stands back where a property has it.
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
    """What is known of facts, as texts and numbers."""
    return {
        name: ", ".join(value) if isinstance(value, list | tuple) else value
        for name, value in facts.items()
        if value is not None
    }


def _number_of(message: Message) -> int:
    """The id as a number of 128 bits, which a decision's is."""
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
    """Logs in by user and key."""
    login = b64encode(f"{endpoint.rule.user}:{endpoint.secrets[0]}".encode()).decode()
    return {"Authorization": f"Basic {login}"}


def key_after(word: str, **more: str) -> Callable[[Endpoint], Headers]:
    """Logs in by a key after this word, with further headers."""
    return lambda endpoint: {"Authorization": f"{word} {endpoint.secrets[0]}", **more}


def customerio_path(message: Message) -> str:
    """The path of a person's events. A dot is written out, too: ``..`` would be another path."""
    who = quote(message.user_id, safe="").replace(".", "%2E")
    return f"/api/v1/customers/{who}/events"


def customerio(message: Message, endpoint: Endpoint) -> Any:
    return {
        "name": event_name(message),
        # Recognises a repeat, and must look like a ULID.
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
    """The contact that is known by the customer's id in a field of the endpoint's choice, with a
    tag for what was decided, which a withdrawal takes away, and fields that say when, and its id.
    """
    content = message.content
    what, sign = message.kind, ""
    if isinstance(content, NextBestAction):
        what = content.action or what
    elif isinstance(content, ActionWithdrawn):
        # Mautic takes a tag with a minus before it away.
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

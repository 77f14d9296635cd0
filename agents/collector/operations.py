"""The collector's HTTP interface for senders, as a table: one operation for each address."""

from collections.abc import Sequence
from typing import Any, Final

from msgspec import Struct

from agents.web.operation import TEXT, Operation, Parameter, Reply, Schema
from agents.web.operations import LIVE, READY
from models.collecting.requests import BODY_BYTES_MAX, EVENTS_MAX, ROUTES, Form, Route
from models.events.rejection import Reason


class RefusedEvent(Struct, frozen=True):
    """An event that became a dead letter: its place in the request, the reason, the path of the bad
    field, and the fix.
    """

    index: int
    reason: Reason
    path: str
    detail: str
    fix: str


class Taken(Struct, frozen=True, omit_defaults=True, kw_only=True):
    """The result of a request: how many events were published, and how many became dead letters;
    ``errors`` explains the first of these. ``ignored``: the vendor's name of a webhook that becomes
    no event.
    """

    # Written even when it has its default value: clients read it.
    success: bool
    accepted: int
    refused: int = 0
    errors: Sequence[RefusedEvent] = ()
    ignored: str = ""


class Exists(Struct, frozen=True):
    """Says that the address exists, for clients that check before they send."""

    success: bool
    message: str


class NotTaken(Struct, frozen=True):
    """The reason why a request failed. None of its events is known to be published."""

    success: bool
    code: str
    message: str


_ID: Final[Schema] = {"type": ["string", "integer", "null"]}
_TIME: Final[Schema] = {"type": "string", "format": "date-time"}
_FIELDS: Final[dict[str, Schema]] = {
    "messageId": {"type": "string", "description": "Events with the same id count once."},
    "userId": {**_ID, "description": "The customer's id."},
    "anonymousId": {**_ID, "description": "The visitor's id, while there is no userId."},
    "timestamp": {**_TIME, "description": "When it happened, by the sender's clock."},
    "sentAt": {**_TIME, "description": "When it was sent, by the sender's clock."},
    "context": {"type": "object", "description": "`channel`, `timezone`, `consent` and others."},
}
#: Further fields of each type, after Segment's specification.
_OF_TYPES: Final[dict[str, dict[str, Schema]]] = {
    "track": {"event": TEXT, "properties": {"type": "object"}},
    "identify": {"traits": {"type": "object"}},
    "page": {"name": TEXT, "properties": {"type": "object"}},
    "screen": {"name": TEXT, "properties": {"type": "object"}},
    "group": {"groupId": _ID, "traits": {"type": "object"}},
    "alias": {"previousId": _ID},
}
_WRITE_KEY: Final[Schema] = {"type": "string", "description": "If it is not in the headers."}


def _event(types: Sequence[str]) -> dict[str, Any]:
    own = {name: field for one in types for name, field in _OF_TYPES[one].items()}
    return {"type": "object", "properties": {**own, **_FIELDS}}


def _body(route: Route) -> Schema:
    """The body that an address accepts. Other fields are passed on or dropped."""
    if not route.is_batch:
        assert route.type is not None
        event = _event([route.type])
        return {**event, "properties": {**event["properties"], "writeKey": _WRITE_KEY}}
    if route.form is Form.POSTHOG:
        properties: dict[str, Schema] = {
            "event": TEXT,
            "distinct_id": TEXT,
            "uuid": TEXT,
            "timestamp": _TIME,
            "properties": {"type": "object"},
        }
        event = {"type": "object", "properties": properties}
    else:
        event = _event(list(_OF_TYPES))
        event["properties"]["type"] = {"type": "string", "enum": list(_OF_TYPES)}
    return {
        "type": "object",
        "required": ["batch"],
        "properties": {
            "batch": {"type": "array", "items": event, "maxItems": EVENTS_MAX},
            "writeKey": _WRITE_KEY,
            "api_key": _WRITE_KEY,
            "sentAt": _FIELDS["sentAt"],
            "context": _FIELDS["context"],
        },
    }


_AGAIN: Final = {"Retry-After": "In whole seconds."}
_UNAUTHORIZED: Final = Reply("There is no such write key.", NotTaken)
_ANSWERS: Final = {
    200: Reply("Every event is published or became a dead letter.", Taken),
    400: Reply("The body is invalid.", NotTaken),
    401: _UNAUTHORIZED,
    408: Reply("The body did not arrive in time: try again.", NotTaken),
    413: Reply(
        f"More than {BODY_BYTES_MAX:,} bytes, inflated, or {EVENTS_MAX:,} events.", NotTaken
    ),
    429: Reply("The source is over its limit: try again later.", NotTaken, headers=_AGAIN),
    503: Reply(
        "Kafka is unreachable, or the collector is stopping: try again.", NotTaken, headers=_AGAIN
    ),
}


def _taking(path: str, route: Route) -> Operation:
    what = "events, in a batch" if route.is_batch else f"one event of type {route.type}"
    form = " in PostHog's format" if route.form is Form.POSTHOG else ""
    name = path.strip("/").replace("/", "-")
    return Operation(name, "POST", path, f"Takes {what}{form}.", _ANSWERS, body=_body(route))


#: The addresses that accept events, each with its route.
TAKING: Final = tuple((_taking(path, route), route) for path, route in ROUTES.items())
SEGMENT_SETTINGS: Final = Operation(
    "segment-settings",
    "GET",
    "/v1/projects/{key}/settings",
    "The settings that Segment's browser library requests first.",
    {200: Reply("Send here.", {"type": "object"}), 401: _UNAUTHORIZED},
    parameters=(
        Parameter(
            "key", "path", "The write key.", {"type": "string", "minLength": 1}, is_required=True
        ),
    ),
    is_open=True,
)
RUDDERSTACK_SETTINGS: Final = Operation(
    "rudderstack-settings",
    "GET",
    "/sourceConfig",
    "The settings that RudderStack's browser library requests first.",
    {200: Reply("Send here.", {"type": "object"}), 401: _UNAUTHORIZED},
)

_SOURCE: Final = (
    Parameter(
        "source",
        "path",
        "The webhook's name in the sources file.",
        {"type": "string", "minLength": 1},
        is_required=True,
    ),
)
WEBHOOK: Final = Operation(
    "webhook",
    "POST",
    "/webhooks/{source}",
    "Takes a vendor's webhook, in the vendor's format and with its signature.",
    {
        **_ANSWERS,
        401: Reply("The signature is missing, too old, or made with another secret.", NotTaken),
        404: Reply("No webhooks are accepted under this name.", NotTaken),
    },
    parameters=_SOURCE,
    body={"description": "As the vendor documents it."},
    is_open=True,
)
WEBHOOK_EXISTS: Final = Operation(
    "webhook-exists",
    "GET",
    "/webhooks/{source}",
    "For vendors that check the address before they send.",
    {200: Reply("Post webhooks here.", Exists)},
    parameters=_SOURCE,
    is_open=True,
)

#: All operations. Each address may end with a slash.
OF_THE_COLLECTOR: Final = (
    *(operation for operation, _ in TAKING),
    SEGMENT_SETTINGS,
    RUDDERSTACK_SETTINGS,
    WEBHOOK,
    WEBHOOK_EXISTS,
    LIVE,
    READY,
)

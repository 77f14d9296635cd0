"""What the collector answers to those who send, as a table: one operation for each address."""

from collections.abc import Sequence
from typing import Any, Final

from msgspec import Struct

from agents.web.operation import TEXT, Operation, Parameter, Reply, Schema
from agents.web.operations import LIVE, READY
from models.collecting.requests import BODY_BYTES_MAX, EVENTS_MAX, ROUTES, Form, Route
from models.events.rejection import Reason


class RefusedEvent(Struct, frozen=True):
    """An event that is a dead letter: its place in the request, why, where, and what mends it."""

    index: int
    reason: Reason
    path: str
    detail: str
    fix: str


class Taken(Struct, frozen=True, omit_defaults=True, kw_only=True):
    """What became of a request's events: so many are published, and so many are dead letters, of
    which ``errors`` explains the first. ``ignored``: the vendor's name of what a webhook
    tells and nothing is made of.
    """

    # Also where it is the default: clients look at it.
    success: bool
    accepted: int
    refused: int = 0
    errors: Sequence[RefusedEvent] = ()
    ignored: str = ""


class Exists(Struct, frozen=True):
    """That there is something, for whom looks before they send."""

    success: bool
    message: str


class NotTaken(Struct, frozen=True):
    """Nothing of a request is known to be published, and why."""

    success: bool
    code: str
    message: str


_ID: Final[Schema] = {"type": ["string", "integer", "null"]}
_TIME: Final[Schema] = {"type": "string", "format": "date-time"}
_FIELDS: Final[dict[str, Schema]] = {
    "messageId": {"type": "string", "description": "Sent again with it, an event counts once."},
    "userId": {**_ID, "description": "Whose event it is."},
    "anonymousId": {**_ID, "description": "Whose it is while there is no userId."},
    "timestamp": {**_TIME, "description": "When it happened, by the sender's clock."},
    "sentAt": {**_TIME, "description": "When it was sent, by the sender's clock."},
    "context": {"type": "object", "description": "`channel`, `timezone`, `consent` and others."},
}
#: What each type has besides, as Segment's spec says it.
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
    """What an address takes. Whatever else is in it is passed on or left out."""
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
    200: Reply("Every event is published, or a dead letter.", Taken),
    400: Reply("The body is no request.", NotTaken),
    401: _UNAUTHORIZED,
    408: Reply("The body did not come in time: try again.", NotTaken),
    413: Reply(
        f"More than {BODY_BYTES_MAX:,} bytes, inflated, or {EVENTS_MAX:,} events.", NotTaken
    ),
    429: Reply("The source is over its limit: try again then.", NotTaken, headers=_AGAIN),
    503: Reply("Kafka is away, or the collector stops: try again.", NotTaken, headers=_AGAIN),
}


def _taking(path: str, route: Route) -> Operation:
    what = "events, in a batch" if route.is_batch else f"one event of type {route.type}"
    form = " in PostHog's format" if route.form is Form.POSTHOG else ""
    name = path.strip("/").replace("/", "-")
    return Operation(name, "POST", path, f"Takes {what}{form}.", _ANSWERS, body=_body(route))


#: Where events are taken, each with what is sent there.
TAKING: Final = tuple((_taking(path, route), route) for path, route in ROUTES.items())
SEGMENT_SETTINGS: Final = Operation(
    "segment-settings",
    "GET",
    "/v1/projects/{key}/settings",
    "What Segment's library in a browser asks for first.",
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
    "What RudderStack's library in a browser asks for first.",
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
        401: Reply("The signature is missing, too old, or of another secret.", NotTaken),
        404: Reply("No webhooks are taken under this name.", NotTaken),
    },
    parameters=_SOURCE,
    body={"description": "As the vendor documents it."},
    is_open=True,
)
WEBHOOK_EXISTS: Final = Operation(
    "webhook-exists",
    "GET",
    "/webhooks/{source}",
    "For vendors that look whether there is anything before they send.",
    {200: Reply("Post webhooks here.", Exists)},
    parameters=_SOURCE,
    is_open=True,
)

#: All of them. Each address may have a slash at its end.
OF_THE_COLLECTOR: Final = (
    *(operation for operation, _ in TAKING),
    SEGMENT_SETTINGS,
    RUDDERSTACK_SETTINGS,
    WEBHOOK,
    WEBHOOK_EXISTS,
    LIVE,
    READY,
)

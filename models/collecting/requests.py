"""The addresses to which client libraries send, and the bodies of their requests."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Final, NamedTuple

import msgspec
from msgspec import Raw, Struct

from models.collecting.json_fields import NULL
from models.events.foreign import UNREADABLE
from models.events.leniency import read_json, to_json
from models.events.rejection import Reason, Rejected, rejected_by

#: Segment's limits for one request; bytes are those of the inflated body.
BODY_BYTES_MAX: Final = 500 * 1024
EVENTS_MAX: Final = 2_500


class Form(StrEnum):
    """The format of the events: whose specification they follow."""

    SEGMENT = "segment"
    POSTHOG = "posthog"


class Route(NamedTuple):
    """What an address accepts: a batch of events, or one event, which may omit its ``type``."""

    is_batch: bool
    type: str | None = None
    form: Form = Form.SEGMENT


_SHORT: Final = {
    "track": "t",
    "identify": "i",
    "page": "p",
    "screen": "s",
    "group": "g",
    "alias": "a",
}


def _routes() -> dict[str, Route]:
    batch = Route(is_batch=True)
    routes = dict.fromkeys(("/v1/batch", "/v1/b", "/v1/import", "/beacon/v1/batch"), batch)
    for kind, short in _SHORT.items():
        for path in (f"/v1/{kind}", f"/v1/{short}", f"/api/s/{kind}", f"/api/s/s2s/{kind}"):
            routes[path] = Route(is_batch=False, type=kind)
    routes["/batch"] = Route(is_batch=True, form=Form.POSTHOG)
    return routes


#: By path; a path may also end with a slash.
ROUTES: Mapping[str, Route] = _routes()


class Body(Struct, frozen=True):
    """The events of a request, each as the exact bytes that were sent, and what it says about
    all.
    """

    events: list[Raw]
    write_key: str | None = None
    sent_at: Raw = NULL
    context: Raw = NULL


class _Batch(Struct, rename="camel"):
    batch: list[Raw]
    # A sender may put any value here.
    write_key: Any = None
    api_key: Any = msgspec.field(default=None, name="api_key")
    sent_at: Raw = NULL
    context: Raw = NULL


class _One(Struct, rename="camel"):
    write_key: Any = None


_BATCH = msgspec.json.Decoder(_Batch)
_ONE = msgspec.json.Decoder(_One)


def opened(content: bytes, route: Route) -> Body:
    """The events in a request's inflated body. Raises ``Rejected`` for an invalid body; an invalid
    event in it does not raise.
    """
    if not route.is_batch:
        return _one(content)
    try:
        batch = _BATCH.decode(content)
    except UNREADABLE as error:
        batch = _lenient_batch(content, error)
    if len(batch.batch) > EVENTS_MAX:
        raise Rejected(
            Reason.TOO_LARGE,
            "$.batch",
            f"more than {EVENTS_MAX} events",
            "send them in several requests",
        )
    key = batch.write_key if isinstance(batch.write_key, str) else batch.api_key
    return Body(batch.batch, key if isinstance(key, str) else None, batch.sent_at, batch.context)


def _one(content: bytes) -> Body:
    try:
        key = _ONE.decode(content).write_key
    except UNREADABLE:
        tree = read_json(content)
        if not isinstance(tree, dict):
            raise Rejected(Reason.WRONG_TYPE, "$", "an event is a JSON object") from None
        key = tree.get("writeKey")
        content = to_json(tree)
    return Body([Raw(content)], key if isinstance(key, str) else None)


def _lenient_batch(content: bytes, error: Exception) -> _Batch:
    """Read leniently a batch that the strict decoder refused: an event with NaN must not cost the
    others.
    """
    tree = read_json(content)
    if isinstance(tree, dict) and isinstance(tree.get("batch"), list):
        events = [Raw(to_json(event)) for event in tree["batch"]]
        more = {name: Raw(to_json(tree.get(name))) for name in ("sentAt", "context")}
        return _Batch(
            events, tree.get("writeKey"), tree.get("api_key"), more["sentAt"], more["context"]
        )
    if isinstance(error, msgspec.DecodeError):
        raise rejected_by(error) from None
    raise Rejected(Reason.WRONG_TYPE, "$.batch", "a list of events")

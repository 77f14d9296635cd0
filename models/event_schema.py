"""JSON Schema of the input: each event by its name, and the lines that only a log has.

Ingest accepts what a schema accepts, except for limits of the deployment: the shop's currency, how
late is too late, how large an event may be.
"""

from typing import Any, Final

import msgspec

from config.topics import CLICKSTREAM
from models.catalogue import TOPICS, kind_of
from models.events.event import EventType, Nothing
from models.events.names import EVENT_TYPES, NOT_SUPPORTED
from models.events.wire import Line

Schema = dict[str, Any]

#: The schema of an event whose name is not known, which clickstream takes.
ANY_EVENT: Final = "event"

#: The fields that every event may have, in the usual order.
_ENVELOPE = ("message_id", "user_id", "anonymous_id", "timestamp", "context")
_ABOUT = {
    "message_id": "Tells a repeat from a second event; without one, each delivery counts.",
    "user_id": "Whose event it is.",
    "anonymous_id": "Whose event it is while there is no userId yet.",
    "timestamp": "When it happened, ISO 8601 with an offset, after 1970 and before 3000.",
    "context": "How it came about.",
}
_ID: Schema = {
    "pattern": "^[A-Za-z0-9_.:@-]{1,128}$",
    # Values that client libraries send instead of an id.
    "not": {
        "pattern": "^([0-]*|-1|[nN][uU][lL][lL]|[nN][oO][nN][eE]|[nN][iI][lL]|[nN][aA][nN]"
        "|[uU][nN][dD][eE][fF][iI][nN][eE][dD]|[aA][nN][oO][nN][yY][mM][oO][uU][sS]"
        "|[gG][uU][eE][sS][tT]|[uU][nN][kK][nN][oO][wW][nN])$"
    },
}
_LIMITS: dict[str, Schema] = {
    "message_id": {"maxLength": 256},
    "user_id": _ID,
    "anonymous_id": _ID,
}


def event_names() -> list[str]:
    """The names of events with a schema, by topic; then the types, then any other event."""
    return [*TOPICS, *sorted(EVENT_TYPES - {"track"}), ANY_EVENT]


def about_event(name: str) -> str:
    """One line about an event of this name."""
    if name == ANY_EVENT:
        return f"any other event, on {CLICKSTREAM}: it counts as an interaction"
    return f"an event of {TOPICS.get(name, CLICKSTREAM)}"


def event_schema(name: str) -> Schema:
    """The JSON Schema of an event as it is published; ``name`` is one of `event_names`."""
    fields: Schema = {"type": {"const": name if name in EVENT_TYPES else "track"}}
    required = ["type", "timestamp"]
    if name == ANY_EVENT:
        # Those have schemas of their own, or are refused.
        others = sorted({*TOPICS, *NOT_SUPPORTED})
        name_of_their_own = {"type": "string", "minLength": 1, "maxLength": 256}
        fields["event"] = {**name_of_their_own, "not": {"enum": others}}
    elif name not in EVENT_TYPES:
        fields["event"] = {"const": name}
    if "event" in fields:
        required.append("event")
    declared = kind_of(name).declared
    shape = declared.shape
    properties, parts = _properties(declared)
    if shape is not Nothing and "null" not in str(properties.get("anyOf", "")):
        required.append("properties")
    lines, line_parts = _envelope()
    about = about_event(name)
    text = shape.__doc__ if shape is not Nothing and shape.__doc__ else ""
    anybody = {} if declared.nobody is not None else {"anyOf": _whose()}
    return {
        "title": name,
        "description": f"{about[0].upper()}{about[1:]}. {text}".strip(),
        "type": "object",
        "properties": {**fields, **lines, "properties": properties},
        "required": required,
        **anybody,
        "$defs": {**parts, **line_parts},
    }


def score_line_schema() -> Schema:
    """The JSON Schema of a line that asks a replay for a score, and changes no state."""
    fields, parts = _envelope()
    del fields["context"]
    horizon = _field("horizon_days", "The first of `churn.horizon_days` unless given.")[0]
    return {
        "description": "Asks a replay for a customer's score as of a moment.",
        "type": "object",
        "properties": {"type": {"const": "score"}, **fields, "horizonDays": horizon},
        "required": ["type", "timestamp"],
        "anyOf": _whose(),
        "$defs": {name: part for name, part in parts.items() if name != "Context"},
    }


def _envelope() -> tuple[Schema, Schema]:
    fields: Schema = {}
    parts: Schema = {}
    encoded = {field.name: field.encode_name for field in msgspec.structs.fields(Line)}
    for name in _ENVELOPE:
        fields[encoded[name]], more = _field(name, _ABOUT[name])
        parts |= more
    return fields, parts


def _field(name: str, about: str) -> tuple[Schema, Schema]:
    """One field of the wire format, and the parts it refers to."""
    [kind] = [field.type for field in msgspec.structs.fields(Line) if field.name == name]
    [found], parts = msgspec.json.schema_components([kind])
    # Some client libraries write null for a missing value; the time is required.
    kinds = [dict(one) for one in found["anyOf"]]
    if name == "timestamp":
        kinds = [one for one in kinds if one.get("type") != "null"]
    for one in kinds:
        if one.get("type") == "string":
            one.update(_LIMITS.get(name, {}))
    return {"description": about, **(kinds[0] if len(kinds) == 1 else {"anyOf": kinds})}, parts


def _properties(declared: EventType) -> tuple[Schema, Schema]:
    shape = declared.shape
    if shape is Nothing:
        return {"type": ["object", "null"], "description": "Not looked at."}, {}
    [found], parts = msgspec.json.schema_components([shape])
    own = parts[shape.__name__]
    own.update(declared.rules)
    is_optional = not own.get("required") and "anyOf" not in declared.rules
    return {"anyOf": [found, {"type": "null"}]} if is_optional else found, parts


def _stated(name: str, kind: str) -> Schema:
    """``name`` is there, and not null."""
    return {"required": [name], "properties": {name: {"type": kind}}}


def _whose() -> list[Schema]:
    return [_stated("userId", "string"), _stated("anonymousId", "string")]

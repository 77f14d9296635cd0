"""JSON Schema of the input: each event by its name, and the lines that only a log has.

Ingest accepts what a schema accepts, except for limits of the deployment: the shop's currency, how
late is too late, which ids are blocked; and for limits in bytes: of an event, of an id in other
letters than English ones. It understands more: other
spellings of names and fields, and other ways to write a time.
"""

from collections.abc import Iterable
from typing import Any, Final

import msgspec
from msgspec.inspect import StructType, Type, type_info

from config.names import ALIASES
from config.topics import CLICKSTREAM
from models.catalogue import TOPICS, kind_of
from models.customer.trait_classes import NAMES_READ
from models.events.event import EventType, Nothing
from models.events.ids import (
    EXACT_MAX,
    ID_BYTES_MAX,
    IN_BRACKETS,
    NEVER_IN_ID,
    NOTHINGS,
    PLACEHOLDERS,
    QUOTES,
    ZEROS,
)
from models.events.line import Line
from models.events.line_ids import MESSAGE_ID_LENGTH_MAX
from models.events.names import EVENT_TYPES
from models.events.numbers import DECIMAL, SIGNED_DECIMAL
from models.events.properties import (
    is_amount,
    is_id_field,
    is_number,
    items_of,
    names_customer,
    text_of,
)

Schema = dict[str, Any]

#: The schema of an event whose name is not known, which clickstream takes.
ANY_EVENT: Final = "event"

#: The fields that every event may have, in the usual order.
_ABOUT = {
    "messageId": "Tells a repeat from a second event; without one, each delivery counts.",
    "userId": "Whose event it is.",
    "anonymousId": "Whose event it is while there is no userId yet; with one, whose they were.",
    "timestamp": "When it happened, ISO 8601 with an offset, after 1970 and before 3000.",
    "context": (
        "How it came about; of it, `channel`, `timezone`, `historical`, `consent`, `batched` and "
        "`doNotTrack` are read."
    ),
}
#: Of an identify or a group. Anything may be there; what is understood becomes a class.
_TRAITS: Final[dict[str, Any]] = {
    "description": (
        "Who somebody is. Of it, where traits are kept, ingest makes classes, by "
        f"{', '.join(sorted(NAMES_READ))}. A refusal of contact or tracking is heeded. All else is "
        "left out, and costs the event nothing."
    )
}
#: The names of these fields.
EVERY_EVENT_HAS: Final = tuple(_ABOUT)
#: An id as text, and as the number that a database keeps.
_ID_TEXT: Schema = {
    "type": "string",
    "minLength": 1,
    "maxLength": ID_BYTES_MAX,
    "pattern": "[^ ]",
    "not": {"pattern": f"[{NEVER_IN_ID}]"},
}
_ID_NUMBER: Schema = {"type": "integer", "minimum": 1 - EXACT_MAX, "maximum": EXACT_MAX - 1}
_NULL: Schema = {"type": "null"}
_MESSAGE_ID: Schema = {
    "anyOf": [{"type": "string", "maxLength": MESSAGE_ID_LENGTH_MAX}, {"type": "number"}, _NULL]
}


#: What may stand where there is no id.
_NOTHING: Schema = {
    "anyOf": [
        {"type": ["null", "boolean"]},
        {"type": "string", "not": {"pattern": "[^ ]"}},
        {"type": "array", "maxItems": 0},
        {"type": "object", "maxProperties": 0},
    ]
}
_ANY_ID: Schema = {"anyOf": [_ID_TEXT, _ID_NUMBER, *_NOTHING["anyOf"]]}


def _in_any_case(word: str) -> str:
    letters = (f"[{one}{one.upper()}]" if one.isalpha() else one for one in word)
    return "".join("[ _-]?" if one == "-" else one for one in letters)


def _id_but(words: Iterable[str]) -> list[Schema]:
    """An id that is not one of these words, whatever their case, nor a form of nothing."""
    nothing = f"{'|'.join(map(_in_any_case, words))}|{IN_BRACKETS}|{ZEROS}"
    never = {"pattern": f"^ *[{QUOTES}]*({nothing})[{QUOTES}]* *$"}
    return [
        {**_ID_TEXT, "not": {"anyOf": [_ID_TEXT["not"], never]}},
        {**_ID_NUMBER, "not": {"enum": [0, -1]}},
    ]


#: The customer of an event: not a placeholder for nobody.
_WHO: Schema = {"anyOf": _id_but(PLACEHOLDERS)}
#: Which order or ticket: not what stands for none.
_THING: Final = _id_but(NOTHINGS)


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
        others = sorted({*TOPICS, *ALIASES})
        name_of_their_own = {"type": "string", "minLength": 1, "maxLength": 256}
        fields["event"] = {**name_of_their_own, "not": {"enum": others}}
    elif name not in EVENT_TYPES:
        fields["event"] = {"const": name}
    if "event" in fields:
        required.append("event")
    declared = kind_of(name).declared
    shape = declared.shape
    properties, parts = _properties(declared)
    if declared.has_traits:
        fields["traits"], properties, parts = _TRAITS, {"description": "Not looked at."}, {}
        shape = Nothing
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
        "$defs": {**parts, **line_parts, **({"Customer": _WHO} if anybody else {})},
    }


def score_line_schema() -> Schema:
    """The JSON Schema of a line that asks a replay for a score, and changes no state."""
    fields, parts = _envelope()
    del fields["context"]
    return {
        "description": "Asks a replay for a customer's score as of a moment.",
        "type": "object",
        "properties": {"type": {"const": "score"}, **fields, "horizonDays": _horizon()},
        "required": ["type", "timestamp"],
        "anyOf": _whose(),
        "$defs": {**parts, "Customer": _WHO},
    }


def _envelope() -> tuple[Schema, Schema]:
    """The fields that every event has, and the parts they refer to."""
    [time], parts = msgspec.json.schema_components([_type_of("timestamp")])
    [when] = [one for one in time["anyOf"] if one != _NULL]
    fields: Schema = {
        "messageId": _MESSAGE_ID,
        "userId": _ANY_ID,
        # With a userId, one that is no id costs the event nothing.
        "anonymousId": {},
        "timestamp": when,
        "context": {
            "properties": {
                "channel": {"description": "Such as web; not if no text."},
                "timezone": {
                    "description": "Of the customer, such as Europe/Paris, or +02:00 at worst."
                },
                "historical": {"description": "True: what it brings about is told to nobody."},
                "doNotTrack": {
                    "description": "True: refuses analytics and personalisation; also as `dnt`, "
                    "`globalPrivacyControl` or `gpc`."
                },
                "batched": {"description": "True: the hour of its time says nothing."},
                "consent": {
                    "description": "Purposes (analytics, personalisation, marketing) with true or "
                    "false, at once or under categoryPreferences; what is not named stays as it is."
                },
            }
        },
    }
    return {name: {"description": _ABOUT[name], **found} for name, found in fields.items()}, parts


def _type_of(name: str) -> Any:
    [kind] = [field.type for field in msgspec.structs.fields(Line) if field.name == name]
    return kind


def _horizon() -> Schema:
    [found], _ = msgspec.json.schema_components([_type_of("horizon_days")])
    return {"description": "The first of `churn.horizon_days` unless given.", **found}


def _properties(declared: EventType) -> tuple[Schema, Schema]:
    shape = declared.shape
    if shape is Nothing:
        return {"description": "Not looked at."}, {}
    [found], parts = msgspec.json.schema_components([shape])
    _forgive(type_info(shape), parts)
    own = parts[shape.__name__]
    own.update(declared.rules)
    is_optional = not own.get("required") and "anyOf" not in declared.rules
    return {"anyOf": [found, _NULL]} if is_optional else found, parts


def _forgive(shape: Type, parts: Schema) -> None:
    """Let a shape's schema take all that is understood as its properties."""
    assert isinstance(shape, StructType)
    properties = parts[shape.cls.__name__]["properties"]
    for field in shape.fields:
        found = properties[field.encode_name]
        item, text = items_of(field.type), text_of(field.type)
        if item is not None:
            _forgive(item, parts)
        elif names_customer(shape, field.encode_name):
            properties[field.encode_name] = _with_kinds(found, _WHO["anyOf"])
        elif text is not None and is_id_field(field.encode_name):
            kinds = _THING if field.required else [_ID_TEXT, _ID_NUMBER, *_NOTHING["anyOf"]]
            properties[field.encode_name] = _with_kinds(found, kinds)
        elif text is not None and not field.required:
            properties[field.encode_name] = {
                "description": "A text; whatever else it is is left out."
            }
        elif is_number(field.type):
            kinds = [one for one in found.get("anyOf", [found]) if one != _NULL]
            kinds = [{key: one[key] for key in one if key in _OF_NUMBERS} for one in kinds]
            form = DECIMAL if is_amount(field.type) else SIGNED_DECIMAL
            kinds += [{"type": "string", "pattern": f"^{form}$"}] + (
                [] if field.required else [_NULL]
            )
            properties[field.encode_name] = _with_kinds(found, kinds)


_OF_NUMBERS: Final = ("type", "minimum", "maximum")


def _with_kinds(found: Schema, kinds: list[Schema]) -> Schema:
    """The schema of a field with other types; its default and its description stay."""
    kept: Schema = {key: found[key] for key in ("default", "description") if key in found}
    return {**kept, "anyOf": kinds}


def _whose() -> list[Schema]:
    """Either id names somebody."""
    customer = {"$ref": "#/$defs/Customer"}
    return [
        {"required": [name], "properties": {name: customer}} for name in ("userId", "anonymousId")
    ]

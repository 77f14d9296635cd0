"""The fields of a JSON object, with values that stay the exact bytes that were sent."""

from datetime import datetime
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Raw

from config.names import folded
from models.events.foreign import UNREADABLE
from models.events.leniency import read_json, to_json
from models.events.rejection import Reason, Rejected
from models.events.times import milliseconds, moment_of

NULL = Raw(b"null")

_OBJECT = msgspec.json.Decoder(dict[str, Raw])
_MOMENT = msgspec.json.Decoder(Annotated[datetime, Meta(tz=True)])


def fields_of(raw: bytes | Raw) -> dict[str, Raw]:
    """The object's fields. Raises ``Rejected`` if it is no object, even read leniently."""
    try:
        return _OBJECT.decode(raw)
    except UNREADABLE:
        # Read again leniently, as ingest does: NaN, lone surrogates, invalid UTF-8.
        tree = read_json(bytes(raw))
    if not isinstance(tree, dict):
        raise Rejected(Reason.WRONG_TYPE, "$", "an event is a JSON object")
    return {name: Raw(to_json(value)) for name, value in tree.items()}


def object_in(fields: dict[str, Raw], name: str) -> dict[str, Raw]:
    """The fields of the object under ``name``; none if there is no object."""
    try:
        return _OBJECT.decode(fields.get(name, NULL))
    except UNREADABLE:
        return {}


def value_of(raw: Raw | None) -> Any:
    """A plain value; None if it is missing or unreadable."""
    if raw is None:
        return None
    try:
        return msgspec.json.decode(raw)
    except UNREADABLE:
        return None


def text_in(fields: dict[str, Raw], name: str) -> str | None:
    """The text under ``name``; None if there is none."""
    value = value_of(fields.get(name))
    return value if isinstance(value, str) and value else None


def moment_ms(raw: Raw | None) -> int | None:
    """The moment that a JSON value states, in ms since 1970; None if it states none."""
    if raw is None or raw == NULL:
        return None
    try:
        return milliseconds(_MOMENT.decode(raw))
    except UNREADABLE:
        value = value_of(raw)
    moment = moment_of(value) if isinstance(value, str) else None
    return None if moment is None else milliseconds(moment)


def is_missing(fields: dict[str, Raw], name: str) -> bool:
    """Whether ``name`` is missing or has an empty value."""
    return fields.get(name, NULL) in _NOTHINGS


_NOTHINGS = (NULL, Raw(b'""'), Raw(b"{}"), Raw(b"[]"))


def rename_spelling(fields: dict[str, Raw], name: str) -> None:
    """Rename a field in another spelling of ``name`` to ``name`` itself."""
    if name in fields:
        return
    wanted = folded(name)
    for key in fields:
        # Folding never lengthens an ASCII name, so most keys need not be folded.
        is_shorter = len(key) < len(wanted) and key.isascii()
        if not is_shorter and folded(key) == wanted:
            fields[name] = fields.pop(key)
            return

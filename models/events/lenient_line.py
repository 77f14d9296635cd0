"""Lines that the strict decoder refuses or reads incompletely: other spellings of fields, and junk
in fields that nobody needs.
"""

from datetime import datetime
from typing import Any, Final

import msgspec

from config.names import folded
from models.events.leniency import escaped, plain, read_json, spelt, to_json
from models.events.line import Context, Line
from models.events.rejection import Reason, Rejected, rejected_by
from models.events.times import moment_of

#: The fields of a line by their folded spelling; `originalTimestamp` is read separately.
_FIELDS: Final = {
    folded(name): name
    for name in (field.encode_name for field in msgspec.structs.fields(Line))
    if name not in {"user_id", "userID", "anonymous_id", "message_id"}
}

_ATTRIBUTES: Final = {field.encode_name: field.name for field in msgspec.structs.fields(Line)}
#: Fields that an event of another type does without, with their defaults.
_OPTIONAL: Final[dict[str, Any]] = {
    field.encode_name: field.type
    for field in msgspec.structs.fields(Line)
    if field.encode_name in {"source", "position", "version", "sha256", "horizonDays"}
}

IDENTIFY: Final = "identify"
_NO_TRAITS: Final = frozenset({b"null", b"{}", b"[]"})
_CONTEXT_REST: Final = {
    field.name: field.encode_name
    for field in msgspec.structs.fields(Context)
    if field.name != "channel"
}
_ORIGINAL: Final = {folded("originalTimestamp"): "originalTimestamp"}
_NO_MOMENT: Final = (
    "a time is an ISO 8601 text with its offset from UTC, such as 2026-03-01T10:00:00Z"
)


def lenient_line(raw: bytes) -> Line:
    """Like `decode_line`, for lines that the strict decoder refused or read incompletely."""
    tree = read_json(raw)
    if not isinstance(tree, dict):
        raise Rejected(Reason.WRONG_TYPE, "$", "an event is a JSON object")
    fields = spelt(tree, _FIELDS)
    line = Line(
        type=_text(fields, "type"),
        event=_text(fields, "event") if "event" in fields else None,
        message_id=_escaped(fields.get("messageId")),
        user_id=fields.get("userId"),
        anonymous_id=fields.get("anonymousId"),
        previous_id=fields.get("previousId"),
        timestamp=_moment(fields, tree),
    )
    for name in ("properties", "traits", "logFormat", "receivedAt"):
        if name in fields:
            setattr(line, _ATTRIBUTES[name], msgspec.Raw(to_json(fields[name])))
    line.context = _context(fields.get("context"))
    if line.type.strip().lower() == IDENTIFY:
        find_traits(line)
    for name, kind in _OPTIONAL.items():
        if name in fields:
            try:
                value = msgspec.convert(fields[name], kind)
            except msgspec.ValidationError as error:
                if line.type == "score" and name == "horizonDays":
                    raise rejected_by(error, within=f"$.{name}") from None
                # Client libraries write any value under these names.
                continue
            except UnicodeEncodeError:
                # The field contains a name with a lone surrogate.
                continue
            setattr(line, _ATTRIBUTES[name], value)
    return line


def _text(fields: dict[str, Any], name: str) -> str:
    if name not in fields:
        raise Rejected(Reason.REQUIRED_MISSING, f"$.{name}", f"an event has a {name}")
    if not isinstance(fields[name], str):
        raise Rejected(Reason.WRONG_TYPE, f"$.{name}", "a text")
    return plain(fields[name])


def _context(value: Any) -> Context | None:
    """Each readable field of a context: an unreadable field does not affect the others."""
    if not isinstance(value, dict):
        return None
    channel = value.get("channel")
    return Context(
        plain(channel) if isinstance(channel, str) and channel else None,
        **{name: value.get(key) for name, key in _CONTEXT_REST.items()},
    )


def find_traits(line: Line) -> None:
    """Take the traits of an identify from its context if it has none of its own."""
    if line.context is not None and bytes(line.traits) in _NO_TRAITS:
        line.traits = msgspec.Raw(to_json(line.context.traits))


def _escaped(value: Any) -> Any:
    """A text with escapes for what UTF-8 cannot encode, so that different messages keep different
    ids.
    """
    return escaped(value) if isinstance(value, str) else value


def _moment(fields: dict[str, Any], tree: dict[str, Any]) -> datetime | None:
    path, value = "$.timestamp", fields.get("timestamp")
    if value is None:
        # Some libraries leave the timestamp to a server, which does not exist here.
        path, value = "$.originalTimestamp", spelt(tree, _ORIGINAL).get("originalTimestamp")
    if value is None:
        return None
    moment = moment_of(value) if isinstance(value, str) else None
    if moment is None:
        raise Rejected(Reason.WRONG_TYPE, path, _NO_MOMENT)
    return moment

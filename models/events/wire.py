"""The wire format: one JSON object per event, following Segment's specification.

The same decoder reads raw topics, ``customer-events``, and the logs that ``replay`` reads, so an
event means the same everywhere.
"""

from collections.abc import Callable, Iterable
from datetime import datetime
from functools import lru_cache
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta, Struct

from config.names import folded
from models.events.erasure_record import ERASE_REQUESTED
from models.events.event import NOTHING, Event, Source
from models.events.foreign import UNREADABLE
from models.events.ids import id_text, is_nobody, nobody
from models.events.leniency import escaped, plain, read_json, spelt, to_json
from models.events.names import EVENT_TYPES
from models.events.rejection import Reason, Rejected, rejected_by
from models.events.times import LATEST_MS, iso, milliseconds, moment_of

#: The largest event that a sender may send.
EVENT_BYTES_MAX = 32 * 1024
#: The same event as a record of the log: re-encoded, with its source and, when exported, its
#: position.
LOG_BYTES_MAX = 2 * EVENT_BYTES_MAX
_POSITION_BYTES_MAX = 128
#: Customers return, and each event's id is read twice: by ingest and by profile.
_IDS_REMEMBERED_MAX: Final = 32_768
MESSAGE_ID_LENGTH_MAX = 256
#: The format of records of ``customer-events``. Format 1 was never released and did not state a
#: format. In format 2 only clock records moved a partition's clock, and there was no rehearsal.
LOG_FORMAT = 3
_LOG_FORMAT = msgspec.Raw(str(LOG_FORMAT).encode())
_BEFORE_REHEARSAL = msgspec.Raw(b"2")
#: The format of link records (`models.events.link_record`). A release that does not know them stops
#: at the first one.
LINK_FORMAT = 4
_LINK_FORMAT = msgspec.Raw(str(LINK_FORMAT).encode())
#: The format of erasure requests, and of the link records about them.
ERASE_FORMAT = 5
_ERASE_FORMAT = msgspec.Raw(str(ERASE_FORMAT).encode())
LINK_TYPES: Final = frozenset({"link", "unlink", "left", "graft", "forwarded", "release", "erase"})
#: The type of what remains of a record whose content is gone (`models.events.gone`), and its
#: format.
GONE: Final = "gone"
GONE_FORMAT = 6
_GONE_FORMAT = msgspec.Raw(str(GONE_FORMAT).encode())
#: Link records may contain a row, or an event of the log.
LINK_BYTES_MAX = 768 * 1024


class Context(Struct, frozen=True, omit_defaults=True, gc=False):
    """``historical``: decisions that follow from the event are only rehearsed. ``consent``: by
    purpose, in the words of the system that asked for it; ``consent_management``: RudderStack's
    place for it. ``batched``: the hour of the event's time is that of its sender's batch.
    ``traits``: where RudderStack's libraries put those of an identify. The last ones are what
    browsers are told by people who do not want to be tracked.
    """

    channel: Annotated[str, Meta(min_length=1)] | None = None
    timezone: Any = None
    historical: Any = None
    consent: Any = None
    batched: Any = None
    consent_management: Any = msgspec.field(default=None, name="consentManagement")
    traits: Any = None
    do_not_track: Any = msgspec.field(default=None, name="doNotTrack")
    dnt: Any = None
    global_privacy_control: Any = msgspec.field(default=None, name="globalPrivacyControl")
    gpc: Any = None


class Position(Struct, frozen=True, omit_defaults=True, gc=False):
    """A place in ``customer-events``, as an exported log states it."""

    partition: int
    offset: int


class Line(Struct, rename="camel", gc=False):
    """The fields of an event or a control line that Keepstream reads."""

    type: str
    event: str | None = None
    # Any value that a sender takes for an id; `identity` and `message_id_of` read them.
    message_id: Any = None
    user_id: Any = None
    anonymous_id: Any = None
    # In an alias: the customer's earlier id.
    previous_id: Any = None
    timestamp: Annotated[datetime, Meta(tz=True)] | None = None
    properties: msgspec.Raw = msgspec.Raw(b"null")
    # In an identify or a group; also searched for a refusal of consent.
    traits: msgspec.Raw = msgspec.Raw(b"null")
    context: Context | None = None
    source: Source | None = None
    position: Position | None = None
    stated_version: int | float | str | None = msgspec.field(default=None, name="version")
    sha256: str | None = None
    horizon_days: Annotated[float, Meta(gt=0, le=3660)] | None = None
    # Other spellings, which the decoder finds at no extra cost.
    other_id: Any = msgspec.field(default=None, name="user_id")
    id_in_capitals: Any = msgspec.field(default=None, name="userID")
    other_visitor: Any = msgspec.field(default=None, name="anonymous_id")
    other_message_id: Any = msgspec.field(default=None, name="message_id")
    # Client libraries may write anything here; it is read only in records of the log.
    log_format: msgspec.Raw = msgspec.Raw(b"1")
    # Any value is accepted: one that is no time is ignored.
    received_at: msgspec.Raw = msgspec.Raw(b"null")

    @property
    def moves_clock(self) -> bool:
        """Whether this event of the log moves its partition's clock, as events do since format 3.
        An erasure request does not: it is no activity of the shop, whose clock may be behind.
        """
        return self.log_format == _LOG_FORMAT

    @property
    def is_before_rehearsal(self) -> bool:
        """Whether this record of the log is from a release without rehearsals."""
        if self.type == GONE:
            return self.stated_version == 2
        return self.log_format == _BEFORE_REHEARSAL

    @property
    def version(self) -> int | None:
        """The version in a model record; None for any other value that a client library wrote."""
        return self.stated_version if isinstance(self.stated_version, int) else None


_DECODE = msgspec.json.Decoder(Line).decode
#: The default of a field whose raw value is kept, if the line lacks the field.
NULL: Final = msgspec.Raw(b"null")


class LogFormatError(ValueError):
    """A record of ``customer-events`` is in the format of another release; the message says what to
    do.
    """


def require_log_format(line: Line) -> None:
    """Raise ``LogFormatError`` for a record that a worker wrote in an unknown format, and
    ``Rejected`` for a watermark: no worker writes one, and after it events would no longer move the
    clock.

    A record that no worker wrote has no format; it is refused later, as a bad event.
    """
    if line.moves_clock and line.type in EVENT_TYPES:
        return
    if line.type == "watermark":
        raise Rejected(
            Reason.UNKNOWN_EVENT, "$.type", "customer-events has no watermarks: workers write none"
        )
    if line.type in LINK_TYPES:
        is_known = line.log_format in (_LINK_FORMAT, _ERASE_FORMAT)
    elif line.type == GONE:
        is_known = line.log_format == _GONE_FORMAT
    else:
        is_known = line.log_format in (_LOG_FORMAT, _BEFORE_REHEARSAL, _ERASE_FORMAT)
    if not is_known and _is_ours(line):
        found = bytes(line.log_format).decode(errors="replace")
        raise LogFormatError(
            f"customer-events has records in format {found}, and this release reads formats 2 to "
            f"{GONE_FORMAT}. If the log is older: start over with another "
            f"KEEPSTREAM_TOPIC_PREFIX, and publish the events again. If it is newer: upgrade"
        )


def _is_ours(line: Line) -> bool:
    """Whether a worker of some release may have written it: the required fields are there."""
    match line.type:
        case "clock" | "live":
            return line.timestamp is not None
        case "model" | "gone":
            return line.stated_version is not None
        case _:
            return line.source is not None


def decode_line(raw: bytes) -> Line:
    """Read one JSON object, an event or a control line. Raises ``Rejected``.

    A faulty field refuses the line only if it is needed: other spellings of fields are found, and
    junk in fields that nobody reads is dropped.
    """
    if len(raw) > EVENT_BYTES_MAX:
        _require_size(raw, EVENT_BYTES_MAX)
    return _decoded(raw)


def decode_log_line(raw: bytes) -> Line:
    """Like `decode_line`, for a record of the log or a line of an exported log.

    Records of the log may be larger by what ingest added; everything else is limited to the size of
    an event.
    """
    if len(raw) > LOG_BYTES_MAX + _POSITION_BYTES_MAX:
        return _large_link_record(raw)
    line = _decoded(raw)
    if not _is_ours(line):
        _require_size(raw, EVENT_BYTES_MAX)
    return line


def _large_link_record(raw: bytes) -> Line:
    """Decode a record that contains a row, and so may be larger than any event."""
    _require_size(raw, LINK_BYTES_MAX)
    try:
        line = _DECODE(raw)
    except UNREADABLE:
        line = None
    if line is None or line.type not in LINK_TYPES or not _is_ours(line):
        _require_size(raw, LOG_BYTES_MAX + _POSITION_BYTES_MAX)
        raise AssertionError
    return line


def _require_size(raw: bytes, bytes_max: int) -> None:
    if len(raw) > bytes_max:
        raise Rejected(Reason.TOO_LARGE, "$", f"more than {bytes_max} bytes")


def _decoded(raw: bytes) -> Line:
    try:
        line = _DECODE(raw)
    except UNREADABLE:
        return _lenient_line(raw)
    if line.type in _CONTROL_TYPES:
        return line
    if line.type == _IDENTIFY:
        _find_traits(line)
    is_short = line.timestamp is None or (line.user_id is None and line.anonymous_id is None)
    if is_short or _may_name_a_visitor(line, raw):
        # A missing field may be there in a spelling that the decoder does not know.
        return _lenient_line(raw)
    return line


def _find_traits(line: Line) -> None:
    """Take the traits of an identify from its context if it has none of its own."""
    if line.context is not None and bytes(line.traits) in _NO_TRAITS:
        line.traits = msgspec.Raw(to_json(line.context.traits))


def _may_name_a_visitor(line: Line, raw: bytes) -> bool:
    """Whether it may name a user's earlier id in a spelling that the decoder does not know."""
    if line.source is not None and line.moves_clock:
        # In the log each field has one spelling.
        return False
    # Search in lower case first: the name is nearly always absent, so one search is enough.
    if (
        line.anonymous_id is None
        and b"nonymous" in raw.lower()
        and (b"nonymous" in raw or b"NONYMOUS" in raw)
    ):
        return line.other_visitor is None
    return line.type == "alias" and line.previous_id is None


#: The fields of a line by their folded spelling; `originalTimestamp` is read separately.
_FIELDS: Final = {
    folded(name): name
    for name in (field.encode_name for field in msgspec.structs.fields(Line))
    if name not in {"user_id", "userID", "anonymous_id", "message_id"}
}


def _lenient_line(raw: bytes) -> Line:
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
    if line.type.strip().lower() == _IDENTIFY:
        _find_traits(line)
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


_ATTRIBUTES: Final = {field.encode_name: field.name for field in msgspec.structs.fields(Line)}
#: Fields that an event of another type does without, with their defaults.
_OPTIONAL: Final[dict[str, Any]] = {
    field.encode_name: field.type
    for field in msgspec.structs.fields(Line)
    if field.encode_name in {"source", "position", "version", "sha256", "horizonDays"}
}


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


_CONTEXT_REST: Final = {
    field.name: field.encode_name
    for field in msgspec.structs.fields(Context)
    if field.name != "channel"
}
_IDENTIFY: Final = "identify"
_NO_TRAITS: Final = frozenset({b"null", b"{}", b"[]"})
#: Lines without a customer.
_CONTROL_TYPES: Final = frozenset({"clock", "watermark", "model", GONE})
_ORIGINAL: Final = {folded("originalTimestamp"): "originalTimestamp"}
_NO_MOMENT: Final = (
    "a time is an ISO 8601 text with its offset from UTC, such as 2026-03-01T10:00:00Z"
)


def identity(line: Line, is_blocked: Callable[[str], bool] | None = None) -> tuple[str, bool]:
    """The customer's id, ``userId`` or else ``anonymousId``, and whether it was ``userId``.

    Ids that identify nobody, and those that the operator blocks, do not count. Raises ``Rejected``.
    """
    user = _whose(line.user_id, "$.userId", is_blocked)
    if user is not None:
        # The usual case.
        return user, True
    for value in (line.other_id, line.id_in_capitals):
        user = _whose(value, "$.userId", is_blocked)
        if user is not None:
            return user, True
    for value in (line.anonymous_id, line.other_visitor):
        visitor = _whose(value, "$.anonymousId", is_blocked)
        if visitor is not None:
            return visitor, False
    raise Rejected(Reason.NO_IDENTITY, "$.userId", "neither userId nor anonymousId names anyone")


def names_others(line: Line) -> bool:
    """Whether `others_of` may find any. This quick check runs for all events; most name none."""
    return not (line.anonymous_id is line.other_visitor is line.previous_id is None)


def others_of(
    line: Line, user: str, is_blocked: Callable[[str], bool] | None = None
) -> tuple[str | None, str | None]:
    """The other id that an event of ``user`` names: the anonymous id, or the earlier id of an
    alias. If an alias names both, its earlier id comes second, because each of them says who the
    user was. None for an id that is invalid or identifies nobody: the event is still the user's.
    Raises ``Rejected`` for an alias whose earlier id identifies nobody, because it says nothing
    else.
    """
    visitor = _other_in((line.anonymous_id, line.other_visitor), user, is_blocked)
    if line.type != "alias":
        return visitor, None
    previous = _other_in((line.previous_id,), user, is_blocked)
    if visitor is None:
        if previous is None:
            _require_somebody(line.previous_id, is_blocked)
        return previous, None
    return visitor, None if previous == visitor else previous


def _other_in(
    named: Iterable[Any], user: str, is_blocked: Callable[[str], bool] | None
) -> str | None:
    for value in named:
        if value is None:
            continue
        try:
            visitor = _whose(value, "$.anonymousId", is_blocked)
        except Rejected:
            continue
        if visitor is not None and visitor != user:
            return visitor
    return None


def _require_somebody(value: Any, is_blocked: Callable[[str], bool] | None) -> None:
    """Raise ``Rejected`` for a ``previousId`` that is an id but identifies nobody."""
    path = "$.previousId"
    if not isinstance(value, bool) and id_text(value, path) is not None:
        if _whose(value, path, is_blocked) is None:
            raise nobody(path)


def _whose(value: Any, path: str, is_blocked: Callable[[str], bool] | None) -> str | None:
    """The id of one customer; None if ``value`` is missing or identifies nobody."""
    if value is None or value is True or value is False:
        return None
    # Only texts are cached: 1, 1.0 and True are one cache key, but not one id.
    text = _remembered(value, path) if value.__class__ is str else _somebody(value, path)
    return None if is_blocked is not None and text is not None and is_blocked(text) else text


def _somebody(value: Any, path: str) -> str | None:
    text = id_text(value, path)
    return None if text is None or is_nobody(text) else text


_remembered = lru_cache(_IDS_REMEMBERED_MAX)(_somebody)


def message_id_of(line: Line, stand_in: str) -> str:
    """The message's id as text; ``stand_in`` if it has none. Raises ``Rejected``."""
    value = line.message_id or line.other_message_id
    if not isinstance(value, str):
        if value is None or value == [] or value == {}:
            return stand_in
        if not isinstance(value, int | float):
            raise Rejected(Reason.WRONG_TYPE, "$.messageId", "a message's id is a text")
        value = str(value)
    if len(value) > MESSAGE_ID_LENGTH_MAX:
        raise Rejected(
            Reason.OUT_OF_RANGE, "$.messageId", f"more than {MESSAGE_ID_LENGTH_MAX} characters"
        )
    return value or stand_in


def timestamp_ms(line: Line) -> int:
    """When the event happened, in ms since 1970. Raises ``Rejected``."""
    if line.timestamp is None:
        raise Rejected(Reason.REQUIRED_MISSING, "$.timestamp", "an event says when it happened")
    occurred_at_ms = milliseconds(line.timestamp)
    # In state 0 means never, and senders whose clock was not set write 0.
    if not 0 < occurred_at_ms < LATEST_MS:
        raise Rejected(Reason.OUT_OF_RANGE, "$.timestamp", "not after 1970 and before 3000")
    return occurred_at_ms


def received_at_ms(line: Line) -> int | None:
    """When the collecting system received the event, in ms since 1970; None if the line does not
    say.
    """
    if line.received_at == NULL:
        return None
    try:
        text = msgspec.json.decode(line.received_at)
    except UNREADABLE:
        return None
    moment = moment_of(text) if isinstance(text, str) else None
    if moment is None:
        return None
    at_ms = milliseconds(moment)
    # The zero of a clock that was not set, 1970 or the year 1, is no time either.
    return at_ms if at_ms > 0 else None


def encode_log_event(event: Event) -> bytes:
    """The event as a record of the log. Raises ``Rejected`` if it is too large to be read from
    there.
    """
    record = encode_event(event)
    if len(record) > LOG_BYTES_MAX:
        _require_size(record, LOG_BYTES_MAX)
    return record


class _Record(Struct, rename="camel", omit_defaults=True, kw_only=True, gc=False):
    """An event as it is written: only the fields listed here are passed on."""

    type: str
    event: str | None = None
    message_id: str
    user_id: str | None = None
    anonymous_id: str | None = None
    previous_id: str | None = None
    timestamp: str
    properties: Any = None
    traits: Any = None
    context: Context | None = None
    source: Source | None = None
    log_format: int
    position: Position | None = None


_ENCODE = msgspec.json.Encoder().encode


def encode_event(event: Event, position: Position | None = None) -> bytes:
    """The event in wire format, with only the fields that state needs."""
    name, customer, context = event.name, event.customer, None
    is_track = name not in EVENT_TYPES
    said = None if event.properties is NOTHING else event.properties
    stamps, historical, batched = event.consent, event.historical, event.batched
    if event.channel is not None or event.timezone is not None or historical or stamps or batched:
        context = Context(
            event.channel, event.timezone, historical or None, dict(stamps) or None, batched or None
        )
    return _ENCODE(
        _Record(
            type="track" if is_track else name,
            event=name if is_track else None,
            message_id=event.message_id,
            user_id=customer if event.identified else None,
            anonymous_id=event.visitor if event.identified else customer,
            previous_id=event.previous,
            timestamp=iso(event.occurred_at_ms),
            properties=said if is_track else None,
            traits=None if is_track else said,
            context=context,
            source=event.source,
            log_format=ERASE_FORMAT if name == ERASE_REQUESTED else LOG_FORMAT,
            position=position,
        )
    )

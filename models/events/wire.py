"""The wire format: one JSON object per event, following Segment's specification.

The same decoder reads raw topics, ``customer-events``, and the logs that ``replay`` reads, so an
event means the same everywhere.
"""

from typing import Any, Final

import msgspec
from msgspec import Struct

from models.events.erasure_record import ERASE_REQUESTED
from models.events.event import NOTHING, Event, Source
from models.events.foreign import UNREADABLE
from models.events.lenient_line import IDENTIFY, find_traits, lenient_line
from models.events.line import (
    ERASE_FORMAT,
    GONE,
    LINK_TYPES,
    LOG_FORMAT,
    NULL,
    Context,
    Line,
    Position,
)
from models.events.log_format import is_ours
from models.events.names import EVENT_TYPES
from models.events.rejection import Reason, Rejected
from models.events.times import LATEST_MS, iso, milliseconds, moment_of

#: The largest event that a sender may send.
EVENT_BYTES_MAX = 32 * 1024
#: The same event as a record of the log: re-encoded, with its source and, when exported, its
#: position.
LOG_BYTES_MAX = 2 * EVENT_BYTES_MAX
_POSITION_BYTES_MAX = 128
#: Link records may contain a row, or an event of the log.
LINK_BYTES_MAX = 768 * 1024
_DECODE = msgspec.json.Decoder(Line).decode
#: Lines without a customer.
_CONTROL_TYPES: Final = frozenset({"clock", "watermark", "model", GONE})


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
    if not is_ours(line):
        _require_size(raw, EVENT_BYTES_MAX)
    return line


def _large_link_record(raw: bytes) -> Line:
    """Decode a record that contains a row, and so may be larger than any event."""
    _require_size(raw, LINK_BYTES_MAX)
    try:
        line = _DECODE(raw)
    except UNREADABLE:
        line = None
    if line is None or line.type not in LINK_TYPES or not is_ours(line):
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
        return lenient_line(raw)
    if line.type in _CONTROL_TYPES:
        return line
    if line.type == IDENTIFY:
        find_traits(line)
    is_short = line.timestamp is None or (line.user_id is None and line.anonymous_id is None)
    if is_short or _may_name_a_visitor(line, raw):
        # A missing field may be there in a spelling that the decoder does not know.
        return lenient_line(raw)
    return line


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

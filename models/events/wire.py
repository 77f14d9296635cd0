"""The wire format: one JSON object per event, following Segment's specification.

The same decoder reads raw topics, ``customer-events``, and the logs that ``replay`` reads, so an
event means the same everywhere.
"""

import re
from datetime import datetime
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from models.events.event import NOTHING, Event, Source
from models.events.names import EVENT_TYPES
from models.events.rejection import Reason, Rejected, rejected_by

EVENT_BYTES_MAX = 32 * 1024
#: The format of records of ``customer-events``. Format 1, never released, did not state a format.
LOG_FORMAT = 2
_LOG_FORMAT = msgspec.Raw(str(LOG_FORMAT).encode())
CUSTOMER_ID = re.compile(r"[A-Za-z0-9_.:@-]{1,128}").fullmatch
#: Ids that stand for no one customer; state under them would mix many customers.
_NOBODY = re.compile(
    r"[0-]*|-1|null|none|nil|nan|undefined|anonymous|guest|unknown", re.IGNORECASE
).fullmatch
_EPOCH = datetime.fromisoformat("1970-01-01T00:00:00+00:00")
#: The year 3000: a deadline that follows from an event before it can still be written as a date.
_LATEST_MS = 32_503_680_000_000


class Context(Struct, frozen=True, omit_defaults=True, gc=False):
    channel: str | None = None
    timezone: Any = None


class Position(Struct, frozen=True, omit_defaults=True, gc=False):
    """A place in ``customer-events``, as an exported log names it."""

    partition: int
    offset: int


class Line(Struct, rename="camel"):
    """The fields of an event or a control line that Keepstream reads."""

    type: str
    event: str | None = None
    message_id: str | None = None
    user_id: str | None = None
    anonymous_id: str | None = None
    timestamp: Annotated[datetime, Meta(tz=True)] | None = None
    properties: msgspec.Raw = msgspec.Raw(b"null")
    context: Context | None = None
    source: Source | None = None
    position: Position | None = None
    stated_version: int | float | str | None = msgspec.field(default=None, name="version")
    sha256: str | None = None
    horizon_days: Annotated[float, Meta(gt=0, le=3660)] | None = None
    # Client libraries may write anything here; it is read only in records of the log.
    log_format: msgspec.Raw = msgspec.Raw(b"1")

    @property
    def version(self) -> int | None:
        """The version in a model record; None for anything else that a client library wrote."""
        return self.stated_version if isinstance(self.stated_version, int) else None


_LINE = msgspec.json.Decoder(Line)


class LogFormatError(ValueError):
    """A record of ``customer-events`` was written in another release's format; the message says
    what to do.
    """


def require_log_format(line: Line) -> None:
    """Raise ``LogFormatError`` for a record that a worker wrote in another format.

    A record that no worker wrote has no format; it is refused later, as a bad event.
    """
    if _is_ours(line) and line.log_format != _LOG_FORMAT:
        found = bytes(line.log_format).decode(errors="replace")
        raise LogFormatError(
            f"customer-events has records in format {found}, and this release reads and writes "
            f"format {LOG_FORMAT}. If the log is older: start over with another "
            f"KEEPSTREAM_TOPIC_PREFIX, or delete and create all topics, and publish the events "
            f"again. If it is newer: upgrade"
        )


def _is_ours(line: Line) -> bool:
    """Whether a worker of some release may have written it: its required fields are there."""
    match line.type:
        case "clock":
            return line.timestamp is not None
        case "model":
            return line.stated_version is not None
        case _:
            return line.source is not None


def decode_line(raw: bytes) -> Line:
    """Read one JSON object, an event or a control line. Raises ``Rejected``."""
    if len(raw) > EVENT_BYTES_MAX:
        raise Rejected(Reason.TOO_LARGE, "$", f"more than {EVENT_BYTES_MAX} bytes")
    try:
        return _LINE.decode(raw)
    except msgspec.DecodeError as error:
        raise rejected_by(error) from None
    except (UnicodeDecodeError, RecursionError):
        raise Rejected(Reason.BAD_JSON, "$", "not UTF-8, or nested too deeply") from None


def identity(line: Line) -> tuple[str, bool]:
    """The customer's id, ``userId`` or else ``anonymousId``, and whether it was ``userId``. Raises
    ``Rejected``.
    """
    for value, path in ((line.user_id, "$.userId"), (line.anonymous_id, "$.anonymousId")):
        if value is None or _NOBODY(value):
            continue
        if CUSTOMER_ID(value) is None:
            raise Rejected(Reason.OUT_OF_RANGE, path, "letters, digits and _.:@- only, 128 at most")
        return value, path == "$.userId"
    raise Rejected(Reason.NO_IDENTITY, "$.userId", "neither userId nor anonymousId names anyone")


def timestamp_ms(line: Line) -> int:
    """When it happened, in ms since 1970. Raises ``Rejected``."""
    if line.timestamp is None:
        raise Rejected(Reason.REQUIRED_MISSING, "$.timestamp", "an event says when it happened")
    occurred_at_ms = milliseconds(line.timestamp)
    # In state 0 means never, and senders whose clock was not set write 0.
    if not 0 < occurred_at_ms < _LATEST_MS:
        raise Rejected(Reason.OUT_OF_RANGE, "$.timestamp", "not after 1970 and before 3000")
    return occurred_at_ms


def milliseconds(moment: datetime) -> int:
    """Whole milliseconds since 1970, rounded down; exact for every representable moment."""
    delta = moment - _EPOCH
    return (delta.days * 86_400 + delta.seconds) * 1_000 + delta.microseconds // 1_000


def encode_event(event: Event, position: Position | None = None) -> bytes:
    """The event in wire format with only the fields that state needs."""
    # A plain dict, so that only the fields named here are passed on.
    line: dict[str, Any] = {"type": event.name if event.name in EVENT_TYPES else "track"}
    if line["type"] == "track":
        line["event"] = event.name
    line["messageId"] = event.message_id
    line["userId" if event.identified else "anonymousId"] = event.customer
    line["timestamp"] = iso(event.occurred_at_ms)
    if event.properties is not NOTHING:
        line["properties"] = event.properties
    if event.channel is not None or event.timezone is not None:
        line["context"] = Context(event.channel, event.timezone)
    if event.source is not None:
        line["source"] = event.source
    line["logFormat"] = LOG_FORMAT
    if position is not None:
        line["position"] = position
    return msgspec.json.encode(line)


def iso(moment_ms: int) -> str:
    """ISO 8601 in UTC with milliseconds."""
    seconds, millis = divmod(moment_ms, 1_000)
    return f"{_iso_seconds(seconds)}.{millis:03d}Z"


def _iso_seconds(seconds: int) -> str:
    day, rest = divmod(seconds, 86_400)
    return f"{_iso_day(day)}T{rest // 3_600:02d}:{rest // 60 % 60:02d}:{rest % 60:02d}"


_DAYS: dict[int, str] = {}


def _iso_day(day: int) -> str:
    # Neighbouring events share few dates, so caching them saves most of the cost.
    text = _DAYS.get(day)
    if text is None:
        if len(_DAYS) > 4_096:
            _DAYS.clear()
        text = datetime.fromordinal(day + 719_163).strftime("%Y-%m-%d")
        _DAYS[day] = text
    return text


def iso_or_none(moment_ms: int) -> str | None:
    """`iso`, or None for 0, which means never."""
    return iso(moment_ms) if moment_ms else None

"""The records of `customer-events`: how everybody reads them, and the control records."""

from time import time
from typing import Any

import msgspec

from config.duration import DAY_MS
from config.topics import CUSTOMER_EVENTS
from models.events.event import Event
from models.events.line import GONE, LOG_FORMAT, Line
from models.events.log_format import LogFormatError, require_log_format
from models.events.rejection import Reason, Rejected
from models.events.times import iso, milliseconds
from models.events.wire import decode_log_line
from streams.set_aside import SetAside

#: Workers' clocks differ by less than this.
AHEAD_MAX_MS = DAY_MS


def clock_record(clock_ms: int) -> bytes:
    """A control record: applying it runs everything due by ``clock_ms``."""
    record = {"type": "clock", "timestamp": iso(clock_ms), "logFormat": LOG_FORMAT}
    return msgspec.json.encode(record)


def live_record(at_ms: int) -> bytes:
    """A control record: from here on the partition decides live."""
    record = {"type": "live", "timestamp": iso(at_ms), "logFormat": LOG_FORMAT}
    return msgspec.json.encode(record)


def model_record(version: int, sha256: str) -> bytes:
    """A control record: from here on decisions use this version of the shared model."""
    record = {"type": "model", "version": version, "sha256": sha256, "logFormat": LOG_FORMAT}
    return msgspec.json.encode(record)


def log_line_of(record: Any, set_aside: SetAside) -> Line:
    """The content of a record of the log. Raises ``Rejected`` for one that changes nothing, and
    ``LogFormatError`` for one of another release that is not set aside.
    """
    line = decode_log_line(record.value or b"")
    try:
        require_log_format(line)
    except LogFormatError as error:
        set_aside.require(CUSTOMER_EVENTS, record.partition, record.offset, error)
        raise Rejected(
            Reason.OUT_OF_RANGE, "$.logFormat", "of another release, and set aside by the settings"
        ) from None
    if line.type == GONE and not getattr(record, "is_archived", False):
        raise Rejected(
            Reason.UNKNOWN_EVENT, "$.type", "what is left of a record is in the archive alone"
        )
    require_past(line, int(time() * 1_000))
    return line


def is_event_to_come(event: Event, now_ms: int) -> bool:
    """`is_to_come` for a decoded event."""
    source, latest_ms = event.source, now_ms + AHEAD_MAX_MS
    return event.occurred_at_ms > latest_ms or (
        source is not None and source.received_at > latest_ms
    )


def is_to_come(line: Line, now_ms: int) -> bool:
    """Whether a record has a future time, or its event a future time of receipt, so that no worker
    can have written it.
    """
    moment, source, latest_ms = line.timestamp, line.source, now_ms + AHEAD_MAX_MS
    if source is not None and source.received_at > latest_ms:
        return True
    return moment is not None and milliseconds(moment) > latest_ms


def require_past(line: Line, now_ms: int) -> None:
    """Refuse a record with a future time, whoever wrote it: the clock would follow it, and present
    events would be late.
    """
    if is_to_come(line, now_ms):
        raise Rejected(
            Reason.OUT_OF_RANGE,
            "$.timestamp",
            "a record of a time that is still to come: no worker writes one",
            "see who else than workers may write to customer-events",
        )

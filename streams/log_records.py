"""The records of `customer-events`: how all read them, and the control records between events."""

from time import time
from typing import Any

import msgspec

from config.duration import DAY_MS
from config.topics import CUSTOMER_EVENTS
from models.events.event import Event
from models.events.rejection import Reason, Rejected
from models.events.times import iso, milliseconds
from models.events.wire import (
    GONE,
    LOG_FORMAT,
    Line,
    LogFormatError,
    decode_log_line,
    require_log_format,
)
from streams.set_aside import SetAside

#: Workers' clocks may differ, but not by this much.
AHEAD_MAX_MS = DAY_MS


def clock_record(clock_ms: int) -> bytes:
    """Everything due by ``clock_ms`` runs when this record is applied."""
    record = {"type": "clock", "timestamp": iso(clock_ms), "logFormat": LOG_FORMAT}
    return msgspec.json.encode(record)


def live_record(at_ms: int) -> bytes:
    """From this record on the partition decides aloud."""
    record = {"type": "live", "timestamp": iso(at_ms), "logFormat": LOG_FORMAT}
    return msgspec.json.encode(record)


def model_record(version: int, sha256: str) -> bytes:
    """Decisions use this version of the shared model after this record."""
    record = {"type": "model", "version": version, "sha256": sha256, "logFormat": LOG_FORMAT}
    return msgspec.json.encode(record)


def log_line_of(record: Any, set_aside: SetAside) -> Line:
    """What a record of the log says. Raises ``Rejected`` for one that changes nothing, and
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
    """As `is_to_come`, for an event that was read already."""
    source, latest_ms = event.source, now_ms + AHEAD_MAX_MS
    return event.occurred_at_ms > latest_ms or (
        source is not None and source.received_at > latest_ms
    )


def is_to_come(line: Line, now_ms: int) -> bool:
    """Whether a record is of a time to come, or of an event that was received then, so that no
    worker can have written it.
    """
    moment, source, latest_ms = line.timestamp, line.source, now_ms + AHEAD_MAX_MS
    if source is not None and source.received_at > latest_ms:
        return True
    return moment is not None and milliseconds(moment) > latest_ms


def require_past(line: Line, now_ms: int) -> None:
    """Refuse a record of a time that is still to come, whoever wrote it: the clock would follow
    it, and what is true would be late.
    """
    if is_to_come(line, now_ms):
        raise Rejected(
            Reason.OUT_OF_RANGE,
            "$.timestamp",
            "a record of a time that is still to come: no worker writes one",
            "see who else than workers may write to customer-events",
        )

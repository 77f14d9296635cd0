"""The control records that `customer-events` carries between events."""

import msgspec

from config.duration import DAY_MS
from models.events.rejection import Reason, Rejected
from models.events.wire import LOG_FORMAT, Line, iso, milliseconds
from models.partition import CONTROL_TYPES

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


def is_to_come(control: Line, now_ms: int) -> bool:
    """Whether a control record is of a time to come, so that no worker can have written it."""
    moment = control.timestamp
    return moment is not None and milliseconds(moment) > now_ms + AHEAD_MAX_MS


def require_past(line: Line, now_ms: int) -> None:
    """Refuse a control record of a time that is still to come, whoever wrote it."""
    if line.type in CONTROL_TYPES and is_to_come(line, now_ms):
        raise Rejected(
            Reason.OUT_OF_RANGE,
            "$.timestamp",
            "a control record of a time that is still to come: no worker writes one",
            "see who else than workers may write to customer-events",
        )

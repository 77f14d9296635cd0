"""The control records that `customer-events` carries between events."""

import msgspec

from models.events.wire import LOG_FORMAT, iso


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

"""The control records that `customer-events` carries between events."""

import msgspec

from models.events.wire import iso


def clock_record(clock_ms: int) -> bytes:
    """Everything due by ``clock_ms`` runs when this record is applied."""
    return msgspec.json.encode({"type": "clock", "timestamp": iso(clock_ms)})


def model_record(version: int, sha256: str) -> bytes:
    """Decisions use this version of the shared model after this record."""
    return msgspec.json.encode({"type": "model", "version": version, "sha256": sha256})

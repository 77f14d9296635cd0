"""What is left of a record of the log whose content is gone, because its customer was erased: when
it was and where it came from, which is all that other customers of its partition depend on.
"""

from typing import Any

import msgspec
from msgspec import Struct

from models.events.event import Source
from models.events.rejection import Rejected
from models.events.times import iso
from models.events.wire import GONE, GONE_FORMAT, LINK_FORMAT, LINK_TYPES, LOG_FORMAT, Line
from models.events.wire import timestamp_ms as timestamp_of

#: In the place of the number of a raw partition for a record that names no source.
_NOWHERE = -1


class Gone(Struct, array_like=True, frozen=True, gc=False):
    """``log_format``: of the record; whether it moved the clock follows from it. ``timestamp_ms``
    is 0 for a record whose time nothing depends on. The rest is its `Source`.
    """

    log_format: int
    timestamp_ms: int = 0
    topic: str = ""
    partition: int = _NOWHERE
    offset: int = 0
    received_at_ms: int = 0
    generation: str | None = None


def gone_of(line: Line, at_ms: int | None = None) -> Gone:
    """What is left of ``line``, an event or a link record of the log; ``at_ms``: when it was, if
    that is known.
    """
    if line.type == GONE:
        log_format, at_ms = line.version or LOG_FORMAT, _time_of(line)
    elif line.type in LINK_TYPES:
        log_format, at_ms = LINK_FORMAT, 0
    else:
        log_format = LOG_FORMAT if line.moves_clock else 2 if line.is_before_rehearsal else 0
        at_ms = _time_of(line) if at_ms is None else at_ms
    source = line.source
    if source is None:
        return Gone(log_format, at_ms)
    return Gone(
        log_format,
        at_ms,
        source.topic,
        source.partition,
        source.offset,
        source.received_at,
        source.generation,
    )


def encode_gone(gone: Gone) -> bytes:
    """A record of the log that says so."""
    line: dict[str, Any] = {"type": GONE, "version": gone.log_format}
    if gone.timestamp_ms:
        line["timestamp"] = iso(gone.timestamp_ms)
    if gone.partition != _NOWHERE:
        line["source"] = Source(
            gone.topic, gone.partition, gone.offset, gone.received_at_ms, gone.generation
        )
    line["logFormat"] = GONE_FORMAT
    return msgspec.json.encode(line)


def _time_of(line: Line) -> int:
    try:
        return timestamp_of(line)
    except Rejected:
        return 0

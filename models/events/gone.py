"""What is left of a record of the log whose content is gone, because its customer was erased: when
it was and where it came from, which is all that other customers of its partition depend on.
"""

from base64 import b64decode, b64encode
from typing import Any

import msgspec
from msgspec import Struct

from models.events.erasure_record import ERASE_REQUESTED
from models.events.event import Source
from models.events.foreign import UNREADABLE
from models.events.rejection import Reason, Rejected
from models.events.times import iso
from models.events.wire import GONE, GONE_FORMAT, LINK_FORMAT, LINK_TYPES, LOG_FORMAT, Line
from models.events.wire import timestamp_ms as timestamp_of

#: In the place of the number of a raw partition for a record that names no source.
_NOWHERE = -1


class Gone(Struct, array_like=True, frozen=True, gc=False):
    """``log_format``: of the record; whether it moved the clock follows from it. ``timestamp_ms``
    is 0 for a record whose time nothing depends on. Then its `Source`; and of a record that erased
    somebody the packed ``grave``.
    """

    log_format: int
    timestamp_ms: int = 0
    topic: str = ""
    partition: int = _NOWHERE
    offset: int = 0
    received_at_ms: int = 0
    generation: str | None = None
    fingerprint: bytes = b""
    grave: bytes = b""


class GoneSaid(Struct, frozen=True, omit_defaults=True):
    """What erased somebody leaves, in base64: a grave, by a fingerprint, and the ``row`` that the
    id begins anew with where others share it.
    """

    fingerprint: str = ""
    grave: str = ""
    row: str = ""


def gone_of(line: Line, at_ms: int | None = None) -> Gone:
    """What is left of ``line``, an event or a link record of the log; ``at_ms``: when it was, if
    that is known.
    """
    if line.type == GONE:
        log_format, at_ms = line.version or LOG_FORMAT, _time_of(line)
    elif line.type in LINK_TYPES or line.event == ERASE_REQUESTED:
        # What tells of persons is no news of the shop, and has no part in its time.
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


def encode_gone(gone: Gone, customer: str = "", row: bytes = b"") -> bytes:
    """A record of the log that says so; ``row``: what ``customer`` begins anew with."""
    line: dict[str, Any] = {"type": GONE, "version": gone.log_format}
    if gone.timestamp_ms:
        line["timestamp"] = iso(gone.timestamp_ms)
    if gone.partition != _NOWHERE:
        line["source"] = Source(
            gone.topic, gone.partition, gone.offset, gone.received_at_ms, gone.generation
        )
    if gone.grave or row:
        texts = (b64encode(part).decode() for part in (gone.fingerprint, gone.grave, row))
        line["properties"] = GoneSaid(*texts)
    if row:
        line["userId"] = customer
    line["logFormat"] = GONE_FORMAT
    return msgspec.json.encode(line)


_SAID = msgspec.json.Decoder(GoneSaid | None)


def left_by(line: Line) -> tuple[bytes, bytes, bytes]:
    """The fingerprint, the grave and the row in such a record, each b"" without. Raises
    ``Rejected`` for what no worker wrote.
    """
    try:
        said = _SAID.decode(line.properties) or GoneSaid()
        fingerprint, grave, row = (
            b64decode(text, validate=True) for text in (said.fingerprint, said.grave, said.row)
        )
    except (ValueError, *UNREADABLE):
        raise _not_ours() from None
    if row and not isinstance(line.user_id, str):
        raise _not_ours()
    return fingerprint, grave, row


def _not_ours() -> Rejected:
    return Rejected(Reason.WRONG_TYPE, "$.properties", "what is left of a record, and no worker's")


def _time_of(line: Line) -> int:
    try:
        return timestamp_of(line)
    except Rejected:
        return 0

"""What remains of a log record whose content is gone because its customer was erased: its time and
its source. Other customers of its partition depend on nothing else of it.
"""

from base64 import b64decode, b64encode
from typing import Any

import msgspec
from msgspec import Struct

from models.events.erasure_record import ERASE_REQUESTED
from models.events.event import Source
from models.events.foreign import UNREADABLE
from models.events.line import GONE, GONE_FORMAT, LINK_FORMAT, LINK_TYPES, LOG_FORMAT, Line
from models.events.rejection import Reason, Rejected
from models.events.times import iso
from models.events.wire import timestamp_ms as timestamp_of

#: Stands in for the raw partition's number in a record without a source.
_NOWHERE = -1


class Gone(Struct, array_like=True, frozen=True, gc=False):
    """``log_format``: the format of the record, which also tells whether it moved the clock.
    ``timestamp_ms``: 0 if nothing depends on the record's time. The next five fields are its
    `Source`. ``grave``: packed, for a record that erased a customer.
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
    """What an erasing record leaves, in base64: the grave of a fingerprint, and the ``row`` with
    which a shared id starts again.
    """

    fingerprint: str = ""
    grave: str = ""
    row: str = ""


def gone_of(line: Line, at_ms: int | None = None) -> Gone:
    """What remains of ``line``, an event or a link record of the log; ``at_ms``: its time, if
    known.
    """
    if line.type == GONE:
        log_format, at_ms = line.version or LOG_FORMAT, _time_of(line)
    elif line.type in LINK_TYPES or line.event == ERASE_REQUESTED:
        # Records about persons are no activity of the shop, so they don't move its clock.
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
    """The log record for what remains; ``row``: the row with which ``customer`` starts again."""
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
    """The fingerprint, the grave and the row in such a record, each b"" if absent. Raises
    ``Rejected`` for a record that no worker wrote.
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

"""Rows in the formats 2 and 3, which earlier releases wrote: read, and never written.

A row was ``[format, checksum of the head, head, parts]``, in format 3 with the rows of a person's
ids behind it. Each part had a checksum of its own, and each large one was compressed by itself.
"""

from typing import Any
from zlib import crc32

import msgspec
from msgspec import Struct

from models.customer.row_formats import RowError, format_of, require_format
from models.events.foreign import UNREADABLE

_APART, _LINKED = 2, 3
_CHECKSUM_BYTES = 4


class Head(Struct, array_like=True):
    """The fields of a row, besides its parts."""

    applied: int
    next_due_ms: int
    latest_ms: int
    messages: bytes
    timers: tuple[tuple[str, int, int], ...]


class EarlierRow(Struct, array_like=True):
    format: int
    checksum: bytes
    head: Head
    parts: dict[str, bytes]
    ids: dict[str, tuple[int, bytes]] | None = None

    def entries(self) -> dict[str, bytes]:
        """The parts without their checksums: their versions and their bytes."""
        return {code: entry[_CHECKSUM_BYTES:] for code, entry in self.parts.items()}


class _Checked(Struct, array_like=True):
    """The same, with the head as the bytes that its checksum covers."""

    format: int
    checksum: bytes
    head: msgspec.Raw
    parts: dict[str, bytes]
    ids: msgspec.Raw = msgspec.Raw(b"")


class _Place(Struct, array_like=True, gc=False):
    """The fields at the beginning of a head: where in the log the row stands, and what is due."""

    applied: int
    next_due_ms: int


class _Headed(Struct, array_like=True, gc=False):
    """The same with no more of the head than its place."""

    format: int
    checksum: bytes
    head: _Place


_ROW = msgspec.msgpack.Decoder(EarlierRow)
_CHECKED = msgspec.msgpack.Decoder(_Checked)
_HEADED = msgspec.msgpack.Decoder(_Headed)


def decode(content: bytes) -> EarlierRow:
    """Read a row. Raises ``RowError`` if it is not one, and as `require_format` does."""
    row: EarlierRow = _decoded(content, _ROW)
    return row


def place_of(content: bytes) -> tuple[int, int]:
    """The applied position, and the earliest timer."""
    place = _decoded(content, _HEADED).head
    return place.applied, place.next_due_ms


def check(content: bytes) -> None:
    """Raise ``RowError`` for a row that was damaged since it was written."""
    checked: _Checked = _decoded(content, _CHECKED)
    # With the codes of the parts, so that a missing or renamed part is noticed.
    checksum = crc32(" ".join(checked.parts).encode(), crc32(checked.head))
    if checked.format == _LINKED:
        # Without ids it would be another format whose number was changed.
        checksum = crc32(checked.ids, checksum) if checked.ids else -1
    if checksum != _number(checked.checksum):
        raise RowError("a row is damaged: its checksum is another")
    for code, entry in checked.parts.items():
        if len(entry) <= _CHECKSUM_BYTES:
            raise RowError("a row is damaged: a part is cut short")
        version, packed = entry[_CHECKSUM_BYTES], entry[_CHECKSUM_BYTES + 1 :]
        if crc32(packed, crc32(f"{code}:{version}".encode())) != _number(entry[:_CHECKSUM_BYTES]):
            raise RowError("a row is damaged: the checksum of a part is another")


def _number(checksum: bytes) -> int:
    return int.from_bytes(checksum) if len(checksum) == _CHECKSUM_BYTES else -1


def _decoded(content: bytes, decoder: Any) -> Any:
    try:
        stored = decoder.decode(content)
    except UNREADABLE as error:
        require_format(format_of(content), "a row")
        raise RowError(f"not a row: {error}") from None
    if stored.format not in (_APART, _LINKED):
        require_format(stored.format, "a row")
        raise RowError(f"not a row: there is no format {stored.format}")
    return stored

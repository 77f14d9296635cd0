"""The bytes of a row in the changelog, and what is read of them without making a row.

A row is ``[format, checksum, applied, next due, latest, messages, timers, apart, together]``,
followed by `StoredIds` for a person with several ids. The checksum covers everything after it. What
recovery needs comes first, and is not compressed. ``apart`` are the parts that most events change,
each packed by itself, so that all others pass through as they are. The others are packed together
and compressed as one, because orders, actions and times recur from part to part. An entry is the
part's version and its bytes.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple
from zlib import crc32

import msgspec
from msgspec import Struct

from models.customer import earlier_rows
from models.customer.dense import Dense
from models.customer.row_formats import (
    ROW_FORMAT,
    RowError,
    require_format,
    require_versions,
)
from models.events.foreign import UNREADABLE

#: Timers as they are stored: (code, due, handled).
StoredTimers = tuple[tuple[str, int, int], ...]
#: Sub-rows as they are stored: since when they are linked, and their bytes, by their ids.
StoredIds = dict[str, tuple[int, bytes]]
_CHECKSUM_BYTES = 4
#: The first bytes of rows, without ids and with them: the number of fields, the format, and the
#: announcement of a checksum.
_LEAD, _LEAD_LINKED = (
    bytes((0x90 | fields, ROW_FORMAT, 0xC4, _CHECKSUM_BYTES)) for fields in (9, 10)
)
_BODY_AT = len(_LEAD) + _CHECKSUM_BYTES
_UINT64 = 0xCF
#: The bytes of a whole number in MessagePack, by the first of them.
_WIDTHS = bytes(
    {0xCC: 2, 0xCD: 3, 0xCE: 5, _UINT64: 9, 0xD0: 2, 0xD1: 3, 0xD2: 5, 0xD3: 9}.get(first, 1)
    for first in range(256)
)


class RowHead(NamedTuple):
    """The fields of a row, besides its parts."""

    applied: int
    next_due_ms: int
    latest_ms: int
    messages: bytes
    timers: StoredTimers


class RowPlace(NamedTuple):
    """Where in the log a row stands, and what is due."""

    applied: int
    next_due_ms: int


class Stored(Struct, array_like=True):
    """A row as it is stored. ``timers`` and ``together`` are compressed, and b"" if empty."""

    format: int
    checksum: bytes
    applied: int
    next_due_ms: int
    latest_ms: int
    messages: bytes
    timers: bytes
    apart: dict[str, bytes]
    together: bytes
    ids: StoredIds | None = None


class _Headed(Struct, array_like=True, gc=False):
    """The first fields of the same."""

    format: int
    checksum: bytes
    applied: int
    next_due_ms: int


_encode = msgspec.msgpack.Encoder().encode
_STORED = msgspec.msgpack.Decoder(Stored)
_HEADED = msgspec.msgpack.Decoder(_Headed)
_TIMERS = msgspec.msgpack.Decoder(StoredTimers)
_PARTS = msgspec.msgpack.Decoder(dict[str, bytes])
#: Compresses timers, and parts that are packed together. The dictionary is named after the row
#: format that it came with.
_DENSE = Dense("row", 4)


def pack_timers(timers: StoredTimers) -> bytes:
    """Timers in the order of their codes, compressed."""
    return _DENSE.compress(_encode(timers)) if timers else b""


def unpack_timers(packed: bytes) -> StoredTimers:
    """The timers. Raises ``RowError``."""
    return _unpacked(packed, _TIMERS, "timers") if packed else ()


def pack_together(parts: Mapping[str, bytes]) -> bytes:
    """Entries of parts in the order of their codes, compressed as one."""
    return _DENSE.compress(_encode(parts)) if parts else b""


def unpack_together(packed: bytes) -> dict[str, bytes]:
    """The entries by code. Raises ``RowError``."""
    return _unpacked(packed, _PARTS, "parts") if packed else {}


def _unpacked(packed: bytes, decoder: Any, what: str) -> Any:
    try:
        return decoder.decode(_DENSE.decompress(packed))
    except (ValueError, *UNREADABLE) as error:
        raise RowError(f"the {what} of a row cannot be read: {error}") from None


def encode_stored(head: tuple[Any, ...], ids: StoredIds | None = None) -> bytes:
    """The bytes of a row. ``head``: the fields from ``applied`` to ``together``. ``ids``: None
    unless the person has several.
    """
    lead, fields = (_LEAD, head) if ids is None else (_LEAD_LINKED, (*head, ids))
    # Without the length of the list, which the lead states.
    body = _encode(fields)[1:]
    return b"%b%b%b" % (lead, crc32(body).to_bytes(_CHECKSUM_BYTES), body)


def decode_stored(content: bytes) -> Stored:
    """Read a row of any format, without verifying checksums. Raises ``RowError`` if it is not a
    row, and as `require_format` does.
    """
    if not _is_present(content):
        return _of_earlier(content)
    stored: Stored = _decoded(content, _STORED)
    return stored


def _is_present(content: bytes) -> bool:
    return content[1:2] == _LEAD[1:2]


def _of_earlier(content: bytes) -> Stored:
    row = earlier_rows.decode(content)
    head = row.head
    return Stored(
        ROW_FORMAT,
        b"",
        head.applied,
        head.next_due_ms,
        head.latest_ms,
        head.messages,
        pack_timers(head.timers),
        row.entries(),
        b"",
        row.ids,
    )


def _decoded(content: bytes, decoder: Any) -> Any:
    try:
        stored = decoder.decode(content)
    except UNREADABLE as error:
        raise RowError(f"not a row: {error}") from None
    require_format(stored.format, "a row")
    return stored


def check_row(content: bytes, versions: Mapping[str, int]) -> RowHead:
    """Verify a row and return its head. ``versions``: those of the parts this release knows.

    Raises ``RowError`` for a damaged row, ``NewerRow`` if a newer release wrote a known part, and
    ``OlderRow`` for a format that is no longer read.
    """
    stored = decode_stored(content)
    if not _is_present(content):
        earlier_rows.check(content)
    elif stored.checksum != crc32(content[_BODY_AT:]).to_bytes(_CHECKSUM_BYTES):
        raise RowError("a row is damaged: its checksum is another")
    _require_known(stored, versions)
    for _, sub in (stored.ids or {}).values():
        check_row(sub, versions)
    timers = unpack_timers(stored.timers)
    return RowHead(stored.applied, stored.next_due_ms, stored.latest_ms, stored.messages, timers)


def require_known(content: bytes, versions: Mapping[str, int]) -> None:
    """Refuse a row as `check_row` does, but without verifying its checksum: for bytes that another
    checksum has already covered.
    """
    stored = decode_stored(content)
    _require_known(stored, versions)
    for _, sub in (stored.ids or {}).values():
        require_known(sub, versions)


def _require_known(stored: Stored, versions: Mapping[str, int]) -> None:
    require_versions(stored.apart, 0, versions)
    require_versions(unpack_together(stored.together), 0, versions)


def place_of(content: bytes) -> RowPlace:
    """Where a packed row stands, read without its parts; ``next_due_ms`` is 0 for no timer."""
    if not _is_present(content):
        return RowPlace(*earlier_rows.place_of(content))
    found = _decoded(content, _HEADED)
    return RowPlace(found.applied, found.next_due_ms)


def next_due_ms_of(content: bytes) -> int:
    """The earliest timer of a packed row that was checked when it was read; 0 for none."""
    if content[1] == ROW_FORMAT:
        at = _BODY_AT + _WIDTHS[content[_BODY_AT]]
        if content[at] == _UINT64:
            return int.from_bytes(content[at + 1 : at + 9])
    return place_of(content).next_due_ms

"""Keeps packed rows in a scratch file instead of memory, for more customers than fit into memory.

The file has no name, is private to the process and ends with it: rows are recovered from the
changelog, never from here. The system keeps as much of it as fits in the page cache, from which a
row is read in microseconds.
"""

import errno
import os
import tempfile
import weakref
from collections.abc import Iterator, Mapping, MutableMapping
from pathlib import Path

#: Rows grow a little and often; a row that still fits its slots is overwritten in place.
SLOT_BYTES = 512
_LENGTH_BITS = 32
_LENGTH_MASK = (1 << _LENGTH_BITS) - 1


class RowFileError(RuntimeError):
    """The scratch file cannot be used; the message says why and what to do. Nothing is lost."""


class RowFile(MutableMapping[str, bytes]):
    """Rows by customer, in a file without a name in ``directory``. Raises `RowFileError`.

    Only places are in memory, each as one number: the row's first slot and its length. A row that
    no longer fits moves to free slots of a row of about its size, or to the end. So the file is as
    large as the rows at their largest, and is never rewritten.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        try:
            with tempfile.TemporaryFile(dir=directory) as file:
                self._file = os.dup(file.fileno())
        except OSError as error:
            raise self._told(error) from None
        weakref.finalize(self, os.close, self._file)
        self._places: dict[str, int] = {}
        #: Free slots, by how many are together.
        self._free: dict[int, list[int]] = {}
        self._end = 0
        self.packed_bytes = 0

    def __len__(self) -> int:
        return len(self._places)

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __contains__(self, customer: object) -> bool:
        return customer in self._places

    def __getitem__(self, customer: str) -> bytes:
        place = self._places[customer]
        length = place & _LENGTH_MASK
        try:
            content = os.pread(self._file, length, (place >> _LENGTH_BITS) * SLOT_BYTES)
        except OSError as error:
            raise self._told(error) from None
        if len(content) != length:
            raise self._told(OSError(errno.EIO, "a row was cut short"))
        return content

    def __setitem__(self, customer: str, packed: bytes) -> None:
        before, length = self._places.get(customer), len(packed)
        needed = _slots_of(length)
        if before is not None and _slots_of(before & _LENGTH_MASK) == needed:
            slot = before >> _LENGTH_BITS
        else:
            slot = self._free_slot(needed)
        self._write(packed, slot * SLOT_BYTES)
        if before is not None:
            self.packed_bytes -= before & _LENGTH_MASK
            if before >> _LENGTH_BITS != slot:
                self._leave(before)
        self._places[customer] = slot << _LENGTH_BITS | length
        self.packed_bytes += length

    def __delitem__(self, customer: str) -> None:
        place = self._places.pop(customer)
        self.packed_bytes -= place & _LENGTH_MASK
        self._leave(place)

    def _free_slot(self, needed: int) -> int:
        if left := self._free.get(needed):
            return left.pop()
        slot, self._end = self._end, self._end + needed
        return slot

    def _leave(self, place: int) -> None:
        # Nothing remains of an erased customer, not even where their row once was.
        slots, slot = _slots_of(place & _LENGTH_MASK), place >> _LENGTH_BITS
        self._write(bytes(slots * SLOT_BYTES), slot * SLOT_BYTES)
        self._free.setdefault(_slots_of(place & _LENGTH_MASK), []).append(place >> _LENGTH_BITS)

    def _write(self, packed: bytes, at: int) -> None:
        try:
            written = os.pwrite(self._file, packed, at)
            while written < len(packed):
                written += os.pwrite(self._file, packed[written:], at + written)
        except OSError as error:
            raise self._told(error) from None

    def _told(self, error: OSError) -> RowFileError:
        return RowFileError(
            f"rows cannot be kept in {self._directory} ({error.strerror}): make room or set "
            f"KEEPSTREAM_ROWS_DIR to another directory (unset, rows are kept in memory), then "
            f"start the worker again. Nothing is lost: rows are read from the changelog"
        )


def _slots_of(length: int) -> int:
    return -(-length // SLOT_BYTES)


def packed_bytes_of(rows: Mapping[str, bytes]) -> int:
    """The bytes of all rows."""
    known: int | None = getattr(rows, "packed_bytes", None)
    return sum(map(len, rows.values())) if known is None else known

"""Sorts any number of records by event time, in bounded memory."""

import struct
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from heapq import merge
from tempfile import TemporaryFile
from typing import IO, Final, NamedTuple, Self

import msgspec

#: Bytes of records sorted in memory; beyond that they are sorted on disk.
MEMORY_BYTES_MAX: Final = 64 * 1024 * 1024
#: Sorted runs on disk; when there are more, they are merged into one.
RUNS_MAX: Final = 64
_BUFFER_BYTES: Final = 256 * 1024
#: Memory that a record takes besides its bytes.
_RECORD_BYTES: Final = 200
_LENGTH = struct.Struct(">I")


class Timed(NamedTuple):
    """A record for a raw topic; ``number`` orders records of the same time."""

    occurred_at_ms: int
    number: int
    topic: str
    key: bytes
    value: bytes


_TIMED = msgspec.msgpack.Decoder(Timed)


class TimeOrder:
    """Takes records in any order and returns them in the order of time; records of the same time
    keep their order. Use it as a context manager: what does not fit in memory is in temporary
    files.
    """

    def __init__(self, memory_bytes_max: int = MEMORY_BYTES_MAX) -> None:
        self._memory_bytes_max = memory_bytes_max
        self._files = ExitStack()
        self._runs: list[IO[bytes]] = []
        self._held: list[Timed] = []
        self._held_bytes = 0
        self._latest_ms = 0
        self.earlier = 0
        self.total = 0

    def add(self, occurred_at_ms: int, topic: str, key: bytes, value: bytes) -> None:
        """Take a record; ``earlier`` counts those that came after a record of a later time."""
        self.total += 1
        self.earlier += occurred_at_ms < self._latest_ms
        self._latest_ms = max(self._latest_ms, occurred_at_ms)
        self._held.append(Timed(occurred_at_ms, self.total, topic, key, value))
        self._held_bytes += len(key) + len(value) + _RECORD_BYTES
        if self._held_bytes > self._memory_bytes_max:
            self._spill()

    def __iter__(self) -> Iterator[Timed]:
        self._held.sort()
        return merge(*map(_read, self._runs), self._held)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._files.close()

    def _spill(self) -> None:
        self._held.sort()
        self._runs.append(self._written(self._held))
        self._held, self._held_bytes = [], 0
        if len(self._runs) >= RUNS_MAX:
            together = self._written(merge(*map(_read, self._runs)))
            for run in self._runs:
                run.close()
            self._runs = [together]

    def _written(self, records: Iterable[Timed]) -> IO[bytes]:
        file = self._files.enter_context(TemporaryFile("w+b", _BUFFER_BYTES))  # noqa: SIM115 - is one
        for record in records:
            content = msgspec.msgpack.encode(record)
            file.write(_LENGTH.pack(len(content)))
            file.write(content)
        file.flush()
        return file


def _read(run: IO[bytes]) -> Iterator[Timed]:
    run.seek(0)
    while length := run.read(_LENGTH.size):
        yield _TIMED.decode(run.read(_LENGTH.unpack(length)[0]))

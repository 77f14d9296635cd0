"""Writes files of the lines that an interrupted publication did not get into the log."""

from collections.abc import Iterable
from pathlib import Path
from typing import IO, NamedTuple, Self

from streams.publisher import Sent
from streams.refused_lines import path_beside

UNPUBLISHED = ".unpublished.jsonl"
UNKNOWN = ".unknown.jsonl"


class Unpublished(NamedTuple):
    """Lines that were kept, and where: those that may be published again, and those of which nobody
    knows whether they were published.
    """

    lines: int = 0
    path: Path | None = None
    unknown: int = 0
    unknown_path: Path | None = None


def keep_unpublished(path: str, unknown: Iterable[Sent], rest: Iterable[bytes]) -> Unpublished:
    """Write lines that may not be in the log to files beside ``path``.

    An event with a messageId counts once, so it may be published again even if it is in the log.
    Events without one are kept apart.
    """
    kept, apart = _Lines(path_beside(path, UNPUBLISHED)), _Lines(path_beside(path, UNKNOWN))
    with kept, apart:
        for record in unknown:
            (kept if record.counts_once else apart).add(record.value)
        for value in rest:
            kept.add(value)
    return Unpublished(
        kept.count,
        kept.path if kept.count else None,
        apart.count,
        apart.path if apart.count else None,
    )


class _Lines:
    """A file that is made for its first line, and appears when it is complete."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.count = 0
        self._part = path.with_name(path.name + ".part")
        self._file: IO[bytes] | None = None

    def add(self, line: bytes) -> None:
        if self._file is None:
            self._file = self._part.open("wb")
        self._file.write(line + b"\n")
        self.count += 1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()
            self._part.replace(self.path)

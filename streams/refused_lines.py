"""Writes the lines that were refused, each with its reason, to a file."""

import os
from pathlib import Path
from typing import IO, Self

from models.events.refused_line import refused_line
from models.events.rejection import Rejected

SUFFIX = ".refused.jsonl"


def refused_path(path: str) -> Path:
    """Where the refused lines of ``path`` go."""
    return path_beside(path, SUFFIX)


def path_beside(path: str, suffix: str) -> Path:
    """Where lines of ``path`` are kept: beside it. In the working folder for standard input, for a
    pipe, and where writing isn't allowed.
    """
    if path == "-":
        return Path("stdin" + suffix)
    beside = Path(path + suffix)
    is_file = Path(path).is_file() and not path.startswith(("/dev/", "/proc/"))
    return beside if is_file and os.access(beside.parent, os.W_OK) else Path(beside.name)


class RefusedLines:
    """Writes refused lines; the file appears, complete, when the block ends without an error.

    With ``is_added_to`` the file keeps its earlier lines, for input that can't be read again.
    Without a refused line no file is made.
    """

    def __init__(self, path: Path, *, is_added_to: bool = False) -> None:
        self.path = path
        self.count = 0
        self._is_added_to = is_added_to
        self._part = path if is_added_to else path.with_name(path.name + ".part")
        self._file: IO[bytes] | None = None

    def add(self, raw: bytes, number: int, rejected: Rejected) -> None:
        if self._file is None:
            self._file = self._part.open("ab" if self._is_added_to else "wb")
        self._file.write(refused_line(raw, number, rejected) + b"\n")
        self.count += 1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if self._file is None:
            return
        self._file.close()
        if self._is_added_to:
            return
        if kind is None:
            self._part.replace(self.path)
        else:
            self._part.unlink()

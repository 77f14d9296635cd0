"""Reads JSON lines from a file, a gzip file or standard input, with little memory."""

import gzip
import io
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, Self

# A little under 1 MiB: a broker's default limit is 1 MiB for a record with its header.
LINE_BYTES_MAX = 1024 * 1024 - 1024

_READ_AHEAD_BYTES = 256 * 1024
_GZIP_MAGIC = b"\x1f\x8b"
#: First bytes of formats that are not text, and what to do with them.
_FOREIGN = {
    b"PAR1": "Parquet: write it as JSON lines first",
    b"PK\x03\x04": "a ZIP archive: unpack it first",
    b"BZh": "bzip2: use `bzcat FILE | …` and - for the file",
    b"\xfd7zXZ": "xz: use `xzcat FILE | …` and - for the file",
    b"\x28\xb5\x2f\xfd": "Zstandard: use `zstdcat FILE | …` and - for the file",
    b"\xff\xfe": "UTF-16: use `iconv -f UTF-16 -t UTF-8 FILE | …` and - for the file",
    b"\xfe\xff": "UTF-16: use `iconv -f UTF-16 -t UTF-8 FILE | …` and - for the file",
}
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
#: This many lines without an object are no accident.
_FOREIGN_LINES_MIN = 5


class InputError(OSError):
    """A file can't be read, or not to its end; the message says which and why."""


def foreign_format(head: bytes) -> str | None:
    """What a file with this beginning is, and what to do with it; None if it may be JSON lines."""
    for magic, words in _FOREIGN.items():
        if head.startswith(magic):
            return words
    lines = [line.strip() for line in head.removeprefix(_BYTE_ORDER_MARK).split(b"\n")]
    # The last line may be cut off.
    filled = [line for line in lines[:-1] if line] or [line for line in lines if line]
    if not filled:
        return None
    if filled[0].startswith(b"[") and b"".join(filled[:2])[1:].lstrip().startswith(b"{"):
        return "one JSON array: use `jq -c '.[]' FILE | …` and - for the file"
    if filled[0] == b"{" and b"".join(filled[1:2]).startswith(b'"'):
        return "JSON over many lines: use `jq -c . FILE | …` and - for the file"
    if len(filled) >= _FOREIGN_LINES_MIN and b"{" not in head:
        is_table = any(mark in filled[0] for mark in (b"\t", b",", b";"))
        kind = "what looks like CSV" if is_table else "text"
        return (
            f"{kind}: write each row as an event, as docs/publishing.md#from-a-table does; "
            f"`keepstream schema NAME` shows its fields"
        )
    return None


class JsonLines:
    """The lines of `path` without their line ends; `-` is standard input.

    A line over the limit is cut to one byte over it, so that the reader can see that it is too
    long without holding all of it. Gzip is recognised by its first bytes.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        try:
            # `close` closes it: it is read for as long as this object is.
            raw = sys.stdin.buffer if path == "-" else Path(path).open("rb", 0)  # noqa: SIM115
        except OSError as error:
            raise InputError(_unreadable(path, error)) from None
        self._raw = _CountingReader(raw, closes=path != "-")
        self._damage: Exception | None = None
        self._lines: io.BufferedReader[Any] = io.BufferedReader(self._raw, _READ_AHEAD_BYTES)
        try:
            if self._lines.peek(2)[:2] == _GZIP_MAGIC:
                inflated = gzip.GzipFile(fileobj=self._lines)
                self._lines = io.BufferedReader(inflated, _READ_AHEAD_BYTES)
            head = self._head()
        except OSError as error:
            self.close()
            raise InputError(_unreadable(path, error)) from None
        if found := foreign_format(head):
            self.close()
            raise InputError(f"{path}: no JSON lines, one event each, but {found}")

    @property
    def bytes_read(self) -> int:
        """Bytes read from the file so far, before decompression."""
        return self._raw.count

    def _head(self) -> bytes:
        """The beginning as far as it can be seen; empty for a damaged file, reported later."""
        try:
            return self._lines.peek(_READ_AHEAD_BYTES)
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            # Reading on would begin after the damage: a file cut off in its header would be empty.
            self._damage = error
            return b""

    def __iter__(self) -> Iterator[bytes]:
        readline = self._lines.readline
        number = 0
        try:
            if self._damage is not None:
                raise self._damage
            while line := readline(LINE_BYTES_MAX + 2):
                number += 1
                if len(line) > LINE_BYTES_MAX + 1 and not line.endswith(b"\n"):
                    self._skip_rest_of_line()
                yield line.rstrip(b"\r\n")[: LINE_BYTES_MAX + 1]
        except (OSError, EOFError, zlib.error) as error:
            reason = str(error).rstrip(".")
            place = f"after line {number:,}" if number else "at its beginning"
            raise InputError(f"{self.path}: damaged {place} ({reason})") from None

    def close(self) -> None:
        self._lines.close()
        self._raw.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _skip_rest_of_line(self) -> None:
        while rest := self._lines.readline(64 * 1024):
            if rest.endswith(b"\n"):
                return


class _CountingReader(io.RawIOBase):
    """Counts the bytes read; works for sources without a position, such as pipes, too."""

    def __init__(self, source: IO[bytes], *, closes: bool) -> None:
        self._source = source
        self._closes = closes
        self.count = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "bytearray | memoryview") -> int:  # type: ignore[override]
        # As much as one system call gives, so that a pipe's lines are published as they come.
        read_some = getattr(self._source, "read1", self._source.read)
        chunk = read_some(len(buffer))
        buffer[: len(chunk)] = chunk
        self.count += len(chunk)
        return len(chunk)

    def close(self) -> None:
        if self._closes:
            self._source.close()
        super().close()


def _unreadable(path: str, error: OSError) -> str:
    fix = f": name the files in it, for example {path}/*.jsonl" if Path(path).is_dir() else ""
    return f"{path}: can't read it ({error.strerror}){fix}"

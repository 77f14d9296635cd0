"""What an audit must remember of whole topics: on disk, so that memory stays flat."""

import mmap
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from hashlib import blake2b
from pathlib import Path
from typing import IO, Any, NamedTuple, Self

from config.topics import LABELLED_EXAMPLES
from models.events.event import Source

_DIGEST_BYTES = 8
_ENTRY_BYTES = 2 * _DIGEST_BYTES + 1

#: Where a raw record was found; the marks of one record are added up.
IN_LOG, IN_LETTERS, DROPPED = 1, 2, 4
_ABSENT = 128
#: The digest of a record that ingest must refuse.
REFUSED = bytes(_DIGEST_BYTES)


def digest_of(content: bytes, place: int = 0) -> bytes:
    """A short digest of ``content`` at ``place``; never that of a refused record."""
    digest = blake2b(
        content, digest_size=_DIGEST_BYTES, salt=place.to_bytes(8, "big", signed=True)
    ).digest()
    return digest if digest != REFUSED else b"\1" * _DIGEST_BYTES


def scratch_tables(directory: Path | None, name: str, tables: str) -> sqlite3.Connection:
    """Empty ``tables`` in a file in ``directory``, or in memory without one.

    The file goes with the directory, so nothing of it must survive a crash.
    """
    place = ":memory:" if directory is None else directory / name
    db = sqlite3.connect(place, isolation_level=None)
    db.executescript("PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF;" + tables)
    return db


class RawFates:
    """What must become of every record of one partition of a raw topic, and where it was found:
    17 bytes a record, in a file. ``generation`` tells the topic from others that had its name.
    """

    def __init__(
        self, directory: Path, name: str, begin: int, end: int, generation: str | None = None
    ) -> None:
        self.begin, self.end, self.generation = begin, end, generation
        self._file: IO[bytes] = (directory / name).open("w+b")
        # Zeros, which a file system needn't store: a record that is never set is absent.
        self._file.truncate(max(1, (end - begin) * _ENTRY_BYTES))
        self._entries = mmap.mmap(self._file.fileno(), 0)

    def close(self) -> None:
        self._entries.close()
        self._file.close()

    def has(self, source: Source) -> bool:
        """Whether the record that ``source`` names is here. A release that knew no generations
        means this topic.
        """
        is_ours = source.generation in (None, self.generation)
        return is_ours and self.begin <= source.offset < self.end

    def expect(self, offset: int, digest: bytes, earlier: bytes = REFUSED) -> None:
        """Note what ingest must make of the record at ``offset``, and what an earlier release made
        of it.
        """
        at = (offset - self.begin) * _ENTRY_BYTES
        self._entries[at : at + _ENTRY_BYTES] = digest + b"\0" + earlier

    def is_of_earlier(self, offset: int, digest: bytes) -> bool:
        """Whether an earlier release made this of the record."""
        at = (offset - self.begin) * _ENTRY_BYTES + _DIGEST_BYTES + 1
        return self._entries[at : at + _DIGEST_BYTES] == digest

    def mark(self, offset: int, mark: int) -> bytes:
        """Note where the record was found; return what it must be."""
        at = (offset - self.begin) * _ENTRY_BYTES
        self._entries[at + _DIGEST_BYTES] |= mark
        return self._entries[at : at + _DIGEST_BYTES]

    def marks(self, offset: int) -> int:
        """Where the record was found so far."""
        return self._entries[(offset - self.begin) * _ENTRY_BYTES + _DIGEST_BYTES]

    def __iter__(self) -> Iterator[tuple[int, bytes, int]]:
        """(offset, what it must be, where it was found) of every record."""
        for offset in range(self.begin, self.end):
            at = (offset - self.begin) * _ENTRY_BYTES
            entry = self._entries[at : at + _ENTRY_BYTES]
            yield offset, entry[:_DIGEST_BYTES], entry[_DIGEST_BYTES]


class Effect(NamedTuple):
    """An effect on its topic: what names it, and a digest of what it says."""

    topic: str
    id: str
    digest: bytes


class Contrast(NamedTuple):
    """How often effects of a partition were missing, extra, different or deleted by retention, and
    the first few (topic, id) of each.
    """

    missing: list[tuple[str, str]]
    extra: list[tuple[str, str]]
    different: list[tuple[str, str]]
    expired: dict[str, int]


_TABLES = """
CREATE TABLE written (
    topic TEXT, partition INT, id TEXT, digest BLOB, nth INT,
    PRIMARY KEY (partition, topic, id, digest)
) WITHOUT ROWID;
CREATE TABLE expected (
    topic TEXT, id TEXT, digest BLOB, offset INT, is_due INT,
    PRIMARY KEY (topic, id)
) WITHOUT ROWID;
CREATE TEMP TABLE cut (topic TEXT, since INT);
CREATE TEMP TABLE first_counts (topic TEXT);
"""
_MISSING = """
SELECT e.topic, e.id FROM expected e
WHERE e.is_due AND NOT EXISTS (
    SELECT 1 FROM written w WHERE w.partition = :p AND w.topic = e.topic AND w.id = e.id
) AND (e.topic NOT IN (SELECT topic FROM cut) OR e.offset >= (SELECT since FROM cut c
    WHERE c.topic = e.topic))
ORDER BY e.offset
"""
_EXPIRED = """
SELECT e.topic, count(*) FROM expected e JOIN cut c ON c.topic = e.topic AND e.offset < c.since
WHERE e.is_due AND NOT EXISTS (
    SELECT 1 FROM written w WHERE w.partition = :p AND w.topic = e.topic AND w.id = e.id
) GROUP BY e.topic
"""
_EXTRA = """
SELECT w.topic, w.id FROM written w
WHERE w.partition = :p AND NOT EXISTS (
    SELECT 1 FROM expected e WHERE e.topic = w.topic AND e.id = w.id
) ORDER BY w.topic, w.nth
"""
_DIFFERENT = """
SELECT e.topic, e.id FROM expected e
JOIN written w ON w.partition = :p AND w.topic = e.topic AND w.id = e.id
WHERE w.digest <> e.digest AND (e.topic NOT IN (SELECT topic FROM first_counts) OR w.nth = (
    SELECT min(v.nth) FROM written v WHERE v.partition = :p AND v.topic = e.topic AND v.id = e.id
)) ORDER BY e.offset
"""
#: Where the first record that is still there belongs: what the log asks for before it was deleted.
_CUT = """
INSERT INTO cut SELECT :topic, coalesce((
    SELECT e.offset FROM written w JOIN expected e ON e.topic = w.topic AND e.id = w.id
    WHERE w.partition = :p AND w.topic = :topic ORDER BY w.nth LIMIT 1
), 9223372036854775807)
"""


class EffectSpool:
    """What was found on the topics of effects, and what the log asks for, a partition at a time."""

    def __init__(self, directory: Path | None) -> None:
        """In a file in ``directory``, or in memory without one."""
        self._db = scratch_tables(directory, "effects", _TABLES)
        self._nth = 0
        # Read again after a crash, a record may teach less, under the numbers of what it had
        # taught: the trainer drops it, by its place.
        self._db.execute("INSERT INTO first_counts VALUES (?)", [LABELLED_EXAMPLES])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._db.close()

    def found(self, partition: int, effects: Iterable[Effect]) -> None:
        """Note effects that are on their topics, in their order; repeats do no harm."""
        rows = []
        for topic, name, digest in effects:
            self._nth += 1
            rows.append((topic, partition, name, digest, self._nth))
        self._insert("INSERT OR IGNORE INTO written VALUES (?,?,?,?,?)", rows)

    def expect(self, effects: Iterable[tuple[Effect, int, bool]]) -> None:
        """Note effects that the log asks for: (effect, offset, whether it must be there by now)."""
        rows = [(*effect, offset, is_due) for effect, offset, is_due in effects]
        self._insert("INSERT OR IGNORE INTO expected VALUES (?,?,?,?,?)", rows)

    def contrast(self, partition: int, cut_topics: Iterable[str]) -> Contrast:
        """Compare what was found for ``partition`` with what was expected, and forget the latter.

        ``cut_topics``: topics whose first records were deleted.
        """
        for topic in cut_topics:
            self._db.execute(_CUT, {"topic": topic, "p": partition})
        contrast = Contrast(
            missing=self._rows(_MISSING, partition),
            extra=self._rows(_EXTRA, partition),
            different=self._rows(_DIFFERENT, partition),
            expired=dict(self._rows(_EXPIRED, partition)),
        )
        self.forget()
        return contrast

    def forget(self) -> None:
        """Forget what was expected."""
        self._db.execute("DELETE FROM expected")
        self._db.execute("DELETE FROM cut")

    def _rows(self, query: str, partition: int) -> list[Any]:
        with closing(self._db.execute(query, {"p": partition})) as rows:
            return rows.fetchall()

    def _insert(self, statement: str, rows: Sequence[tuple[object, ...]]) -> None:
        if rows:
            self._db.execute("BEGIN")
            self._db.executemany(statement, rows)
            self._db.execute("COMMIT")

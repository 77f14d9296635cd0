"""Keeps on disk what an audit must remember of whole topics, so that memory stays flat."""

import mmap
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from hashlib import blake2b
from itertools import groupby
from pathlib import Path
from typing import IO, Any, NamedTuple, Self

from config.topics import LABELLED_EXAMPLES
from models.events.event import Source

_DIGEST_BYTES = 8
_ENTRY_BYTES = 2 * _DIGEST_BYTES + 1

#: Where a raw record was found, as bit flags.
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

    The file is deleted with the directory; nothing in it needs to survive a crash.
    """
    place = ":memory:" if directory is None else directory / name
    db = sqlite3.connect(place, isolation_level=None)
    db.executescript("PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF;" + tables)
    return db


class RawFates:
    """What must become of every record of one partition of a raw topic, and where it was found:
    17 bytes a record, in a file. ``generation`` tells this topic from earlier ones of that name.
    """

    def __init__(
        self, directory: Path, name: str, begin: int, end: int, generation: str | None = None
    ) -> None:
        self.begin, self.end, self.generation = begin, end, generation
        self._file: IO[bytes] = (directory / name).open("w+b")
        # Zeros, which a file system needn't store: a record that is never set counts as absent.
        self._file.truncate(max(1, (end - begin) * _ENTRY_BYTES))
        self._entries = mmap.mmap(self._file.fileno(), 0)

    def close(self) -> None:
        self._entries.close()
        self._file.close()

    def has(self, source: Source) -> bool:
        """Whether the record that ``source`` names is here. A source without a generation, from an
        older release, means this topic.
        """
        is_ours = source.generation in (None, self.generation)
        return is_ours and self.begin <= source.offset < self.end

    def expect(self, offset: int, digest: bytes, earlier: bytes = REFUSED) -> None:
        """Note what ingest must make of the record at ``offset``, and what an older release made of
        it.
        """
        at = (offset - self.begin) * _ENTRY_BYTES
        self._entries[at : at + _ENTRY_BYTES] = digest + b"\0" + earlier

    def is_of_earlier(self, offset: int, digest: bytes) -> bool:
        """Whether an older release made this of the record."""
        at = (offset - self.begin) * _ENTRY_BYTES + _DIGEST_BYTES + 1
        return self._entries[at : at + _DIGEST_BYTES] == digest

    def mark(self, offset: int, mark: int) -> bytes:
        """Note where the record was found; return the digest of what it must become."""
        at = (offset - self.begin) * _ENTRY_BYTES
        self._entries[at + _DIGEST_BYTES] |= mark
        return self._entries[at : at + _DIGEST_BYTES]

    def marks(self, offset: int) -> int:
        """Where the record was found so far."""
        return self._entries[(offset - self.begin) * _ENTRY_BYTES + _DIGEST_BYTES]

    def __iter__(self) -> Iterator[tuple[int, bytes, int]]:
        """(offset, digest of what it must become, where it was found) of every record."""
        for offset in range(self.begin, self.end):
            at = (offset - self.begin) * _ENTRY_BYTES
            entry = self._entries[at : at + _ENTRY_BYTES]
            yield offset, entry[:_DIGEST_BYTES], entry[_DIGEST_BYTES]


class Effect(NamedTuple):
    """An effect on its topic: its name, and a digest of its content. ``whose``: the fingerprint of
    its customer, if it names one. ``offset``: of a lesson, the record of the log that caused it.
    """

    topic: str
    id: str
    digest: bytes
    whose: bytes = b""
    offset: int = -1


class Contrast(NamedTuple):
    """How often effects of a partition were missing, extra, different or deleted by retention, and
    the first few (topic, id) of each.
    """

    missing: list[tuple[str, str]]
    extra: list[tuple[str, str]]
    different: list[tuple[str, str]]
    expired: dict[str, int]
    #: How many extra effects may be of customers who were erased.
    of_erased: int = 0


_TABLES = """
CREATE TABLE written (
    topic TEXT, partition INT, id TEXT, digest BLOB, whose BLOB, place INT, nth INT,
    PRIMARY KEY (partition, topic, id, digest)
) WITHOUT ROWID;
CREATE TABLE expected (
    topic TEXT, id TEXT, digest BLOB, offset INT, is_due INT,
    PRIMARY KEY (topic, id)
) WITHOUT ROWID;
CREATE INDEX written_by_place ON written (partition, place) WHERE place >= 0;
CREATE TABLE loose (offset INT PRIMARY KEY);
CREATE TABLE letters_of_gone (id TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TEMP TABLE buried (whose BLOB PRIMARY KEY) WITHOUT ROWID;
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
#: Extra effects that may be of customers who were erased, and extra effects that may not.
_OF_ERASED = """
w.whose IN (SELECT whose FROM buried) OR w.place IN (SELECT offset FROM loose)
OR w.id IN (SELECT id FROM letters_of_gone)
"""
_EXTRA_OF_OTHERS = _EXTRA.replace(") ORDER BY", f") AND NOT ({_OF_ERASED}) ORDER BY")
_LESSONS_FOUND = """
SELECT w.place, w.id, w.digest, min(w.nth) FROM written w
WHERE w.partition = :p AND w.place >= 0 GROUP BY w.id ORDER BY w.place
"""
_LESSONS_EXPECTED = """
SELECT e.offset, e.id, e.digest, e.is_due AND e.offset >= coalesce((
    SELECT since FROM cut c WHERE c.topic = e.topic), 0)
FROM expected e WHERE e.topic = :topic ORDER BY e.offset
"""
#: Where the first remaining record belongs: effects before it were deleted by retention.
_CUT = """
INSERT INTO cut SELECT :topic, coalesce((
    SELECT e.offset FROM written w JOIN expected e ON e.topic = w.topic AND e.id = w.id
    WHERE w.partition = :p AND w.topic = :topic ORDER BY w.nth LIMIT 1
), 9223372036854775807)
"""


class EffectSpool:
    """The effects found on their topics, and those that the log asks for, one partition at a
    time.
    """

    def __init__(self, directory: Path | None) -> None:
        """Keep them in a file in ``directory``, or in memory without one."""
        self._db = scratch_tables(directory, "effects", _TABLES)
        self._nth = 0
        # Read again after a crash, a record may teach less than the first time, under the same
        # numbers. The trainer drops the repeat by its place, so the first one counts.
        self._db.execute("INSERT INTO first_counts VALUES (?)", [LABELLED_EXAMPLES])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._db.close()

    def found(self, partition: int, effects: Iterable[Effect]) -> None:
        """Note effects found on their topics, in order; repeats do no harm."""
        rows = []
        for topic, name, digest, whose, place in effects:
            self._nth += 1
            rows.append((topic, partition, name, digest, whose, place, self._nth))
        self._insert("INSERT OR IGNORE INTO written VALUES (?,?,?,?,?,?,?)", rows)

    def expect(self, effects: Iterable[tuple[Effect, int, bool]]) -> None:
        """Note effects that the log asks for: (effect, offset, whether it must exist by now)."""
        rows = [(*effect[:3], offset, is_due) for effect, offset, is_due in effects]
        self._insert("INSERT OR IGNORE INTO expected VALUES (?,?,?,?,?)", rows)

    def contrast(self, partition: int, cut_topics: Iterable[str]) -> Contrast:
        """Compare what was found for ``partition`` with what was expected, and forget the latter.

        ``cut_topics``: topics whose first records were deleted.
        """
        self._find_cuts(partition, cut_topics)
        contrast = Contrast(
            missing=self._rows(_MISSING, partition),
            extra=self._rows(_EXTRA, partition),
            different=self._rows(_DIFFERENT, partition),
            expired=dict(self._rows(_EXPIRED, partition)),
        )
        self.forget()
        return contrast

    def loosen(self, offset: int, letter: str | None = None) -> None:
        """Allow any effect of the record at ``offset``, and the dead letter named ``letter``: what
        the record caused can't be known, because its content, or that of customers who were due
        then, is gone.
        """
        self._db.execute("INSERT OR IGNORE INTO loose VALUES (?)", [offset])
        if letter is not None:
            self._db.execute("INSERT OR IGNORE INTO letters_of_gone VALUES (?)", [letter])

    def contrast_beside_gone(
        self, partition: int, cut_topics: Iterable[str], buried: Iterable[bytes], last_erased: int
    ) -> Contrast:
        """`contrast` for a log in which the content of some records is gone.

        Extra effects are allowed if they are of ``buried`` customers, or of loosened records up to
        ``last_erased``.
        """
        self._db.executemany("INSERT INTO buried VALUES (?)", [(one,) for one in buried])
        self._db.execute("DELETE FROM loose WHERE offset > ?", [last_erased])
        lessons = self._lessons_beside_gone(partition, cut_topics)
        extra = self._rows(_EXTRA_OF_OTHERS, partition)
        contrast = self.contrast(partition, cut_topics)
        of_erased = len(contrast.extra) - len(extra)
        return contrast._replace(
            missing=[*_but_lessons(contrast.missing), *lessons.missing],
            extra=[*_but_lessons(extra), *lessons.extra],
            different=_but_lessons(contrast.different),
            of_erased=of_erased,
        )

    def _lessons_beside_gone(self, partition: int, cut_topics: Iterable[str]) -> Contrast:
        """Compare lessons in their order only: the unknown lessons of erased customers stand among
        the others of a record and shift their numbers.
        """
        missing: list[tuple[str, str]] = []
        extra: list[tuple[str, str]] = []
        self._find_cuts(partition, set(cut_topics) & {LABELLED_EXAMPLES})
        found = groupby(self._each(_LESSONS_FOUND, {"p": partition}), key=_place)
        asked = self._each(_LESSONS_EXPECTED, {"topic": LABELLED_EXAMPLES})
        for place, theirs, ours in _side_by_side(found, groupby(asked, key=_place)):
            lost, beside = _not_in_order(sorted(theirs, key=_number), sorted(ours, key=_number))
            missing += [(LABELLED_EXAMPLES, name) for name in lost]
            if beside and not self._is_loose(place):
                extra += [(LABELLED_EXAMPLES, name) for name in beside]
        self._db.execute("DELETE FROM cut")
        return Contrast(missing, extra, [], {})

    def _is_loose(self, place: int) -> bool:
        found = self._db.execute("SELECT 1 FROM loose WHERE offset = ?", [place])
        return found.fetchone() is not None

    def _each(self, query: str, values: dict[str, object]) -> Iterator[Any]:
        with closing(self._db.execute(query, values)) as rows:
            yield from rows

    def forget(self) -> None:
        """Forget what was expected."""
        for table in ("expected", "cut", "loose", "letters_of_gone", "buried"):
            self._db.execute(f"DELETE FROM {table}")  # noqa: S608 - names of our own

    def _find_cuts(self, partition: int, cut_topics: Iterable[str]) -> None:
        for topic in cut_topics:
            self._db.execute(_CUT, {"topic": topic, "p": partition})

    def _rows(self, query: str, partition: int) -> list[Any]:
        with closing(self._db.execute(query, {"p": partition})) as rows:
            return rows.fetchall()

    def _insert(self, statement: str, rows: Sequence[tuple[object, ...]]) -> None:
        if rows:
            self._db.execute("BEGIN")
            self._db.executemany(statement, rows)
            self._db.execute("COMMIT")


def _place(row: Any) -> int:
    place: int = row[0]
    return place


def _number(row: Any) -> int:
    """The number of a lesson among the lessons of its record."""
    return int(row[1].rpartition("-")[2])


def _but_lessons(named: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    return [one for one in named if one[0] != LABELLED_EXAMPLES]


_Groups = Iterator[tuple[int, Iterator[Any]]]


def _side_by_side(one: _Groups, other: _Groups) -> Iterator[tuple[int, list[Any], list[Any]]]:
    """Merge two ordered groupings: (place, members in the one, members in the other)."""
    ones, others = next(one, None), next(other, None)
    while ones is not None or others is not None:
        places = [group[0] for group in (ones, others) if group is not None]
        place = min(places)
        here: list[Any] = []
        there: list[Any] = []
        if ones is not None and ones[0] == place:
            here = list(ones[1])
            ones = next(one, None)
        if others is not None and others[0] == place:
            there = list(others[1])
            others = next(other, None)
        yield place, here, there


def _not_in_order(found: Sequence[Any], expected: Sequence[Any]) -> tuple[list[str], list[str]]:
    """The names of due lessons not found in this order, and of those found in addition."""
    beside: list[str] = []
    waiting = list(expected)
    for _, name, digest, _ in found:
        if waiting and waiting[0][2] == digest:
            waiting.pop(0)
        else:
            beside.append(name)
    return [name for _, name, _, is_due in waiting if is_due], beside

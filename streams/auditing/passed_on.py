"""Compares what partitions tell each other about who is who with what the log asks for.

Records caused by one partition stand in the logs of others, so they are compared when all were
read.
"""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple, Self

from models.events.event import Source
from models.events.link_record import PER_RECORD_MAX, LinkRecord, encode_link_record
from streams.auditing.spools import digest_of, scratch_tables

_TABLES = """
CREATE TABLE asked (partition INT, place INT, digest BLOB, is_due INT,
    PRIMARY KEY (partition, place)) WITHOUT ROWID;
CREATE TABLE found (partition INT, place INT, digest BLOB,
    PRIMARY KEY (partition, place, digest)) WITHOUT ROWID;
CREATE TABLE folded (partition INT PRIMARY KEY, end_place INT);
CREATE TABLE loose (partition INT, offset INT, PRIMARY KEY (partition, offset)) WITHOUT ROWID;
"""
_MISSING = """
SELECT a.partition, a.place FROM asked a
WHERE a.is_due AND a.partition IN (SELECT partition FROM folded) AND NOT EXISTS (
    SELECT 1 FROM found f WHERE f.partition = a.partition AND f.place = a.place)
ORDER BY a.partition, a.place
"""
_EXTRA = """
SELECT f.partition, f.place FROM found f JOIN folded USING (partition)
WHERE f.place < end_place AND NOT EXISTS (
    SELECT 1 FROM asked a WHERE a.partition = f.partition AND a.place = f.place
) AND NOT EXISTS (
    SELECT 1 FROM loose l
    WHERE l.partition = f.partition AND l.offset = f.place / :each)
ORDER BY f.partition, f.place
"""
_DIFFERENT = """
SELECT f.partition, f.place FROM found f
JOIN asked a ON a.partition = f.partition AND a.place = f.place
WHERE a.digest <> f.digest AND f.digest <> x'' ORDER BY f.partition, f.place
"""

#: The digest of a record whose content is gone; no other record has an empty one.
GONE_DIGEST = b""


class Mismatch(NamedTuple):
    words: str
    #: The record of the log that caused it.
    at: str


class PassedOn:
    """Notes records by the partition and place of the record that caused them."""

    def __init__(self, directory: Path | None = None) -> None:
        """Keep them in a file in ``directory``, or in memory without one."""
        self._db = scratch_tables(directory, "passed-on", _TABLES)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._db.close()

    def ask(self, record: LinkRecord, *, is_due: bool) -> None:
        """The fold says that the record must be written; ``is_due``: it must be there by now."""
        place = record.offset * PER_RECORD_MAX + record.index
        row = (record.partition, place, digest_of(encode_link_record(record)), is_due)
        self._db.execute("INSERT OR IGNORE INTO asked VALUES (?,?,?,?)", row)

    def find(self, source: Source, content: bytes | None) -> None:
        """The log has this record; repeats do no harm. None: its content is gone."""
        digest = GONE_DIGEST if content is None else digest_of(content)
        row = (source.partition, source.offset, digest)
        self._db.execute("INSERT OR IGNORE INTO found VALUES (?,?,?)", row)

    def loosen(self, partition: int, offset: int) -> None:
        """The record at ``offset`` may have asked for records that can't be known any more."""
        self._db.execute("INSERT OR IGNORE INTO loose VALUES (?,?)", (partition, offset))

    def folded(self, partition: int, end: int) -> None:
        """A partition was folded up to offset ``end``: what it asks for is known up to there."""
        self._db.execute("INSERT INTO folded VALUES (?,?)", (partition, end * PER_RECORD_MAX))

    def differences(self) -> Iterator[Mismatch]:
        """The differences between what was asked for and what was found."""
        for query, words in (
            (_MISSING, "what rows must tell each other was not written"),
            (_EXTRA, "what rows were told does not follow from the log"),
            (_DIFFERENT, "what rows were told is something else than the log gives"),
        ):
            with closing(self._db.execute(query, {"each": PER_RECORD_MAX})) as rows:
                for partition, place in rows:
                    yield Mismatch(
                        words,
                        f"partition {partition} at {place // PER_RECORD_MAX}",
                    )

"""Compares decisions on their topics with the Redis streams that they were delivered to.

Streams are trimmed, stores are emptied, and decisions that were too old are never delivered. So
nothing can be said about decisions before the first one that a stream still has.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import NamedTuple, Self

from aiokafka import ConsumerRecord

from config.settings import Settings
from models.decisions.trigger import decode_decision, delivered_until_ms, does_nothing
from models.events.erasure_record import notice_in
from models.events.foreign import Foreign
from streams.auditing.positions import Places
from streams.auditing.report import Audit
from streams.auditing.spools import scratch_tables
from streams.auditing.store_contents import Entry, StoreContents, entry_digest
from streams.graves import Fingerprints
from streams.store_keys import trigger_stream


class DueDecision(NamedTuple):
    """A decision to deliver to ``stream``; after ``until_ms``, if set, it is too old."""

    topic: str
    partition: int
    stream: str
    offset: int
    id: str
    digest: bytes
    until_ms: int | None
    whose: bytes

    @property
    def sequence(self) -> tuple[str, int, str]:
        """The key of a sequence that is delivered in order."""
        return self.topic, self.partition, self.stream


_TABLES = """
CREATE TABLE due (
    topic TEXT, partition INT, stream TEXT, offset INT, id TEXT, digest BLOB, until_ms INT,
    whose BLOB, PRIMARY KEY (topic, partition, stream, offset)
) WITHOUT ROWID;
CREATE INDEX due_by_id ON due (id, stream);
CREATE TABLE erased (topic TEXT, partition INT, offset INT, whose BLOB);
CREATE INDEX erased_by_whose ON erased (whose);
CREATE TABLE gone (stream TEXT, id TEXT, PRIMARY KEY (stream, id)) WITHOUT ROWID;
"""
#: Decisions made for customers before they were erased.
_LEAVE_OUT_ERASED = """
CREATE TEMP TABLE theirs AS SELECT topic, partition, stream, offset, id FROM due d WHERE EXISTS (
    SELECT 1 FROM erased e WHERE e.whose = d.whose AND e.topic = d.topic
    AND e.partition = d.partition AND e.offset > d.offset);
INSERT OR IGNORE INTO gone SELECT DISTINCT stream, id FROM theirs;
DELETE FROM due WHERE (topic, partition, stream, offset) IN
    (SELECT topic, partition, stream, offset FROM theirs);
"""


class DeliveryAudit:
    """Takes the records of the topics of decisions, then compares."""

    def __init__(self, settings: Settings, directory: Path | None, audit: Audit) -> None:
        self._settings = settings
        self._fingerprints = Fingerprints(settings.erasure_salt)
        self._are_all_erased = True
        self._audit = audit
        self._db = scratch_tables(directory, "due", _TABLES)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._db.close()

    def take(self, topic: str, records: Iterable[ConsumerRecord]) -> None:
        """Take the next records of a topic of decisions."""
        self._db.execute("BEGIN")
        self._db.executemany("INSERT INTO due VALUES (?,?,?,?,?,?,?,?)", self._due(topic, records))
        self._db.execute("COMMIT")

    def compare(
        self, contents: StoreContents, committed: Places, *, now_ms: int, cut: Mapping[str, int]
    ) -> None:
        """Compare with what Redis had at ``now_ms``, when all before ``committed`` was delivered.
        ``cut``: how many records at the beginning of each topic were deleted.
        """
        self._leave_out_erased(committed)
        expired = waiting = held_back = 0
        for (topic, partition, _), dues in groupby(self._all(), attrgetter("sequence")):
            missing: list[DueDecision] = []
            is_there = False
            for due in dues:
                entries = contents.delivered(due.stream, due.id)
                if not entries:
                    missing.append(due)
                    continue
                self._compare_content(due, entries)
                if is_there:
                    held_back += self._judge(missing, entries[0].at_ms)
                else:
                    expired += len(missing)
                is_there, missing = True, []
            next_offset = committed.get((topic, partition), 0)
            last = [due for due in missing if due.offset < next_offset]
            waiting += len(missing) - len(last)
            if is_there:
                held_back += self._judge(last, now_ms)
            else:
                expired += len(last)
        self._tell(
            expired,
            "decisions that no stream in Redis has, nor any before them: streams are trimmed, the "
            "store was emptied, or they were too old",
        )
        self._tell(held_back, "decisions that were too old to be delivered by then")
        self._tell(waiting, "decisions that are not delivered yet")
        self._compare_origins(contents, has_all=not any(cut.values()))

    def _leave_out_erased(self, committed: Places) -> None:
        """Leave out decisions for customers erased since: streams must not have them."""
        self._db.executescript(_LEAVE_OUT_ERASED)
        waiting = sum(
            1
            for topic, partition, offset in self._db.execute(
                "SELECT topic, partition, offset FROM erased"
            )
            if offset >= committed.get((topic, partition), 0)
        )
        self._are_all_erased = not waiting
        self._tell(waiting, "erasures that are not delivered to Redis yet")

    def _compare_content(self, due: DueDecision, entries: list[Entry]) -> None:
        self._audit.checked["delivered"] += 1
        query = "SELECT digest FROM due WHERE id = ? AND stream = ?"
        written = {digest for (digest,) in self._db.execute(query, [due.id, due.stream])}
        if any(entry.digest not in written for entry in entries):
            self._audit.differs(
                "redis",
                "delivered decisions say something else in Redis than on their topic",
                f"{due.stream} {due.id}",
            )

    def _judge(self, missing: list[DueDecision], at_ms: int) -> int:
        """Report decisions that their stream lacks although it has later ones; return how many were
        too old at ``at_ms``, which is no fault.
        """
        held_back = 0
        for due in missing:
            if due.until_ms is not None and due.until_ms < at_ms:
                held_back += 1
                continue
            self._audit.differs(
                "redis",
                "decisions that were delivered are not in their streams: deleted there, or lost",
                f"{due.stream} {due.id}, {due.topic}-{due.partition} at {due.offset}",
            )
        return held_back

    def _compare_origins(self, contents: StoreContents, *, has_all: bool) -> None:
        """Check that every entry is of a decision on a topic, unless the topic was cut."""
        query, unknown = "SELECT 1 FROM due WHERE id = ? AND stream = ? LIMIT 1", 0
        for entry in contents.entries():
            if self._db.execute(query, [entry.id, entry.stream]).fetchone() is not None:
                continue
            gone = "SELECT 1 FROM gone WHERE id = ? AND stream = ?"
            if self._db.execute(gone, [entry.id, entry.stream]).fetchone() is not None:
                if self._are_all_erased:
                    self._audit.differs(
                        "redis",
                        "streams in Redis have decisions for customers who were erased since",
                        f"{entry.stream} {entry.id}",
                    )
                continue
            if not has_all:
                unknown += 1
                continue
            self._audit.differs(
                "redis",
                "streams in Redis have decisions that are on no topic",
                f"{entry.stream} {entry.id}",
            )
        self._tell(unknown, "decisions in Redis whose records were deleted by retention")

    def _tell(self, count: int, words: str) -> None:
        if count:
            self._audit.unchecked.append(f"{count:,} {words}")

    def _due(self, topic: str, records: Iterable[ConsumerRecord]) -> Iterator[DueDecision]:
        max_age_ms = self._settings.deliver_max_age_ms
        for record in records:
            content = record.value or b""
            if (notice := notice_in(content)) is not None:
                whose = bytes.fromhex(notice.fingerprint)
                told = (topic, record.partition, record.offset, whose)
                self._db.execute("INSERT INTO erased VALUES (?,?,?,?)", told)
                continue
            try:
                decided = decode_decision(content)
            except Foreign:
                continue  # reported with its topic
            if does_nothing(decided):
                continue
            yield DueDecision(
                topic,
                record.partition,
                trigger_stream(self._settings, decided.kind),
                record.offset,
                decided.id,
                entry_digest(content, decided.group),
                delivered_until_ms(decided, max_age_ms),
                self._fingerprints.of(decided.user_id),
            )

    def _all(self) -> Iterator[DueDecision]:
        query = "SELECT * FROM due ORDER BY topic, partition, stream, offset"
        with closing(self._db.cursor()) as rows:
            for row in rows.execute(query):
                yield DueDecision(*row)

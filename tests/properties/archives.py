"""A worker that owns one partition with an archive, and dies anywhere: the next one has only what
it left behind.
"""

from collections.abc import Iterator, Sequence
from random import Random
from typing import Any, NamedTuple

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from models.events.line import Line
from models.events.rejection import Rejected
from models.events.wire import decode_line
from models.partition import Partition
from models.partition_state import PartitionState, encode_state
from streams.archive.frames import decode_frame, opened
from streams.archive.key_reading import Keys
from streams.archive.unsealing import Unsealed, Unsealing
from streams.archive.writing import ArchiveWriter
from streams.changelog import UNKNOWN_ORIGIN, state_record
from streams.customer_keys import Secrets
from streams.customers_table import CustomerRows
from streams.recovery import ChangelogFold
from streams.row_keys import RowsWithKeys
from tests.properties.test_partitions import PLAN, snapshot_of
from tests.streams.test_record_batches import FakeRecord


class Written(NamedTuple):
    topic: str
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]] = ()


class Held:
    """An outbox: keeps what was added until it is durable."""

    def __init__(self) -> None:
        self.records: list[Written] = []

    def add(
        self, topic: str, _: int, *, key: bytes | None, value: bytes | None, headers: Any = ()
    ) -> None:
        self.records.append(Written(topic, key, value, headers))


class Topics:
    """The durable records, by topic."""

    def __init__(self) -> None:
        self.records: dict[str, list[Written]] = {}

    def keep(self, written: Sequence[Written]) -> None:
        for record in written:
            self.records.setdefault(record.topic, []).append(record)

    def of(self, topic: str) -> list[Written]:
        return self.records.get(topic, [])

    def keys(self) -> Keys:
        keys = Keys()
        for offset, record in enumerate(self.of("customer-keys")):
            keys.add(
                FakeRecord(offset, 0, "customer-keys", 0, 0, record.key, record.value, [])  # type: ignore[arg-type]
            )
        return keys

    def table(self) -> ChangelogFold:
        fold = ChangelogFold(RowsWithKeys({}), state=PartitionState())
        for record in self.of("customers"):
            fold.add(record.key, record.value, record.headers)
        assert 0 == fold.quarantined
        return fold

    def unsealed(self) -> tuple[list[bytes], Unsealed]:
        """The log as the archive has it, and the report on it."""
        outcome = Unsealed()
        unsealing = Unsealing(0, self.keys(), outcome)
        records = [
            record
            for frame in self.of("customer-archive")
            for record in unsealing.take(frame.value)
        ]
        assert list(range(len(records))) == [record.offset for record in records]
        return [record.value for record in records], outcome

    def readable(self) -> Iterator[tuple[int, bytes]]:
        """Every content that the keys open, including repeats after a crash."""
        keys = self.keys()
        for frame in self.of("customer-archive"):
            for entry in decode_frame(frame.value or b"", keys.frame):
                if (secret := keys.secrets().get(entry.key_id)) is not None:
                    yield entry.offset, opened(AESGCM(secret), entry)


class Owner:
    """One worker, from its recovery to its end."""

    def __init__(self, topics: Topics) -> None:
        stored = topics.table()
        self._topics = topics
        #: Deletions of keys that are in flight when it dies.
        self.late: list[Written] = []
        stored.bury()
        self._graves = stored.graves
        self._rows = CustomerRows(stored.packed, strays=stored.strays)
        assert self._rows.keys is not None
        state = stored.state
        self.fold = Partition(
            0, self._rows, snapshot_of(state.model_version), PLAN, snapshot_of, state, self._graves
        )
        secrets = Secrets.read(stored.secrets) if stored.secrets else None
        self.archive = ArchiveWriter(
            0,
            self._rows,
            self._rows.keys,
            self._graves,
            secrets or Secrets.drawn(),
            applied=stored.state.applied,
            is_first=stored.state.applied < 0,
        )
        if secrets is None:
            topics.keep([self._state()])

    def take(
        self, log: Sequence[bytes], end: int, dies: Random | None = None, again: int = 0
    ) -> None:
        """Fold the log from the applied position up to ``end``, and write the results; or die
        somewhere. ``again``: this many records were applied but not committed, and are read once
        more.
        """
        held = Held()
        for offset in range(max(self.fold.state.applied + 1 - again, 0), end):
            self._apply(offset, log[offset])
        self.archive.write_to(held)  # type: ignore[arg-type]
        drained = [*self._graves.drain(), *self._rows.drain()]
        rows = [Written("customers", *record) for record in drained]
        if dies is None:
            self._topics.keep([*held.records, *rows, self._state()])
            return
        # Topics are written in parallel, each in order; then rows, then the state.
        by_topic: dict[str, list[Written]] = {}
        for record in held.records:
            by_topic.setdefault(record.topic, []).append(record)
        how_far = dies.choice(["effects", "rows", "rows"])
        for written in by_topic.values():
            reached = dies.randint(0, len(written)) if how_far == "effects" else len(written)
            self._topics.keep(written[:reached])
            self.late += [
                r for r in written[reached:] if r.topic == "customer-keys" and not r.value
            ]
        if how_far == "rows":
            self._topics.keep(rows[: dies.randint(0, len(rows))])

    def _apply(self, offset: int, content: bytes) -> None:
        line: Line | None = None
        try:
            line = decode_line(content)
            applied = self.fold.apply(offset, line)
        except Rejected:
            self.fold.skip(offset)
            self.archive.skip(offset, line)
            return
        self.archive.take(offset, line, content, applied)

    def _state(self) -> Written:
        state = encode_state(self.fold.state)
        kept = self.archive.secrets.kept()
        return Written("customers", *state_record(state, UNKNOWN_ORIGIN, 0, kept))

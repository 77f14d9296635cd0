"""The partitions of the customers table that this worker owns, each recovered on first use."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Iterator
from copy import copy
from dataclasses import dataclass, field
from time import monotonic
from typing import Protocol

from config.settings import Settings
from config.topics import CUSTOMERS
from models.applied import Applied
from models.customer.scene import Context
from models.events.line import Line
from models.partition import Partition
from models.partition_state import encode_state
from models.plan import Plan
from streams.archive.opening import open_archive
from streams.archive.writing import ArchiveWriter
from streams.changelog import UNKNOWN_ORIGIN, ChangelogRecord, Origin, state_record
from streams.customers_table import CustomerRows
from streams.graves import CustomerGraves
from streams.metrics import Metrics
from streams.pacing import NOT_OPEN, PartitionStanding
from streams.record_batches import PositionError
from streams.recovery import Recovered, recover
from streams.snapshot_store import SnapshotStore

log = logging.getLogger(__name__)


@dataclass(slots=True)
class OwnedPartition:
    """A partition that this worker owns: its fold and rows, their topics, its archive writer if the
    archive is on, and the time of its last event.

    ``is_shown``: whether all its profiles were offered to Redis; the previous owner may have died
    before it wrote the latest ones. ``taught_ms``: the time of its latest lesson for a model.
    ``settled_ms`` and ``settled``: the time, clock and models of the rows as last drained; the fold
    may be ahead of them by a batch. ``gone``: customers erased before the partition was opened, of
    whom Redis may still have a profile.
    """

    fold: Partition
    rows: CustomerRows
    origin: Origin = UNKNOWN_ORIGIN
    archive: ArchiveWriter | None = None
    clock_written_ms: int = 0
    last_event_s: float = 0.0
    is_shown: bool = False
    taught_ms: int = 0
    graves: CustomerGraves = field(default_factory=CustomerGraves)
    gone: set[str] = field(default_factory=set)
    settled_ms: int = field(init=False)
    settled: Context = field(init=False)

    def __post_init__(self) -> None:
        self.settle()

    def apply(self, offset: int, line: Line, value: bytes) -> Applied:
        """Fold the record at ``offset``, whose bytes are ``value``. Raises ``Rejected``."""
        applied = self.fold.apply(offset, line)
        if self.archive is not None:
            self.archive.take(offset, line, value, applied)
        return applied

    def skip(self, offset: int, line: Line | None) -> None:
        """Skip the record at ``offset``, which was refused."""
        self.fold.skip(offset)
        if self.archive is not None:
            self.archive.skip(offset, line)

    def state_record(self) -> ChangelogRecord:
        """Its state, for the changelog."""
        secrets = b"" if self.archive is None else self.archive.secrets.kept()
        state, damaged = encode_state(self.fold.state), len(self.rows.damaged)
        return state_record(state, self.origin, damaged, secrets)

    def settle(self) -> None:
        """Note that all rows are drained as of the fold's present time and models."""
        self.settled_ms, self.settled = self.fold.as_of_ms, copy(self.fold.context)

    def standing(self, heard_ms: int, version: int) -> PartitionStanding:
        """How far the partition is, for a trainer in this process that has learnt its lessons up to
        ``heard_ms`` and announced models up to ``version``.
        """
        clock_ms = self.fold.state.clock_ms
        adopts_all = self.fold.state.model_version >= version
        return PartitionStanding(clock_ms, min(clock_ms, heard_ms) if adopts_all else 0)

    def standing_apart(self, snapshot_every_ms: int) -> PartitionStanding:
        """How far the partition is, for a trainer in another process. Only its snapshots show its
        progress: one is due ``snapshot_every_ms`` after the last.
        """
        clock_ms, snapshot = self.fold.state.clock_ms, self.fold.snapshot
        due_ms = snapshot.created_at_ms + snapshot_every_ms
        is_due = bool(snapshot.version) and due_ms <= self.taught_ms
        return PartitionStanding(clock_ms, min(clock_ms, due_ms - 1) if is_due else clock_ms)


class TrainerProgress(Protocol):
    """How far a trainer in this process is."""

    @property
    def version(self) -> int:
        """The version of the last snapshot drawn here."""
        ...

    def heard_ms(self, partition: int) -> int:
        """The event time up to which it has learnt a partition's lessons."""
        ...


class OwnedPartitions:
    """Opens partitions, and drops those that moved to another worker.

    A partition that stays with this worker through a rebalance is kept: rows are a function of the
    log, so another worker would have the same.
    """

    def __init__(
        self,
        snapshots: SnapshotStore,
        settings: Settings,
        plan: Plan,
        metrics: Metrics,
        read_changelog: Callable[[Settings, int], Awaitable[Recovered]] = recover,
    ) -> None:
        self.snapshots = snapshots
        self._read_changelog = read_changelog
        self._settings = settings
        self._plan = plan
        self._metrics = metrics
        self._owned: dict[int, OwnedPartition] = {}
        self._opening = asyncio.Lock()

    def __iter__(self) -> Iterator[OwnedPartition]:
        return iter(list(self._owned.values()))

    def get(self, number: int) -> OwnedPartition | None:
        """The partition, or None if it is not open."""
        return self._owned.get(number)

    def standings(
        self, numbers: Iterable[int], learning: TrainerProgress | None, snapshot_every_ms: int
    ) -> dict[int, PartitionStanding]:
        """How far each of these partitions is, if it rehearses: live partitions never wait for the
        trainer. ``learning``: the trainer, if it is in this process.
        """
        found: dict[int, PartitionStanding] = {}
        for number in numbers:
            owned = self._owned.get(number)
            if owned is None:
                # Not open yet, so nobody knows whether it rehearses.
                found[number] = NOT_OPEN
            elif owned.fold.state.live_at_ms is None:
                found[number] = (
                    owned.standing_apart(snapshot_every_ms)
                    if learning is None
                    else owned.standing(learning.heard_ms(number), learning.version)
                )
        return found

    async def open(self, number: int, first_offset: int) -> OwnedPartition:
        """The partition, ready for the record at ``first_offset``.

        Raises `PositionError` when records between its state and that offset are missing.
        """
        async with self._opening:
            owned = self._owned.get(number)
            if owned is None or owned.fold.state.applied + 1 < first_offset:
                # Not open yet, or another worker has applied more records meanwhile.
                owned = self._owned[number] = await self._recover(number)
        applied = owned.fold.state.applied
        if applied + 1 < first_offset:
            raise PositionError(
                f"partition {number} has applied up to offset {applied}, but its next record is "
                f"{first_offset}: the group's committed offset was moved, or the changelog lost "
                f"its end. Reset the group's offset of customer-events to {applied + 1}"
            )
        return owned

    def retain(self, numbers: Iterable[int]) -> None:
        """Forget every partition but these; the others have new owners."""
        self.forget(self._owned.keys() - set(numbers))

    def forget(self, numbers: Iterable[int]) -> None:
        """Forget these partitions; they are recovered again if they come back."""
        for number in list(numbers):
            if self._owned.pop(number, None) is not None:
                self._metrics.forget_partition(number)

    async def _recover(self, number: int) -> OwnedPartition:
        recovered = await self._read_changelog(self._settings, number)
        state, archive = recovered.state, None
        if self._settings.has_archive:
            archive = await open_archive(self._settings, number, recovered)
        await self.snapshots.fetch(state.model_version, state.model_sha256)
        fold = Partition(
            number,
            recovered.rows,
            self.snapshots.get(state.model_version, state.model_sha256),
            self._plan,
            self.snapshots.get,
            state,
            recovered.graves,
        )
        self._metrics.recovery_seconds.observe(recovered.seconds)
        self._metrics.recovered_records.inc(recovered.records)
        self._metrics.quarantined_records.inc(recovered.quarantined)
        self._metrics.foreign_records.labels(CUSTOMERS).inc(recovered.quarantined)
        log.info(
            "partition %d: %d customers from %d records in %.2f s, applied up to %d",
            number,
            len(recovered.rows),
            recovered.records,
            recovered.seconds,
            state.applied,
        )
        if recovered.quarantined:
            log.warning("partition %d: left out %d records", number, recovered.quarantined)
        if damaged := len(recovered.rows.damaged):
            log.error(
                "partition %d: the rows of %d customers are damaged, or were continued from "
                "damaged ones: their profiles and decisions may be wrong. Stop the workers and run "
                "`keepstream rebuild`, which makes the rows anew from the log",
                number,
                damaged,
            )
        return OwnedPartition(
            fold,
            recovered.rows,
            recovered.origin,
            archive,
            last_event_s=monotonic(),
            graves=recovered.graves,
            gone=recovered.gone,
        )

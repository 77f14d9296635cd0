"""Recovering a partition of the customers table from its changelog."""

import asyncio
import logging
from dataclasses import dataclass, field
from time import monotonic

import msgspec
from aiokafka import AIOKafkaConsumer, TopicPartition

from config.settings import Settings
from config.topics import CUSTOMER_EVENTS, CUSTOMERS
from models.customer.row import ROW_VERSION, NewerRow, RowError
from models.events.wire import CUSTOMER_ID
from models.partition import PartitionState, decode_state
from streams.customers_table import STATE_KEY, CustomerRows, read_head
from streams.kafka_clients import new_reader, running

log = logging.getLogger(__name__)

STALL_S = 30.0
POLL_MS = 1_000


class RecoveryError(RuntimeError):
    """A partition can't be recovered; the message says why and what to do."""


@dataclass(slots=True)
class Recovered:
    """A partition as its changelog has it. ``records`` were read; ``quarantined`` of them were not
    ours or damaged, and left out.
    """

    rows: CustomerRows
    state: PartitionState
    records: int
    quarantined: int
    seconds: float


@dataclass(slots=True)
class ChangelogFold:
    """The latest row of every customer, where the higher applied position wins.

    After a takeover the changelog may hold what the old owner still wrote after the new one: the
    order of records says nothing, their positions do. Rows at the same position are the same row.
    """

    packed: dict[str, bytes] = field(default_factory=dict)
    state: PartitionState = field(default_factory=PartitionState)
    quarantined: int = 0
    _applied: dict[str, int] = field(default_factory=dict)

    def add(self, key: bytes | None, value: bytes | None) -> None:
        """Take one record. Raises `NewerRow` for what a newer release wrote."""
        try:
            if key == STATE_KEY:
                self._add_state(value)
            else:
                self._add_row((key or b"").decode(), value)
        except NewerRow:
            raise
        except (RowError, msgspec.DecodeError, UnicodeDecodeError):
            self.quarantined += 1

    def _add_state(self, value: bytes | None) -> None:
        state = decode_state(value or b"")
        if state.applied >= self.state.applied:
            self.state = state

    def _add_row(self, customer: str, value: bytes | None) -> None:
        if value is None or CUSTOMER_ID(customer) is None:
            raise RowError("neither a row nor a state")
        head = read_head(value)
        if head.version > ROW_VERSION:
            raise NewerRow("a row was written by a newer release; upgrade this worker")
        if head.applied >= self._applied.get(customer, -1):
            self._applied[customer] = head.applied
            self.packed[customer] = value


async def recover(settings: Settings, partition: int) -> Recovered:
    """Read the changelog of ``partition`` to its present end.

    Raises `RecoveryError` when it makes no progress, or when its state is ahead of the events it
    was made of: then the topic was created anew.
    """
    started_s = monotonic()
    async with running(new_reader(settings), settings) as reader:
        changelog = TopicPartition(settings.topic(CUSTOMERS), partition)
        events = TopicPartition(settings.topic(CUSTOMER_EVENTS), partition)
        # Both, because only what is assigned has its leader looked up at once; one is read.
        reader.assign([changelog, events])
        reader.pause(events)
        ends = await reader.end_offsets([changelog, events])
        fold, records = await _fold(reader, changelog, ends[changelog])
    _require_events(fold.state, events, ends[events])
    # Only the folded rows stay, not the positions they were chosen by.
    return Recovered(
        rows=CustomerRows(fold.packed),
        state=fold.state,
        records=records,
        quarantined=fold.quarantined,
        seconds=monotonic() - started_s,
    )


async def _fold(
    reader: AIOKafkaConsumer, changelog: TopicPartition, end: int
) -> tuple[ChangelogFold, int]:
    fold, records = ChangelogFold(), 0
    progress_s = monotonic()
    await reader.seek_to_beginning(changelog)
    while await reader.position(changelog) < end:
        found = await reader.getmany(changelog, timeout_ms=POLL_MS)
        for record in found.get(changelog, ()):
            fold.add(record.key, record.value)
            records += 1
        if found:
            progress_s = monotonic()
            # Heartbeats and health answers must not wait for a large table.
            await asyncio.sleep(0)
        elif monotonic() - progress_s > STALL_S:
            raise RecoveryError(
                f"{changelog.topic}-{changelog.partition} gave no record for {STALL_S:.0f} s "
                f"before its end at {end}: check the broker, then start the worker again"
            )
    return fold, records


def _require_events(state: PartitionState, events: TopicPartition, end: int) -> None:
    if state.applied >= end:
        raise RecoveryError(
            f"the state of partition {events.partition} has applied offset {state.applied}, but "
            f"{events.topic} ends at {end}: the topic was deleted and created again, so the state "
            f"belongs to events that are gone. Restore the topic, or start over with empty state: "
            f"set another KEEPSTREAM_TOPIC_PREFIX, or delete and create all topics"
        )

"""Recovering a partition of the customers table from its changelog."""

import asyncio
import logging
from dataclasses import dataclass, field
from time import monotonic

from aiokafka import AIOKafkaConsumer, TopicPartition

from config.settings import Settings
from config.topics import CUSTOMER_EVENTS, CUSTOMERS
from models.customer.registry import VERSIONS
from models.customer.row import NewerRow, OlderRow, RowError, check_row
from models.events.foreign import UNREADABLE
from models.events.ids import is_id
from models.partition import PartitionState, decode_state, rehearsing_state
from streams.customers_table import STATE_KEY, CustomerRows
from streams.kafka_clients import new_reader, running

log = logging.getLogger(__name__)

STALL_S = 30.0
POLL_MS = 1_000


class RecoveryError(RuntimeError):
    """A partition can't be recovered; the message says why and what to do."""


@dataclass(slots=True)
class Recovered:
    """A partition restored from its changelog. ``records`` were read; ``quarantined`` of them were
    foreign or damaged, and skipped.
    """

    rows: CustomerRows
    state: PartitionState
    records: int
    quarantined: int
    seconds: float


@dataclass(slots=True)
class ChangelogFold:
    """The latest row of every customer: the one with the highest applied position.

    After a takeover the old owner may still write rows after the new one, so positions decide and
    not the order of records. Rows with the same position are equal.
    """

    packed: dict[str, bytes] = field(default_factory=dict)
    state: PartitionState = field(default_factory=rehearsing_state)
    quarantined: int = 0
    _applied: dict[str, int] = field(default_factory=dict)

    def add(self, key: bytes | None, value: bytes | None) -> None:
        """Take one record. Raises `NewerRow` or `OlderRow` for another release's format."""
        try:
            if key == STATE_KEY:
                self._add_state(value)
            else:
                self._add_row((key or b"").decode(), value)
        except (NewerRow, OlderRow):
            raise
        except (RowError, *UNREADABLE):
            self.quarantined += 1

    def _add_state(self, value: bytes | None) -> None:
        state = decode_state(value or b"")
        if state.applied >= self.state.applied:
            self.state = state

    def _add_row(self, customer: str, value: bytes | None) -> None:
        if not is_id(customer):
            raise RowError("neither a row nor a state")
        if value is None:
            # A tombstone: the customer was deleted, with all earlier rows.
            self.packed.pop(customer, None)
            self._applied.pop(customer, None)
            return
        applied = check_row(value, VERSIONS).applied
        if applied >= self._applied.get(customer, -1):
            self._applied[customer] = applied
            self.packed[customer] = value


async def recover(settings: Settings, partition: int) -> Recovered:
    """Read the changelog of ``partition`` to its present end.

    Raises `RecoveryError` when reading makes no progress, or when the state is ahead of the log of
    events, which means that the log's topic was recreated.
    """
    started_s = monotonic()
    async with running(new_reader(settings), settings) as reader:
        changelog = TopicPartition(settings.topic(CUSTOMERS), partition)
        events = TopicPartition(settings.topic(CUSTOMER_EVENTS), partition)
        # Both are assigned, so that both leaders are looked up at once; only one is read.
        reader.assign([changelog, events])
        reader.pause(events)
        ends = await reader.end_offsets([changelog, events])
        fold, records = await _fold(reader, changelog, ends[changelog])
    _require_events(fold.state, events, ends[events])
    # Only the rows are kept, not the positions by which they were chosen.
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

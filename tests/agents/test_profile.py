"""A batch whose partitions were taken away while it was being folded has no effects."""

import asyncio
from typing import Any

from faust.types import TP

from agents.profile import ProfileAgent
from config.settings import Settings, load_settings
from config.topics import CUSTOMER_EVENTS
from models.learning.snapshot import prior_snapshot
from models.partition_state import PartitionState
from models.plan import plan_for
from streams.customers_table import CustomerRows
from streams.log_records import clock_record
from streams.outbox import Outbox
from streams.owned_partitions import OwnedPartitions
from streams.pulse import Pulse
from streams.record_batches import BatchLedger
from streams.recovery import Recovered
from streams.snapshot_store import SnapshotStore
from tests.models.lines import PARAMETERS, START_MS
from tests.simulation.broker import Buffer
from tests.simulation.worker import NOBODY
from tests.streams.test_record_batches import FakeRecord

SETTINGS = load_settings({})


class Producer:
    """Accepts everything at once, and keeps the names of the topics."""

    def __init__(self) -> None:
        self.topics: list[str] = []

    def create_batch(self) -> Buffer:
        return Buffer()

    async def send_batch(
        self, _buffer: Buffer, topic: str, *, partition: int
    ) -> "asyncio.Future[None]":
        assert 0 == partition
        self.topics.append(topic)
        durable = asyncio.get_running_loop().create_future()
        durable.set_result(None)
        return durable


def folded(*, is_taken_away: bool) -> tuple[list[str], int | None, dict[TP, int]]:
    """The topics written to, the time up to which rows are settled if the partition is still owned,
    and what may be committed, after a batch of one record during which a rebalance may have
    happened.
    """
    ledger, producer = BatchLedger(on_end=lambda _: None), Producer()
    ledger.seek({TP(CUSTOMER_EVENTS, 0): 0})

    async def read_changelog(_settings: Settings, _number: int) -> Recovered:
        if is_taken_away:
            ledger.begin_epoch()
        return Recovered(CustomerRows({}), PartitionState(live_at_ms=0), 0, 0, 0.0)

    async def take() -> int | None:
        snapshots = SnapshotStore(SETTINGS, prior_snapshot(PARAMETERS))
        partitions = OwnedPartitions(
            snapshots, SETTINGS, plan_for(PARAMETERS), NOBODY, read_changelog
        )
        written: Any = producer
        agent = ProfileAgent(
            partitions,
            Outbox(written, SETTINGS),
            NOBODY,
            Pulse(SETTINGS.session_timeout_ms),
            SETTINGS,
            PARAMETERS,
            NOBODY,
        )
        value = clock_record(START_MS)
        record = FakeRecord(0, 0, CUSTOMER_EVENTS, START_MS, 0, None, value, [])
        await agent.take(ledger.admit(CUSTOMER_EVENTS, {0: [record]}))
        owned = partitions.get(0)
        return None if owned is None else owned.settled_ms

    settled_ms = asyncio.run(take())
    return producer.topics, settled_ms, ledger.commits_due()


def test_a_batch_of_ours_is_written_and_may_be_committed() -> None:
    topics, settled_ms, due = folded(is_taken_away=False)
    # The end of a day is a lesson's, and goes before the state.
    assert ["labelled-examples", "customers"] == topics
    assert START_MS == settled_ms
    assert {TP(CUSTOMER_EVENTS, 0): 1} == due


def test_a_batch_that_is_no_longer_ours_leaves_nothing() -> None:
    """Neither in a topic, nor in memory: what was folded there has no effects anywhere."""
    assert ([], None, {}) == folded(is_taken_away=True)

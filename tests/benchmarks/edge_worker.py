"""A worker's agents without a connection: they read from buffers and write to buffers."""

import asyncio
import sys
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from aiokafka import TopicPartition
from aiokafka.consumer.fetcher import PartitionRecords
from aiokafka.producer.message_accumulator import BatchBuilder
from aiokafka.record.memory_records import MemoryRecords
from faust.types import TP

from agents.ingest import IngestAgent
from agents.profile import ProfileAgent
from config.settings import load_settings
from config.topics import CUSTOMER_EVENTS, RAW_TOPICS
from models.learning.snapshot import prior_snapshot
from models.parameters import load_parameters
from models.partition_state import PartitionState
from models.plan import plan_for
from streams.client_fetches import _Unread
from streams.customers_table import CustomerRows
from streams.outbox import BUFFER_BYTES, Outbox
from streams.owned_partitions import OwnedPartitions
from streams.pulse import Pulse
from streams.record_batches import BatchLedger
from streams.recovery import Recovered
from streams.snapshot_store import SnapshotStore
from tests.benchmarks.peers.shop_log import PARTITIONS
from tests.simulation.worker import NOBODY

Place = tuple[str, int]
BATCH = 1_000


class Buffers:
    """Accepts what a producer is given, and keeps it by topic and partition."""

    def __init__(self) -> None:
        self.filled: dict[Place, list[BatchBuilder]] = defaultdict(list)

    def create_batch(self) -> BatchBuilder:
        return BatchBuilder(BUFFER_BYTES, 0)

    async def send_batch(
        self, buffer: BatchBuilder, topic: str, *, partition: int
    ) -> "asyncio.Future[None]":
        self.filled[topic, partition].append(buffer)
        durable = asyncio.get_running_loop().create_future()
        durable.set_result(None)
        return durable

    def content(self) -> dict[Place, bytes]:
        """What a broker would return, with the offsets that it would assign."""
        return {place: _with_offsets(filled) for place, filled in self.filled.items()}


def _with_offsets(filled: list[BatchBuilder]) -> bytes:
    content, first = bytearray(), 0
    for buffer in filled:
        batch = bytearray(buffer._build())
        batch[:8] = first.to_bytes(8, "big")
        content += batch
        first += buffer.record_count()
    return bytes(content)


class EdgeWorker:
    """Ingest and profile of one process."""

    def __init__(self, assignments: list[str]) -> None:
        settings, parameters = load_settings({}), load_parameters(assignments=assignments)

        async def nothing_yet(*_: object) -> Recovered:
            return Recovered(CustomerRows({}), PartitionState(live_at_ms=0), 0, 0, 0.0)

        snapshots = SnapshotStore(settings, prior_snapshot(parameters))
        partitions = OwnedPartitions(snapshots, settings, plan_for(parameters), NOBODY, nothing_yet)
        self.log, self.effects = Buffers(), Buffers()
        log: Any = self.log
        effects: Any = self.effects
        self._gathers = Outbox(log, settings)
        pulse = Pulse(settings.session_timeout_ms)
        self.profile = ProfileAgent(
            partitions,
            Outbox(effects, settings),
            NOBODY,
            pulse,
            settings,
            parameters,
            NOBODY,
        )
        self._ingest = IngestAgent(
            self._gathers,
            settings,
            parameters,
            NOBODY,
            lambda: False,
            dict,
            own=self.profile.own,
        )
        self._settings = settings
        self.ledger = BatchLedger(on_end=lambda _: None)
        self.ledger.seek(
            {
                TP(settings.topic(topic), number): 0
                for topic in (*RAW_TOPICS, CUSTOMER_EVENTS)
                for number in range(PARTITIONS)
            }
        )

    def ends(self, _topics: object) -> dict[TP, Any]:
        """The log ends here: nothing more will come."""
        return {}

    def check(self, fetched: Mapping[Place, list[Any]]) -> None:
        """Ingest reads all raw records."""
        for topic in RAW_TOPICS:
            pieces = {number: found for (name, number), found in fetched.items() if name == topic}
            if pieces:
                batch = self.ledger.admit(self._settings.topic(topic), pieces)
                asyncio.run(self._ingest.take(topic, batch))

    def order(self) -> None:
        """Ingest puts the events in order, and into buffers."""
        consumer: Any = self
        self._ingest._send_ready(consumer)
        asyncio.run(self._gathers.flush())

    def fold(self, log: Mapping[Place, list[Any]]) -> None:
        """Profile reads the log, in batches."""
        asyncio.run(self._folded({number: found for (_, number), found in log.items()}))

    async def _folded(self, log: dict[int, list[Any]]) -> None:
        for begin in range(0, max(map(len, log.values())), BATCH):
            pieces = {
                number: piece
                for number, found in log.items()
                if (piece := found[begin : begin + BATCH])
            }
            await self.profile.take(
                self.ledger.admit(self._settings.topic(CUSTOMER_EVENTS), pieces)
            )


def read(topics: Mapping[Place, bytes]) -> dict[Place, list[Any]]:
    """The records of these fetches."""
    found = {}
    for (topic, number), content in topics.items():
        tp = TopicPartition(topic, number)
        fetched = PartitionRecords(tp, MemoryRecords(content), (), 0, None, None, True, 0)
        found[topic, number] = _Unread(fetched, tp).take(sys.maxsize)
    return found

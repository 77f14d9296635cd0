"""A broker in memory: logs, committed positions, and a network with latency."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Sequence
from random import Random
from typing import TYPE_CHECKING

from faust.types import TP

from config.topics import CUSTOMER_EVENTS, CUSTOMERS, LABELLED_EXAMPLES, MODEL_SNAPSHOTS
from models.partition_state import decode_state
from streams.auditing.learning_audit import consumed_by
from streams.changelog import STATE_KEY
from tests.streams.test_record_batches import FakeRecord

if TYPE_CHECKING:
    from tests.simulation.worker import SimulatedWorker

#: Records in a producer's buffer: few, so that a flush takes several writes.
BUFFER_RECORDS = 2
#: When the broker received everything that was published, in ms.
TAKEN_MS = 1_900_000_000_000

Headers = Sequence[tuple[str, bytes]]
Entry = tuple[bytes | None, bytes | None, Headers]


class Buffer:
    """The methods of aiokafka's `BatchBuilder` that an outbox uses."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []

    def append(
        self,
        *,
        timestamp: int | None,
        key: bytes | None,
        value: bytes | None,
        headers: Headers,
    ) -> object | None:
        if len(self.entries) >= BUFFER_RECORDS:
            return None
        self.entries.append((key, value, headers))
        return self


class Broker:
    """Logs by topic and partition. Each request takes a random time. `on_request` is called before
    it is carried out, and again afterwards, so that it can kill the requesting worker.
    """

    def __init__(self, chance: Random) -> None:
        self.chance = chance
        self.logs: dict[TP, list[FakeRecord]] = defaultdict(list)
        self._grown: dict[TP, asyncio.Event] = {}
        self.committed: dict[TP, int] = {}
        self.generation = 0
        #: Commits that must never happen.
        self.broken_promises: list[str] = []
        #: By partition, the highest applied position of a state in the changelog.
        self.applied: dict[int, int] = defaultdict(lambda: -1)
        #: The position up to which lessons are in a snapshot.
        self.learnt = 0
        self.on_request: Callable[[SimulatedWorker], None] = lambda _: None
        self.slowest_s = chance.choice((0.1, 1.0, 20.0))

    async def request(self, worker: "SimulatedWorker") -> None:
        """Wait for the time of a request; for a worker that died in between this never returns."""
        await worker.alive()
        self.on_request(worker)
        await worker.alive()
        await asyncio.sleep(self.latency_s())

    def latency_s(self) -> float:
        return self.chance.choice((0.0, 0.001, 0.02, 0.3, self.slowest_s)) * self.chance.random()

    def append(
        self,
        topic: str,
        partition: int,
        key: bytes | None,
        value: bytes | None,
        headers: Headers = (),
    ) -> None:
        """Write a record."""
        tp = TP(topic, partition)
        log = self.logs[tp]
        record = FakeRecord(len(log), partition, topic, TAKEN_MS, 0, key, value, [*headers])
        log.append(record)
        if (grown := self._grown.pop(tp, None)) is not None:
            grown.set()
        if topic == CUSTOMERS and key == STATE_KEY:
            applied = decode_state(value or b"").applied
            self.applied[partition] = max(self.applied[partition], applied)
        if topic == MODEL_SNAPSHOTS and (told := consumed_by(value or b"")):
            self.learnt = max(self.learnt, told[1])

    async def grows(self, tp: TP, end: int) -> None:
        """Return when the log of ``tp`` is longer than ``end``, as a fetch does."""
        if self.end(tp) <= end:
            await self._grown.setdefault(tp, asyncio.Event()).wait()

    def end(self, tp: TP) -> int:
        return len(self.logs[tp])

    def commit(self, positions: dict[TP, int], generation: int) -> bool:
        """Accept positions of the present generation; note those beyond what is durable."""
        if generation != self.generation:
            return False
        for tp, offset in positions.items():
            name = f"{tp.topic}-{tp.partition}"
            if offset < self.committed.get(tp, 0):
                self.broken_promises.append(f"{name} goes back to {offset}")
            if tp.topic == LABELLED_EXAMPLES and offset > self.learnt:
                self.broken_promises.append(f"{name} is committed at {offset}, in no snapshot yet")
            if tp.topic == CUSTOMER_EVENTS and offset > self.applied[tp.partition] + 1:
                self.broken_promises.append(f"{name} is committed at {offset}, and in no row yet")
        self.committed.update(positions)
        return True


class Producer:
    """A worker's idempotent producer: what it sends to a partition arrives in order."""

    def __init__(self, broker: Broker, worker: "SimulatedWorker") -> None:
        self._broker = broker
        self._worker = worker
        self._last: dict[TP, asyncio.Task[None]] = {}
        #: Partitions on which something was lost: the broker accepts nothing out of order.
        self._broken: set[TP] = set()

    def create_batch(self) -> Buffer:
        return Buffer()

    async def send_batch(
        self, buffer: Buffer, topic: str, *, partition: int
    ) -> "asyncio.Future[None]":
        """Send it; the future is done when the broker has it."""
        await self._worker.alive()
        tp = TP(topic, partition)
        acknowledged = asyncio.get_running_loop().create_future()
        # The network delivers it even if the worker dies; the worker only learns of it if it lives.
        self._last[tp] = self._broker_task(buffer, tp, self._last.get(tp), acknowledged)
        return acknowledged

    def _broker_task(
        self,
        buffer: Buffer,
        tp: TP,
        earlier: "asyncio.Task[None] | None",
        acknowledged: "asyncio.Future[None]",
    ) -> "asyncio.Task[None]":
        async def carry() -> None:
            if earlier is not None:
                await earlier
            await asyncio.sleep(self._broker.latency_s())
            self._broker.on_request(self._worker)
            if tp in self._broken or self._worker.is_cut_off():
                self._broken.add(tp)
                return
            for key, value, headers in buffer.entries:
                self._broker.append(tp.topic, tp.partition, key, value, headers)
            self._broker.on_request(self._worker)
            if not acknowledged.cancelled():
                acknowledged.set_result(None)

        return asyncio.create_task(carry())

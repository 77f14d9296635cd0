"""A worker's own code (agents, partitions, outboxes, ledger) on a broker in memory.

Faust's part is simulated here: membership, fetching, the timing of commits.
"""

import asyncio
from collections.abc import Awaitable, Callable, Container, Iterable
from functools import partial
from types import SimpleNamespace
from typing import Any

from faust.types import TP

from agents.deliver import DeliverAgent
from agents.idle_clocks import IdleClocks
from agents.ingest import IngestAgent
from agents.profile import ProfileAgent
from agents.trainer import TrainerAgent
from config.parameters import Parameters
from config.settings import Settings
from config.topics import (
    CUSTOMER_EVENTS,
    CUSTOMERS,
    DELIVERED_TOPICS,
    LABELLED_EXAMPLES,
    RAW_TOPICS,
)
from models.learning.snapshot import prior_snapshot
from models.plan import Plan
from streams.batch_consumer import LogEnd
from streams.customer_keys import Secrets
from streams.customers_table import CustomerRows
from streams.graves import Fingerprints
from streams.outbox import Outbox
from streams.owned_partitions import OwnedPartitions
from streams.pacing import PartitionStanding
from streams.pulse import StoodStill
from streams.record_batches import BatchLedger, RecordBatch
from streams.recovery import ChangelogFold, Recovered
from streams.row_keys import RowsWithKeys
from streams.snapshot_store import SnapshotStore
from streams.trigger_streams import TriggerStreams
from tests.simulation.broker import Broker, Producer
from tests.simulation.reader import NEW_READER, Reader
from tests.simulation.store import Client, Store

TOPICS = (*RAW_TOPICS, CUSTOMER_EVENTS, LABELLED_EXAMPLES, *DELIVERED_TOPICS)
#: How long a rebalance waits for the batches that agents have in hand.
DRAIN_S = 3.0


class Unmeasured:
    """Metrics and profiles that are never read."""

    def __getattr__(self, _name: str) -> "Unmeasured":
        return self

    def __call__(self, *_: object, **__: object) -> "Unmeasured":
        return self


NOBODY: Any = Unmeasured()


class _Pulse:
    """Ends a worker that was suspended for longer than its session timeout."""

    def __init__(self) -> None:
        self.has_stood_still = False

    def require(self) -> None:
        if self.has_stood_still:
            raise StoodStill("it stood still")


class Dead(Exception):
    """The worker was killed: nothing of it continues."""


class SimulatedWorker:
    """It is also its own consumer: it has the methods of `BatchConsumer` that agents call."""

    def __init__(
        self,
        name: str,
        broker: Broker,
        store: Store,
        settings: Settings,
        parameters: Parameters,
        plan: Plan,
    ) -> None:
        self.name = name
        self.broker = broker
        self._settings = settings
        self._snapshot_every_ms = parameters.learning.snapshot_every
        self.ledger = BatchLedger(on_end=self._on_end)
        self.is_dead = self.is_suspended = self.is_leaving = self.is_told_to_leave = False
        self.error: BaseException | None = None
        #: Partitions were taken away before its work on them was committed.
        self.was_cut_short = False
        self.generation = -1
        self._pulse = _Pulse()
        self._running: set[asyncio.Task[None]] = set()
        self._queues: dict[str, asyncio.Queue[RecordBatch]] = {}
        self._working: set[str] = set()
        self._fetched: dict[TP, list[Any]] = {}
        self._highwater: dict[TP, int] = {}
        self._answered_ms: dict[TP, int] = {}
        self._at_the_end: set[TP] = set()
        self._wake = asyncio.Event()
        self._committing = asyncio.Lock()
        snapshots = SnapshotStore(settings, prior_snapshot(parameters))
        self._partitions = OwnedPartitions(snapshots, settings, plan, NOBODY, self._read_changelog)
        self._trainer = TrainerAgent(snapshots, self._outbox(), settings, parameters, NOBODY)
        self._takes = self._agents(store, settings, parameters)
        app: Any = SimpleNamespace(batch_consumer=self)
        clocks = IdleClocks(
            app, self._partitions, self._trainer, settings, parameters, lambda: False
        )
        self._start(partial(clocks.drive, self._outbox(), lambda: None))
        self._start(snapshots.stay_connected)
        for topic in TOPICS:
            self._queues[topic] = asyncio.Queue()
            self._start(partial(self._agent, topic))
        self._start(self._deliver)
        self._start(self._commit_now_and_then)

    def _agents(
        self, store: Store, settings: Settings, parameters: Parameters
    ) -> dict[str, Callable[[RecordBatch], Awaitable[None]]]:
        """Each agent by its topic, as `agents.app` creates them."""
        pulse: Any = self._pulse
        profile = ProfileAgent(
            self._partitions, self._outbox(), NOBODY, pulse, settings, parameters, NOBODY
        )
        ingest = IngestAgent(
            self._outbox(),
            settings,
            parameters,
            NOBODY,
            lambda: self.is_leaving,
            self._standings,
            own=profile.own,
        )
        client: Any = Client(store, partial(self.broker.request, self))
        streams = TriggerStreams(client, settings, NOBODY)
        consumer: Any = self
        self._start(partial(ingest.pass_on, consumer))
        return {
            **{topic: partial(ingest.take, topic) for topic in RAW_TOPICS},
            CUSTOMER_EVENTS: profile.take,
            LABELLED_EXAMPLES: lambda batch: self._trainer.take(batch, consumer),
            **{
                topic: DeliverAgent(
                    topic,
                    streams,
                    NOBODY,
                    lambda: self.is_leaving,
                    settings.deliver_max_age_ms,
                    Fingerprints(),
                ).take
                for topic in DELIVERED_TOPICS
            },
        }

    def _standings(self) -> dict[int, PartitionStanding]:
        """As `agents.worker_condition.WorkerCondition.standings`."""
        return self._partitions.standings(
            [tp.partition for tp in self.ledger.ended if tp.topic == CUSTOMER_EVENTS],
            self._trainer if self.is_trainer else None,
            self._snapshot_every_ms,
        )

    @property
    def is_trainer(self) -> bool:
        """Whether it owns the one partition of lessons."""
        return self.ledger.has_position(TP(LABELLED_EXAMPLES, 0))

    def _outbox(self) -> Outbox:
        producer: Any = Producer(self.broker, self)
        return Outbox(producer, self._settings)

    # Life and death

    def _start(self, work: Callable[[], Awaitable[None]]) -> None:
        task = asyncio.create_task(self._watched(work))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _watched(self, work: Callable[[], Awaitable[None]]) -> None:
        """An error of any part ends the worker, as in reality."""
        NEW_READER.set(lambda: Reader(self.broker, partial(self.broker.request, self)))
        try:
            await work()
        except Dead:
            pass
        except Exception as error:  # noqa: BLE001  whatever it is, the worker is over
            self.error = error
            self.die()

    def die(self) -> None:
        """Be killed: it does nothing more, and notifies nobody."""
        self.is_dead = True
        for task in list(self._running):
            task.cancel()

    def suspend(self) -> None:
        self.is_suspended = True

    def resume(self) -> None:
        """Continue for a moment, as if nothing had happened."""
        self.is_suspended = False
        self._pulse.has_stood_still = True
        self._wake.set()

    async def alive(self) -> None:
        """Stop here if it is dead; wait here while it is suspended."""
        while self.is_suspended and not self.is_dead:  # noqa: ASYNC110  time costs nothing here
            await asyncio.sleep(0.1)
        if self.is_dead:
            raise Dead

    def is_cut_off(self) -> bool:
        """Whether what it sent is lost with it: for a dead worker, half of the time."""
        return self.is_dead and self.broker.chance.random() < 0.5

    # Membership

    async def revoke(self) -> None:
        """Let agents finish, commit, and forget all partitions."""
        self.is_leaving, generation = True, self.generation
        try:
            async with asyncio.timeout(DRAIN_S):
                while not all(map(self.ledger.is_idle, self._working)):  # noqa: ASYNC110  as above
                    await asyncio.sleep(0.05)
                await self._commit()
        except TimeoutError:
            self.was_cut_short = True
        if generation == self.generation:
            self._forget()

    async def assign(self, numbers: Iterable[int], generation: int) -> None:
        """Take over partitions ``numbers`` of every topic, from the committed positions on."""
        self._forget()
        self.generation = generation
        await self.broker.request(self)
        if generation != self.generation:
            return  # it was slow, and is told anew
        owned = [TP(topic, n) for topic in TOPICS for n in numbers]
        # All lessons are in one partition.
        owned = [tp for tp in owned if tp.topic != LABELLED_EXAMPLES or not tp.partition]
        epoch = self._forget()
        self.ledger.seek({tp: self.broker.committed.get(tp, 0) for tp in owned})
        for tp in owned:
            self._fetched[tp] = []
            self._start(partial(self._fetch, tp, epoch))
        self._partitions.retain(numbers)
        self.is_leaving = False
        self._wake.set()

    def _forget(self) -> int:
        self._fetched.clear()
        self._highwater.clear()
        self._answered_ms.clear()
        self._at_the_end.clear()
        for queue in self._queues.values():
            # Drop from its queue what no agent has begun.
            while not queue.empty():
                queue.get_nowait()
        return self.ledger.begin_epoch()

    async def _read_changelog(self, _settings: Settings, number: int) -> Recovered:
        """The rows of a partition as the broker has them at the first poll, read bit by bit."""
        fold = ChangelogFold(RowsWithKeys({}))
        await self.broker.request(self)
        log, read = self.broker.logs[TP(CUSTOMERS, number)], 0
        end = len(log)
        while read < end:
            for record in log[read : min(end, read + 20)]:
                fold.add(record.key, record.value, record.headers)
            read += 20
            await self.broker.request(self)
        fold.bury()
        rows = CustomerRows(fold.packed, strays=fold.strays)
        secrets = Secrets.read(fold.secrets) if fold.secrets else None
        return Recovered(
            rows,
            fold.state,
            end,
            fold.quarantined,
            0.0,
            secrets=secrets,
            graves=fold.graves,
            gone=fold.gone,
        )

    # Fetching and delivering

    async def _fetch(self, tp: TP, epoch: int) -> None:
        """Keep a few records of ``tp`` at hand, with the end of its log at that time."""
        position = self.ledger.delivered[tp]
        while epoch == self.ledger.epoch:
            await self.broker.request(self)
            if epoch != self.ledger.epoch:
                return
            self._highwater[tp] = self.broker.end(tp)
            self._answered_ms[tp] = self._now_ms()
            if not self._fetched[tp]:
                count = self.broker.chance.randint(1, 12)
                self._fetched[tp] = self.broker.logs[tp][position : position + count]
                position += len(self._fetched[tp])
                self._wake.set()
            if self._fetched[tp]:
                await asyncio.sleep(0.3)
            else:
                self._at_the_end.add(tp)
                await self.broker.grows(tp, position)
                self._at_the_end.discard(tp)

    async def _deliver(self) -> None:
        while True:
            await self.alive()
            self._wake.clear()
            names = [*TOPICS]
            self.broker.chance.shuffle(names)
            for topic in names:
                if not self.is_leaving and self.ledger.is_idle(topic):
                    self._deliver_topic(topic)
            try:
                await asyncio.wait_for(self._wake.wait(), 5.0)
            except TimeoutError:
                continue

    def _deliver_topic(self, topic: str) -> None:
        room, taken = self._settings.max_batch_records, {}
        for tp, waiting in self._fetched.items():
            if tp.topic == topic and waiting and room:
                taken[tp.partition], self._fetched[tp] = waiting[:room], waiting[room:]
                room -= len(taken[tp.partition])
        if taken:
            self._queues[topic].put_nowait(self.ledger.admit(topic, taken))

    async def _agent(self, topic: str) -> None:
        """Take one batch after the other, and spend a random time on each."""
        while True:
            batch = await self._queues[topic].get()
            self._working.add(topic)
            await asyncio.sleep(self.broker.latency_s())
            await self.alive()
            await self._takes[topic](batch)
            self._working.discard(topic)

    def _on_end(self, _batch: RecordBatch) -> None:
        self._wake.set()

    def to_come(self) -> set[TP]:
        """As `BatchConsumer.to_come`: the log ends where the last fetch says."""
        delivered = self.ledger.delivered
        ends = {tp: self._highwater.get(tp) for tp in delivered}
        return {tp for tp, end in ends.items() if end is None or end > delivered[tp]}

    def ends(self, topics: Container[str]) -> dict[TP, LogEnd]:
        """As `BatchConsumer.ends`; the end of a watched partition follows its log."""
        now, to_come = dict.fromkeys(self._at_the_end, self._now_ms()), self.to_come()
        return {
            tp: LogEnd(tp in to_come, now.get(tp, self._answered_ms.get(tp, 0)))
            for tp in self.ledger.delivered_of(topics)
        }

    def _now_ms(self) -> int:
        return round(asyncio.get_running_loop().time() * 1_000)

    async def log_ends(self, topic: str, partitions: int) -> dict[int, int]:
        """As `BatchConsumer.log_ends`."""
        await self.broker.request(self)
        return {number: self.broker.end(TP(topic, number)) for number in range(partitions)}

    # Committing

    async def _commit_now_and_then(self) -> None:
        while True:
            await asyncio.sleep(self.broker.chance.uniform(0.1, 2.0))
            await self._commit()

    async def _commit(self) -> None:
        # One after the other, as `BatchConsumer.force_commit` does.
        async with self._committing:
            epoch, due = self.ledger.epoch, self.ledger.commits_due()
            if not due:
                return
            generation = self.generation
            await self.broker.request(self)
            if self.broker.commit(due, generation):
                await self.broker.request(self)
                self.ledger.record_commit(due, epoch=epoch)

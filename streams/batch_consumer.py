"""Faust's Kafka consumer, made to deliver record batches.

Faust does membership, assignment, the conductor, agents and the timing of commits. Keepstream does
fetching, batching, acks and positions, in `streams.record_batches`; this module joins the two. The
hooks are internal to faust, mode and aiokafka: tests/streams/test_faust_contract.py fails when an
upgrade changes one of them.
"""

import asyncio
import logging
from collections.abc import Container, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic
from typing import Any, ClassVar, NamedTuple, cast

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import ConsumerStoppedError
from faust.transport.drivers import aiokafka as driver
from faust.types.tuples import TP, ConsumerMessage, Message
from mode import ServiceT

from streams.client_fetches import (
    fetched_partitions,
    hold_fetches,
    release_fetches,
    take_records,
    wait_for_records,
)
from streams.fetch_pace import FetchPace
from streams.loop_bound_client import (
    LoopBoundConsumerThread,
    counted_as_active,
    found_positions,
    is_reassigning,
    notice_topics,
    raise_membership_errors,
)
from streams.record_batches import BatchLedger, RecordBatch
from streams.topic_identity import topic_ids

log = logging.getLogger(__name__)

LAST_COMMIT_TIMEOUT_S = 2.0
# A lost signal must not make a worker wait for ever: it would look like one without work.
IDLE_CHECK_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Batching:
    """How records are cut into batches, and how long one may take.

    A topic in ``paced_topics`` is asked for at most once in ``pace_ms``: at a low rate waking up
    costs more than the records do (see `streams.fetch_pace`). ``drain_timeout_s`` is how long a
    rebalance or a shutdown waits for the batches that agents are working on; keep it below the
    rebalance timeout. A batch in flight for longer than ``stall_warning_s`` is logged.
    ``bound_topics`` are those that state is a fold of: if one was deleted and created again, it is
    refused. Any other topic is then read from its beginning.
    """

    max_batch_records: int = 4_000
    pace_ms: int = 0
    paced_topics: frozenset[str] = frozenset()
    drain_timeout_s: float = 15.0
    stall_warning_s: float = 60.0
    bound_topics: frozenset[str] = frozenset()


class LogEnd(NamedTuple):
    """The end of a partition. ``has_more``: whether it has undelivered records, or may have some
    because the broker hasn't said where it ends. ``answered_ms``: when the broker last said so; 0
    if never.
    """

    has_more: bool
    answered_ms: int


@dataclass(slots=True)
class _Delivery:
    """A batch on its way through Faust."""

    message: Message
    delivered_at_s: float
    warned: bool = False


class BatchConsumer(driver.Consumer):
    """A Faust consumer that delivers one `RecordBatch` a topic at a time."""

    _thread: LoopBoundConsumerThread

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.ledger = BatchLedger(on_end=self._on_batch_end)
        self._deliveries: dict[str, _Delivery] = {}
        self._sought_epoch = self._open_epoch = -1
        self._wake = asyncio.Event()
        self._batch_ended = asyncio.Event()
        self._commit_lock = asyncio.Lock()
        super().__init__(*args, **kwargs)

    def _new_consumer_thread(self) -> LoopBoundConsumerThread:
        # Called by Faust's constructor.
        self.batching: Batching = cast(Any, self.app).batching
        self._pace = FetchPace(self.batching.paced_topics, self.batching.pace_ms)
        return LoopBoundConsumerThread(self, self._pace, loop=self.loop, beacon=self.beacon)

    async def _drain_messages(self, fetcher: ServiceT) -> None:
        """Deliver batches until ``fetcher`` stops: the body of Faust's fetcher service."""
        client = self._thread.client
        try:
            # Held all the time: otherwise aiokafka would leave the group, and never join again,
            # when every topic has had a batch in flight for longer than its max_poll_interval. The
            # health check reports whether topics make progress.
            with counted_as_active(client):
                while not (self.should_stop or fetcher.should_stop):
                    self._wake.clear()
                    raise_membership_errors(client)
                    if not await self._deliver_fetched(client):
                        await wait_for_records(client, self._wake, IDLE_CHECK_S)
        except ConsumerStoppedError:
            if not self.app.should_stop:
                raise
        except asyncio.CancelledError:
            # Swallowed when stopping: during a rebalance Faust would take it for a crash.
            if not (fetcher.should_stop or self.app.should_stop):
                raise

    def _may_fetch(self, client: AIOKafkaConsumer) -> bool:
        # Between a revocation and the following seek, the client may hold records from a wrong
        # position; delivering them would put later records before earlier ones.
        return (
            self._open_epoch == self.ledger.epoch
            and self.flow_active
            and not self.app.rebalancing
            and not is_reassigning(client)
        )

    def allow_fetching(self) -> None:
        """Start fetching at the end of a rebalance, if positions have been sought since it began.

        Not sooner: Faust clears the agents' queues between the seek and the end, and a batch
        delivered before that would never end. And only for the latest rebalance: Faust may announce
        the end of an older one after the next has begun.
        """
        if self._sought_epoch == self.ledger.epoch:
            self._open_epoch = self.ledger.epoch
            self._wake.set()

    def _fetched(self, client: AIOKafkaConsumer) -> dict[str, list[TopicPartition]]:
        """Partitions, by idle topic, that have records waiting in the client."""
        waiting: dict[str, list[TopicPartition]] = {}
        if self._may_fetch(client):
            for tp in fetched_partitions(client):
                if (
                    self.ledger.has_position(tp)
                    and tp not in self._paused_partitions
                    and self.ledger.is_idle(tp.topic)
                ):
                    waiting.setdefault(tp.topic, []).append(tp)
        return waiting

    async def _deliver_fetched(self, client: AIOKafkaConsumer) -> bool:
        """Deliver a batch of every topic that has records; return whether there was any."""
        any_delivered, fetched = False, self._fetched(client)
        # Before records are taken: taking them makes the client ask for more.
        self._pace.took(fetched, monotonic())
        for topic, partitions in fetched.items():
            epoch = self.ledger.epoch
            taken = await take_records(client, partitions, self.batching.max_batch_records)
            # The records are dropped if a rebalance began meanwhile: a seek follows.
            if not taken or epoch != self.ledger.epoch or not self._may_fetch(client):
                continue
            await self._deliver(self.ledger.admit(topic, taken))
            any_delivered = True
        return any_delivered

    async def _deliver(self, batch: RecordBatch) -> None:
        first = batch.slices[0]
        tp = TP(batch.topic, first.partition)
        timestamp_s = first.records[0].timestamp / 1000
        message = ConsumerMessage(
            batch.topic, tp.partition, first.first_offset, timestamp_s,
            0, None, None, cast(Any, batch), None,
            0, 0, tp, generation_id=self.app.consumer_generation_id,
        )  # fmt: skip
        self._deliveries[batch.topic] = _Delivery(message, self.loop.time())
        await self.callback(message)
        if message.refcount != 1 and not message.acked:
            raise RuntimeError(
                f"{message.refcount} agents take {batch.topic}, and it must be exactly one."
            )

    def ack(self, message: Message) -> bool:
        """Ack the batch in ``message``: what `event.ack()` ends up doing."""
        return cast(RecordBatch, message.value).ack()

    def _on_batch_end(self, batch: RecordBatch) -> None:
        message = self._deliveries.pop(batch.topic).message
        message.acked = True
        self._unacked_messages.discard(message)
        self._batch_ended.set()
        # Records that are fetched later wake by themselves; mostly there are none yet.
        if any(tp.topic == batch.topic for tp in fetched_partitions(self._thread.client)):
            self._wake.set()

    def _begin_epoch(self) -> int:
        self._deliveries.clear()
        self._batch_ended.set()
        return self.ledger.begin_epoch()

    def _topics_being_worked_on(self) -> list[str]:
        # Faust drops a batch that is still in its agent's queue, so nothing waits for it.
        return [topic for topic, delivery in self._deliveries.items() if delivery.message.tracked]

    async def wait_empty(self) -> None:
        """Wait for the batches that agents are working on, and commit what they acked.

        Gives up after `Batching.drain_timeout_s`: an agent that waits for a store which is down
        must not keep the group from rebalancing, nor the process from ending. Its batch will be
        read again.
        """
        try:
            async with asyncio.timeout(self.batching.drain_timeout_s):
                while self._topics_being_worked_on() and not self.should_stop:
                    self._batch_ended.clear()
                    with suppress(TimeoutError):
                        await asyncio.wait_for(self._batch_ended.wait(), IDLE_CHECK_S)
                await self.force_commit()
        except TimeoutError:
            log.warning(
                "gave up waiting for the agents of %s after %s s; what they have in hand is not "
                "committed and will be read again",
                ", ".join(self._topics_being_worked_on()) or "(the commit)",
                self.batching.drain_timeout_s,
            )
            with suppress(TimeoutError):
                async with asyncio.timeout(LAST_COMMIT_TIMEOUT_S):
                    await self.force_commit()

    async def verify_all_partitions_active(self) -> None:
        """Warn when a batch has been in flight for too long; Faust calls this periodically."""
        now_s = self.loop.time()
        for topic, delivery in self._deliveries.items():
            age_s = now_s - delivery.delivered_at_s
            if age_s > self.batching.stall_warning_s and not delivery.warned:
                delivery.warned = True
                log.warning(
                    "the agent of %s has had a batch for %.0f s; %s waits until it is acked or "
                    "released",
                    topic, age_s, topic,
                )  # fmt: skip

    async def force_commit(
        self,
        topics: Any = None,
        start_new_transaction: bool = True,  # noqa: ARG002  Faust passes it; we have none
    ) -> bool:
        """Commit all positions that are due. They stay due until the broker has them."""
        async with self._commit_lock:
            epoch = self.ledger.epoch
            due = {
                tp: offset
                for tp, offset in self.ledger.commits_due().items()
                if topics is None or tp in topics or tp.topic in topics
            }
            if not due or not await self._commit(due):
                return False
            self.ledger.record_commit(due, epoch=epoch)
            self.app.monitor.on_tp_commit(due)
            return True

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        """Let agents finish and commit while the partitions are still ours, then forget them."""
        try:
            await super().on_partitions_revoked(revoked)
        finally:
            self._begin_epoch()

    async def on_partitions_assigned(self, assigned: set[TP], generation_id: int = 0) -> None:
        """Take over. Nothing is fetched until positions are sought: the questions for them share a
        connection with fetches, and each would wait until the broker answers a fetch.
        """
        self._begin_epoch()
        hold_fetches(self._thread.client)
        await super().on_partitions_assigned(assigned, generation_id)

    async def perform_seek(self) -> None:
        """Seek every assigned partition to the group's committed offset.

        Raises PositionError when a log no longer holds that offset, or was deleted and created
        again, and TimeoutError when the broker doesn't answer in time.
        """
        epoch = self._begin_epoch()
        client = self._thread.client
        # Shorter than Faust's own limit, after which Faust would silently stop recovering.
        async with asyncio.timeout(self.app.conf.broker_request_timeout * 0.8):
            positions, identity = await found_positions(client, self.batching.bound_topics)
        if epoch != self.ledger.epoch:
            return  # another rebalance began meanwhile, and seeks for itself
        for tp, offset in positions.items():
            client.seek(TopicPartition(*tp), offset)
        release_fetches(client)
        self.ledger.seek(positions, identity)
        self._sought_epoch = epoch

    async def seek(self, partition: TP, offset: int) -> None:
        """Refuse: one partition can't be moved while batches span several."""
        raise NotImplementedError("Keepstream reads from committed offsets; see perform_seek.")

    async def seek_wait(self, partitions: Mapping[TP, int]) -> None:
        """Refuse, like `seek`."""
        raise NotImplementedError("Keepstream reads from committed offsets; see perform_seek.")

    async def topic_ids(self, names: Iterable[str]) -> dict[str, str]:
        """The present ids of topics, by name. The client notices topics that were created again."""
        client = self._thread.client
        present = await topic_ids(client, names)
        notice_topics(client, present)
        return present

    async def log_ends(self, topic: str, partitions: int) -> dict[int, int]:
        """The next offset of each partition of a subscribed topic, whoever owns it."""
        asked = [TopicPartition(topic, number) for number in range(partitions)]
        ends = await self._thread.client.end_offsets(asked)
        return {tp.partition: end for tp, end in ends.items()}

    def lag(self) -> dict[TP, int]:
        """Records in the log that no ended batch holds, by assigned partition with a known end.

        Records of a batch in flight count; otherwise a stuck agent would seem to have no work.
        """
        ended = self.ledger.ended
        return {tp: max(0, end - ended[tp]) for tp, end in self._ends().items() if end is not None}

    def to_come(self) -> set[TP]:
        """Assigned partitions with undelivered records, or whose end is not known yet."""
        delivered = self.ledger.delivered
        return {tp for tp, end in self._ends().items() if end is None or end > delivered[tp]}

    def ends(self, topics: Container[str]) -> dict[TP, LogEnd]:
        """What is known about the ends of the assigned partitions of ``topics``."""
        delivered = self.ledger.delivered_of(topics)
        client = self._thread.client if delivered else None
        if client is None:
            return {}
        ends = {}
        for tp, read in delivered.items():
            # As good as the client's own type, and without the cost of making one.
            place = cast(TopicPartition, tp)
            end, answered_ms = client.highwater(place), client.last_poll_timestamp(place)
            ends[tp] = LogEnd(end is None or end > read, answered_ms or 0)
        return ends

    def _ends(self) -> dict[TP, int | None]:
        """Where the logs end, as far as the broker has said; empty before the first seek."""
        delivered = self.ledger.delivered
        # Before the first seek there may be no client yet.
        client = self._thread.client if delivered else None
        return {tp: client.highwater(TopicPartition(*tp)) for tp in delivered} if client else {}


class BatchTransport(driver.Transport):
    """Faust's aiokafka transport with our consumer."""

    Consumer: ClassVar[type[BatchConsumer]] = BatchConsumer

"""Runs the Kafka client in the app's own event loop: its membership and its positions.

`streams.client_fetches` controls what it fetches. Both modules use private attributes of aiokafka;
tests/streams/test_faust_contract.py checks them.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Container, Mapping
from contextlib import AbstractContextManager
from typing import Any, cast

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import CommitFailedError, KafkaError
from aiokafka.structs import OffsetAndMetadata
from faust.transport.consumer import ThreadDelegateConsumer
from faust.transport.drivers.aiokafka import AIOKafkaConsumerThread
from faust.types import TP
from mode.utils.futures import maybe_async

from streams.client_fetches import pace_fetches
from streams.fetch_pace import HELD_MS, FetchPace
from streams.kafka_clients import END_RETRY_S, END_TRIES
from streams.partition_owners import OwnersAssignor
from streams.record_batches import (
    Committed,
    TopicIdentities,
    is_replaced,
    verify_position,
)
from streams.topic_identity import topic_ids

log = logging.getLogger(__name__)

CLOSE_TIMEOUT_S = 5.0
#: An election takes seconds; a partition without a leader after that may have none for long.
LEADER_TRIES = 5
LEADER_RETRY_S = 1.0


class LoopBoundConsumerThread(AIOKafkaConsumerThread):
    """The Kafka client, in the app's own event loop instead of a thread.

    Faust gives its client a thread, and every fetch, commit and callback hops between two loops.
    In one loop there are no hops, and no rebalance callback can come between two steps of
    Keepstream's. The price: code that blocks the loop also stops the heartbeat.
    """

    def __init__(self, consumer: ThreadDelegateConsumer, pace: FetchPace, **kwargs: Any) -> None:
        super().__init__(consumer, thread_loop=consumer.loop, **kwargs)
        self._pace = pace

    @property
    def client(self) -> AIOKafkaConsumer:
        """The Kafka client; ConsumerNotStarted before the start."""
        return self._ensure_consumer()

    def _create_worker_consumer(self, transport: Any) -> AIOKafkaConsumer:
        """Make the client, with an assignor that gives the same partition of all topics to one
        member, and tells everybody who it is.

        Faust's default, round robin, assigns the raw topics of a customer to different workers;
        none of them could put the customer's events in order.
        """
        client = super()._create_worker_consumer(transport)
        client._partition_assignment_strategy = (OwnersAssignor(transport.app.owners),)
        client._fetch_max_wait_ms = HELD_MS
        return client

    async def on_start(self) -> None:
        """Start the client."""
        await super().on_start()
        pace_fetches(self.client, self._pace)

    async def start(self) -> None:
        """Connect; returns when the client has started."""
        self._thread_started.set()
        await self._default_start()

    def _stopped_set(self) -> None:
        self._stopped.set()

    async def on_stop(self) -> None:
        """Stop what a thread would have stopped on its way out."""
        await self._shutdown_thread()

    async def on_thread_stop(self) -> None:
        """Leave the group, but don't wait for ever for a broker that is away."""
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                await super().on_thread_stop()
        except TimeoutError:
            log.warning("the Kafka client did not close within %s s; leaving it", CLOSE_TIMEOUT_S)

    async def _commit(self, offsets: Mapping[TP, int]) -> bool:
        """Commit positions, each with its topic's id; False if the group has rebalanced."""
        ids = cast(Any, self.consumer).ledger.topic_ids
        assigned = self.assignment()
        positions = {
            TopicPartition(*tp): OffsetAndMetadata(offset, ids.get(tp.topic, ""))
            for tp, offset in offsets.items()
            if tp in assigned
        }
        try:
            await self.client.commit(positions)
        except CommitFailedError as error:
            # After a rebalance the new owner continues from the last committed position.
            if "already rebalanced" not in str(error):
                await self.crash(error)
            return False
        except KafkaError as error:
            log.critical("committing failed: %r", error)
            await self.crash(error)
            return False
        return True

    async def call_thread(
        self, fun: Callable[..., Awaitable[Any]], *args: Any, **kwargs: Any
    ) -> Any:
        """Call ``fun`` right here."""
        return await maybe_async(fun(*args, **kwargs))

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        """Tell the consumer without a detour through its method queue."""
        await self.consumer.on_partitions_revoked(revoked)

    async def on_partitions_assigned(self, assigned: set[TP], generation_id: int = 0) -> None:
        """Tell the consumer without a detour through its method queue."""
        await self.consumer.on_partitions_assigned(assigned, generation_id)

    def close(self) -> None:
        """Do nothing: `on_stop` closes the client, in order.

        Faust calls this when a rebalance meets a shutdown. Its own version closes the connections
        first and the group membership after them, so the group would wait for this member until
        its session times out.
        """


def is_reassigning(client: AIOKafkaConsumer) -> bool:
    """Whether the group rebalances; the client would make a fetch wait until it is over."""
    return cast(bool, client._subscription.reassignment_in_progress)


def notice_topics(client: AIOKafkaConsumer, present: Container[str]) -> None:
    """Have the client refresh its metadata if it lacks a topic that it reads and that exists.

    By itself it refreshes only every five minutes: a topic that was missing at the last rebalance
    would go unread until then.
    """
    unknown = client.subscription() - client._client.cluster.topics()
    if any(topic in present for topic in unknown):
        client._client.force_metadata_update()


def counted_as_active(client: AIOKafkaConsumer) -> AbstractContextManager[None]:
    """Keep the client in its group for as long as the context lasts, fetching or not."""
    return cast(AbstractContextManager[None], client._subscription.fetch_context())


def raise_membership_errors(client: AIOKafkaConsumer) -> None:
    """Raise the error that keeps the client out of its group, such as a missing permission."""
    client._coordinator.check_errors()


async def found_positions(
    client: AIOKafkaConsumer, bound: Container[str]
) -> tuple[dict[TP, int], TopicIdentities]:
    """The next offset of each assigned partition, and the identity of their topics: see
    `verify_position`. ``bound``: topics that must be those the positions were committed for.
    """
    assignment: list[TopicPartition] = sorted(client.assignment())
    committed = await _committed(client, assignment)
    ids = await topic_ids(client, {tp.topic for tp in assignment}) if assignment else {}
    led = await _led(client, assignment)
    beginnings = await client.beginning_offsets(led)
    for tries_left in reversed(range(END_TRIES)):
        # A new leader may report an end before the committed offset until its followers answer.
        ends = await client.end_offsets(led)
        if not tries_left or not any(
            at.offset > ends.get(tp, at.offset) and not is_replaced(at, ids.get(tp.topic, ""))
            for tp, at in committed.items()
        ):
            break
        await asyncio.sleep(END_RETRY_S)
    for tp in set(assignment).difference(led):
        # The log's beginning and end are unknown. If it doesn't continue at this offset later, the
        # ledger ends the worker, and its next start compares them.
        at = committed.get(tp)
        if at is None or is_replaced(at, ids.get(tp.topic, "")):
            at = Committed(0)
        beginnings[tp] = ends[tp] = at.offset
    positions = {
        TP(*tp): verify_position(
            TP(*tp),
            committed.get(tp),
            beginnings[tp],
            ends[tp],
            topic_id=ids.get(tp.topic, ""),
            is_bound=tp.topic in bound,
        )
        for tp in assignment
    }
    _tell_identity(committed, ids)
    _tell_gone(committed, ends)
    unnamed = {
        TP(*tp) for tp, at in committed.items() if ids.get(tp.topic, at.topic_id) != at.topic_id
    }
    return positions, TopicIdentities(ids, frozenset(unnamed))


async def _led(client: AIOKafkaConsumer, assignment: list[TopicPartition]) -> list[TopicPartition]:
    """The partitions with a leader. One without must not keep the others from being read."""
    cluster, led = client._client.cluster, []
    for tries_left in reversed(range(LEADER_TRIES if assignment else 0)):
        await client._client.force_metadata_update()
        led = [tp for tp in assignment if cluster.leader_for_partition(tp) not in (None, -1)]
        if len(led) == len(assignment):
            break
        if tries_left:
            await asyncio.sleep(LEADER_RETRY_S)
    if missing := sorted(_names(assignment) - _names(led)):
        log.warning(
            "no leader: %s. They are read as soon as they have one, and the others meanwhile; see "
            "that their brokers come back",
            ", ".join(missing),
        )
    return led


def _names(partitions: list[TopicPartition]) -> set[str]:
    return {f"{tp.topic}-{tp.partition}" for tp in partitions}


async def _committed(
    client: AIOKafkaConsumer, assignment: list[TopicPartition]
) -> dict[TopicPartition, Committed]:
    """The group's positions, each with the id of the topic that it was committed for."""
    found = await client._coordinator.fetch_committed_offsets(assignment)
    return {tp: Committed(at.offset, at.metadata) for tp, at in found.items() if at.offset >= 0}


def _tell_gone(
    committed: Mapping[TopicPartition, Committed], ends: Mapping[TopicPartition, int]
) -> None:
    """Warn of topics without a position while others have one: the position expired, or was lost
    with a deleted topic.
    """
    read = {tp.topic for tp in committed}
    if gone := sorted({tp.topic for tp, end in ends.items() if end and tp.topic not in read}):
        if read:
            log.warning(
                "the group has no position in %s, but in other topics: it is read from its "
                "beginning. Records that were used before are dropped as repeated ones, unless the "
                "topic was deleted and created again: then they are new ones",
                ", ".join(gone),
            )


def _tell_identity(committed: Mapping[TopicPartition, Committed], ids: Mapping[str, str]) -> None:
    replaced = {tp.topic for tp, at in committed.items() if is_replaced(at, ids.get(tp.topic, ""))}
    for topic in sorted(replaced):
        log.warning(
            "%s was deleted and created again, or is a copy (its id is %s, and was another): it is "
            "read from its beginning, and its records are new ones, whatever their offsets. "
            "Records that were used before are known only by their message ids",
            topic,
            ids[topic],
        )
    unknown = {tp.topic for tp, at in committed.items() if not at.topic_id and at.offset}
    if named := sorted(unknown & ids.keys()):
        log.warning(
            "the positions in %s name no topic id, as earlier releases wrote them: they are taken "
            "to be of the topics that are there now, and will name them from now on",
            ", ".join(named),
        )
    if unnamed := sorted({tp.topic for tp in committed} - ids.keys()):
        log.warning(
            "the broker tells no ids of %s: if one of them is deleted and created again, start "
            "over with another KEEPSTREAM_TOPIC_PREFIX, because its new records would pass for "
            "repeated ones",
            ", ".join(unnamed),
        )

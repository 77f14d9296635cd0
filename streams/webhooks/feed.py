"""Reads the topics of decisions for one endpoint, in a consumer group of the endpoint's own.

So each endpoint has its own position, and a slow or absent one holds up nobody else.
"""

import asyncio
import logging
from collections.abc import Iterable
from contextlib import suppress
from time import monotonic

from aiokafka import (
    AIOKafkaConsumer,
    ConsumerRebalanceListener,
    OffsetAndMetadata,
    TopicPartition,
)
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.errors import KafkaError

from config.endpoints import EndpointRule
from config.settings import Settings
from config.topics import DELIVERED_TOPICS
from streams.kafka_clients import client_options, running
from streams.topic_identity import topic_ids
from streams.webhooks.delivery import EndpointDelivery, Partition
from streams.webhooks.metrics import WebhookMetrics
from streams.webhooks.window import OpenPosition, decode_position, encode_metadata

log = logging.getLogger(__name__)

POLL_MS = 250
BATCH_RECORDS = 500
COMMIT_EVERY_S = 1.0
COMMIT_TIMEOUT_S = 10.0
#: Seconds between checks that the topics are still the same.
TOPIC_LOOK_S = 5.0
#: How long a rebalance or a shutdown waits for tries in flight.
GRACE_S = 5.0


class TopicsChanged(RuntimeError):
    """A topic was deleted and created again: reading starts over with new positions."""


class EndpointFeed(ConsumerRebalanceListener):  # type: ignore[misc]
    """Feeds one endpoint's `EndpointDelivery`, and commits what it has done."""

    def __init__(
        self,
        settings: Settings,
        rule: EndpointRule,
        delivery: EndpointDelivery,
        metrics: WebhookMetrics,
    ) -> None:
        self._settings = settings
        self._rule = rule
        self._delivery = delivery
        self._metrics = metrics
        self._names = {settings.topic(name): name for name in DELIVERED_TOPICS}
        self._ids: dict[str, str] = {}
        self._committed: dict[Partition, OpenPosition | None] = {}
        self._failure: Exception | None = None
        self._is_leaving = False
        self._consumer: AIOKafkaConsumer
        #: Whether the group has assigned its partitions.
        self.has_joined = False

    def leave(self) -> None:
        """Read nothing more; `run` returns soon."""
        self._is_leaving = True

    async def run(self) -> None:
        """Read and deliver until `leave`. Raises ``KafkaError`` when the client gives up,
        ``TopicsChanged``, and unexpected errors of tries.
        """
        self._consumer = AIOKafkaConsumer(
            **client_options(self._settings),
            group_id=self._settings.endpoint_group(self._rule.name),
            enable_auto_commit=False,
            # Applies where the committed offset no longer exists.
            auto_offset_reset="earliest",
            # One process gets both a customer's triggers and their actions.
            partition_assignment_strategy=[RangePartitionAssignor],
            session_timeout_ms=self._settings.session_timeout_ms,
            heartbeat_interval_ms=max(100, self._settings.session_timeout_ms // 10),
        )
        async with running(self._consumer, self._settings):
            self._consumer.subscribe(list(self._names), listener=self)
            trying = asyncio.create_task(self._delivery.run())
            try:
                await self._read(trying)
                await self._delivery.drain(GRACE_S)
                await self._commit()
            finally:
                trying.cancel()
                with suppress(asyncio.CancelledError):
                    await trying

    async def _read(self, trying: "asyncio.Task[None]") -> None:
        commit_due_s = monotonic() + COMMIT_EVERY_S
        look_due_s = monotonic() + TOPIC_LOOK_S
        while not self._is_leaving:
            if trying.done():
                trying.result()
            if self._failure is not None:
                raise self._failure
            self._hold()
            found = await self._consumer.getmany(timeout_ms=POLL_MS, max_records=BATCH_RECORDS)
            # Commit an endpoint's first position before it gets anything.
            if monotonic() >= commit_due_s or None in self._committed.values():
                await self._commit()
                self._tell()
                commit_due_s = monotonic() + COMMIT_EVERY_S
            if monotonic() >= look_due_s:
                await self._look()
                look_due_s = monotonic() + TOPIC_LOOK_S
            for tp, records in found.items():
                partition = self._names[tp.topic], tp.partition
                for record in records:
                    self._delivery.read(
                        partition,
                        record.offset,
                        record.value or b"",
                        record.timestamp,
                        record.headers,
                    )

    async def _look(self) -> None:
        """Raise ``TopicsChanged`` if a topic was replaced since its position was found: the client
        would continue in the new one at an offset of the old.
        """
        client = self._consumer._client
        if self._names.keys() - client.cluster.topics():
            # A topic was missing at the client's last refresh; the next would be minutes away.
            await client.force_metadata_update()
        present = await topic_ids(self._consumer, self._names)
        for name, topic_id in present.items():
            if self._ids.get(self._names[name], topic_id) != topic_id:
                raise TopicsChanged(f"{name} was deleted and created again: reading all of it")

    def _hold(self) -> None:
        """Pause partitions that have enough open messages, and resume the others."""
        paused = self._consumer.paused()
        for tp in self._consumer.assignment():
            is_full = self._delivery.is_full((self._names[tp.topic], tp.partition))
            if is_full and tp not in paused:
                self._consumer.pause(tp)
            elif not is_full and tp in paused:
                self._consumer.resume(tp)

    def _tell(self) -> None:
        delivery = self._delivery
        self._metrics.set_standing(
            self._rule.name,
            is_open=delivery.is_open,
            is_disabled=delivery.is_disabled,
            pending=delivery.pending,
            lag=self._lag(),
        )

    def _lag(self) -> int:
        lag = 0
        for partition, position in self._delivery.positions().items():
            end = self._consumer.highwater(self._tp(partition))
            lag += max(0, (end or 0) - position.offset - len(position.done))
        return lag

    def _tp(self, partition: Partition) -> TopicPartition:
        name, number = partition
        return TopicPartition(self._settings.topic(name), number)

    async def _commit(self) -> None:
        """Commit the positions that changed. A group that has moved on refuses them; then the new
        owner of a partition sends some messages again.
        """
        due = {
            partition: position
            for partition, position in self._delivery.positions().items()
            if self._committed.get(partition) != position
        }
        offsets = {
            self._tp(partition): OffsetAndMetadata(
                position.offset, encode_metadata(position, self._ids.get(partition[0], ""))
            )
            for partition, position in due.items()
        }
        if not offsets:
            return
        try:
            async with asyncio.timeout(COMMIT_TIMEOUT_S):
                await self._consumer.commit(offsets)
        except (KafkaError, TimeoutError, ValueError) as error:
            # A ValueError concerns a partition that this process no longer has.
            log.warning("%s: could not commit (%s)", self._rule.name, type(error).__name__)
            return
        self._committed.update(due)

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        """Let tries in flight end, and commit while the partitions are still ours."""
        mine = [(self._names[tp.topic], tp.partition) for tp in revoked]
        await self._delivery.release(mine, GRACE_S)
        if mine:
            await self._commit()
        self._delivery.forget(mine)
        for partition in mine:
            self._committed.pop(partition, None)

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        """Continue where the group stopped."""
        try:
            await self._take_on(list(assigned))
            self.has_joined = True
        except Exception as error:  # noqa: BLE001 - the client would only log it, and read on
            self._failure = error

    async def _take_on(self, assigned: list[TopicPartition]) -> None:
        found = await topic_ids(self._consumer, self._names)
        if found and (absent := {tp.topic for tp in assigned} - found.keys()):
            raise TopicsChanged(f"{', '.join(sorted(absent))} was deleted")
        self._ids = {self._names[name]: topic_id for name, topic_id in found.items()}
        committed = {
            tp: kept
            for tp, kept in (
                await self._consumer._coordinator.fetch_committed_offsets(assigned)
            ).items()
            if kept.offset >= 0
        }
        # A partition number's owner commits its positions in both topics together. If only one has
        # a position, the broker forgot the other with a deleted topic: the endpoint is not new.
        begun = {tp.partition for tp in committed}
        begins = await self._consumer.beginning_offsets(assigned)
        is_from_now = self._rule.begin == "latest"
        starts = await self._consumer.end_offsets(assigned) if is_from_now else begins
        for tp in assigned:
            partition = self._names[tp.topic], tp.partition
            known: OpenPosition | None = None
            if (kept := committed.get(tp)) is not None:
                topic_id = self._ids.get(partition[0], "")
                known = decode_position(kept.offset, kept.metadata or "", topic_id)
            # All records of a topic that was created again are new.
            start = begins[tp] if tp.partition in begun else starts[tp]
            position = known or OpenPosition(start)
            self._consumer.seek(tp, position.offset)
            self._delivery.begin(partition, position)
            self._committed[partition] = known

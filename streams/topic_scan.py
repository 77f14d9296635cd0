"""Reads a topic from its beginning to its present end, partition by partition."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import closing
from time import monotonic
from typing import NamedTuple

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError

from config.settings import Settings
from streams.kafka_clients import BrokerUnreachable, new_admin
from streams.topics import TopicsError, partition_counts

POLL_MS = 1_000
STALL_S = 30.0


class Span(NamedTuple):
    """A partition's records: from offset ``begin`` up to, not including, ``end``."""

    partition: TopicPartition
    begin: int
    end: int


async def spans_of(reader: AIOKafkaConsumer, name: str, settings: Settings) -> list[Span]:
    """The present span of each partition of topic ``name`` (without the deployment's prefix).

    Raises `TopicsError` when there is no such topic.
    """
    topic = settings.topic(name)
    # The reader itself only learns of topics that are assigned to it.
    count = await asyncio.to_thread(_partition_count, settings, topic)
    partitions = [TopicPartition(topic, number) for number in range(count)]
    try:
        begins = await reader.beginning_offsets(partitions)
        ends = await reader.end_offsets(partitions)
    except KafkaError as error:
        raise _stopped(partitions[0], settings, type(error).__name__) from None
    return [Span(partition, begins[partition], ends[partition]) for partition in partitions]


async def scan(
    reader: AIOKafkaConsumer, span: Span, settings: Settings
) -> AsyncIterator[Sequence[ConsumerRecord]]:
    """Yield the records of ``span`` in order, in batches.

    Raises `BrokerUnreachable` when no record arrives for half a minute.
    """
    partition, begin, end = span
    if begin >= end:
        return
    reader.assign([partition])
    reader.seek(partition, begin)
    progress_s = monotonic()
    while True:
        try:
            found = await reader.getmany(partition, timeout_ms=POLL_MS)
            # Otherwise it waits for as long as the broker does not say where the partition begins.
            async with asyncio.timeout(STALL_S):
                position = await reader.position(partition)
        except (KafkaError, TimeoutError) as error:
            raise _stopped(partition, settings, type(error).__name__) from None
        records = found.get(partition, ())
        if records:
            progress_s = monotonic()
            # Records written meanwhile are not part of the span.
            yield [record for record in records if record.offset < end]
        elif monotonic() - progress_s > STALL_S:
            raise _stopped(partition, settings, f"nothing for {STALL_S:.0f} s")
        if position >= end:
            return


def _partition_count(settings: Settings, topic: str) -> int:
    with closing(new_admin(settings)) as admin:
        counts = partition_counts(admin, [topic])
    if topic not in counts:
        raise TopicsError(f"{topic} is missing: run `keepstream topics create`")
    return counts[topic]


def _stopped(partition: TopicPartition, settings: Settings, reason: str) -> BrokerUnreachable:
    return BrokerUnreachable(
        f"{settings.bootstrap_servers} stopped answering for {partition.topic}-"
        f"{partition.partition} ({reason}): check the broker, then start over"
    )

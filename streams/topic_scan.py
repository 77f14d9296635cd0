"""Reads parts of topics that have an end, such as everything up to now."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
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
    # The reader only knows topics that are assigned to it.
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
    async for _, records in scan_together(reader, [span], settings):
        yield records


async def scan_together(
    reader: AIOKafkaConsumer, spans: Iterable[Span], settings: Settings
) -> AsyncIterator[tuple[TopicPartition, Sequence[ConsumerRecord]]]:
    """Yield the records of spans of different partitions, in batches as they come. Records of a
    partition are in order, and one fetch serves all partitions.

    Raises `BrokerUnreachable` when no record arrives for half a minute.
    """
    left = {span.partition: span for span in spans if span.begin < span.end}
    if not left:
        return
    reader.assign([*left])
    for partition, span in left.items():
        reader.seek(partition, span.begin)
    progress_s = monotonic()
    while left:
        some = next(iter(left))
        try:
            found = await reader.getmany(timeout_ms=POLL_MS)
            # Without a limit it would wait for as long as the broker doesn't say where a partition
            # begins.
            async with asyncio.timeout(STALL_S):
                done = [tp for tp, span in left.items() if await reader.position(tp) >= span.end]
        except (KafkaError, TimeoutError) as error:
            raise _stopped(some, settings, type(error).__name__) from None
        if found:
            progress_s = monotonic()
        elif monotonic() - progress_s > STALL_S:
            raise _stopped(some, settings, f"nothing for {STALL_S:.0f} s")
        for partition, records in found.items():
            # Records written meanwhile are not in the span.
            yield partition, [one for one in records if one.offset < left[partition].end]
        reader.pause(*done)
        for partition in done:
            del left[partition]


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

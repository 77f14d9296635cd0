"""Ends the rehearsal: writes one live record to each partition of `customer-events`."""

from collections.abc import Iterable
from contextlib import closing

from kafka import TopicPartition
from kafka.admin import OffsetSpec

from config import topics
from config.settings import Settings
from streams.kafka_clients import new_admin, running
from streams.log_records import live_record
from streams.outbox import Outbox, flush_or_explain, new_outbox_producer


def empty_partitions(settings: Settings) -> list[int]:
    """The partitions of `customer-events` to which nothing was ever written."""
    name = settings.topic(topics.CUSTOMER_EVENTS)
    partitions = [TopicPartition(name, number) for number in range(settings.partitions)]
    with closing(new_admin(settings)) as admin:
        ends = admin.list_partition_offsets(dict.fromkeys(partitions, OffsetSpec.LATEST))
    return sorted(tp.partition for tp, end in ends.items() if not end.offset)


async def write_live(settings: Settings, partitions: Iterable[int], at_ms: int) -> None:
    """Append a live record to each of these partitions; on one that is live it has no effect.

    Raises `BrokerUnreachable` when the broker does not acknowledge all of them.
    """
    async with running(new_outbox_producer(settings), settings) as producer:
        outbox = Outbox(producer, settings)
        for number in partitions:
            outbox.add(topics.CUSTOMER_EVENTS, number, key=None, value=live_record(at_ms))
        await flush_or_explain(
            outbox, settings, "do the same again; a partition that is live already is not changed"
        )

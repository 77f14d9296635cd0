"""Going live: the records that end the rehearsal, one a partition of `customer-events`."""

import asyncio
from collections.abc import Iterable
from contextlib import closing

from aiokafka.errors import KafkaError
from kafka import TopicPartition
from kafka.admin import OffsetSpec

from config import topics
from config.settings import Settings
from streams.kafka_clients import BrokerUnreachable, new_admin, running
from streams.log_records import live_record
from streams.outbox import Outbox, new_outbox_producer

#: How long the broker may take to acknowledge them.
ACKNOWLEDGED_S = 60.0


def empty_partitions(settings: Settings) -> list[int]:
    """The partitions of `customer-events` into which nothing was ever written."""
    name = settings.topic(topics.CUSTOMER_EVENTS)
    partitions = [TopicPartition(name, number) for number in range(settings.partitions)]
    with closing(new_admin(settings)) as admin:
        ends = admin.list_partition_offsets(dict.fromkeys(partitions, OffsetSpec.LATEST))
    return sorted(tp.partition for tp, end in ends.items() if not end.offset)


async def write_live(settings: Settings, partitions: Iterable[int], at_ms: int) -> None:
    """Append a live record to each of these partitions; one that is live already is not changed.

    Raises `BrokerUnreachable` when the broker does not acknowledge all of them.
    """
    async with running(new_outbox_producer(settings), settings) as producer:
        outbox = Outbox(producer, settings)
        for number in partitions:
            outbox.add(topics.CUSTOMER_EVENTS, number, key=None, value=live_record(at_ms))
        try:
            async with asyncio.timeout(ACKNOWLEDGED_S):
                await outbox.flush()
        except (KafkaError, TimeoutError) as error:
            raise BrokerUnreachable(
                f"{settings.bootstrap_servers} did not acknowledge every live record "
                f"({type(error).__name__}): check the broker, then do the same again; a partition "
                f"that is live already is not changed"
            ) from None

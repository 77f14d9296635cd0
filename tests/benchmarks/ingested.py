"""A deployment whose events are already in the log, as another worker's ingest wrote them."""

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from aiokafka import AIOKafkaConsumer, TopicPartition

from agents.trials.demo.shop import ShopRecord
from config.settings import Settings
from config.topics import CUSTOMER_EVENTS, RAW_TOPICS
from models.parameters import load_parameters
from streams.kafka_clients import client_options, running
from streams.raw_records import Outgoing, outgoing_of
from tests.kafka.deployment import Deployment


class Ingested:
    """Publishes ``records`` to the raw topics, and commits all of them for the group, which must
    not have a worker yet. What ingest makes of them is held back until `publish`.
    """

    def __init__(self, deployment: Deployment, records: Sequence[ShopRecord]) -> None:
        self._deployment = deployment
        deployment.publish(records)
        self._outgoing: dict[bytes, Outgoing] = {}
        parameters, partitions = load_parameters(), deployment.settings.partitions
        for topic in RAW_TOPICS:
            for record in deployment.records(topic):
                outgoing, _ = outgoing_of(topic, record, None, parameters, partitions)
                self._outgoing[record.value or b""] = outgoing
        settings = deployment.settings
        ends = {
            TopicPartition(settings.topic(topic), number): end
            for topic in RAW_TOPICS
            for number, end in deployment.ends(topic).items()
        }
        asyncio.run(_commit(settings, ends))

    def publish(self, records: Iterable[ShopRecord]) -> None:
        """Write these events to the log, in order, once a worker has gone live there."""
        self._deployment.wait(
            "the log begins", lambda: all(self._deployment.ends(CUSTOMER_EVENTS).values())
        )
        by_partition = defaultdict[int, list[tuple[bytes | None, bytes | None]]](list)
        for record in records:
            outgoing = self._outgoing[record.value]
            assert outgoing.topic == CUSTOMER_EVENTS
            by_partition[outgoing.partition].append((outgoing.key, outgoing.value))
        for number, written in by_partition.items():
            self._deployment.write(CUSTOMER_EVENTS, number, *written)


async def _commit(settings: Settings, ends: Mapping[TopicPartition, int]) -> None:
    group = AIOKafkaConsumer(
        group_id=settings.group_id, enable_auto_commit=False, **client_options(settings)
    )
    async with running(group, settings):
        group.assign(list(ends))
        await group.commit(dict(ends))

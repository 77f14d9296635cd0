"""The content of a deployment's raw topics."""

import asyncio
from typing import NamedTuple

from aiokafka import TopicPartition

from config.settings import Settings
from config.topics import RAW_TOPICS
from streams.kafka_clients import new_reader, running


class Record(NamedTuple):
    topic: str
    partition: int
    key: bytes | None
    value: bytes


def read_back(settings: Settings) -> list[Record]:
    """Everything on the raw topics, by topic, partition and offset."""

    async def read() -> list[Record]:
        found = []
        async with running(new_reader(settings), settings) as reader:
            parts = [
                TopicPartition(settings.topic(topic), number)
                for topic in RAW_TOPICS
                for number in range(settings.partitions)
            ]
            ends = await reader.end_offsets(parts)
            left = {part for part in parts if ends[part]}
            reader.assign(sorted(left))
            while left:
                batches = await asyncio.wait_for(reader.getmany(timeout_ms=1_000), 30)
                for part, records in batches.items():
                    topic = part.topic.removeprefix(settings.topic_prefix)
                    found += [Record(topic, part.partition, r.key, r.value) for r in records]
                left = {part for part in left if await reader.position(part) < ends[part]}
        return found

    return asyncio.run(read())

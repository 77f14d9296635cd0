"""Counts how many records topics take, by the ends of their partitions."""

import asyncio
from collections import deque
from collections.abc import Mapping, Sequence
from itertools import pairwise
from time import monotonic
from typing import NamedTuple

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from config.settings import Settings
from config.topics import partitions_of
from streams.kafka_clients import BrokerUnreachable, new_reader, running

LOOK_S = 5.0
RETRY_S = 2.0
ANSWER_TIMEOUT_S = 15.0
#: Ten minutes.
LOOKS_MAX = 120


class Look(NamedTuple):
    """How many records were ever written to each topic, at a time of a steady clock."""

    at_s: float
    records: Mapping[str, int]


class TopicRates:
    """The latest looks. ``problem``: why there are no new ones."""

    def __init__(self, topics: Sequence[str]) -> None:
        self.topics = tuple(topics)
        self.problem: str | None = None
        self._looks: deque[Look] = deque(maxlen=LOOKS_MAX + 1)

    def add(self, look: Look) -> None:
        """Add the next look."""
        self.problem = None
        self._looks.append(look)

    def records(self, topic: str) -> int | None:
        """How many records were ever written to the topic, at the latest look; None before one."""
        return self._looks[-1].records[topic] if self._looks else None

    def per_second(self, topic: str) -> list[float]:
        """Records a second between consecutive looks, the oldest first."""
        looks = list(self._looks)
        return [
            max(new.records[topic] - old.records[topic], 0) / max(new.at_s - old.at_s, 0.001)
            for old, new in pairwise(looks)
        ]


async def look_at_rates(settings: Settings, rates: TopicRates) -> None:
    """Look every few seconds, through outages, until cancelled."""
    while True:
        try:
            async with running(new_reader(settings), settings) as reader:
                places = {
                    TopicPartition(settings.topic(topic), number): topic
                    for topic in rates.topics
                    for number in range(partitions_of(topic, settings.partitions))
                }
                while True:
                    async with asyncio.timeout(ANSWER_TIMEOUT_S):
                        ends = await reader.end_offsets(list(places))
                    records = dict.fromkeys(rates.topics, 0)
                    for place, end in ends.items():
                        records[places[place]] += end
                    rates.add(Look(monotonic(), records))
                    await asyncio.sleep(LOOK_S)
        except (BrokerUnreachable, KafkaError, TimeoutError) as error:
            rates.problem = f"{settings.bootstrap_servers} does not answer ({type(error).__name__})"
        await asyncio.sleep(RETRY_S)

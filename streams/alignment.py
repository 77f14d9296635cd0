"""Letting records of several topics through in the order of their event times.

Topics differ in how fast they are read: after an outage, or in a backfill, the small ones are at
their end while the large one has hardly begun. Passed on as they come, the small ones would push
the clock days ahead, and the rest would be late. So a partition's records wait while another topic
still has older ones to bring. Topics that publishers key alike have the same customers in the same
partition, which is why partitions are aligned and not whole topics.

No I/O and no clock: whoever drives it says what is still to come.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from math import inf
from typing import Generic, NamedTuple, TypeVar

Item = TypeVar("Item")

#: Whether a topic has records in a partition that were not offered yet.
Backlog = Callable[[str, int], bool]


class Waiting(NamedTuple, Generic[Item]):
    """A record's event time, its offset and what is to be passed on."""

    at_ms: int
    offset: int
    item: Item


class Passed(NamedTuple, Generic[Item]):
    """A record that may go on, with where it came from."""

    topic: str
    partition: int
    offset: int
    item: Item


class Alignment(Generic[Item]):
    """Queues by topic and partition, merged by event time within a partition."""

    def __init__(self, topics: Sequence[str]) -> None:
        self._topics = tuple(topics)
        self._queues: dict[int, dict[str, deque[Waiting[Item]]]] = {}
        self._reached_ms: dict[int, dict[str, int]] = {}
        self._held: dict[str, int] = dict.fromkeys(topics, 0)

    def offer(self, topic: str, partition: int, records: Sequence[Waiting[Item]]) -> None:
        """Take records of one partition; they leave in this order."""
        queues = self._queues.get(partition)
        if queues is None:
            queues = self._queues[partition] = {name: deque() for name in self._topics}
            self._reached_ms[partition] = dict.fromkeys(self._topics, 0)
        queues[topic].extend(records)
        self._held[topic] += len(records)

    def held(self, topic: str) -> int:
        """How many records of ``topic`` wait here."""
        return self._held[topic]

    def __len__(self) -> int:
        return sum(self._held.values())

    def clear(self) -> None:
        """Forget everything: the records will be read again."""
        self._queues.clear()
        self._reached_ms.clear()
        self._held = dict.fromkeys(self._topics, 0)

    def awaited(self, backlog: Backlog) -> set[str]:
        """The topics that others wait for: nothing of them is here, and more is to come."""
        return {
            topic
            for partition, queues in self._queues.items()
            if any(queues.values())
            for topic, queue in queues.items()
            if not queue and backlog(topic, partition)
        }

    def release(self, backlog: Backlog) -> Iterator[Passed[Item]]:
        """What may go on now, oldest first in each partition."""
        for partition, queues in self._queues.items():
            yield from self._released(partition, queues, backlog)

    def _released(
        self, partition: int, queues: dict[str, deque[Waiting[Item]]], backlog: Backlog
    ) -> Iterator[Passed[Item]]:
        reached_ms = self._reached_ms[partition]
        # Whoever has nothing here but more to come holds the others back to where it is.
        limits = [
            reached_ms[topic]
            for topic, queue in queues.items()
            if not queue and backlog(topic, partition)
        ]
        limit_ms = min(limits, default=inf)
        filled = {topic: queue for topic, queue in queues.items() if queue}
        while filled:
            topic = min(filled, key=lambda name: filled[name][0].at_ms)
            queue = filled[topic]
            if queue[0].at_ms > limit_ms:
                return
            record = queue.popleft()
            self._held[topic] -= 1
            reached_ms[topic] = max(reached_ms[topic], record.at_ms)
            yield Passed(topic, partition, record.offset, record.item)
            if not queue:
                del filled[topic]
                if backlog(topic, partition):
                    limit_ms = min(limit_ms, reached_ms[topic])

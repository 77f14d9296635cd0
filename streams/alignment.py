"""Merges records of several topics in the order of their event times.

Topics are read at different speeds: after an outage, or in a backfill, the small ones are at their
end while the large one has hardly begun. Passed on as they come, the small ones would push the
clock days ahead, and the rest would be late. So a partition's records wait while another topic may
still have older ones. Topics with the same keys have the same customers in the same partition,
which is why partitions are aligned and not whole topics.

Where a topic ends is known as of the broker's latest answer about it. What another topic gave since
may be of a later time than records that the first has got meanwhile, so of such a topic it is
unsure whether it has more.

No I/O and no clock: the caller says which topics have more records to come.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from math import inf
from typing import Generic, NamedTuple, TypeVar

Item = TypeVar("Item")

#: Records may be disordered by this much without a reason to look closer ...
FAR_MS = 3 * 86_400_000
#: ... and it takes this many old ones in a row to be history.
FEW = 8

#: A topic about which the broker has said nothing for so long is not waited for.
UNSURE_MS = 10_000

#: (topic, partition) -> whether it has records that were not offered yet.
Backlog = Callable[[str, int], bool]


class Doubt(NamedTuple):
    """Topics of which it is unsure whether they have more. They hold others back at ``leeway_ms``
    beyond the time that they have reached, but nothing from ``present_ms`` on: there it is sooner
    known than it could make anything late.
    """

    is_unsure: Backlog
    leeway_ms: int
    present_ms: float


NO_DOUBT = Doubt(lambda _topic, _partition: False, 0, inf)


class Queued(NamedTuple, Generic[Item]):
    """A record's event time, its offset and what is to be passed on."""

    at_ms: int
    offset: int
    item: Item


class Passed(NamedTuple, Generic[Item]):
    """An item to pass on now, with its topic, partition and offset, and the time it went by."""

    topic: str
    partition: int
    offset: int
    item: Item
    at_ms: int


class Alignment(Generic[Item]):
    """Queues by topic and partition, merged by event time within a partition.

    A topic's records leave in its own order, so one of now that stands before a year of history
    goes with its beginning: it must not hold all of it back.
    """

    def __init__(self, topics: Sequence[str]) -> None:
        self._topics = tuple(topics)
        self._queues: dict[int, dict[str, deque[Queued[Item]]]] = {}
        self._reached_ms: dict[int, dict[str, int]] = {}
        self._held: dict[str, int] = dict.fromkeys(topics, 0)

    def offer(self, topic: str, partition: int, records: Sequence[Queued[Item]]) -> None:
        """Take records of one partition; they leave in this order."""
        queues = self._queues.get(partition)
        if queues is None:
            queues = self._queues[partition] = {name: deque() for name in self._topics}
            self._reached_ms[partition] = dict.fromkeys(self._topics, 0)
        queue = queues[topic]
        queue.extend(records)
        self._held[topic] += len(records)
        _hurry(queue)

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

    def awaited(self, to_come: Iterable[tuple[str, int]]) -> set[str]:
        """The topics that others wait for: of ``to_come``, the (topic, partition) with records that
        were not offered yet, those of which none is here.
        """
        if not len(self):
            return set()
        return {topic for topic, _ in self.missing(to_come)}

    def missing(self, to_come: Iterable[tuple[str, int]]) -> set[tuple[str, int]]:
        """Those of ``to_come`` of which no record is here."""
        return {one for one in to_come if not self._is_here(*one)}

    def unsure(self, answered_ms: Mapping[tuple[str, int], int]) -> set[tuple[str, int]]:
        """The (topic, partition) about which the broker's latest answer is older than that about
        another topic of the partition of which records are here. ``answered_ms``: when it was.
        """
        found = set()
        for partition, queues in self._queues.items():
            asked = {topic: answered_ms.get((topic, partition), 0) for topic in self._topics}
            latest_ms = max((asked[topic] for topic, queue in queues.items() if queue), default=0)
            found |= {
                (topic, partition)
                for topic, at_ms in asked.items()
                if latest_ms - UNSURE_MS < at_ms < latest_ms
            }
        return found

    def next_ms(self, to_come: Iterable[tuple[str, int]]) -> float:
        """The event time before which no record will leave any more; infinite without any."""
        here = (queue[0].at_ms for qs in self._queues.values() for queue in qs.values() if queue)
        return min(
            min(here, default=inf),
            min((self._reached(*one) for one in to_come if not self._is_here(*one)), default=inf),
        )

    def _is_here(self, topic: str, partition: int) -> bool:
        return partition in self._queues and bool(self._queues[partition][topic])

    def _reached(self, topic: str, partition: int) -> int:
        return self._reached_ms.get(partition, {}).get(topic, 0)

    def release(
        self,
        backlog: Backlog,
        until_ms: float = inf,
        leeway_ms: int = 0,
        doubt: Doubt = NO_DOUBT,
    ) -> Iterator[Passed[Item]]:
        """The records up to ``until_ms`` to pass on now, oldest first in each partition.

        A topic with nothing here but more to come holds the others back at the time it has
        reached, and ``leeway_ms`` later; one of ``doubt`` as that says.
        """
        for partition, queues in self._queues.items():
            yield from self._released(partition, queues, backlog, until_ms, leeway_ms, doubt)

    def _released(
        self,
        partition: int,
        queues: dict[str, deque[Queued[Item]]],
        backlog: Backlog,
        until_ms: float,
        leeway_ms: int,
        doubt: Doubt,
    ) -> Iterator[Passed[Item]]:
        reached_ms = self._reached_ms[partition]
        #: What none passes, and what none of the past does.
        limit_ms, past_ms = until_ms, inf

        def lower(topic: str) -> None:
            """A topic has nothing here any more."""
            nonlocal limit_ms, past_ms
            if backlog(topic, partition):
                limit_ms = min(limit_ms, reached_ms[topic] + leeway_ms)
            elif doubt.is_unsure(topic, partition):
                past_ms = min(past_ms, reached_ms[topic] + doubt.leeway_ms)

        for topic, queue in queues.items():
            if not queue:
                lower(topic)
        filled = {topic: queue for topic, queue in queues.items() if queue}
        while filled:
            topic = min(filled, key=lambda name: filled[name][0].at_ms)
            queue = filled[topic]
            # Until another one's turn comes, it is not asked whose it is.
            others_ms = min(
                (other[0].at_ms for name, other in filled.items() if name != topic), default=inf
            )
            is_past = queue[0].at_ms < doubt.present_ms
            here_ms = min(limit_ms, past_ms) if is_past else limit_ms
            while queue[0].at_ms <= here_ms:
                record = queue.popleft()
                self._held[topic] -= 1
                reached_ms[topic] = max(reached_ms[topic], record.at_ms)
                yield Passed(topic, partition, record.offset, record.item, record.at_ms)
                if not queue or queue[0].at_ms >= others_ms:
                    break
            else:
                return
            if not queue:
                del filled[topic]
                lower(topic)


def _hurry(queue: deque[Queued[Item]]) -> None:
    """Give a record the latest time of the next few, if all of those are far older.

    The last few keep their times: too little is known of what follows. Neither does a straggler
    among records of now make any of them hurry.
    """
    latest_ms = 0
    for queued in queue:
        if 0 < queued.at_ms < latest_ms - FAR_MS:
            break
        latest_ms = max(latest_ms, queued.at_ms)
    else:
        return
    for place in range(len(queue) - FEW - 1, -1, -1):
        ahead_ms = max(queue[place + step].at_ms for step in range(1, FEW + 1))
        if 0 < ahead_ms < queue[place].at_ms - FAR_MS:
            queue[place] = queue[place]._replace(at_ms=ahead_ms)

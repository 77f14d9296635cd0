"""Merges records of several topics in the order of their event times.

Topics are read at different speeds: after an outage, or in a backfill, the small ones are at their
end while the large one has hardly begun. Passed on as they come, the small ones would push the
clock days ahead, and the rest would be late. So a partition's records wait while another topic may
still have older ones. Topics with the same keys have the same customers in the same partition,
which is why partitions are aligned and not whole topics.

Where a topic ends is known as of the broker's latest answer about it. What another topic gave since
may be of a later time than records that the first has got meanwhile. And in one answer the topics
are looked at one after the other, while a publisher writes to them one after the other. So a topic
is known to have no more only of records that were published a moment before it was asked.

No I/O and no clock: the caller says which topics have more records to come.
"""

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from math import inf
from typing import Any, Generic, NamedTuple, TypeVar

from msgspec import Struct
from msgspec.structs import replace

Item = TypeVar("Item")

#: Records may be disordered by this much without a reason to look closer ...
FAR_MS = 3 * 86_400_000
#: ... and it takes this many old ones in a row to be history.
FEW = 8

#: A topic about which the broker has said nothing for so long is not waited for.
UNSURE_MS = 10_000
#: What is published in order reaches all topics within this: it is gathered for some milliseconds,
#: and written to one partition after the other.
SETTLED_MS = 250

#: (topic, partition) -> whether it has records that were not offered yet.
Backlog = Callable[[str, int], bool]

#: Up to which time of publication a (topic, partition) is known to have no more records.
Known = Mapping[tuple[str, int], float]


class Doubt(NamedTuple):
    """Whether topics have no more than what is here: of what was published after ``known_ms`` it is
    unsure. They hold that back at ``leeway_ms`` beyond the time that they have reached, and others
    have reached of which it is sure; but nothing from ``present_ms`` on: there it is sooner known
    than it could make anything late.
    """

    known_ms: Known
    leeway_ms: int
    present_ms: float

    def is_about(self, record: "Queued[Any]", known_ms: float) -> bool:
        """Whether there may be older records than this one of topics that are known so far."""
        return record.published_ms > known_ms and record.at_ms < self.present_ms


NO_DOUBT = Doubt({}, 0, inf)


class Queued(Struct, Generic[Item], frozen=True, gc=False):
    """A record's event time, its offset and what is to be passed on; and when it was published, as
    far as that may be a moment ago.
    """

    at_ms: int
    offset: int
    item: Item
    published_ms: int = 0


class Passed(Struct, Generic[Item], frozen=True, gc=False):
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
        #: Up to which time each partition gave records of which it was known that none is missing.
        self._settled_ms: dict[int, int] = {}
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
        self._settled_ms.clear()
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

    def known_ms(self, answered_ms: Mapping[tuple[str, int], int]) -> Known:
        """Up to which time of publication each (topic, partition) is known to have no more than was
        offered. ``answered_ms``: when the broker last answered about it. If that is older than
        about another topic of the partition of which records are here, nothing is known; one of
        which it has long said nothing is not waited for.
        """
        latest_ms = max(answered_ms.values(), default=0)
        here_ms: dict[int, int] = {}
        for (topic, partition), at_ms in answered_ms.items():
            if self._is_here(topic, partition):
                here_ms[partition] = max(here_ms.get(partition, 0), at_ms)
        known_ms: dict[tuple[str, int], float] = {}
        for place, at_ms in answered_ms.items():
            if at_ms <= latest_ms - UNSURE_MS:
                known_ms[place] = inf
            else:
                is_older_news = at_ms < here_ms.get(place[1], 0)
                known_ms[place] = -inf if is_older_news else at_ms - SETTLED_MS
        return known_ms

    def next_ms(self, to_come: Iterable[tuple[str, int]], doubt: Doubt = NO_DOUBT) -> float:
        """The event time before which no record will leave any more, in any partition; infinite
        without any.
        """
        here = (queue[0] for qs in self._queues.values() for queue in qs.values() if queue)
        first = min(here, key=lambda record: record.at_ms, default=None)
        missing_ms = (self._reached(*one) for one in to_come if not self._is_here(*one))
        if first is None:
            return min(missing_ms, default=inf)
        unsure_ms = (
            max(self._reached(*one), self._settled_ms.get(one[1], 0)) + doubt.leeway_ms
            for one, known_ms in doubt.known_ms.items()
            if doubt.is_about(first, known_ms) and not self._is_here(*one)
        )
        return min(first.at_ms, min(missing_ms, default=inf), min(unsure_ms, default=inf))

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
    ) -> list[Passed[Item]]:
        """The records up to ``until_ms`` to pass on now, oldest first in each partition.

        A topic with nothing here but more to come holds the others back at the time it has
        reached, and ``leeway_ms`` later; one of ``doubt`` as that says.
        """
        released: list[Passed[Item]] = []
        limits = _Limits(backlog, until_ms, leeway_ms, doubt)
        for partition, queues in self._queues.items():
            settled_ms = self._settled_ms.get(partition, 0)
            frontier = _Frontier(partition, self._reached_ms[partition], settled_ms, limits)
            self._release(queues, frontier, released)
            self._settled_ms[partition] = frontier.settled_ms
        return released

    def _release(
        self,
        queues: dict[str, deque[Queued[Item]]],
        frontier: "_Frontier",
        released: list[Passed[Item]],
    ) -> None:
        for topic, queue in queues.items():
            if not queue:
                frontier.lower(topic)
        filled = {topic: queue for topic, queue in queues.items() if queue}
        while filled:
            topic, others_ms = _next_of(filled)
            queue, before = filled[topic], len(released)
            is_held = frontier.pass_on(topic, queue, others_ms, released)
            self._held[topic] -= len(released) - before
            if is_held:
                return
            if not queue:
                del filled[topic]
                frontier.lower(topic)


class _Limits(NamedTuple):
    """What `Alignment.release` is asked for."""

    backlog: Backlog
    until_ms: float
    leeway_ms: int
    doubt: Doubt


class _Frontier:
    """How far the records of a partition may go now."""

    def __init__(
        self, partition: int, reached_ms: dict[str, int], settled_ms: int, limits: _Limits
    ) -> None:
        self._partition = partition
        self._reached_ms = reached_ms
        self._limits = limits
        self._doubt = limits.doubt
        self._passed_ms = max(reached_ms.values())
        #: The latest of which it was known that nothing before it is missing.
        self.settled_ms = settled_ms
        #: What no record passes ...
        self._limit_ms = limits.until_ms
        #: ... and what none does that was published after what is known.
        self._sure_ms, self._known_ms = inf, inf

    def lower(self, topic: str) -> None:
        """A topic has nothing here any more, and holds back what may be later than its next."""
        limits, reached_ms, place = self._limits, self._reached_ms[topic], (topic, self._partition)
        if limits.backlog(*place):
            self._limit_ms = min(self._limit_ms, reached_ms + limits.leeway_ms)
        elif (known_ms := self._doubt.known_ms.get(place, inf)) < inf:
            self._sure_ms = min(self._sure_ms, reached_ms + self._doubt.leeway_ms)
            self._known_ms = min(self._known_ms, known_ms)

    def pass_on(
        self,
        topic: str,
        queue: deque[Queued[Item]],
        others_ms: float,
        released: list[Passed[Item]],
    ) -> bool:
        """Release the records of ``topic`` until another one's turn comes, ``others_ms``; return
        whether the next one is held back.
        """
        reached_ms, partition = self._reached_ms[topic], self._partition
        while True:
            record = queue[0]
            at_ms = record.at_ms
            if at_ms > self._limit_ms or self._is_doubtful(record):
                return True
            if at_ms > reached_ms:
                self._reached_ms[topic] = reached_ms = at_ms
                self._passed_ms = max(self._passed_ms, at_ms)
            released.append(Passed(topic, partition, record.offset, record.item, at_ms))
            queue.popleft()
            if not queue or queue[0].at_ms >= others_ms:
                return False

    def _is_doubtful(self, record: Queued[Item]) -> bool:
        """Whether older ones may be missing; if it is known that none is, that is noted."""
        at_ms = record.at_ms
        if record.published_ms <= self._known_ms:
            self.settled_ms = max(self.settled_ms, at_ms)
            return False
        return self._doubt.is_about(record, self._known_ms) and at_ms > max(
            # What is no later than what went before makes nothing late.
            self._sure_ms, self.settled_ms + self._doubt.leeway_ms, self._passed_ms
        )  # fmt: skip


def _next_of(filled: Mapping[str, deque[Queued[Item]]]) -> tuple[str, float]:
    """The topic whose turn it is, and when that of another one comes."""
    found, first_ms, others_ms = "", inf, inf
    for topic, queue in filled.items():
        at_ms = queue[0].at_ms
        if at_ms < first_ms:
            found, first_ms, others_ms = topic, at_ms, first_ms
        elif at_ms < others_ms:
            others_ms = at_ms
    return found, others_ms


def _hurry(queue: deque[Queued[Item]]) -> None:
    """Give a record the latest time of the next few, if all of those are far older.

    The last few keep their times: too little is known of what follows. Neither does a straggler
    among records of now make any of them hurry.
    """
    latest_ms = 0
    for queued in queue:
        at_ms = queued.at_ms
        if at_ms >= latest_ms:
            latest_ms = at_ms
        elif 0 < at_ms < latest_ms - FAR_MS:
            break
    else:
        return
    for place in range(len(queue) - FEW - 1, -1, -1):
        ahead_ms = max(queue[place + step].at_ms for step in range(1, FEW + 1))
        if 0 < ahead_ms < queue[place].at_ms - FAR_MS:
            queue[place] = replace(queue[place], at_ms=ahead_ms)

"""Merges records of several topics in the order of their event times.

Topics are read at different speeds: after an outage, or in a backfill, a small topic is read to its
end while a large one has hardly begun. Passed on as they come, the records of the small topic would
push the clock days ahead, and the rest would be late. So a partition's records wait while another
topic may still have older ones. Topics with the same keys have the same customers in the same
partition, so each partition is aligned by itself.

The broker's latest answer says where a topic ends. That answer gets old: the topic may have got
older records since. Even one answer isn't taken at one instant: the broker looks at one topic after
the other, while a publisher writes to one after the other. So a topic counts as complete only for
records published a moment (`SETTLED_MS`) before the broker answered.

No I/O and no clock: the caller says which topics have more records to come.
"""

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from math import inf
from typing import Any, Generic, NamedTuple, TypeVar

from msgspec import Struct
from msgspec.structs import replace

Item = TypeVar("Item")

#: A record may be this much older than the one before it and still count as ordinary disorder ...
FAR_MS = 3 * 86_400_000
#: ... and only this many old records in a row count as history.
FEW = 8

#: The others don't wait for a topic about which the broker has said nothing for this long.
UNSURE_MS = 10_000
#: Records published in order reach all topics within this time: the producer gathers them for some
#: milliseconds, and writes to one partition after the other.
SETTLED_MS = 250

#: (topic, partition) -> whether it has records that were not offered yet.
Backlog = Callable[[str, int], bool]

#: By (topic, partition): the publication time up to which it is known to have no more records.
Known = Mapping[tuple[str, int], float]


class Doubt(NamedTuple):
    """Which records are held back because a topic without a queued record may still get older ones.

    ``known_ms``: by topic and partition, up to which publication time nothing is missing. A record
    published later is held back if its event time is more than ``leeway_ms`` beyond what that topic
    has reached, and beyond the last record known to be preceded by all older ones. Records from
    ``present_ms`` on are never held back: the broker answers again before they could make anything
    late.
    """

    known_ms: Known
    leeway_ms: int
    present_ms: float

    def is_about(self, record: "Queued[Any]", known_ms: float) -> bool:
        """Whether topics that are complete up to ``known_ms`` may get older records than this
        one.
        """
        return record.published_ms > known_ms and record.at_ms < self.present_ms


NO_DOUBT = Doubt({}, 0, inf)


class Queued(Struct, Generic[Item], frozen=True, gc=False):
    """A record's event time, its offset and the item to pass on. ``published_ms``: when it was
    published; 0 if that was long enough ago not to matter.
    """

    at_ms: int
    offset: int
    item: Item
    published_ms: int = 0


class Passed(Struct, Generic[Item], frozen=True, gc=False):
    """An item to pass on now, with its topic, partition and offset, and the event time it has in
    the merged order.
    """

    topic: str
    partition: int
    offset: int
    item: Item
    at_ms: int


class Alignment(Generic[Item]):
    """Queues by topic and partition, merged by event time within a partition.

    A topic's records leave in the topic's own order. A recent record that stands before a year of
    history leaves with the first of that history, so that it doesn't hold back all the rest.
    """

    def __init__(self, topics: Sequence[str]) -> None:
        self._topics = tuple(topics)
        self._queues: dict[int, dict[str, deque[Queued[Item]]]] = {}
        self._reached_ms: dict[int, dict[str, int]] = {}
        #: By partition, the latest event time released while nothing older was missing.
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
        """The topics that others wait for: those in ``to_come`` without a queued record.

        ``to_come``: each (topic, partition) with records that were not offered yet.
        """
        if not len(self):
            return set()
        return {topic for topic, _ in self.missing(to_come)}

    def missing(self, to_come: Iterable[tuple[str, int]]) -> set[tuple[str, int]]:
        """The members of ``to_come`` without a queued record."""
        return {one for one in to_come if not self._is_here(*one)}

    def known_ms(self, answered_ms: Mapping[tuple[str, int], int]) -> Known:
        """Up to which publication time each (topic, partition) is known to have no more records.

        ``answered_ms``: when the broker last answered about it. If another topic of the partition
        has queued records and a later answer, nothing is known: -inf. A topic without an answer for
        `UNSURE_MS` is not waited for: inf.
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
        """The event time before which no record will leave any more, in any partition; infinite if
        no record is queued or to come.
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

        A topic without queued records but with more to come holds the others back: they may be at
        most ``leeway_ms`` later than the time it has reached. For topics in ``doubt`` see `Doubt`.
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
    """The arguments of `Alignment.release`."""

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
        #: The latest event time released while nothing older was known to be missing.
        self.settled_ms = settled_ms
        #: No record later than this leaves ...
        self._limit_ms = limits.until_ms
        #: ... and none later than ``_sure_ms`` that was published after ``_known_ms``.
        self._sure_ms, self._known_ms = inf, inf

    def lower(self, topic: str) -> None:
        """Hold back what may be later than the next record of ``topic``, whose queue is empty."""
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
        """Release the records of ``topic`` until ``others_ms``, when another topic's turn comes;
        return whether the next record is held back.
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
        """Whether older records may be missing; if none is, note the record's time as settled."""
        at_ms = record.at_ms
        if record.published_ms <= self._known_ms:
            self.settled_ms = max(self.settled_ms, at_ms)
            return False
        return self._doubt.is_about(record, self._known_ms) and at_ms > max(
            # A record no later than one already released makes nothing late.
            self._sure_ms, self.settled_ms + self._doubt.leeway_ms, self._passed_ms
        )  # fmt: skip


def _next_of(filled: Mapping[str, deque[Queued[Item]]]) -> tuple[str, float]:
    """The topic whose turn it is, and the time at which the next topic's turn comes."""
    found, first_ms, others_ms = "", inf, inf
    for topic, queue in filled.items():
        at_ms = queue[0].at_ms
        if at_ms < first_ms:
            found, first_ms, others_ms = topic, at_ms, first_ms
        elif at_ms < others_ms:
            others_ms = at_ms
    return found, others_ms


def _hurry(queue: deque[Queued[Item]]) -> None:
    """Give a record the latest time of the next `FEW`, if all of those are far older.

    The last `FEW` records keep their times: too little is known of what follows. A single old
    record among recent ones changes no times either.
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

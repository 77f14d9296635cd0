"""Lessons wait for the end of their day, and are learnt in an order that no partition influences.

The interleaving of partitions' lessons is random, and an online model depends on the order. So a
day is learnt once every partition has reported its end, in the order of `lesson_order`. Sums need
no order: they are added up.
"""

from collections.abc import Mapping
from typing import NamedTuple

from config.duration import DAY_MS
from models.learning.day_ends import last_day_end_ms
from models.learning.day_sums import DaySums, joined
from models.learning.lesson_order import in_order
from models.learning.lessons import DayEnd, Lesson, Tally

#: A partition that is further than this behind the most advanced one is not waited for.
BEHIND_MAX_MS = 2 * DAY_MS
#: With this many lessons waiting, all are learnt: this limits memory to half a gigabyte, whatever
#: partitions do.
WAITING_MAX = 500_000

Position = tuple[int, int]


class Day(NamedTuple):
    """What is learnt together: the sums, the lessons in order, and the position and clock up to
    which each partition is learnt by it.
    """

    sums: DaySums
    lessons: list[bytes]
    positions: dict[str, Position]
    clocks_ms: dict[str, int]


class _Told:
    """What was received from a partition between two ends of days.

    ``first_place``: its start in the topic of lessons; ``last``: its last position. ``clock_ms``:
    the partition's clock at the end of the day; 0 before that. ``heard``: the number of lessons,
    sums included.
    """

    __slots__ = ("clock_ms", "first_place", "heard", "last", "lessons", "partition", "sums")

    def __init__(self, partition: str, first_place: int) -> None:
        self.partition = partition
        self.first_place = first_place
        self.last: Position = (-1, -1)
        self.lessons: list[bytes] = []
        self.sums = DaySums()
        self.heard = 0
        self.clock_ms = 0


class WholeDays:
    """Accepts lessons on arrival, drops repeats, and returns complete days.

    While no partition is more than `BEHIND_MAX_MS` behind, the days are the same however partitions
    interleave. In any case they are a function of the lessons in their order: an instance that
    starts from the learnt state, and reads from `first_place` on, returns the same days from there.
    """

    def __init__(
        self,
        partitions: int,
        positions: Mapping[str, Position],
        clocks_ms: Mapping[str, int],
        began_ms: int,
    ) -> None:
        """``partitions``: their number. The rest is the learnt state: positions and clocks as in
        `Day`, and the first end of a day that any partition reported, 0 for none.
        """
        self._numbers = [str(number) for number in range(partitions)]
        self._heard = dict(positions)
        self.clocks_ms = dict(clocks_ms)
        self.began_ms = began_ms
        self._open: dict[str, _Told] = {}
        self._ended: list[_Told] = []
        self._waiting = 0
        # Whether a day may have become complete since the last check.
        self._is_new = False
        self._is_over = False

    def hear(self, lesson: Lesson, place: int) -> bool:
        """Accept a lesson at ``place`` in the topic of lessons; return False for a repeat.

        Raises ``ValueError`` for an impossible time.
        """
        if not 0 <= lesson.timestamp_ms < 1 << 63:
            raise ValueError(f"a lesson of the time {lesson.timestamp_ms} ms")
        partition, position = str(lesson.partition), (lesson.offset, lesson.index)
        heard, still_open = self._heard, self._open
        if partition in heard and position <= heard[partition]:
            return False
        heard[partition] = position
        if partition in still_open:
            told = still_open[partition]
        else:
            told = still_open[partition] = _Told(partition, place)
        told.last = position
        if isinstance(lesson, Tally):
            told.sums.add(lesson)
        elif isinstance(lesson, DayEnd):
            self._end(told, lesson.timestamp_ms)
            return True
        else:
            told.lessons.append(in_order(lesson))
        told.heard += 1
        self._waiting += 1
        if self._waiting >= WAITING_MAX:
            self._is_over = True
        return True

    def end(self) -> None:
        """Return everything that waits as one day: nothing more will arrive for it."""
        self._is_over = True

    def next_day(self) -> Day | None:
        """The next complete day; None while there is none."""
        if self._is_over:
            self._is_over = self._is_new = False
            return self._taken([*self._ended, *self._open.values()])
        if not self._is_new or not self._ended:
            return None
        end_ms = min(last_day_end_ms(told.clock_ms) for told in self._ended)
        behind = self._far_behind()
        awaited = {*self._numbers, *self.clocks_ms} - behind
        if any(self._ended_ms(partition) < end_ms for partition in awaited):
            self._is_new = False
            return None
        # A partition that is not waited for may never report ends of days: older releases did not.
        unended = [self._open[partition] for partition in behind if partition in self._open]
        ended = [told for told in self._ended if last_day_end_ms(told.clock_ms) <= end_ms]
        return self._taken([*ended, *unended])

    def waiting_sums(self) -> DaySums:
        """The sums of days that were not returned yet."""
        return joined([told.sums for told in (*self._ended, *self._open.values())])

    @property
    def is_clear(self) -> bool:
        """Whether no complete day is waiting to be returned."""
        return not (self._is_new or self._is_over)

    def first_place(self, next_place: int) -> int:
        """The place from which lessons must be read again to continue after the days returned so
        far; ``next_place`` if none is waiting.
        """
        waiting = [*self._ended, *self._open.values()]
        return min([told.first_place for told in waiting], default=next_place)

    def _end(self, told: _Told, clock_ms: int) -> None:
        told.clock_ms = self.clocks_ms[told.partition] = clock_ms
        self.began_ms = self.began_ms or last_day_end_ms(clock_ms)
        self._ended.append(self._open.pop(told.partition))
        self._is_new = True

    def _ended_ms(self, partition: str) -> int:
        """The last end of a day that a partition reported. One that reported none starts with the
        others.
        """
        clock_ms = self.clocks_ms.get(partition)
        return self.began_ms - DAY_MS if clock_ms is None else last_day_end_ms(clock_ms)

    def _far_behind(self) -> set[str]:
        """The partitions that are not waited for, including those that have sent only lessons."""
        ahead_ms = max(map(last_day_end_ms, self.clocks_ms.values()))
        everybody = {*self._numbers, *self.clocks_ms, *self._open}
        return {one for one in everybody if ahead_ms - self._ended_ms(one) > BEHIND_MAX_MS}

    def _taken(self, parts: list[_Told]) -> Day:
        """Make a day of these parts, and stop waiting for them."""
        day = Day(joined([told.sums for told in parts]), [], {}, {})
        for told in parts:
            self._waiting -= told.heard
            day.lessons.extend(told.lessons)
            day.positions[told.partition] = told.last
            if told.clock_ms:
                day.clocks_ms[told.partition] = told.clock_ms
        day.lessons.sort()
        given = set(map(id, parts))
        self._ended = [told for told in self._ended if id(told) not in given]
        self._open = {name: told for name, told in self._open.items() if id(told) not in given}
        return day

"""How far ahead of what is learnt ingest may write into the log.

What the trainer announces stands in the log behind all that is there already. If a year of history
were written at once, all of it would be decided without a model. So history goes through the log a
day at a time: at the end of each, every partition's clock is moved there by a clock record, as a
replay's one clock would be, and the next day waits until that day's lessons are learnt and the
model that follows from them was adopted. That holds for a rehearsal; what is decided aloud never
waits.

No I/O: the caller says how far things are, and what time it is.
"""

from collections.abc import Callable, Collection, Mapping
from math import inf
from typing import NamedTuple

from config.duration import DAY_MS
from models.learning.day_ends import last_day_end_ms

#: Who does not get on for this long is not waited for: a trainer that died must not stop the shop.
#: Longer than another worker takes to go on from its last snapshot.
PATIENCE_S = 30.0


class PartitionStanding(NamedTuple):
    """A partition's clock, and up to which event time its lessons are learnt and answered by the
    model that was due. ``clock_ms`` is None while it is not known whether the partition rehearses:
    of history, it is waited for, and its clock is left alone.
    """

    clock_ms: int | None
    learnt_ms: int


NOT_OPEN = PartitionStanding(None, 0)

#: How far a partition of the log is; None if nothing waits for it.
Standings = Callable[[], Mapping[int, PartitionStanding]]


class Turn(NamedTuple):
    """Up to which event time records may be passed on now, and the partitions to which a clock
    record for the end of day ``day_end_ms`` goes before them. ``given_up``: those that are not
    waited for from now on.
    """

    until_ms: float
    day_end_ms: int = 0
    partitions: tuple[int, ...] = ()
    given_up: tuple[int, ...] = ()


class Pace:
    """Says up to which event time records may be passed on: to the end of the day that begins with
    the next one, once the day before is learnt.

    A partition that was waited for in vain is waited for again once more of its lessons are learnt:
    not for `PATIENCE_S` at the end of each day of a year.
    """

    def __init__(self, standings: Standings, *, disorder_ms: int, lateness_ms: int) -> None:
        self._standings = standings
        self._disorder_ms = disorder_ms
        self._lateness_ms = lateness_ms
        self._told: dict[int, int] = {}
        #: What was learnt of the partitions that are waited for no more.
        self._given_up: dict[int, int] = {}
        self._seen: object = None
        self._moved_s = -inf

    def clear(self) -> None:
        """Forget which clock records were written: partitions may go to other workers."""
        self._told.clear()
        self._given_up.clear()

    def turn(self, next_ms: float, now_ms: int, now_s: float) -> Turn:
        """What may be passed on if no record before ``next_ms`` is still to come here."""
        standings = self._standings()
        if next_ms == inf or not standings:
            return Turn(inf)
        end_ms = last_day_end_ms(int(next_ms) - self._disorder_ms)
        until_ms = end_ms + DAY_MS + self._disorder_ms - 1
        unlearnt = {
            number
            for number, one in standings.items()
            if one.learnt_ms < end_ms and self._is_driven(one, end_ms, now_ms)
        }
        awaited = {n for n in unlearnt if self._given_up.get(n) != standings[n].learnt_ms}
        given_up = self._out_of_patience(awaited, standings, end_ms, now_s)
        is_over = len(given_up) == len(awaited)
        untold = tuple(
            number
            for number in sorted(unlearnt)
            if _is_behind(standings[number], end_ms) and self._told.get(number, 0) < end_ms
        )
        self._told.update(dict.fromkeys(untold, end_ms))
        return Turn(until_ms if is_over else -1, end_ms if unlearnt else 0, untold, given_up)

    def _out_of_patience(
        self,
        awaited: Collection[int],
        standings: Mapping[int, PartitionStanding],
        end_ms: int,
        now_s: float,
    ) -> tuple[int, ...]:
        """The awaited partitions, if nothing at all has moved for too long."""
        seen = (end_ms, standings)
        if seen != self._seen:
            self._seen, self._moved_s = seen, now_s
        if now_s - self._moved_s < PATIENCE_S:
            return ()
        self._given_up.update({number: standings[number].learnt_ms for number in awaited})
        return tuple(sorted(awaited))

    def _is_driven(self, one: PartitionStanding, end_ms: int, now_ms: int) -> bool:
        """Whether history moves a rehearsing partition's clock to this day's end. An event that has
        only just happened does not, while what came before it may still come.
        """
        if now_ms - end_ms > self._lateness_ms:
            return True
        if not one.clock_ms:
            return False
        return end_ms - one.clock_ms <= self._lateness_ms


def _is_behind(one: PartitionStanding, end_ms: int) -> bool:
    return one.clock_ms is not None and one.clock_ms < end_ms

"""Limits how far ingest may write into the log ahead of what is learnt.

When the trainer announces a model, the announcement stands behind everything already in the log. If
a year of history were written at once, all of it would be decided without a model. So history goes
into the log a day at a time. At the end of each day a clock record moves every partition's clock
there, as a replay's single clock would move. The next day waits until that day's lessons are learnt
and the partition has adopted the resulting model. This holds for a rehearsal; live decisions never
wait.

No I/O: the caller says how far everything is, and what time it is.
"""

from collections.abc import Callable, Collection, Mapping
from math import inf
from typing import NamedTuple

from config.duration import DAY_MS
from models.learning.day_ends import last_day_end_ms

#: A partition without progress for this long is not waited for: a dead trainer must not stop the
#: shop. Longer than another worker takes to continue from its last snapshot.
PATIENCE_S = 30.0


class PartitionStanding(NamedTuple):
    """A partition's clock, and the event time up to which its lessons are learnt and answered by
    the model that was due. ``clock_ms`` is None while nobody knows whether the partition rehearses:
    history waits for such a partition, and its clock is not moved.
    """

    clock_ms: int | None
    learnt_ms: int


NOT_OPEN = PartitionStanding(None, 0)

#: How far each partition of the log is, for those that records may have to wait for.
Standings = Callable[[], Mapping[int, PartitionStanding]]


class Turn(NamedTuple):
    """What may be passed on now. ``until_ms``: records up to this event time may. ``partitions``:
    those that get a clock record for the end of day, ``day_end_ms``, before those records.
    ``given_up``: partitions that are not waited for any more.
    """

    until_ms: float
    day_end_ms: int = 0
    partitions: tuple[int, ...] = ()
    given_up: tuple[int, ...] = ()


class Pace:
    """Says up to which event time records may be passed on: to the end of the day that begins with
    the next one, once the day before is learnt.

    A partition that was given up is waited for again only once more of its lessons are learnt.
    Otherwise history would wait `PATIENCE_S` at the end of every day.
    """

    def __init__(self, standings: Standings, *, disorder_ms: int, lateness_ms: int) -> None:
        self._standings = standings
        self._disorder_ms = disorder_ms
        self._lateness_ms = lateness_ms
        self._told: dict[int, int] = {}
        #: By partition that is not waited for any more, what was learnt when it was given up.
        self._given_up: dict[int, int] = {}
        self._seen: object = None
        self._moved_s = -inf

    def clear(self) -> None:
        """Forget which clock records were written: partitions may go to other workers."""
        self._told.clear()
        self._given_up.clear()

    def turn(self, next_ms: float, now_ms: int, now_s: float) -> Turn:
        """What may be passed on if no record before ``next_ms`` is still to come."""
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
        """The awaited partitions, if nothing at all has advanced for `PATIENCE_S`."""
        seen = (end_ms, standings)
        if seen != self._seen:
            self._seen, self._moved_s = seen, now_s
        if now_s - self._moved_s < PATIENCE_S:
            return ()
        self._given_up.update({number: standings[number].learnt_ms for number in awaited})
        return tuple(sorted(awaited))

    def _is_driven(self, one: PartitionStanding, end_ms: int, now_ms: int) -> bool:
        """Whether history moves a rehearsing partition's clock to the end of this day. A recent
        event does not, while events from before it may still come.
        """
        if now_ms - end_ms > self._lateness_ms:
            return True
        if not one.clock_ms:
            return False
        return end_ms - one.clock_ms <= self._lateness_ms


def _is_behind(one: PartitionStanding, end_ms: int) -> bool:
    return one.clock_ms is not None and one.clock_ms < end_ms

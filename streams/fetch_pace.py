"""Decides when a worker asks the broker for records again.

At a few hundred events a second, a worker's cost is waking up, not records: a fetch and its batch
cost as much with one record as with a hundred. So topics that others write, one record at a time,
are asked for only once in a while, for all records that came meanwhile. What the worker itself
writes in response comes in one piece, and is asked for at once. So an event waits once, and not at
each hop.

At a low rate nothing waits: the pace counts from the last records, and a fetch that the broker
already holds is answered with the next record.

No I/O and no clock: the caller says what time it is.
"""

from collections.abc import Iterable
from math import inf

#: How long the broker holds a fetch that finds no records. Other requests on the same connection
#: wait for as long: once at each assignment, for the last fetch before it.
HELD_MS = 500
#: Other topics are asked for at most this many times as often: other workers write to them, too,
#: each at its own times.
TIMES_AS_OFTEN = 4


class FetchPace:
    """The pace of one client's fetches. ``topics``: the full names of the topics that are asked for
    at most once in ``pace_ms``.
    """

    def __init__(self, topics: Iterable[str] = (), pace_ms: int = 0) -> None:
        self._topics = frozenset(topics)
        self._pace_s, self._follow_s = pace_ms / 1_000, pace_ms / 1_000 / TIMES_AS_OFTEN
        self._paced_s = self._others_s = -inf

    def took(self, topics: Iterable[str], now_s: float) -> None:
        """Note that records of these topics were taken."""
        for topic in topics:
            if topic in self._topics:
                self._paced_s = now_s
            else:
                self._others_s = now_s

    def waits_s(self, topic: str, now_s: float) -> float:
        """How many seconds to wait before asking for the topic; 0 if it may be asked for now."""
        turn_s = self._paced_s + self._pace_s
        if topic not in self._topics:
            # What followed from the last records is here; the rest may come with the next ones.
            is_done = self._others_s > self._paced_s
            turn_s = max(self._others_s + self._follow_s, turn_s if is_done else -inf)
        return max(turn_s - now_s, 0.0)

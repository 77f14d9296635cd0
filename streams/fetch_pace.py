"""When a worker asks the broker for records again.

A worker at a few hundred events a second pays for waking up, not for records: a fetch, and the
batch that comes of it, cost as much with one record as with a hundred. So the topics that are
written by others, one record at a time, are asked for once in a while, and bring all that came
meanwhile. What the worker itself makes of them comes in one piece, and is asked for at once: an
event waits for its turn once, and not at each hop.

A shop in which little happens waits for nothing: the pace counts from the last records, and a fetch
that the broker holds is answered with the next one.

No I/O and no clock: the caller says what time it is.
"""

from collections.abc import Iterable
from math import inf

#: How long the broker holds a fetch for which there is nothing. Whatever else is asked on the same
#: connection waits for as long: at each assignment once, for the fetch from before it.
HELD_MS = 500
#: Other topics are asked for this many times as often at most: other workers write to them as well,
#: each at a time of its own.
TIMES_AS_OFTEN = 4


class FetchPace:
    """The pace of one client's fetches. ``topics``: those that are asked for every ``pace_ms`` at
    most, by their full names.
    """

    def __init__(self, topics: Iterable[str] = (), pace_ms: int = 0) -> None:
        self._topics = frozenset(topics)
        self._pace_s, self._follow_s = pace_ms / 1_000, pace_ms / 1_000 / TIMES_AS_OFTEN
        self._paced_s = self._others_s = -inf

    def took(self, topics: Iterable[str], now_s: float) -> None:
        """Note that records of these topics are taken."""
        for topic in topics:
            if topic in self._topics:
                self._paced_s = now_s
            else:
                self._others_s = now_s

    def waits_s(self, topic: str, now_s: float) -> float:
        """For how long the topic is not asked for; 0 if it may be now."""
        turn_s = self._paced_s + self._pace_s
        if topic not in self._topics:
            # What followed from the last records is here: the rest may come with the next ones.
            is_done = self._others_s > self._paced_s
            turn_s = max(self._others_s + self._follow_s, turn_s if is_done else -inf)
        return max(turn_s - now_s, 0.0)

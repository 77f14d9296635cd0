"""How far ahead of what is learnt ingest may write into the log.

What the trainer announces stands in the log behind all that is there already. If a year of history
were written at once, all of it would be decided without a model. So the next records wait until
those before them were folded, and a model that follows from them was adopted. That holds for a
rehearsal; what is decided aloud never waits.

No I/O: the caller says how far things are, and what time it is.
"""

from collections.abc import Callable, Mapping
from math import inf

#: Who does not get on for this long is not waited for: a trainer that died must not stop the shop.
PATIENCE_S = 8.0

#: Up to which event time a partition's records are folded and learnt; None if nothing waits for it.
Learnt = Callable[[int], int | None]


class Pace:
    """Says up to which event time records may be passed on: at most ``reach_ms`` beyond what is
    learnt.
    """

    def __init__(self, learnt: Learnt, reach_ms: int) -> None:
        self._learnt = learnt
        self._reach_ms = reach_ms
        self._passed_ms: dict[int, int] = {}
        self._reached: dict[int, int] = {}
        self._moved_s = -inf

    def passed(self, partition: int, at_ms: int) -> None:
        """Note a record that was passed on."""
        self._passed_ms[partition] = at_ms

    def clear(self) -> None:
        """Forget what was passed on: partitions may go to other workers."""
        self._passed_ms.clear()
        self._reached.clear()

    def until_ms(self, heads: Mapping[int, int], now_s: float) -> float:
        """The last event time to pass on now, given each partition's next one."""
        if not heads:
            return inf
        reached = {partition: self._base_ms(partition, at) for partition, at in heads.items()}
        if reached != self._reached:
            self._reached, self._moved_s = reached, now_s
        until_ms = min(reached.values()) + self._reach_ms
        first_ms = min(heads.values())
        if first_ms <= until_ms or now_s - self._moved_s < PATIENCE_S:
            return until_ms
        self._passed_ms.clear()
        return first_ms + self._reach_ms

    def _base_ms(self, partition: int, next_ms: int) -> int:
        """From where the reach of a partition counts: from its next record if nothing before it is
        under way.
        """
        learnt_ms = self._learnt(partition)
        passed_ms = self._passed_ms.get(partition)
        if learnt_ms is None or passed_ms is None or learnt_ms >= passed_ms:
            return next_ms
        return min(learnt_ms, next_ms)

"""Whether every assigned partition makes progress, which is what readiness depends on."""

from collections.abc import Container, Mapping
from dataclasses import dataclass
from time import monotonic

from faust.types import TP

#: A partition is stuck when records have waited this long without progress.
STUCK_S = 30.0


@dataclass(slots=True)
class _Seen:
    ended: int
    since_s: float
    lag: int


class Progress:
    """Remembers each partition's position, and since when it has been there."""

    def __init__(self, stuck_s: float = STUCK_S) -> None:
        self._stuck_s = stuck_s
        self._seen: dict[TP, _Seen] = {}

    def update(self, ended: Mapping[TP, int], lag: Mapping[TP, int]) -> None:
        """Set the current positions; partitions without one are dropped."""
        now_s = monotonic()
        seen: dict[TP, _Seen] = {}
        for tp, offset in ended.items():
            before = self._seen.get(tp)
            waiting = lag.get(tp, 0)
            moved = before is None or before.ended != offset or not before.lag
            since_s = now_s if moved or before is None else before.since_s
            seen[tp] = _Seen(offset, since_s, waiting)
        self._seen = seen

    def positions(self) -> dict[TP, tuple[int, float]]:
        """(lag in records, seconds without progress while records waited) by partition."""
        now_s = monotonic()
        return {
            tp: (seen.lag, now_s - seen.since_s if seen.lag else 0.0)
            for tp, seen in self._seen.items()
        }

    def stuck(self, topics: Container[str]) -> list[str]:
        """The partitions of ``topics`` that have had records waiting for too long, in words."""
        return [
            f"{tp.topic}-{tp.partition}: {lag} records waiting, none done for {stuck_s:.0f} s"
            for tp, (lag, stuck_s) in sorted(self.positions().items())
            if tp.topic in topics and stuck_s > self._stuck_s
        ]

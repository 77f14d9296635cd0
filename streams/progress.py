"""Whether every assigned partition makes progress, which is what readiness depends on."""

from collections.abc import Container, Mapping
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    # Programs that have no Faust should not wait for its import.
    from faust.types import TP

#: A partition is stuck when records have waited this long without progress.
STUCK_S = 30.0


@dataclass(slots=True)
class _Seen:
    ended: int
    since_s: float
    lag: int
    #: When nothing waited last.
    current_s: float


class Backlog(NamedTuple):
    """What waits in a partition: the first offset that is not done, records as far as a broker has
    told, seconds since it moved on although records waited, and seconds since nothing waited. 0
    for both times if nothing waits.
    """

    ended: int
    lag: int
    stuck_s: float
    behind_s: float


class Progress:
    """Remembers each partition's position, and since when it has been there."""

    def __init__(self, stuck_s: float = STUCK_S) -> None:
        self._stuck_s = stuck_s
        self._seen: dict[TP, _Seen] = {}

    def update(self, ended: "Mapping[TP, int]", lag: "Mapping[TP, int]") -> None:
        """Set the current positions; partitions without one are dropped."""
        now_s = monotonic()
        seen: dict[TP, _Seen] = {}
        for tp, offset in ended.items():
            before = self._seen.get(tp)
            waiting = lag.get(tp, 0)
            if before is None:
                seen[tp] = _Seen(offset, now_s, waiting, now_s)
                continue
            moved = before.ended != offset or not before.lag
            seen[tp] = _Seen(
                offset,
                now_s if moved else before.since_s,
                waiting,
                before.current_s if waiting and before.lag else now_s,
            )
        self._seen = seen

    def positions(self, silent_s: float = 0.0) -> "dict[TP, Backlog]":
        """The backlog of each partition.

        ``silent_s``: for how long no broker has answered. What came since then is not known, so no
        partition counts as having moved on, nor as current, in that time.
        """
        now_s = monotonic()
        return {
            tp: Backlog(
                seen.ended,
                seen.lag,
                max(now_s - seen.since_s if seen.lag else 0.0, silent_s),
                max(now_s - seen.current_s if seen.lag else 0.0, silent_s),
            )
            for tp, seen in self._seen.items()
        }

    def stuck(self, topics: Container[str]) -> list[str]:
        """The partitions of ``topics`` that have had records waiting for too long, in words."""
        return [
            f"{tp.topic}-{tp.partition}: {at.lag} records waiting, none done for {at.stuck_s:.0f} s"
            for tp, at in sorted(self.positions().items())
            if tp.topic in topics and at.stuck_s > self._stuck_s
        ]

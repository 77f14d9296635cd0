"""Tells whether every assigned partition makes progress; readiness depends on it."""

from collections.abc import Container, Mapping
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    # Programs without Faust should not wait for its import.
    from faust.types import TP

#: A partition is stuck when records have waited this long without progress.
STUCK_S = 30.0


@dataclass(slots=True)
class _Seen:
    ended: int
    since_s: float
    lag: int
    #: When it last had no lag.
    current_s: float


class Backlog(NamedTuple):
    """A partition's lag. ``ended``: the first offset that is not done. ``lag``: records, as far as
    the broker has said. ``stuck_s``: seconds since it advanced although records waited.
    ``behind_s``: seconds since it had no lag. Both are 0 without lag, unless no broker answers.
    """

    ended: int
    lag: int
    stuck_s: float
    behind_s: float


class Progress:
    """Remembers each partition's position and since when it has been there."""

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

        ``silent_s``: for how long no broker has answered. New records of that time are not known,
        so no partition counts as having advanced, or as having no lag, in that time.
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
        """The partitions of ``topics`` with lag that have not advanced for too long, in words."""
        return [
            f"{tp.topic}-{tp.partition}: {at.lag} records waiting, none done for {at.stuck_s:.0f} s"
            for tp, at in sorted(self.positions().items())
            if tp.topic in topics and at.stuck_s > self._stuck_s
        ]

"""Rows and models as of an earlier moment, for questions about the past.

A score line may ask about a time before events that were already applied. Its answer must not use
them.
"""

from bisect import bisect_right
from collections.abc import Iterable
from heapq import merge
from operator import itemgetter

from msgspec.structs import replace

from models.customer.row import Row
from models.engine import record
from models.events.event import Event
from models.learning.snapshot import Snapshot
from models.plan import Plan


class Hindsight:
    """Remembers every applied event and every adopted snapshot of a replay.

    Memory grows with the log; a live worker has no use for it.
    """

    def __init__(self) -> None:
        # Numbered, so that the events of several ids can be put in order.
        self._events: dict[str, list[tuple[int, Event, int]]] = {}
        self._count = 0
        self._adopted: list[Snapshot] = []
        self._adopted_at_ms: list[int] = []

    def record(self, event: Event, clock_ms: int) -> None:
        """Remember an event that was applied when the clock stood at ``clock_ms``."""
        self._count += 1
        self._events.setdefault(event.customer, []).append((self._count, event, clock_ms))

    def forget(self, customer: str) -> None:
        """Forget all events of an id."""
        self._events.pop(customer, None)

    def adopted(self, snapshot: Snapshot, at_ms: int) -> None:
        """Remember a snapshot without the trainer's state; ``at_ms`` is the time of the event or
        watermark that brought it.
        """
        if not self._adopted or snapshot.version > self._adopted[-1].version:
            self._adopted.append(snapshot.replace(trainer=b"null"))
            self._adopted_at_ms.append(max([at_ms, *self._adopted_at_ms[-1:]]))

    def row(self, row: Row | None, customer: str, at_ms: int, plan: Plan) -> Row | None:
        """The customer's row as of ``at_ms``, from the events of all their ids that were applied so
        far; None without any.

        It lacks the effects of timers and rules, because scores do not depend on them.
        """
        if row is None or row.latest_ms <= at_ms:
            return row
        context = plan.context(self._adopted[0])
        earlier = None
        for _, event, clock_ms in self._of({customer, *row.ids}):
            if event.occurred_at_ms <= at_ms:
                earlier = earlier or Row()
                # Use the clock of that time, because it decides which old state is dropped.
                context.clock_ms = clock_ms
                record(earlier, replace(event, customer=customer), context, plan)
        return earlier

    def _of(self, ids: set[str]) -> Iterable[tuple[int, Event, int]]:
        of_each = [self._events[id_] for id_ in ids if id_ in self._events]
        return of_each[0] if len(of_each) == 1 else merge(*of_each, key=itemgetter(0))

    def snapshot(self, current: Snapshot, at_ms: int) -> Snapshot:
        """The latest snapshot adopted by ``at_ms``; version 0, the priors, if there is none."""
        place = bisect_right(self._adopted_at_ms, at_ms)
        found = self._adopted[max(place - 1, 0)]
        return found if found.version < current.version else current

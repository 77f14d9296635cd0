"""What was known at an earlier moment: rows and models as they were, for questions asked late.

A score line may name a time before events that the log has already brought. Its answer must not
see them.
"""

from bisect import bisect_right

import msgspec
from msgspec.structs import replace

from models.advance import advance
from models.context import Context
from models.customer.row import Row
from models.events.wire import Event
from models.learning.snapshot import Snapshot


class Hindsight:
    """Remembers every applied event and every adopted snapshot of a replay.

    Memory grows with the log; a live worker has no use for it.
    """

    def __init__(self) -> None:
        self._events: dict[str, list[Event]] = {}
        self._adopted: list[Snapshot] = []

    def record(self, event: Event) -> None:
        """Remember an event that was applied."""
        self._events.setdefault(event.customer, []).append(event)

    def adopted(self, snapshot: Snapshot) -> None:
        """Remember a snapshot, without what only the trainer reads."""
        if not self._adopted or snapshot.version > self._adopted[-1].version:
            self._adopted.append(replace(snapshot, trainer=msgspec.Raw(b"null")))

    def row(self, row: Row | None, at_ms: int, context: Context) -> Row | None:
        """The customer's row as of ``at_ms``, of the events applied so far; None for none."""
        if row is None or row.latest_ms <= at_ms:
            return row
        earlier = None
        for event in self._events[context.customer]:
            if event.occurred_at_ms <= at_ms:
                # Nothing is late or let go of: the clock stands at the beginning.
                earlier = advance(earlier or Row(), event, context._replace(clock_ms=0))
        return earlier

    def snapshot(self, current: Snapshot, at_ms: int) -> Snapshot:
        """The latest snapshot drawn by ``at_ms``; version 0, which knows nothing, is always."""
        if current.created_at_ms <= at_ms:
            return current
        drawn = [snapshot.created_at_ms for snapshot in self._adopted]
        place = bisect_right(drawn, at_ms)
        return self._adopted[max(place - 1, 0)]

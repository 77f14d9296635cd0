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
        self._events: dict[str, list[tuple[Event, int]]] = {}
        self._adopted: list[Snapshot] = []
        self._adopted_at_ms: list[int] = []

    def record(self, event: Event, clock_ms: int) -> None:
        """Remember an event that was applied when the clock stood at ``clock_ms``."""
        self._events.setdefault(event.customer, []).append((event, clock_ms))

    def adopted(self, snapshot: Snapshot, at_ms: int) -> None:
        """Remember a snapshot, without what only the trainer reads; ``at_ms`` is the time of what
        brought it, an event or a watermark.
        """
        if not self._adopted or snapshot.version > self._adopted[-1].version:
            self._adopted.append(replace(snapshot, trainer=msgspec.Raw(b"null")))
            self._adopted_at_ms.append(max([at_ms, *self._adopted_at_ms[-1:]]))

    def row(self, row: Row | None, at_ms: int, context: Context) -> Row | None:
        """The customer's row as of ``at_ms``, of the events applied so far; None for none."""
        if row is None or row.latest_ms <= at_ms:
            return row
        earlier = None
        for event, clock_ms in self._events[context.customer]:
            if event.occurred_at_ms <= at_ms:
                # As it was applied then: the clock says what is old enough to be let go of.
                earlier = advance(earlier or Row(), event, context._replace(clock_ms=clock_ms))
        return earlier

    def snapshot(self, current: Snapshot, at_ms: int) -> Snapshot:
        """The latest snapshot adopted by ``at_ms``; version 0, which knows nothing, is always."""
        place = bisect_right(self._adopted_at_ms, at_ms)
        found = self._adopted[max(place - 1, 0)]
        return found if found.version < current.version else current

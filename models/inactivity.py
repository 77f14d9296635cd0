"""Erasing who did nothing for long: a deadline of the row, which the partition looks at. It then
tells the row, by a record of the log.

It is set once and set anew only when it has come, so that events cost nothing for it.
"""

from typing import Final

from models.customer.engagement import ENGAGEMENT
from models.customer.identities import IDENTITIES
from models.customer.part import Timer
from models.customer.row import Row
from models.customer.scene import Scene

#: The code of the timer, as rows keep it.
INACTIVE: Final = "inactive"


def _is_looked_at(_scene: Scene) -> None:
    """The partition decides: a row cannot erase itself, nor the ids that go with it."""


INACTIVITY_TIMER: Final = Timer(INACTIVE, _is_looked_at, last=True, waits_for_clock=True)


def watch(row: Row, clock_ms: int, inactive_ms: int) -> None:
    """Have the row looked at when nobody will have done anything for ``inactive_ms``, and not
    before the clock moves on.
    """
    if row.due(INACTIVE).due_ms:
        return
    # Whoever never did anything is watched from what happened first; an id that goes with others is
    # asked again, for it may be its own by then.
    acted_ms = (
        clock_ms if _goes_with_others(row) else row.read(ENGAGEMENT).last_at_ms or row.latest_ms
    )
    row.set_due(INACTIVE, max(acted_ms + inactive_ms, clock_ms + 1), may_repeat=True)


def ended_ms(row: Row, clock_ms: int, inactive_ms: int) -> int:
    """When the row's deadline had come, by ``clock_ms``; 0 if it is not silent for so long."""
    timer = row.due(INACTIVE)
    if timer.due_ms or not timer.handled_ms or not is_silent(row, clock_ms, inactive_ms):
        return 0
    return max(timer.handled_ms, row.read(ENGAGEMENT).last_at_ms + inactive_ms)


def is_silent(row: Row, at_ms: int, inactive_ms: int) -> bool:
    """Whether by ``at_ms`` nobody did anything under this id, or any of the person's, for
    ``inactive_ms``. An id that is another's goes with them.
    """
    if _goes_with_others(row):
        return False
    return row.read(ENGAGEMENT).last_at_ms + inactive_ms <= at_ms


def _goes_with_others(row: Row) -> bool:
    """Whether it is another's id, or one of which nothing is known but who named it."""
    return row.read(IDENTITIES).is_mirror or not row.latest_ms

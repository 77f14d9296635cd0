"""Erases customers who were inactive for long: each row has a deadline, and the partition checks it
when it has come. The partition then erases the row by a record of the log.

The deadline is only moved when it has come, so that events cost nothing for it.
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
    """Does nothing: the partition decides, because a row cannot erase itself or its linked ids."""


INACTIVITY_TIMER: Final = Timer(INACTIVE, _is_looked_at, last=True, waits_for_clock=True)


def watch(row: Row, clock_ms: int, inactive_ms: int) -> None:
    """Set the deadline to when the row will have been inactive for ``inactive_ms``, but not before
    the clock has moved on.
    """
    if row.due(INACTIVE).due_ms:
        return
    # Without activity of their own, customers are watched from the time of their latest event. An
    # id that goes with others is checked again later, because it may be on its own by then.
    acted_ms = (
        clock_ms if _goes_with_others(row) else row.read(ENGAGEMENT).last_at_ms or row.latest_ms
    )
    row.set_due(INACTIVE, max(acted_ms + inactive_ms, clock_ms + 1), may_repeat=True)


def ended_ms(row: Row, clock_ms: int, inactive_ms: int) -> int:
    """When the row's deadline came, by ``clock_ms``; 0 if the row is not inactive for long
    enough.
    """
    timer = row.due(INACTIVE)
    if timer.due_ms or not timer.handled_ms or not is_silent(row, clock_ms, inactive_ms):
        return 0
    return max(timer.handled_ms, row.read(ENGAGEMENT).last_at_ms + inactive_ms)


def is_silent(row: Row, at_ms: int, inactive_ms: int) -> bool:
    """Whether nobody was active under this id, or any id of the person, for ``inactive_ms`` by
    ``at_ms``. False for an id that belongs to another: it goes with its person.
    """
    if _goes_with_others(row):
        return False
    return row.read(ENGAGEMENT).last_at_ms + inactive_ms <= at_ms


def _goes_with_others(row: Row) -> bool:
    """Whether the id belongs to another, or is only known because others named it."""
    return row.read(IDENTITIES).is_mirror or not row.latest_ms

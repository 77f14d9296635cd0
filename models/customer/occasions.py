"""Occasions to buy: orders of one sitting are one occasion, whatever side of midnight they fall on.

An order belongs to the occasion of the order before it if it is less than a sitting after that one,
and less than a day after the occasion's first: a till that sells all day and all night has an
occasion a day. An occasion's day is the UTC day of its first order. Purchase days are the days of
occasions, and buying rhythms are counted in them.
"""

from collections.abc import Iterable
from typing import NamedTuple

from config.duration import DAY_MS
from models.learning.history import Days

#: The gaps between this many of the latest purchase days are known, however long ago they were.
DAYS_KEPT = 13


class Sitting(NamedTuple):
    """The latest occasion: when its first order was placed, and its last; 0 before there is one."""

    first_ms: int = 0
    last_ms: int = 0

    def takes(self, at_ms: int, sitting_ms: int) -> bool:
        """Whether an order placed then belongs to this occasion."""
        since_ms = at_ms - self.last_ms
        return bool(self.last_ms) and since_ms < sitting_ms and at_ms - self.first_ms < DAY_MS

    def with_order(self, at_ms: int, sitting_ms: int) -> "Sitting":
        """The latest occasion once an order was placed, no earlier than those before."""
        first_ms = self.first_ms if self.takes(at_ms, sitting_ms) else at_ms
        return Sitting(first_ms, at_ms)


#: Before the first order.
NOBODY = Sitting()


def occasions(
    placed_ms: Iterable[int], sitting_ms: int, before: Sitting = NOBODY
) -> tuple[Days, Sitting]:
    """The purchase days of orders in the order of their times, and the latest occasion.

    ``before``: the latest occasion before them, whose day is not among the days.
    """
    latest, known_day = before, before.first_ms // DAY_MS if before.last_ms else -1
    days: list[int] = []
    for at_ms in placed_ms:
        latest = latest.with_order(at_ms, sitting_ms)
        day = latest.first_ms // DAY_MS
        if day > known_day:
            days.append(day)
            known_day = day
    return tuple(days), latest

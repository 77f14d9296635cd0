"""A customer's purchase days up to a moment, as the BG/NBD and gamma-gamma formulas need them."""

from bisect import bisect_right

from msgspec import Struct

from config.duration import DAY_MS

#: UTC days since 1970, ascending, each once.
Days = tuple[int, ...]


class History(Struct, frozen=True, gc=False):
    """When a customer bought: ``repeats`` counts purchase days after the first, ``last`` and
    ``life`` are days from the first to the latest and to now, ``recency`` those since the latest.

    ``days`` may lack old days that ``repeats`` counts.
    """

    days: Days
    repeats: int
    last: float
    life: float
    recency: float


def past_at(at_ms: int, days: Days, repeats: int, first_day: int, last_day: int) -> History:
    """The history at a moment of a customer who bought first and last on these days."""
    today, last = at_ms / DAY_MS, float(last_day - first_day)
    life, recency = today - first_day, today - last_day
    # Compared inline: this runs for every customer, and a call takes longer.
    if life < last:
        life = last
    return History(days, repeats, last, life, recency if recency > 0.0 else 0.0)


def days_since(past: History, since_ms: int) -> int:
    """The number of purchase days after the day of ``since_ms``."""
    return len(past.days) - bisect_right(past.days, since_ms // DAY_MS)


def is_known_since(past: History, since_ms: int) -> bool:
    """Whether ``days`` has every purchase day after the day of ``since_ms``.

    The missing days are older than those it has, but for a customer who buys very often they may
    still be recent.
    """
    days = past.days
    return len(days) > past.repeats or not days or days[0] <= since_ms // DAY_MS

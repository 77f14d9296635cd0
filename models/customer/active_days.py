"""The days a customer did something on: exact for the last weeks, counted before them."""

from msgspec import Struct

from config.duration import DAY_MS

#: So many days fit in an integer that every decoder reads.
DAYS_MAX = 63
_MASK = (1 << DAYS_MAX) - 1


class ActiveDays(Struct, frozen=True, array_like=True, gc=False):
    """``recent`` has bit n set for something done n days before ``latest_day`` (UTC days since
    1970); ``earlier`` counts the days that have left it, back to ``first_day``.
    """

    recent: int = 0
    latest_day: int = 0
    earlier: int = 0
    first_day: int = 0


def with_activity(days: ActiveDays, at_ms: int) -> ActiveDays:
    """``days`` with one more thing done; arrival order doesn't matter within `DAYS_MAX`."""
    day = at_ms // DAY_MS
    if not days.recent:
        return ActiveDays(1, day, 0, day)
    ahead = day - days.latest_day
    if ahead > 0:
        shifted = days.recent << ahead if ahead < DAYS_MAX else 0
        left = days.recent.bit_count() - (shifted & _MASK).bit_count()
        return ActiveDays(shifted & _MASK | 1, day, days.earlier + left, days.first_day)
    bit = 1 << -ahead
    if days.recent & bit or -ahead >= DAYS_MAX:
        return days
    return ActiveDays(days.recent | bit, days.latest_day, days.earlier, min(days.first_day, day))


def active_within(days: ActiveDays, today: int, window_days: int) -> int:
    """How many of the last ``window_days`` (at most `DAYS_MAX`), today's included, were active."""
    ahead = today - days.latest_day
    if ahead >= window_days:
        return 0
    recent = days.recent << ahead if ahead >= 0 else days.recent >> -ahead
    return (recent & ((1 << window_days) - 1)).bit_count()


def active_until(days: ActiveDays, today: int) -> int:
    """How many days were active in all, today's included."""
    ahead = min(today - days.latest_day, 0)
    return days.earlier + (days.recent >> -ahead).bit_count()

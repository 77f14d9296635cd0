"""The days on which a customer was active: each of the last 63, and the number before them."""

from typing import NamedTuple

from config.duration import DAY_MS

#: This many bits fit into an integer that every decoder reads.
DAYS_MAX = 63
_MASK = (1 << DAYS_MAX) - 1


class ActiveDays(NamedTuple):
    """``recent`` has bit n set for activity n days before ``latest_day`` (UTC days since 1970);
    ``earlier`` counts the active days before those, back to ``first_day``.
    """

    recent: int = 0
    latest_day: int = 0
    earlier: int = 0
    first_day: int = 0


NO_DAYS = ActiveDays()


def with_activity(days: ActiveDays, at_ms: int) -> ActiveDays:
    """``days`` with activity at ``at_ms``; arrival order doesn't matter within `DAYS_MAX`."""
    day = at_ms // DAY_MS
    if not days.recent:
        return ActiveDays(1, day, 0, day)
    ahead = day - days.latest_day
    if not ahead:
        return days
    if ahead > 0:
        shifted = days.recent << ahead if ahead < DAYS_MAX else 0
        left = days.recent.bit_count() - (shifted & _MASK).bit_count()
        return ActiveDays(shifted & _MASK | 1, day, days.earlier + left, days.first_day)
    bit = 1 << -ahead
    if days.recent & bit or -ahead >= DAYS_MAX:
        return days
    return ActiveDays(days.recent | bit, days.latest_day, days.earlier, min(days.first_day, day))


def active_within(days: ActiveDays, today: int, window_days: int) -> int:
    """The active days among the last ``window_days`` (at most `DAYS_MAX`), including today."""
    ahead = today - days.latest_day
    if ahead >= window_days:
        return 0
    recent = days.recent << ahead if ahead >= 0 else days.recent >> -ahead
    return (recent & ((1 << window_days) - 1)).bit_count()


def active_until(days: ActiveDays, today: int) -> int:
    """The number of all active days, including today."""
    ahead = min(today - days.latest_day, 0)
    return days.earlier + (days.recent >> -ahead).bit_count()


def united_days(one: ActiveDays, other: ActiveDays) -> ActiveDays:
    """The active days of both. Exact within `DAYS_MAX`; earlier days that both had count twice."""
    if not one.recent or not other.recent:
        return one if one.recent else other
    earlier, later = sorted((one, other), key=lambda days: days.latest_day)
    ahead = later.latest_day - earlier.latest_day
    shifted = earlier.recent << ahead if ahead < DAYS_MAX else 0
    left = earlier.recent.bit_count() - (shifted & _MASK).bit_count()
    return ActiveDays(
        later.recent | (shifted & _MASK),
        later.latest_day,
        one.earlier + other.earlier + left,
        min(one.first_day, other.first_day),
    )

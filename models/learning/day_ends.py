"""The ends of UTC days, at which decision points lie and labels fall due."""

from config.duration import DAY_MS

#: The end of a UTC day, in ms from its start: one second before midnight.
_DAY_END_MS = DAY_MS - 1_000


def day_end_ms(at_ms: int) -> int:
    """The end of the day that ``at_ms`` is in."""
    return at_ms // DAY_MS * DAY_MS + _DAY_END_MS


def has_day_ended(before_ms: int, at_ms: int) -> bool:
    """Whether a day ended after ``before_ms``, and at ``at_ms`` or earlier."""
    return (before_ms - _DAY_END_MS) // DAY_MS < (at_ms - _DAY_END_MS) // DAY_MS


def last_day_end_ms(at_ms: int) -> int:
    """The latest end of a day that is not after ``at_ms``."""
    return (at_ms - _DAY_END_MS) // DAY_MS * DAY_MS + _DAY_END_MS

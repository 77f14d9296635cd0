"""Durations as operators write them, converted to the engine's milliseconds."""

import re

SECOND_MS = 1_000
MINUTE_MS = 60 * SECOND_MS
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS
_UNITS_MS = {
    "ms": 1,
    "s": SECOND_MS,
    "min": MINUTE_MS,
    "h": HOUR_MS,
    "d": DAY_MS,
    "w": 7 * DAY_MS,
}
#: The longest duration, so that any time plus a few of them is a date.
DURATION_MAX_DAYS = 36_500
_TIME_OF_DAY = re.compile(r"([01]?[0-9]|2[0-3]):([0-5][0-9])")
_DURATION = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([a-z]*)\s*")


class DurationMs(int):
    """A duration in milliseconds, written as ``"90s"``, ``"10min"``, ``"72h"`` or ``"28d"``."""

    @classmethod
    def parse(cls, value: object) -> "DurationMs":
        """Read a text with a unit, or a bare number of seconds. Raises ``ValueError``."""
        match = _DURATION.fullmatch(str(value)) if not isinstance(value, bool) else None
        unit_ms = _UNITS_MS.get((match[2] or "s") if match else "?")
        if match is None or unit_ms is None:
            raise ValueError(
                f"expected a duration such as '90s', '10min', '72h' or '28d', got {value!r}"
            )
        duration_ms = round(float(match[1]) * unit_ms)
        if duration_ms > DURATION_MAX_DAYS * DAY_MS:
            raise ValueError(f"expected at most '{DURATION_MAX_DAYS}d', got {value!r}")
        return cls(duration_ms)


class MinuteOfDay(int):
    """A time of day as minutes since midnight, written as ``"21:30"``."""

    @classmethod
    def parse(cls, value: object) -> "MinuteOfDay":
        """Read a text, or a number of minutes: YAML reads 21:30 without quotes as that. Raises
        ``ValueError``.
        """
        match = _TIME_OF_DAY.fullmatch(value.strip()) if isinstance(value, str) else None
        minutes = int(match[1]) * 60 + int(match[2]) if match else value
        if not isinstance(minutes, int) or isinstance(minutes, bool) or not 0 <= minutes < 1_440:
            raise ValueError(f"expected a time of day such as '08:00' or '21:30', got {value!r}")
        return cls(minutes)


def convert(kind: type, value: object) -> object:
    """Let msgspec read a `DurationMs` or a `MinuteOfDay`; its ``dec_hook``."""
    if kind is DurationMs:
        return DurationMs.parse(value)
    if kind is MinuteOfDay:
        return MinuteOfDay.parse(value)
    raise NotImplementedError(kind)

"""Times in all the ways in which ISO 8601 writes a moment with its offset from UTC."""

import re
from datetime import UTC, datetime, timedelta, timezone
from typing import Final

_DATE = r"(?P<year>\d{4})(?:-(?P<month>\d\d)-(?P<day>\d\d)|(?P<month_>\d\d)(?P<day_>\d\d))"
_TIME = r"(?P<hour>\d\d)(?::?(?P<minute>\d\d)(?::?(?P<second>\d\d)(?:[.,](?P<fraction>\d+))?)?)?"
_OFFSET = r"(?:(?P<utc>[Zz])|(?P<sign>[+-])(?P<hours>\d\d)(?::?(?P<minutes>\d\d))?)"
_MOMENT = re.compile(rf"{_DATE}[Tt ]{_TIME} ?{_OFFSET}", re.ASCII).fullmatch
_LENGTH_MAX: Final = 64


def moment_of(text: str) -> datetime | None:
    """The moment that ``text`` states, to the microsecond, rounded down; None if it states none.

    The forms: extended and basic (``20260301T100000Z``), with minutes or seconds left out, a short
    offset (``+01``), and a blank for T. 24:00 is the next midnight, and a leap second the second
    after it, as computers count. Without an offset, a text is no moment.
    """
    text = text.strip(" ")
    found = _MOMENT(text) if len(text) <= _LENGTH_MAX else None
    if found is None:
        return None
    part = found.groupdict()

    def number(name: str) -> int:
        return int(part[name] or 0)

    hour, second = number("hour"), number("second")
    is_midnight = hour == 24 and number("minute") == second == 0 and not int(part["fraction"] or 0)
    is_leap = second == 60
    offset = timedelta(hours=number("hours"), minutes=number("minutes"))
    if offset >= timedelta(days=1) or number("minutes") > 59:
        return None
    try:
        moment = datetime(
            number("year"),
            number("month") or number("month_"),
            number("day") or number("day_"),
            0 if is_midnight else hour,
            number("minute"),
            59 if is_leap else second,
            int((part["fraction"] or "0")[:6].ljust(6, "0")),
            tzinfo=timezone(-offset if part["sign"] == "-" else offset),
        )
        if is_midnight:
            moment += timedelta(days=1)
        if is_leap:
            moment = moment.replace(microsecond=0) + timedelta(seconds=1)
            return moment if _ends_a_day(moment) else None
    except (ValueError, OverflowError):
        return None
    return moment


def _ends_a_day(moment: datetime) -> bool:
    """Whether it is midnight in UTC, before which leap seconds come."""
    utc = moment.astimezone(UTC)
    return (utc.hour, utc.minute, utc.second) == (0, 0, 0)

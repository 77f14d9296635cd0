"""Moments as numbers and as texts: reads all forms of ISO 8601, and writes one."""

import re
from datetime import UTC, datetime, timedelta, timezone
from typing import Final

_DATE = r"(?P<year>\d{4})(?:-(?P<month>\d\d)-(?P<day>\d\d)|(?P<month_>\d\d)(?P<day_>\d\d))"
_TIME = r"(?P<hour>\d\d)(?::?(?P<minute>\d\d)(?::?(?P<second>\d\d)(?:[.,](?P<fraction>\d+))?)?)?"
_OFFSET = r"(?:(?P<utc>[Zz]|UTC|GMT)|(?P<sign>[+-])(?P<hours>\d\d)(?::?(?P<minutes>\d\d))?)"
#: A zone's name after the offset, which is ignored.
_ZONE = r"(?:\[[A-Za-z0-9_+/-]{1,32}\])?"
_MOMENT = re.compile(rf"{_DATE}[Tt ]{_TIME} ?{_OFFSET}{_ZONE}", re.ASCII).fullmatch
_LENGTH_MAX: Final = 64
#: The separators in 2026-03-01T10:00:00.000Z.
_USUAL_MARKS: Final = ("-", "-", "T", ".", "Z")
_EPOCH = datetime.fromisoformat("1970-01-01T00:00:00+00:00")
#: Seconds since 1970 of 1973 and of 2286; the latter also as milliseconds.
_SECONDS_MIN, _MILLISECONDS_MIN, _MICROSECONDS_MIN = 1e8, 1e10, 1e13
#: The year 3000: a deadline that follows from an earlier event can still be written as a date.
LATEST_MS = 32_503_680_000_000


def moment_of(text: str) -> datetime | None:
    """The moment that ``text`` states, to the microsecond, rounded down; None if it states none.

    Accepted forms: extended and basic (``20260301T100000Z``), with minutes or seconds left out, a
    short offset (``+01``), a blank for T, UTC or GMT for Z, and a zone's name in brackets after the
    offset. 24:00 is the next midnight, and a leap second is the second after it, as in Unix time. A
    text without an offset states no moment.
    """
    if (usual := _usual_moment_of(text)) is not None:
        return usual
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


def _usual_moment_of(text: str) -> datetime | None:
    """The moment of a text in the form that `iso` writes, ten times as fast; None for any other
    text, and for an invalid moment.
    """
    marks = text[4:5], text[7:8], text[10:11], text[19:20], text[23:]
    if marks != _USUAL_MARKS:
        return None
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None


def since_1970(number: float) -> datetime | None:
    """The moment so many seconds or, for larger numbers, milliseconds or microseconds after 1970;
    None for numbers that are too small to be told from a year or a count.
    """
    size = abs(number)
    if size < _SECONDS_MIN:
        return None
    try:
        if size < _MILLISECONDS_MIN:
            return _EPOCH + timedelta(seconds=number)
        if size < _MICROSECONDS_MIN:
            return _EPOCH + timedelta(milliseconds=number)
        return _EPOCH + timedelta(microseconds=number)
    except (OverflowError, ValueError):
        return None


def _ends_a_day(moment: datetime) -> bool:
    """Whether it is midnight in UTC, the moment that follows a leap second."""
    utc = moment.astimezone(UTC)
    return (utc.hour, utc.minute, utc.second) == (0, 0, 0)


def milliseconds(moment: datetime) -> int:
    """Whole milliseconds since 1970, rounded down; exact for every representable moment."""
    delta = moment - _EPOCH
    return (delta.days * 86_400 + delta.seconds) * 1_000 + delta.microseconds // 1_000


#: The pieces of a time of day. Formatting numbers is most of the cost of a text, and a profile has
#: forty times in it.
_MINUTES = tuple(f"T{minute // 60:02d}:{minute % 60:02d}:" for minute in range(1_440))
_SECONDS = tuple(f"{second:02d}." for second in range(60))
_MILLIS = tuple(f"{millis:03d}Z" for millis in range(1_000))


def iso(moment_ms: int) -> str:
    """ISO 8601 in UTC with milliseconds."""
    seconds, millis = divmod(moment_ms, 1_000)
    minutes, second = divmod(seconds, 60)
    day, minute = divmod(minutes, 1_440)
    text = _DAYS.get(day)
    if text is None:
        text = _iso_day(day)
    return f"{text}{_MINUTES[minute]}{_SECONDS[second]}{_MILLIS[millis]}"


_DAYS: dict[int, str] = {}


def _iso_day(day: int) -> str:
    # Neighbouring events share few dates, so caching them saves most of the cost.
    if len(_DAYS) > 4_096:
        _DAYS.clear()
    text = _DAYS[day] = datetime.fromordinal(day + 719_163).strftime("%Y-%m-%d")
    return text


def iso_or_none(moment_ms: int) -> str | None:
    """`iso`, or None for 0, which means never."""
    return iso(moment_ms) if moment_ms else None

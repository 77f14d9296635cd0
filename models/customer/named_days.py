"""Named days of the calendar, such as Christmas, the Friday after Thanksgiving or a New Year by the
moon: how they are written, and their dates.
"""

import re
from collections.abc import Iterable, Mapping
from datetime import date, timedelta
from functools import lru_cache
from typing import Final

_WEEKDAYS: Final = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_MONTHS: Final = (
    *("january", "february", "march", "april", "may", "june"),
    *("july", "august", "september", "october", "november", "december"),
)
_PLACES: Final = {"1st": 1, "2nd": 2, "3rd": 3, "4th": 4, "5th": 5, "last": -1}
_WEEK_DAYS: Final = len(_WEEKDAYS)
#: The mean length of a year, and how far a date may be from it.
_YEAR_DAYS, _YEAR_SLACK_DAYS = 365.2425, 2.0
_YEARLY: Final = re.compile(r"(\d\d)-(\d\d)")
_ONCE: Final = re.compile(r"\d{4}-\d\d-\d\d")
_BY_WEEKDAY: Final = re.compile(
    rf"({'|'.join(_PLACES)}) ({'|'.join(_WEEKDAYS)}) of ({'|'.join(_MONTHS)})(?: \+ (\d{{1,2}}))?"
)
#: The text or texts of each name.
Written = Mapping[str, str | tuple[str, ...]]


@lru_cache(maxsize=4_096)
def dates_in(text: str, year: int) -> tuple[date, ...]:
    """The dates of a year that a text stands for: ``12-24`` (of 29 February, the last day of the
    month in other years), ``2027-02-06``, or ``4th thursday of november + 1``. Raises
    ``ValueError`` for any other text.
    """
    said = " ".join(text.lower().split())
    if _ONCE.fullmatch(said):
        once = date.fromisoformat(said)
        return (once,) if once.year == year else ()
    if (found := _YEARLY.fullmatch(said)) is not None:
        # In a leap year, so that every date exists.
        date(2000, int(found[1]), int(found[2]))
        return (yearly(int(found[1]), int(found[2]), year),)
    if (found := _BY_WEEKDAY.fullmatch(said)) is not None:
        first = date(year, _MONTHS.index(found[3]) + 1, 1)
        days = [first + timedelta(days=n) for n in range(31)]
        same = [
            day
            for day in days
            if day.month == first.month and day.weekday() == _WEEKDAYS.index(found[2])
        ]
        place = _PLACES[found[1]]
        chosen = same[place - 1 if place > 0 else place : place if place > 0 else None]
        return tuple(day + timedelta(days=int(found[4] or 0)) for day in chosen)
    raise ValueError(text)


def yearly(month: int, day: int, year: int) -> date:
    """The day of a year; 28 February for the 29th where there is none."""
    try:
        return date(year, month, day)
    except ValueError:
        return date(year, month, day - 1)


def may_be_anniversary(began: int, first: int, last: int) -> bool:
    """Whether an anniversary of a day, or of the one before or after it, may be in these days: a
    quick test that needs no calendar.
    """
    since = last - began + _YEAR_SLACK_DAYS
    return since % _YEAR_DAYS <= last - first + 2 * _YEAR_SLACK_DAYS


def anniversaries(began: int, first: int, last: int) -> list[int]:
    """The anniversaries of a day, from one day to another; all are ordinals of dates."""
    begin = date.fromordinal(began)
    years = range(date.fromordinal(first).year, date.fromordinal(last).year + 1)
    found = [yearly(begin.month, begin.day, year).toordinal() for year in years]
    return [day for day in found if began < day and first <= day <= last]


def texts_of(written: str | tuple[str, ...]) -> tuple[str, ...]:
    """One text or several, as several."""
    return (written,) if isinstance(written, str) else written


class NamedDays:
    """The named days of all years. Results are cached, because on one day all customers are looked
    at for the same days ahead.
    """

    def __init__(self, written: Written) -> None:
        self._written = written
        self._of_year = lru_cache(maxsize=64)(self._dates_of)
        self._between = lru_cache(maxsize=64)(self._found_between)

    def between(self, first: int, last: int) -> tuple[tuple[int, str], ...]:
        """The named days from one day to another (ordinals of dates, both inclusive), each with its
        name, sorted by day and name.
        """
        return self._between(first, last)

    def _found_between(self, first: int, last: int) -> tuple[tuple[int, str], ...]:
        # A day so long after another one may be in the next year.
        years = range(date.fromordinal(first).year - 1, date.fromordinal(last).year + 1)
        days = {one for year in years for one in self._of_year(year)}
        return tuple(sorted(one for one in days if first <= one[0] <= last))

    def _dates_of(self, year: int) -> list[tuple[int, str]]:
        days = {
            (day.toordinal(), name)
            for name, texts in self._written.items()
            for text in texts_of(texts)
            for day in dates_in(text, year)
        }
        return sorted(days)


def problems_in_days(written: Written, taken: Iterable[str], named: str) -> list[str]:
    """Problems of the names and dates; ``taken``: names of days that exist already; ``named``:
    where these are written.
    """
    found = []
    for name, texts in written.items():
        where = f"{named}.{name}"
        if not re.fullmatch("[a-z0-9][a-z0-9-]{0,31}", name):
            found.append(f"{where}: a name is lower case letters, digits and -, 32 at most")
        if name in taken:
            found.append(f"{where}: this day is known already; name yours otherwise")
        if not texts_of(texts):
            found.append(f"{where} has no date: take it away, or say one")
        for text in texts_of(texts):
            try:
                dates_in(text, 2000)
            except ValueError:
                found.append(
                    f"{where}: {text!r} is no day: write 12-24, 2027-02-06, or 4th thursday of "
                    f"november + 1"
                )
    return found

"""Time zones by their IANA names.

They are read from the tzdata package and never from the machine, so that the same log gives the
same decisions everywhere.
"""

import re
from difflib import get_close_matches
from functools import cache, lru_cache
from importlib import resources
from typing import Final
from zoneinfo import ZoneInfo

UTC = "UTC"


@cache
def zone_names() -> frozenset[str]:
    """The name of every zone."""
    return frozenset(resources.files("tzdata").joinpath("zones").read_text("utf-8").split())


#: A zone for each offset that is no whole number of hours; of several, the largest.
_PLACES: Final = {
    "-09:30": "Pacific/Marquesas",
    "-03:30": "America/St_Johns",
    "-02:30": "America/St_Johns",
    "+03:30": "Asia/Tehran",
    "+04:30": "Asia/Kabul",
    "+05:30": "Asia/Kolkata",
    "+05:45": "Asia/Kathmandu",
    "+06:30": "Asia/Yangon",
    "+08:45": "Australia/Eucla",
    "+09:30": "Australia/Darwin",
    "+10:30": "Australia/Adelaide",
    "+12:45": "Pacific/Chatham",
    "+13:45": "Pacific/Chatham",
}
_OFFSET: Final = re.compile(
    r"(?:UTC|GMT)? ?(?P<sign>[+\-\u2212])(?P<hours>\d\d?)(?::?(?P<minutes>\d\d))?",
    re.ASCII | re.IGNORECASE,
).fullmatch
_NAME_LENGTH_MAX: Final = 64
_READ_MAX: Final = 1_024


@cache
def _by_spelling() -> dict[str, str]:
    return {name.casefold(): name for name in zone_names()}


@lru_cache(_READ_MAX)
def zone_called(text: str) -> str | None:
    """The IANA name of a zone that senders may write in any case, with blanks, or as an offset from
    UTC such as ``+02:00`` or ``UTC+2``; None if there is no such zone.
    """
    if text in zone_names():
        return text
    text = text.strip() if len(text) <= _NAME_LENGTH_MAX else ""
    offset = _OFFSET(text)
    if offset is None:
        return _by_spelling().get(text.replace(" ", "_").casefold())
    sign = "+" if offset["sign"] == "+" else "-"
    hours, minutes = int(offset["hours"]), int(offset["minutes"] or 0)
    if minutes:
        return _PLACES.get(f"{sign}{hours:02d}:{minutes:02d}")
    # Etc/GMT-2 is two hours ahead of UTC: these names have the opposite sign.
    name = f"Etc/GMT{'-' if sign == '+' else '+'}{hours}" if hours else UTC
    return name if name in zone_names() else None


@cache
def zone(name: str) -> ZoneInfo:
    """The zone of this name. Raises ``KeyError`` if there is none."""
    if name not in zone_names():
        raise KeyError(name)
    found = resources.files("tzdata").joinpath("zoneinfo", *name.split("/"))
    with found.open("rb") as content:
        return ZoneInfo.from_file(content, key=name)


def zone_problem(name: str) -> str | None:
    """Why ``name`` is no zone, with the name that was probably meant; None if it is one."""
    if name in zone_names():
        return None
    close = get_close_matches(name, zone_names(), n=1, cutoff=0.5)
    fix = f"did you mean {close[0]}?" if close else "write it as in Europe/Berlin"
    return f"there is no time zone {name!r}; {fix}"

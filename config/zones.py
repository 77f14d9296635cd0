"""Time zones by their IANA names.

They are read from the tzdata package and never from the machine, so that the same log gives the
same decisions everywhere.
"""

from difflib import get_close_matches
from functools import cache
from importlib import resources
from zoneinfo import ZoneInfo

UTC = "UTC"


@cache
def zone_names() -> frozenset[str]:
    """Every name there is."""
    return frozenset(resources.files("tzdata").joinpath("zones").read_text("utf-8").split())


@cache
def zone(name: str) -> ZoneInfo:
    """The zone of this name. Raises ``KeyError`` for one that there is not."""
    if name not in zone_names():
        raise KeyError(name)
    found = resources.files("tzdata").joinpath("zoneinfo", *name.split("/"))
    with found.open("rb") as content:
        return ZoneInfo.from_file(content, key=name)


def zone_problem(name: str) -> str | None:
    """Why ``name`` is no zone, with the name that was probably meant; None for a zone."""
    if name in zone_names():
        return None
    close = get_close_matches(name, zone_names(), n=1, cutoff=0.5)
    fix = f"did you mean {close[0]}?" if close else "write it as in Europe/Berlin"
    return f"there is no time zone {name!r}; {fix}"

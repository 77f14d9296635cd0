"""Tables for generated pages, and parameters as lines of text."""

import re
from collections.abc import Iterable, Iterator
from importlib import resources

import msgspec

from config.duration import DurationMs
from config.parameters import Section

_UNITS = (("d", 86_400_000), ("h", 3_600_000), ("min", 60_000), ("s", 1_000), ("ms", 1))


def table(heads: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    """The lines of a Markdown table; nothing if there are no rows."""
    lines = [f"| {' | '.join(row)} |" for row in rows]
    if lines:
        yield f"| {' | '.join(heads)} |\n|{'---|' * len(heads)}"
        yield from lines
        yield ""


def values(section: Section, path: str) -> Iterator[tuple[str, str]]:
    """Each parameter of ``section``: its full name, and its value as written in a file."""
    for field, value in msgspec.structs.asdict(section).items():
        name = f"{path}.{field}"
        if isinstance(value, Section):
            yield from values(value, name)
        else:
            yield name, f"a table of {len(value)}" if isinstance(value, dict) else _written(value)


def comments(file: str, section: str = "") -> dict[str, str]:
    """The comments beside the parameters of a file in config/, by the parameter's full name.

    ``section``: the section of a part's file, in which names are written without it.
    """
    found: dict[str, str] = {}
    last = ""
    for line in resources.files("config").joinpath(file).read_text("utf-8").splitlines():
        if head := re.match(r"\[(.+?)\] *(?:# *(.*))?$", line):
            last = section = head[1]
            found[section] = head[2] or ""
        elif parameter := re.match(r" *(\w+)(?:: | = ).*?# *(.*)$", line):
            last = f"{section}.{parameter[1]}"
            found[last] = parameter[2]
        elif last and (more := re.match(r" {10,}# *(.*)$", line)):
            found[last] += f" {more[1]}"
        else:
            last = ""
    return found


def _written(value: object) -> str:
    if isinstance(value, DurationMs):
        unit, size = next((unit, size) for unit, size in _UNITS if value % size == 0)
        return f"{value // size}{unit}" if value else "0s"
    if isinstance(value, tuple):
        return ", ".join(map(_written, value))
    return str(value).lower() if isinstance(value, bool) else str(value)

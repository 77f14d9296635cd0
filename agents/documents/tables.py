"""Tables of pages that are made of the code, and parameters as their lines."""

import re
from collections.abc import Iterable, Iterator
from importlib import resources

import msgspec

from config.duration import DurationMs
from config.parameters import Section

_UNITS = (("d", 86_400_000), ("h", 3_600_000), ("min", 60_000), ("s", 1_000), ("ms", 1))


def table(heads: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    """The lines of a table in Markdown, or nothing without rows."""
    lines = [f"| {' | '.join(row)} |" for row in rows]
    if lines:
        yield f"| {' | '.join(heads)} |\n|{'---|' * len(heads)}"
        yield from lines
        yield ""


def values(section: Section, path: str) -> Iterator[tuple[str, str]]:
    """Each parameter of ``section`` by its whole name, with its value as its file would have it."""
    for field, value in msgspec.structs.asdict(section).items():
        name = f"{path}.{field}"
        if isinstance(value, Section):
            yield from values(value, name)
        else:
            yield name, f"a table of {len(value)}" if isinstance(value, dict) else _written(value)


def comments(file: str, section: str = "") -> dict[str, str]:
    """What a file below config/ says beside each parameter, by the parameter's whole name.

    ``section``: of a part's file, whose names stand without it.
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

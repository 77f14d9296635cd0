"""Findings, and the words that they are made of."""

from enum import StrEnum

from msgspec import Struct

from config.duration import DAY_MS
from models.events.wire import iso


class Level(StrEnum):
    """A notice is worth knowing and may be right; a problem is not."""

    OK = "ok"
    NOTICE = "notice"
    PROBLEM = "problem"


class Finding(Struct, frozen=True):
    """One thing that was looked at, and what to do where something is to be done."""

    check: str
    level: Level
    words: str
    fix: str = ""


def with_fix(text: str, mark: str) -> tuple[str, str]:
    """An explanation that ends in what to do, taken apart there."""
    words, _, fix = text.partition(mark)
    return words + mark.rstrip(": "), fix


def ok(check: str, words: str) -> Finding:
    """Something that is well."""
    return Finding(check, Level.OK, words)


def notice(check: str, words: str, fix: str) -> Finding:
    """Something worth knowing."""
    return Finding(check, Level.NOTICE, words, fix)


def problem(check: str, words: str, fix: str) -> Finding:
    """Something that is wrong."""
    return Finding(check, Level.PROBLEM, words, fix)


def counted(count: int, noun: str) -> str:
    """A number and its noun."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def listed(numbers: list[int]) -> str:
    """Numbers, as many of them as one wants to read."""
    more = f" and {len(numbers) - 8} more" if len(numbers) > 8 else ""
    return ", ".join(map(str, numbers[:8])) + more


def moment(moment_ms: int) -> str:
    """A time as one writes it down."""
    text = iso(max(moment_ms, 0))
    return f"{text[:10]} {text[11:16]} UTC"


def span(span_ms: int) -> str:
    """A length of time in its largest unit."""
    for size_ms, noun in ((DAY_MS, "day"), (3_600_000, "hour"), (60_000, "minute")):
        if span_ms >= size_ms:
            return counted(span_ms // size_ms, noun)
    return f"{span_ms / 1_000:.1f} s"

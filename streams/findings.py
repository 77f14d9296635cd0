"""Findings of a diagnosis, and helpers for their wording."""

from enum import StrEnum

from msgspec import Struct

from config.duration import DAY_MS
from models.events.times import iso


class Severity(StrEnum):
    """How bad a finding is. A notice is worth knowing and may be fine; a problem is wrong; unseen
    means that the check was not possible.
    """

    OK = "ok"
    NOTICE = "notice"
    UNSEEN = "unseen"
    PROBLEM = "problem"


class Finding(Struct, frozen=True):
    """The result of one check, and what to do if something is wrong."""

    check: str
    level: Severity
    words: str
    fix: str = ""


def with_fix(text: str, mark: str) -> tuple[str, str]:
    """Split an error text at ``mark`` into the problem and the fix."""
    words, _, fix = text.partition(mark)
    return words + mark.rstrip(": "), fix


def ok(check: str, words: str) -> Finding:
    """A finding that all is well."""
    return Finding(check, Severity.OK, words)


def notice(check: str, words: str, fix: str) -> Finding:
    """A finding worth knowing."""
    return Finding(check, Severity.NOTICE, words, fix)


def problem(check: str, words: str, fix: str) -> Finding:
    """A finding that something is wrong."""
    return Finding(check, Severity.PROBLEM, words, fix)


def unseen(check: str, words: str, fix: str) -> Finding:
    """A finding that something could not be checked."""
    return Finding(check, Severity.UNSEEN, words, fix)


def counted(count: int, noun: str) -> str:
    """A number and its noun, in the plural if needed."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def listed(numbers: list[int]) -> str:
    """The first eight numbers, and how many more there are."""
    more = f" and {len(numbers) - 8} more" if len(numbers) > 8 else ""
    return ", ".join(map(str, numbers[:8])) + more


def moment(moment_ms: int) -> str:
    """A time in UTC, to the minute."""
    text = iso(max(moment_ms, 0))
    return f"{text[:10]} {text[11:16]} UTC"


def span(span_ms: int) -> str:
    """A length of time in its largest unit."""
    for size_ms, noun in ((DAY_MS, "day"), (3_600_000, "hour"), (60_000, "minute")):
        if span_ms >= size_ms:
            return counted(span_ms // size_ms, noun)
    return f"{span_ms / 1_000:.1f} s"

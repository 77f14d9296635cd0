"""Numbers and times in words, for profiles."""

from datetime import datetime


def counted(count: int, noun: str) -> str:
    """``1 order``, ``1,204 orders``."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def moment_in_words(iso: str | None) -> str:
    """A moment in ISO 8601 to the minute: ``2026-01-05 10:30 UTC``."""
    return f"{iso[:10]} {iso[11:16]} UTC" if iso else "an unknown time"


def how_long_before(iso: str | None, as_of: str) -> str:
    """How long before ``as_of`` it was, by event time, so that a backfill reads the same; "" for
    None.
    """
    if iso is None:
        return ""
    seconds = (datetime.fromisoformat(as_of) - datetime.fromisoformat(iso)).total_seconds()
    if seconds < 0:
        return f"at {moment_in_words(iso)}, after that"
    for size, noun in ((86_400, "day"), (3_600, "hour"), (60, "minute")):
        if seconds >= size:
            return f"{counted(int(seconds // size), noun)} before"
    return "just before"

"""A drawing of when a customer bought and is expected to buy again."""

from datetime import datetime
from typing import Any, NamedTuple

from agents.console.pages.figures import day
from models.customer.words import counted

#: The drawing's width, with room for a mark at each end.
_LEFT, _RIGHT = 12.0, 588.0


class Dot(NamedTuple):
    """A purchase: its position and its day."""

    x: float
    day: str


class RhythmDrawing(NamedTuple):
    """Positions on a line of 600 units. ``words``: the same as text."""

    purchases: tuple[Dot, ...]
    last: float
    now: float
    expected: float
    overdue: float
    is_overdue: bool
    first_day: str
    last_day: str
    words: str


def rhythm_drawing(profile: Any) -> RhythmDrawing | None:
    """None for a customer without a purchase, and for profiles that lack the rhythm."""
    rhythm = profile.rhythm
    if rhythm is None or not rhythm.days or rhythm.overdue_at is None:
        return None
    now, begin = profile.as_of, rhythm.days[0]
    end = max(now, rhythm.overdue_at, rhythm.expected_at)
    first_s, span_s = _seconds(begin), max(_seconds(end) - _seconds(begin), 1.0)

    def place(iso: str) -> float:
        return round(_LEFT + (_seconds(iso) - first_s) / span_s * (_RIGHT - _LEFT), 1)

    is_overdue = now > rhythm.overdue_at
    gap = counted(round(rhythm.usual_gap_days), "day")
    state = "overdue since" if is_overdue else "overdue from"
    return RhythmDrawing(
        purchases=tuple(Dot(place(at), day(at)) for at in rhythm.days),
        last=place(rhythm.days[-1]),
        now=place(now),
        expected=place(rhythm.expected_at),
        overdue=place(rhythm.overdue_at),
        is_overdue=is_overdue,
        first_day=day(begin),
        last_day=day(end),
        words=f"Usually every {gap}, expected about {day(rhythm.expected_at)}, "
        f"{state} {day(rhythm.overdue_at)}.",
    )


def _seconds(iso: str) -> float:
    """The Unix time of a moment, or of the noon of a day."""
    if "T" not in iso:
        iso = f"{iso}T12:00:00Z"
    return datetime.fromisoformat(iso).timestamp()

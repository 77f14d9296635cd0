"""Lines over time: the positions of their points in a drawing."""

from collections.abc import Sequence
from typing import NamedTuple

#: The size of a drawing, and the distance between lines and its upper and lower edge.
WIDTH, HEIGHT, MARGIN = 240.0, 60.0, 4.0
#: A time in ms and a value.
Point = tuple[int, float]


class LineView(NamedTuple):
    """One line; ``tone``: what its color means."""

    tone: str
    points: str


class Chart(NamedTuple):
    """Lines over one span of time and of values; ``low`` and ``high``: the lowest and the highest
    value.
    """

    lines: tuple[LineView, ...]
    low: float
    high: float


def line_chart(lines: Sequence[tuple[str, Sequence[Point]]]) -> Chart | None:
    """The drawing; None with fewer than two points in time."""
    times = [at_ms for _, points in lines for at_ms, _ in points]
    values = [value for _, points in lines for _, value in points]
    if not times or min(times) == max(times):
        return None
    first_ms, span_ms = min(times), max(times) - min(times)
    low, high = min(values), max(values)
    room = HEIGHT - 2 * MARGIN

    def place(point: Point) -> str:
        at_ms, value = point
        # Lines with a single value go through the middle.
        share = (value - low) / (high - low) if high > low else 0.5
        x = (at_ms - first_ms) / span_ms * WIDTH
        return f"{x:.1f},{HEIGHT - MARGIN - share * room:.1f}"

    return Chart(
        tuple(LineView(tone, " ".join(map(place, points))) for tone, points in lines if points),
        low,
        high,
    )

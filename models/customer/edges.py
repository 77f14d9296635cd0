"""When time alone next changes a section of the profile, in a step."""

from collections.abc import Callable, Iterable, Sequence
from math import floor

from config.duration import DAY_MS, DURATION_MAX_DAYS
from models.customer.scene import Scene

#: The next such time; 0 for none.
Edge = Callable[[Scene], int]


def never(_scene: Scene) -> int:
    """Time never changes it, only events do."""
    return 0


def next_day(scene: Scene) -> int:
    """At the end of the UTC day, for a section that counts days."""
    return (scene.at_ms // DAY_MS + 1) * DAY_MS


def of_timer(code: str) -> Edge:
    """When the timer is due; at once, if it has yet to run."""

    def edge(scene: Scene) -> int:
        due_ms = scene.row.due(code).due_ms
        return max(due_ms, scene.at_ms) if due_ms else 0

    return edge


def first_after(at_ms: int, times_ms: Iterable[int]) -> int:
    """The earliest of these times that is later; 0 if there is none."""
    first_ms = 0
    for time_ms in times_ms:
        if time_ms > at_ms and (time_ms < first_ms or not first_ms):
            first_ms = time_ms
    return first_ms


def leaves_window(
    placed_ms: Sequence[int], days: Iterable[int], window_days: Iterable[int], at_ms: int
) -> int:
    """When the next of these purchases, by time and by UTC day, leaves one of the windows; 0 if
    none is in any.
    """
    sizes_ms = [number * DAY_MS for number in window_days]
    return first_after(
        at_ms,
        [
            *(time_ms + size_ms for time_ms in placed_ms for size_ms in sizes_ms),
            *(day * DAY_MS + size_ms + 1 for day in days for size_ms in sizes_ms),
        ],
    )


def passes_cut(since_ms: int, cuts_days: Iterable[float], at_ms: int) -> int:
    """When the days since ``since_ms`` next exceed one of the cut points."""
    ends = (min(cut, DURATION_MAX_DAYS) for cut in cuts_days)
    return first_after(at_ms, (since_ms + floor(cut * DAY_MS) + 1 for cut in ends))

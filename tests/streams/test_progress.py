"""A partition's progress: what waits, since when it has not advanced, and since when it is
behind.
"""

import pytest
from faust.types import TP

from streams import progress
from streams.progress import Progress

HERE = TP("customer-events", 0)


class Clock:
    """A clock that is set by hand."""

    now_s = 1_000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(progress, "monotonic", clock)
    return clock


#: Looks at a partition: the second, the next offset and how much waits, and what is known then.
STORIES = {
    "nothing waits": [(0, 5, 0, (0, 0, 0)), (90, 5, 0, (0, 0, 0))],
    "it keeps up": [(0, 5, 3, (3, 0, 0)), (10, 9, 0, (0, 0, 0)), (20, 9, 4, (4, 0, 0))],
    "it moves on and stays behind": [
        (0, 5, 9, (9, 0, 0)),
        (10, 7, 9, (9, 0, 10)),
        (20, 9, 9, (9, 0, 20)),
    ],
    "it is stuck": [(0, 5, 9, (9, 0, 0)), (40, 5, 12, (12, 40, 40)), (41, 6, 11, (11, 0, 41))],
}


@pytest.mark.parametrize("story", STORIES.values(), ids=STORIES.keys())
def test_times_are_since_it_moved_on_and_since_nothing_waited(
    clock: Clock, story: list[tuple[int, int, int, tuple[int, int, int]]]
) -> None:
    progress = Progress()
    for second, ended, waiting, expected in story:
        clock.now_s = 1_000.0 + second
        progress.update({HERE: ended}, {HERE: waiting})
        assert (ended, *expected) == progress.positions()[HERE]


def test_a_partition_is_as_old_as_the_silence_of_its_broker(clock: Clock) -> None:
    """What arrived in the meantime is unknown, so "nothing waits" says little."""
    progress = Progress()
    progress.update({HERE: 5}, {HERE: 0})
    assert (5, 0, 33.0, 33.0) == progress.positions(silent_s=33.0)[HERE]
    progress.update({HERE: 5}, {HERE: 2})
    clock.now_s += 60
    assert (5, 2, 60.0, 60.0) == progress.positions(silent_s=33.0)[HERE]
    # Readiness names the broker and not each of its partitions.
    progress.update({HERE: 5}, {HERE: 0})
    assert [] == progress.stuck({HERE.topic})

"""Lessons wait for the end of their day, for every partition that is not days behind."""

from itertools import pairwise
from random import Random

import pytest
from msgspec.structs import replace

from models.learning import whole_days
from models.learning.day_ends import day_end_ms
from models.learning.lesson_order import lesson_of
from models.learning.lessons import Cost, DayEnd, Lesson
from models.learning.whole_days import WholeDays
from tests.models.lines import at


def started(partitions: int = 2) -> WholeDays:
    return WholeDays(partitions, {}, {}, 0)


def cost(name: str, day: int, partition: int = 0, index: int = 0) -> Lesson:
    """A lesson with a name."""
    return replace(Cost(at(days=day), name, 1), partition=partition, offset=day, index=index)


def end(day: int, partition: int = 0) -> Lesson:
    return DayEnd(day_end_ms(at(days=day)), partition=partition, offset=day, index=99)


def given(days: WholeDays, *lessons: Lesson) -> list[set[str]]:
    """The names of the lessons of each day that is released while these are learnt."""
    found: list[set[str]] = []
    for place, lesson in enumerate(lessons):
        days.hear(lesson, place)
        while (day := days.next_day()) is not None:
            found.append(set(names(day.lessons)))
    return found


def names(lessons: list[bytes]) -> list[str]:
    found = [lesson_of(one) for one in lessons]
    return [one.channel for one in found if isinstance(one, Cost)]


def test_a_day_is_given_when_the_last_partition_has_told_its_end() -> None:
    days = started()

    assert [] == given(days, cost("a", 1), end(1), cost("b", 2), cost("c", 1, partition=1))
    assert [{"a", "c"}] == given(days, end(1, partition=1))
    assert [{"b", "d"}] == given(days, end(2), cost("d", 2, partition=1), end(2, partition=1))


def test_days_are_given_one_by_one_although_they_became_whole_at_once() -> None:
    days = started()

    assert [] == given(days, cost("a", 1), end(1), cost("b", 2), end(2))
    assert [{"a"}, {"b", "c"}] == given(days, cost("c", 2, partition=1), end(2, partition=1))


def test_a_partition_that_was_never_heard_of_is_waited_for_two_days() -> None:
    days = started()

    assert [] == given(days, cost("a", 1), end(1), cost("b", 2), end(2))
    assert [{"a"}, {"b"}, {"c"}] == given(days, cost("c", 3), end(3))


def test_who_is_more_than_two_days_behind_is_not_waited_for() -> None:
    days = started()
    given(days, end(1), end(1, partition=1))
    late = cost("late", 2, partition=1)

    assert [] == given(days, late, cost("a", 2), end(2), cost("b", 3), end(3))
    # What it has told of its day is not held back with it.
    assert [{"a", "late"}, {"b"}, {"c"}] == given(days, cost("c", 4), end(4))
    # It catches up: what is left of its days is given at once, and it is waited for again.
    rest = cost("rest", 2, partition=1, index=1)
    assert [{"rest"}, set()] == given(days, rest, end(2, partition=1), end(3, partition=1))
    assert [] == given(days, end(5))


def test_a_release_that_tells_no_ends_of_days_is_learnt_from_all_the_same() -> None:
    days = started()
    old = [cost(f"old {day}", day, partition=1) for day in range(1, 5)]

    assert [] == given(days, end(1), old[0], end(2), old[1])
    assert [{"old 1", "old 2"}, set(), set()] == given(days, end(3), old[2])
    assert [{"old 3", "old 4"}] == given(days, old[3], end(4))


def test_within_a_moment_the_order_is_that_of_a_hash_and_says_nothing_of_partitions() -> None:
    lessons = [cost(f"{number:03}", 1, partition=number % 4) for number in range(100)]
    orders = []
    for seed in range(3):
        days = started(4)
        # A partition's lessons in some order, at positions that go up.
        Random(seed).shuffle(lessons)
        for place, lesson in enumerate(lessons):
            assert days.hear(replace(lesson, index=place), place)
        for partition in range(4):
            days.hear(replace(end(1, partition), index=100), 100 + partition)
        day = days.next_day()
        assert day is not None
        orders.append(names(day.lessons))

    assert 100 == len(orders[0])
    assert orders[0] == orders[1] == orders[2]
    # Neither that of the names nor that of partitions.
    assert orders[0] != sorted(orders[0])
    partitions = [int(name) % 4 for name in orders[0]]
    assert sum(one != other for one, other in pairwise(partitions)) > 50


def test_a_days_lessons_are_given_by_event_time() -> None:
    days = started(1)
    hours = list(range(23))
    Random(1).shuffle(hours)
    for place, hour in enumerate(hours):
        lesson = Cost(at(days=1) + hour * 1_000, f"{hour:02}", 1)
        days.hear(replace(lesson, offset=1, index=place), place)
    days.hear(end(1), 99)
    day = days.next_day()

    assert day is not None
    assert sorted(names(day.lessons)) == names(day.lessons)


def test_what_waits_is_to_be_heard_again_from_its_first_lesson_or_end_of_a_day() -> None:
    days = started()

    assert 7 == days.first_place(7)
    days.hear(cost("a", 1), 0)
    days.hear(end(1), 1)
    # An end without lessons is the only sign that this partition is that far.
    days.hear(end(2), 2)
    days.hear(cost("b", 1, partition=1), 3)
    assert 0 == days.first_place(7)
    days.hear(end(1, partition=1), 4)
    day = days.next_day()
    assert day is not None
    assert {"0": (1, 99), "1": (1, 99)} == day.positions
    assert 2 == days.first_place(7)

    resumed = WholeDays(2, day.positions, day.clocks_ms, days.began_ms)
    assert [False, True] == [resumed.hear(end(1), 1), resumed.hear(end(2), 2)]
    assert resumed.next_day() is None
    assert [{"c"}] == given(resumed, cost("c", 2, partition=1), end(2, partition=1))


def test_so_many_may_wait_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(whole_days, "WAITING_MAX", 5)
    days = started()
    lessons = [cost(str(number), 1, index=number) for number in range(7)]

    assert [{"0", "1", "2", "3", "4"}] == given(days, *lessons)
    assert [{"5", "6"}] == given(days, end(1), end(1, partition=1))
    assert 9 == days.first_place(9)


@pytest.mark.parametrize("at_ms", [-1, 1 << 63, 1 << 80])
def test_a_time_that_cannot_be_is_refused(at_ms: int) -> None:
    days = started()

    with pytest.raises(ValueError, match="of the time"):
        days.hear(Cost(at_ms, "a", 1), 0)
    assert days.hear(Cost(at(), "a", 1), 1)

"""Ingest does not run ahead of what is learnt, and waits for nobody for ever."""

from math import inf

from streams.pacing import PATIENCE_S, Pace

DAY = 86_400_000


class Shop:
    """What is learnt of each partition, and the pace that asks for it."""

    def __init__(self) -> None:
        self.learnt: dict[int, int] = {}
        self.pace = Pace(self.learnt.get, DAY)


def test_without_records_there_is_no_limit() -> None:
    assert inf == Shop().pace.until_ms({}, 0.0)


def test_a_day_of_history_goes_at_once_and_the_next_when_it_is_learnt() -> None:
    shop = Shop()
    shop.learnt[0] = 0
    assert 101 * DAY == shop.pace.until_ms({0: 100 * DAY}, 0.0)
    shop.pace.passed(0, 101 * DAY)
    assert 1 * DAY == shop.pace.until_ms({0: 102 * DAY}, 0.1)
    shop.learnt[0] = 100 * DAY
    assert 101 * DAY == shop.pace.until_ms({0: 102 * DAY}, 0.2)
    shop.learnt[0] = 101 * DAY
    assert 103 * DAY == shop.pace.until_ms({0: 102 * DAY}, 0.3)


def test_a_gap_in_the_history_is_crossed_at_once() -> None:
    shop = Shop()
    shop.learnt[0] = 5 * DAY
    shop.pace.passed(0, 5 * DAY)
    assert 91 * DAY == shop.pace.until_ms({0: 90 * DAY}, 0.0)


def test_partitions_go_through_history_together() -> None:
    shop = Shop()
    shop.learnt.update({0: 3 * DAY, 1: 9 * DAY})
    shop.pace.passed(0, 3 * DAY)
    shop.pace.passed(1, 9 * DAY)
    assert 5 * DAY == shop.pace.until_ms({0: 4 * DAY, 1: 10 * DAY}, 0.0)


def test_a_partition_that_is_not_ours_holds_nobody_back() -> None:
    shop = Shop()
    shop.pace.passed(7, 3 * DAY)
    assert 5 * DAY == shop.pace.until_ms({7: 4 * DAY}, 0.0)


def test_who_does_not_get_on_is_waited_for_only_so_long() -> None:
    shop = Shop()
    shop.learnt[0] = 1 * DAY
    shop.pace.passed(0, 3 * DAY)
    assert 2 * DAY == shop.pace.until_ms({0: 4 * DAY}, 10.0)
    assert 2 * DAY == shop.pace.until_ms({0: 4 * DAY}, 10.0 + 0.9 * PATIENCE_S)
    assert 5 * DAY == shop.pace.until_ms({0: 4 * DAY}, 10.0 + PATIENCE_S)


def test_patience_begins_anew_with_each_step() -> None:
    shop = Shop()
    shop.learnt[0] = 1 * DAY
    shop.pace.passed(0, 9 * DAY)
    for second in range(10):
        shop.learnt[0] += DAY // 2
        assert shop.pace.until_ms({0: 10 * DAY}, float(second)) < 10 * DAY

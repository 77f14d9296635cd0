"""The table of what customers brought: nobody counts twice, and the shares are right."""

from random import Random

import pytest

from models.learning.gamma_gamma import cell_of
from models.learning.worth import WorthTable


def counted(days: int, net_minor: int) -> tuple[int, int, int]:
    return (*cell_of(days, net_minor), net_minor)


def test_a_customer_who_moves_is_where_they_are_now_alone() -> None:
    table, fresh = WorthTable(), WorthTable()
    table.move(counted(1, 5_000), None)
    table.move(counted(2, 9_000), counted(1, 5_000))
    fresh.move(counted(2, 9_000), None)

    assert fresh == table
    table.move(counted(2, 0), counted(2, 9_000))
    assert {0: 0} == {place: level.net_minor for place, level in table.levels.items()}


def test_the_share_of_the_best_fifth_is_that_of_the_sorted_amounts() -> None:
    rng, table = Random(1), WorthTable()
    amounts = [round(5_000 * rng.paretovariate(1.2)) for _ in range(1_000)]
    for amount in amounts:
        earlier = counted(1, rng.randrange(10_000))
        table.move(earlier, None)
        table.move(counted(2, amount), earlier)

    best = sum(sorted(amounts)[-200:]) / sum(amounts)
    assert best == pytest.approx(table.share_of_top(0.2), abs=0.002)
    assert 1.0 == table.share_of_top(1.0)
    assert 1_000 == sum(level.customers for level in table.levels.values())


def test_where_all_bring_the_same_a_fifth_brings_a_fifth() -> None:
    table = WorthTable()
    for _ in range(50):
        table.move(counted(1, 1_000), None)

    assert 0.2 == pytest.approx(table.share_of_top(0.2))


def test_without_revenue_there_is_no_share() -> None:
    table = WorthTable()
    assert table.share_of_top(0.2) is None
    table.move(counted(1, 0), None)
    assert table.share_of_top(0.2) is None

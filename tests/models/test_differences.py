"""Intervals of differences: by hand, as published, and as other software computes them."""

from math import isclose
from random import Random

import pytest
from scipy.stats import ttest_ind

from models.learning.differences import Amounts, of_means, of_shares


@pytest.mark.parametrize(
    ("treated", "control", "low", "high"),
    [
        # Newcombe (1998), table II, method 10.
        ((56, 70), (48, 80), 0.0524, 0.3339),
        ((9, 10), (3, 10), 0.1705, 0.8090),
        ((5, 56), (0, 29), -0.0381, 0.1926),
        ((0, 10), (0, 20), -0.1611, 0.2775),
        ((10, 10), (0, 10), 0.6075, 1.0),
    ],
)
def test_of_shares_as_it_was_published(
    treated: tuple[int, int], control: tuple[int, int], low: float, high: float
) -> None:
    found = of_shares(*treated, *control)

    assert found.estimate == treated[0] / treated[1] - control[0] / control[1]
    assert (low, high) == (round(found.low, 4), round(found.high, 4))


def amounts(values: list[float]) -> Amounts:
    return Amounts(len(values), sum(values), sum(value * value for value in values))


def test_of_means_as_scipy_has_it() -> None:
    rng = Random(7)
    ours = [max(rng.gauss(40, 30), 0.0) for _ in range(300)]
    theirs = [max(rng.gauss(30, 60), 0.0) for _ in range(31)]
    found = of_means(amounts(ours), amounts(theirs))
    expected = ttest_ind(ours, theirs, equal_var=False).confidence_interval()

    assert isclose(found.low, expected.low, abs_tol=1e-3)
    assert isclose(found.high, expected.high, abs_tol=1e-3)


def test_of_amounts_that_are_all_alike_nothing_is_in_doubt() -> None:
    assert (3.0, 3.0, 3.0) == of_means(amounts([5.0] * 40), amounts([2.0] * 30))


def test_nineteen_of_twenty_intervals_hold_it() -> None:
    rng, held = Random(3), 0
    for _ in range(1_000):
        ours = sum(rng.random() < 0.2 for _ in range(300))
        theirs = sum(rng.random() < 0.12 for _ in range(35))
        found = of_shares(ours, 300, theirs, 35)
        held += found.low <= 0.08 <= found.high

    assert 930 <= held <= 985

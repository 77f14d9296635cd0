"""Gamma-gamma: the published fit, the table against exact histories, and the bounds of both."""

import random

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import gammaln

from models.learning.gamma_gamma import (
    NOTHING,
    GammaGamma,
    SpendCell,
    cell_of,
    expected_spend_minor,
    fit,
)

#: As fitted to CDNOW by Fader and Hardie, here in cents.
CDNOW = GammaGamma(6.25, 3.74, 1_544.0)


def drawn(count: int, seed: int = 1, scale: float = 1.0) -> list[tuple[int, int]]:
    """(purchase days, net in minor units) of customers who spend as the model assumes."""
    rng = random.Random(seed)
    customers = []
    for _ in range(count):
        rate = rng.gammavariate(CDNOW.q, 1 / CDNOW.v)
        days = 1 + min(int(rng.expovariate(0.35)), 40)
        spent = sum(rng.gammavariate(CDNOW.p, 1 / rate) for _ in range(days))
        customers.append((days, round(scale * spent)))
    return customers


def table(customers: list[tuple[int, int]]) -> dict[SpendCell, int]:
    counts: dict[SpendCell, int] = {}
    for days, net_minor in customers:
        cell = cell_of(days, net_minor)
        counts[cell] = counts.get(cell, 0) + 1
    return counts


def exactly(customers: list[tuple[int, int]]) -> tuple[float, float, float]:
    """The maximum likelihood parameters, from every customer's own numbers."""
    days = np.array([days for days, _ in customers], dtype=float)
    spend = np.array([net / days for days, net in customers])

    def cost(parameters: np.ndarray) -> float:
        p, q, v = np.exp(parameters)
        total = days * spend + v
        told = gammaln(p * days + q) - gammaln(p * days) - gammaln(q) + q * np.log(v)
        told += (p * days - 1) * np.log(spend) + p * days * np.log(days)
        return -float((told - (p * days + q) * np.log(total)).mean())

    options = {"xatol": 1e-8, "fatol": 1e-12, "maxiter": 5_000}
    found = minimize(cost, np.log([5, 4, 1_500.0]), method="Nelder-Mead", options=options)
    p, q, v = np.exp(found.x)
    return float(p), float(q), float(v)


def test_a_table_gives_the_parameters_of_exact_histories_within_a_hundredth() -> None:
    customers = drawn(4_000)
    found = fit(table(customers))
    assert found is not None

    assert exactly(customers) == pytest.approx((found.p, found.q, found.v), rel=0.01)
    assert len(table(customers)) < 1_000


def test_the_parameters_that_made_the_customers_are_found() -> None:
    found = fit(table(drawn(20_000, seed=2)))
    assert found is not None

    assert CDNOW.p == pytest.approx(found.p, rel=0.1)
    assert CDNOW.q == pytest.approx(found.q, rel=0.1)
    assert CDNOW.mean_minor == pytest.approx(found.mean_minor, rel=0.03)


def test_a_fit_is_the_same_whatever_the_order_and_wherever_it_starts() -> None:
    counts = table(drawn(3_000, seed=3))
    one, other = fit(counts), fit(dict(reversed(counts.items())))
    assert one is not None
    assert one == other

    warm = fit(counts, GammaGamma(1.0, 6.0, 300.0))
    assert warm is not None
    assert (one.p, one.q, one.v) == pytest.approx((warm.p, warm.q, warm.v), rel=1e-3)


def test_another_currency_changes_the_scale_and_nothing_else() -> None:
    cheap, dear = fit(table(drawn(3_000, seed=4))), fit(table(drawn(3_000, seed=4, scale=137.0)))
    assert cheap is not None
    assert dear is not None

    assert (cheap.p, cheap.q) == pytest.approx((dear.p, dear.q), rel=0.01)
    assert 137 == pytest.approx(dear.v / cheap.v, rel=0.01)


def test_more_days_draw_the_expectation_from_the_populations_mean_to_ones_own() -> None:
    own = 10 * CDNOW.mean_minor
    expected = [expected_spend_minor(CDNOW, days, round(days * own)) for days in (1, 3, 10, 1_000)]

    assert sorted(expected) == expected
    assert CDNOW.mean_minor < expected[0] < own
    assert own == pytest.approx(expected[-1], rel=0.01)
    # Fader and Hardie (2013): a mean of the two, by p x and q - 1.
    share = 3 * CDNOW.p / (3 * CDNOW.p + CDNOW.q - 1)
    assert share * own + (1 - share) * CDNOW.mean_minor == pytest.approx(expected[1])


def test_who_paid_nothing_is_no_spender_and_is_expected_to_pay_little() -> None:
    spenders = drawn(500, seed=5)
    assert (3, NOTHING) == cell_of(3, 0)
    assert fit(table(spenders)) == fit(table([*spenders, *[(2, 0)] * 80]))
    assert 0 < expected_spend_minor(CDNOW, 3, 0) < CDNOW.mean_minor / 4
    assert fit(table([(1, 0)])) is None


def test_a_handful_of_customers_gives_finite_numbers() -> None:
    for customers in ([(1, 1)], [(1, 5_000)] * 3, [(1, 10**15), (2, 1)], [(3_000, 10**15)]):
        found = fit(table(customers))
        assert found is not None
        assert found.q > 1
        assert 0 < found.mean_minor < float("inf")

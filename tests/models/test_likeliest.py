"""Fits end at the likeliest parameters, wherever they begin and whatever processor they run on."""

import os
import subprocess
import sys

import numpy as np
import pytest
from scipy.optimize import approx_fprime

from models.learning import bgnbd, gamma_gamma
from models.learning.bgnbd import BgNbd
from models.learning.gamma_gamma import GammaGamma
from models.learning.likeliest import lowest
from tests.house.repository import ROOT

#: Four customers who spend alike: the likelihood hardly changes along a ridge, and ends at bounds.
SPEND = {(2, 172): 1, (4, 172): 3}
PURCHASES = {(1, 150, 180): 1, (3, 10, 175): 3}
FITS = f"""
from models.learning import bgnbd, gamma_gamma
print(*bgnbd.fit({PURCHASES}).__reduce__()[1], *gamma_gamma.fit({SPEND}).__reduce__()[1])
"""


def test_the_lowest_point_is_found_to_the_last_digits() -> None:
    def cost(point: np.ndarray) -> tuple[float, np.ndarray]:
        away = point - np.array([0.5, -1.25])
        return float(away @ away) ** 2 + float(away @ away), (4 * (away @ away) + 2) * away

    found = lowest(cost, np.array([3.0, 3.0]), ((-4.0, 4.0), (-4.0, 4.0)), ())

    assert found is not None
    assert [0.5, -1.25] == pytest.approx(found.tolist(), abs=1e-13)


def test_a_point_that_a_bound_keeps_from_being_lower_is_at_the_bound() -> None:
    def cost(point: np.ndarray) -> tuple[float, np.ndarray]:
        return float(point[0] + (point[1] - 1.0) ** 2), np.array([1.0, 2.0 * (point[1] - 1.0)])

    found = lowest(cost, np.zeros(2), ((-2.0, 2.0), (-4.0, 4.0)), ())

    assert found is not None
    assert [-2.0, 1.0] == pytest.approx(found.tolist(), abs=1e-13)


def test_a_cost_that_is_no_number_leads_nowhere() -> None:
    assert lowest(lambda point: (np.nan, point), np.zeros(2), ((-1.0, 1.0),) * 2, ()) is None


@pytest.mark.parametrize("p", [0.1, 4.0, 50.0])
@pytest.mark.parametrize("q", [1.1, 3.0, 157.0])
def test_spend_is_fitted_alike_from_every_beginning(p: float, q: float) -> None:
    expected = gamma_gamma.fit(SPEND)

    found = gamma_gamma.fit(SPEND, GammaGamma(p, q, 3_000.0))

    assert expected is not None
    assert found is not None
    assert (expected.p, expected.q, expected.v) == pytest.approx((found.p, found.q, found.v), 1e-9)


@pytest.mark.parametrize("begin", [BgNbd(0.1, 1.0, 0.1, 0.1), BgNbd(5.0, 90.0, 2.0, 9.0)])
def test_purchases_are_fitted_alike_from_every_beginning(begin: BgNbd) -> None:
    expected, found = bgnbd.fit(PURCHASES), bgnbd.fit(PURCHASES, begin)

    assert expected is not None
    assert found is not None
    assert (expected.r, expected.alpha, expected.a, expected.b) == pytest.approx(
        (found.r, found.alpha, found.a, found.b), 1e-9
    )


@pytest.mark.parametrize("seed", range(5))
def test_the_gradient_is_that_of_the_likelihood(seed: int) -> None:
    chance = np.random.default_rng(seed)
    repeats, life = np.floor(chance.exponential(3.0, 50)), chance.uniform(1.0, 50.0, 50)
    last = np.where(repeats > 0, life * chance.uniform(0.0, 1.0, 50), 0.0)
    table = (repeats, last, life, chance.integers(1, 5, 50).astype(float))
    point = chance.normal(0.0, 1.0, 4)

    expected = approx_fprime(point, lambda at: bgnbd._cost(at, *table)[0], 1e-7)

    assert expected == pytest.approx(bgnbd._cost(point, *table)[1], abs=1e-5)


@pytest.mark.parametrize(
    "processor",
    [
        # Without effect on other architectures, where the fit is then compared with itself.
        {"OPENBLAS_CORETYPE": "Prescott"},
        {"OPENBLAS_CORETYPE": "Sandybridge"},
        {"NPY_DISABLE_CPU_FEATURES": "X86_V3 X86_V4"},
    ],
)
def test_another_processor_finds_the_same_parameters(processor: dict[str, str]) -> None:
    here, there = (
        [float(word) for word in fitted(variables).split()] for variables in ({}, processor)
    )

    assert here == pytest.approx(there, rel=1e-9)


def fitted(variables: dict[str, str]) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FITS],
        cwd=ROOT, env={**os.environ, **variables}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return done.stdout

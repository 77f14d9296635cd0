"""The challenger of the value formula: starts equal, corrects it, and serves while it is better."""

from math import exp, log
from random import Random

import msgspec
import numpy as np
import pytest

from config.duration import DAY_MS
from models.learning.history import History
from models.learning.lessons import Forecast
from models.learning.spend import deviance, expected_orders, features, learn_spend
from models.learning.spend_models import SpendState, model_of, spend_quality
from tests.models.lines import at

ORDER_MINOR = 5_000.0
MARGIN = 0.01


def forecast(rng: Random, *, bias: float = 1.0, knew: bool = True) -> tuple[Forecast, float]:
    """A formula's forecast of ``bias`` times the expected spend, which is returned beside it."""
    truth = exp(rng.gauss(-1.0, 1.0))
    formula = bias * truth
    past = History((), rng.randrange(5), 30.0, 90.0, float(rng.randrange(1, 60)))
    seen = features(past, 4_000 * (past.repeats + 1), formula, ORDER_MINOR)
    said = formula * ORDER_MINOR
    return Forecast(said, said if knew else None, ORDER_MINOR, seen), truth


def came(rng: Random, expected_orders: float) -> int:
    """Net revenue in minor units: some customers buy for an order or two, most buy nothing."""
    return round(ORDER_MINOR * 1.5) if rng.random() < expected_orders / 1.5 else 0


def taught(count: int, *, bias: float, seed: int = 1) -> SpendState:
    rng, state = Random(seed), SpendState()
    for number in range(count):
        told, truth = forecast(rng, bias=bias)
        learn_spend(state, told, came(rng, min(truth, 1.5)), at(days=number / 50), MARGIN)
    return state


def test_before_anything_is_learnt_it_says_what_the_formula_says() -> None:
    told, _ = forecast(Random(2))

    assert told.formula_minor / ORDER_MINOR == pytest.approx(
        expected_orders(SpendState().weights, told.features)
    )
    assert model_of(SpendState(), 1) is None


@pytest.mark.parametrize("bias", [0.4, 2.5])
def test_it_learns_by_how_much_the_formula_errs_and_takes_over(bias: float) -> None:
    state = taught(3_000, bias=bias)

    rng, formula, challenger, spent = Random(9), 0.0, 0.0, 0.0
    for _ in range(3_000):
        told, truth = forecast(rng, bias=bias)
        formula += told.formula_minor / ORDER_MINOR
        challenger += expected_orders(state.weights, told.features)
        spent += min(truth, 1.5)
    assert abs(challenger / spent - 1) < 0.15 < abs(formula / spent - 1)
    assert state.serves
    found = model_of(state, 100)
    assert found is not None
    assert (3_000, True, state.weights) == (found.examples, found.serves, found.weights)


def test_a_formula_that_is_right_is_not_replaced_for_nothing() -> None:
    rng, state = Random(3), SpendState()
    for number in range(3_000):
        told, truth = forecast(rng)
        # The formula knows the future to the cent: nobody can lead.
        learn_spend(state, told, round(truth * ORDER_MINOR), at(days=number / 50), MARGIN)

    assert not state.serves


def test_one_step_is_that_of_an_extended_kalman_filter() -> None:
    told, _ = forecast(Random(4))
    state = SpendState()
    learn_spend(state, told, 12_000, at(days=3), MARGIN)

    # In the textbook's matrices: information is added where the log-likelihood curves.
    before, x = np.array(SpendState().covariance), np.array([1.0, *told.features])
    said = exp(x @ np.array(SpendState().weights))
    after = np.linalg.inv(np.linalg.inv(before) + np.outer(x, x) * said / 5.0)
    weights = np.array(SpendState().weights) + after @ x * (12_000 / ORDER_MINOR - said) / 5.0
    assert weights == pytest.approx(np.array(state.weights))
    assert after == pytest.approx(np.array(state.covariance))


def test_time_loosens_what_was_learnt() -> None:
    told, _ = forecast(Random(5))
    soon, late = SpendState(), SpendState()
    for state, days in ((soon, 1), (late, 300)):
        for _ in range(200):
            learn_spend(state, told, 5_000, at(days=1), MARGIN)
        learn_spend(state, told, 40_000, at(days=1 + days), MARGIN)

    assert expected_orders(late.weights, told.features) > expected_orders(
        soon.weights, told.features
    )


def test_a_learner_restored_anywhere_goes_on_bit_for_bit() -> None:
    rng, steady = Random(6), SpendState()
    for number in range(400):
        told, truth = forecast(rng, knew=number > 50)
        spent_minor = came(rng, min(truth, 1.5))
        restored = msgspec.json.decode(msgspec.json.encode(steady), type=SpendState)
        for state in (steady, restored):
            learn_spend(state, told, spent_minor, at() + number * DAY_MS // 7, MARGIN)
        assert msgspec.json.encode(steady) == msgspec.json.encode(restored)


def test_nothing_that_can_come_makes_a_weight_that_is_no_number() -> None:
    state = SpendState()
    extremes = [0.0, 1e-300, 1e9]
    for formula in extremes:
        for spent_minor in (0, 1, 10**15):
            past = History((), 3_000, 0.0, 0.0, 36_000.0)
            seen = features(past, 10**15, formula, 1.0)
            learn_spend(state, Forecast(formula, formula, 1.0, seen), spent_minor, at(), MARGIN)
            assert all(abs(weight) < 1e18 for weight in state.weights)
            assert 0 < expected_orders(state.weights, seen) < 1e6


def test_quality_is_of_what_was_said_then_where_both_had_said_something() -> None:
    state = SpendState()
    seen = (0.0,) * 6
    learn_spend(state, Forecast(5_000.0, None, ORDER_MINOR, seen), 5_000, at(), MARGIN)
    learn_spend(state, Forecast(10_000.0, 5_000.0, ORDER_MINOR, seen), 5_000, at(), MARGIN)
    learn_spend(state, Forecast(10_000.0, 2_500.0, ORDER_MINOR, seen), 0, at(), MARGIN)

    challenger, formula = spend_quality({"28": state})
    assert ("challenger", 2, 28.0) == (
        challenger.scorer,
        challenger.examples,
        challenger.horizon_days,
    )
    assert (1.5, 4.0) == (challenger.ratio, formula.ratio)
    assert (deviance(1, 1) + deviance(0.5, 0)) / 2 == challenger.deviance
    assert (deviance(2, 1) + deviance(2, 0)) / 2 == formula.deviance


def test_deviance_is_the_likelihood_lost() -> None:
    assert 0 == deviance(3.0, 3.0)
    assert 2.0 == deviance(1.0, 0.0)
    assert 2 * (3 * log(3) - 2) == pytest.approx(deviance(1.0, 3.0))


def test_amounts_are_seen_in_typical_orders() -> None:
    past = History((), 2, 10.0, 40.0, 30.0)

    assert features(past, 9_000, 0.5, 5_000.0) == pytest.approx(
        features(past, 9_000 * 137, 0.5, 5_000.0 * 137)
    )

"""The estimators pass River's own checks, and each does what its formula says."""

import doctest
import json
import pickle
import random
from collections.abc import Callable, Iterator
from copy import deepcopy
from itertools import pairwise
from math import exp, log, sqrt
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from river import base, checks
from river.linear_model import LogisticRegression
from river.naive_bayes import GaussianNB
from river.preprocessing import StandardScaler

from models.learning import bayesian, bgnbd_classifier, blend, recalibration
from models.learning.bayesian import (
    INTERCEPT,
    BayesianLogisticRegression,
    BayesianPoissonRegression,
)
from models.learning.bgnbd import BgNbd, cell_of, fit
from models.learning.bgnbd_classifier import BgNbdClassifier
from models.learning.blend import MeanLogit
from models.learning.gaussian_weights import GaussianWeights, Vector
from models.learning.log_odds import LOGIT_MAX, logit_of, sigmoid
from models.learning.purchases_ahead import p_no_purchase
from models.learning.recalibration import OnlineRecalibration
from models.learning.shift import Shift

Bayesian = BayesianLogisticRegression | BayesianPoissonRegression

ESTIMATORS: dict[str, Callable[[], base.Estimator]] = {
    "logistic": BayesianLogisticRegression,
    "logistic that forgets": lambda: BayesianLogisticRegression(
        prior_mean={INTERCEPT: -1.0, "is_popular": 0.5}, prior_variance=0.1, forgetting=0.99
    ),
    "poisson": BayesianPoissonRegression,
    "poisson that forgets": lambda: BayesianPoissonRegression(forgetting=0.99, dispersion=3.0),
    "bg/nbd": BgNbdClassifier,
    "blend": lambda: MeanLogit(
        [BayesianLogisticRegression(), BgNbdClassifier(), StandardScaler() | LogisticRegression()],
        weights=(1.0, 0.5, 2.0),
    ),
    "recalibration": lambda: OnlineRecalibration(GaussianNB()),
    "recalibrated pipeline": lambda: OnlineRecalibration(
        StandardScaler() | BayesianLogisticRegression(), drift=1e-5
    ),
    "logistic in a pipeline": lambda: StandardScaler() | BayesianLogisticRegression(),
    "poisson in a pipeline": lambda: StandardScaler() | BayesianPoissonRegression(),
    "bg/nbd in a pipeline": lambda: StandardScaler() | BgNbdClassifier(),
    "blend in a pipeline": lambda: (
        StandardScaler() | MeanLogit([BayesianLogisticRegression(), LogisticRegression()])
    ),
    "recalibration in a pipeline": lambda: (
        StandardScaler() | OnlineRecalibration(BayesianLogisticRegression())
    ),
}


@pytest.mark.parametrize("make", ESTIMATORS.values(), ids=ESTIMATORS.keys())
def test_an_estimator_passes_every_check_of_river(make: Callable[[], base.Estimator]) -> None:
    model, passed = make(), 0
    for check in checks.yield_checks(model):
        assert check.__name__ not in model._unit_test_skips()
        random.seed(passed)  # the checks shuffle features
        check(model.clone())
        passed += 1

    assert passed >= 25


@pytest.mark.parametrize("module", [bayesian, bgnbd_classifier, blend, recalibration])
def test_the_examples_of_the_docstrings_are_true(module: ModuleType) -> None:
    failed, attempted = doctest.testmod(module)

    assert attempted > 0
    assert 0 == failed


# Bayesian regressions


def examples(size: int, count: int, seed: int) -> Iterator[tuple[Vector, bool]]:
    """Vectors with a 1 in front, and labels drawn from a logistic model."""
    rng = np.random.default_rng(seed)
    truth = rng.normal(size=size)
    for _ in range(count):
        vector = np.concatenate([[1.0], rng.normal(size=size - 1)])
        yield vector, bool(rng.random() < sigmoid(float(vector @ truth)))


def named(size: int) -> tuple[str, ...]:
    return tuple(f"x{place}" for place in range(1, size))


def test_an_update_is_that_of_the_extended_kalman_filter() -> None:
    size, variance, forgetting = 6, 2.0, 0.98
    model = BayesianLogisticRegression(named(size), {"x2": 0.5}, variance, forgetting)
    mean, covariance = np.array([0.0, 0.0, 0.5, 0.0, 0.0, 0.0]), variance * np.eye(size)

    for number, (vector, y) in enumerate(examples(size, 300, seed=1)):
        w = (1.0, 0.25, 3.0)[number % 3]
        # The textbook's form, by the precision and with a matrix library.
        p = 1.0 / (1.0 + np.exp(-mean @ vector))
        precision = np.linalg.inv(covariance) + w * p * (1.0 - p) * np.outer(vector, vector)
        covariance = np.linalg.inv(precision)
        mean = mean + covariance @ vector * w * (y - p)
        model.learn_vector(vector, y, w)

        assert pytest.approx(mean, rel=1e-9, abs=1e-12) == model.weights.mean
        scale = np.sqrt(np.minimum(1.0 / forgetting, variance / np.diag(covariance)))
        covariance = np.outer(scale, scale) * covariance
        assert pytest.approx(covariance, rel=1e-9, abs=1e-12) == model.weights.covariance


@pytest.mark.parametrize("y", [0.0, 0.5, 3.0, 40.0, 250_000.0])
@pytest.mark.parametrize("dispersion", [1.0, 50.0])
def test_an_amount_moves_the_mean_to_the_mode_of_the_posterior(y: float, dispersion: float) -> None:
    model = BayesianPoissonRegression(
        named(4), {INTERCEPT: 1.0}, prior_variance=0.5, dispersion=dispersion
    )
    for before, _ in examples(4, 5, seed=2):
        model.learn_vector(before, 2.0)
    mean, precision = model.weights.mean, np.linalg.inv(model.weights.covariance)
    vector, w = np.array([1.0, -0.3, 0.8, 2.0]), 2.0
    model.learn_vector(vector, y, w)

    expected = exp(model.center(vector))
    gradient = vector * w * (y - expected) / dispersion
    assert pytest.approx(precision @ (model.weights.mean - mean), rel=1e-6, abs=1e-9) == gradient
    precision += w * expected / dispersion * np.outer(vector, vector)
    assert pytest.approx(np.linalg.inv(precision), rel=1e-6) == model.weights.covariance


def test_a_learnt_example_may_be_named_or_a_vector() -> None:
    by_name, by_vector = BayesianLogisticRegression(), BayesianLogisticRegression(named(5))
    for vector, y in examples(5, 100, seed=3):
        by_name.learn_one(dict(zip(named(5), vector[1:].tolist(), strict=True)), y)
        by_vector.learn_vector(vector, y)

    assert by_name.weights.names == by_vector.weights.names == named(5)
    assert by_name.weights.mean.tolist() == by_vector.weights.mean.tolist()
    assert by_name.weights.covariance.tolist() == by_vector.weights.covariance.tolist()


def test_an_update_is_to_the_last_bit_what_plain_numbers_give() -> None:
    size = 6
    places = range(size)
    model = BayesianLogisticRegression(named(size))
    mean = [0.0] * size
    covariance = [[float(row == column) for column in places] for row in places]

    for vector, y in examples(size, 300, seed=4):
        x = vector.tolist()
        model.learn_vector(vector, y)

        spread = [added(row, x) for row in covariance]
        p, variance = sigmoid(added(mean, x)), added(spread, x)
        information = p * (1.0 - p)
        step = (y - p) / (1.0 + information * variance)
        gain = [value * sqrt(information / (1.0 + information * variance)) for value in spread]
        mean = [old + value * step for old, value in zip(mean, spread, strict=True)]
        covariance = [[covariance[i][j] - gain[i] * gain[j] for j in places] for i in places]

    assert mean == model.weights.mean.tolist()
    assert covariance == model.weights.covariance.tolist()


def added(one: list[float], other: list[float]) -> float:
    """The products, added from left to right: up to eight, numpy adds in this order, too."""
    total = 0.0
    for a, b in zip(one, other, strict=True):
        total += a * b
    return total


@pytest.mark.parametrize("make", [BayesianLogisticRegression, BayesianPoissonRegression])
def test_what_is_learnt_makes_no_prediction_less_certain(make: Callable[..., Bayesian]) -> None:
    model = make(named(5))
    probes = [
        dict(zip(named(5), row, strict=True))
        for row in np.random.default_rng(5).normal(size=(10, 4)).tolist()
    ]
    variances = [[model.predict_variance_one(probe) for probe in probes]]
    for vector, y in examples(5, 50, seed=5):
        model.learn_vector(vector, y)
        variances.append([model.predict_variance_one(probe) for probe in probes])

    for before, after in pairwise(variances):
        assert all(new <= old * (1 + 1e-12) for old, new in zip(before, after, strict=True))
    assert all(last < first / 2 for first, last in zip(variances[0], variances[-1], strict=True))


def test_a_feature_that_was_never_seen_makes_a_prediction_less_certain() -> None:
    model = BayesianLogisticRegression(prior_variance=0.5)
    for _ in range(50):
        model.learn_one({"known": 1.0}, True)

    known = model.predict_variance_one({"known": 1.0})
    assert pytest.approx(known + 0.5 * 9.0) == model.predict_variance_one({"known": 1.0, "new": 3})
    moderated = model.predict_proba_one({"known": 1.0, "new": 3.0})[True]
    assert 0.5 < moderated < model.predict_proba_one({"known": 1.0})[True]
    assert ("known",) == model.weights.names


@pytest.mark.parametrize("forgetting", [1.0, 0.9999, 0.99])
@pytest.mark.parametrize("updates", [20_000, pytest.param(100_000, marks=pytest.mark.nightly)])
def test_a_covariance_is_symmetric_and_positive_after_many_updates(
    updates: int, forgetting: float
) -> None:
    size, variance = 12, 2.0
    model = BayesianLogisticRegression(named(size), None, variance, forgetting)
    for number, (vector, y) in enumerate(examples(size, updates, seed=6)):
        vector[2] = vector[1] + 1e-6 * vector[2]  # nearly the same twice
        vector[3] = 100.0 * vector[3]  # badly scaled
        vector[4] = float(number < 500)  # and one that is heard of no more
        model.learn_vector(vector, y)

    covariance = model.weights.covariance
    assert np.array_equal(covariance, covariance.T)
    assert np.linalg.eigvalsh(covariance).min() > 0.0
    assert np.diag(covariance).max() <= variance * (1.0 + 1e-12)
    assert np.isfinite(model.weights.mean).all()


def test_a_model_that_forgets_follows_when_the_sign_changes() -> None:
    rng = np.random.default_rng(7)
    steady = BayesianLogisticRegression()
    forgets = BayesianLogisticRegression(forgetting=0.99)
    losses = {steady: 0.0, forgets: 0.0}
    for number in range(6_000):
        value = float(rng.normal())
        y = bool(rng.random() < sigmoid(2.0 * value if number < 4_000 else -2.0 * value))
        for model in losses:
            if number >= 4_500:
                losses[model] -= log(model.predict_proba_one({"x": value})[y]) / 1_500
            model.learn_one({"x": value}, y)

    # Guessing costs .693, and whoever knows the truth pays .423.
    assert losses[forgets] < 0.5
    assert losses[steady] > 0.69
    assert forgets.weights.mean[1] < -1.5


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e200])
def test_a_value_that_is_no_number_is_refused_and_spoils_nothing(value: float) -> None:
    model = BayesianLogisticRegression(("x",), forgetting=0.9)
    model.learn_one({"x": 1.0}, True)
    before = pickle.dumps(model)

    with pytest.raises(ValueError, match="missing, infinite or above 1e100"):
        model.learn_one({"x": value}, True)
    with pytest.raises(ValueError, match="weight of an example must be finite and 0 or more"):
        model.learn_one({"x": 1.0}, True, w=-1.0)
    assert before == pickle.dumps(model)


def test_parameters_and_amounts_that_cannot_be_are_refused() -> None:
    for wrong in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="prior_variance must be above 0"):
            BayesianLogisticRegression(prior_variance=wrong)
        with pytest.raises(ValueError, match="dispersion must be above 0"):
            BayesianPoissonRegression(dispersion=wrong)
    for wrong in (0.0, 1.01, float("nan")):
        with pytest.raises(ValueError, match="forgetting must be above 0 and at most 1"):
            BayesianPoissonRegression(forgetting=wrong)
    for wrong in (-0.01, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="finite amounts of 0 or more"):
            BayesianPoissonRegression().learn_one({}, wrong)


# Poisson


def test_known_rates_are_found() -> None:
    rng = np.random.default_rng(8)
    truth = np.array([0.7, -0.5, 0.3, 0.0])
    model = BayesianPoissonRegression(named(4))
    for _ in range(20_000):
        vector = np.concatenate([[1.0], rng.normal(size=3)])
        model.learn_vector(vector, float(rng.poisson(exp(vector @ truth))))

    deviations = np.sqrt(np.diag(model.weights.covariance))
    assert deviations.max() < 0.01
    assert (abs(model.weights.mean - truth) < 3.5 * deviations).all()


def test_an_offset_is_believed_at_once_and_corrected_by_what_comes() -> None:
    rng = np.random.default_rng(9)
    model = BayesianPoissonRegression(
        prior_mean={"log_expected": 1.0}, prior_variance=0.1, dispersion=2_000.0
    )
    assert pytest.approx(5_000.0) == model.predict_one({"log_expected": log(5_000.0)})

    said, spent = 0.0, 0.0
    for number in range(20_000):
        expected = exp(rng.uniform(6.0, 9.0))
        # Three in four spend nothing, and the offset says twice too much.
        amount = 0.25 * expected * 2.0 * rng.gamma(2.0, 0.5) if rng.random() < 0.5 else 0.0
        x = {"log_expected": log(expected)}
        if number >= 2_000:
            said, spent = said + model.predict_one(x), spent + amount
        model.learn_one(x, amount)

    assert pytest.approx(spent, rel=0.03) == said
    assert pytest.approx(0.25 * 2_000.0, rel=0.1) == model.predict_one(
        {"log_expected": log(2_000.0)}
    )


def test_no_amount_and_no_distance_runs_away() -> None:
    model = BayesianPoissonRegression(prior_variance=100.0)
    for amount in (1e9, 0.0, 1e9, 0.0, 5.0, 5.0, 5.0):
        model.learn_one({"x": 30.0}, amount)
        assert 0.0 <= model.predict_one({"x": 30.0}) <= 1e9 * (1.0 + 1e-6)
    far = BayesianPoissonRegression(prior_mean={INTERCEPT: 40.0})
    assert exp(25.0) == far.predict_one({})
    for _ in range(200):
        far.learn_one({}, 5.0)
    assert pytest.approx(5.0, rel=0.2) == far.predict_one({})


# State


@pytest.mark.parametrize("forgetting", [1.0, 0.995])
@pytest.mark.parametrize("make", [BayesianLogisticRegression, BayesianPoissonRegression])
def test_a_restored_regression_learns_on_bit_for_bit(
    make: Callable[..., Bayesian], forgetting: float
) -> None:
    stream = list(examples(9, 400, seed=10))
    steady = make(named(9), forgetting=forgetting)
    for vector, y in stream[:250]:
        steady.learn_vector(vector, y)
    kept = json.dumps([steady.weights.mean.tolist(), steady.weights.covariance.tolist()])
    restored = make(named(9), forgetting=forgetting)
    restored.weights.mean, restored.weights.covariance = json.loads(kept)
    for vector, y in stream[250:]:
        steady.learn_vector(vector, y)
        restored.learn_vector(vector, y)

    assert steady.weights.mean.tolist() == restored.weights.mean.tolist()
    assert steady.weights.covariance.tolist() == restored.weights.covariance.tolist()
    assert steady.center(stream[0][0]) == restored.center(stream[0][0])


def test_state_is_copied_out_and_in_and_of_the_right_shape() -> None:
    weights = GaussianWeights(("a", "b"), None, 1.0, 1.0)
    mean = np.array([1.0, 2.0, 3.0])
    weights.mean = mean
    mean[0] = weights.mean[1] = 9.0
    assert [1.0, 2.0, 3.0] == weights.mean.tolist()

    with pytest.raises(ValueError, match=r"shape \(3,\), got \(2,\): name the features"):
        weights.mean = [1.0, 2.0]
    with pytest.raises(ValueError, match="expected finite numbers"):
        weights.mean = [1.0, 2.0, float("nan")]
    with pytest.raises(ValueError, match="symmetric to the last bit"):
        weights.covariance = [[1.0, 0.1, 0.0], [0.2, 1.0, 0.0], [0.0, 0.0, 1.0]]


@pytest.mark.parametrize(
    "make",
    [
        lambda: MeanLogit([BayesianLogisticRegression(), StandardScaler() | LogisticRegression()]),
        lambda: OnlineRecalibration(StandardScaler() | LogisticRegression(), drift=1e-4),
        lambda: BgNbdClassifier(refit_every=100),
    ],
    ids=["blend", "recalibration", "bg/nbd"],
)
def test_a_pickled_classifier_learns_on_bit_for_bit(make: Callable[[], Any]) -> None:
    rng = np.random.default_rng(11)
    steady = make()
    for number in range(500):
        if number == 250:
            restored = pickle.loads(pickle.dumps(steady))
        life = float(rng.integers(1, 300))
        x = {"repeats": int(rng.integers(0, 9)), "last": life * rng.random(), "life": life}
        y = bool(rng.random() < 0.5)
        steady.learn_one(x, y)
        if number >= 250:
            restored.learn_one(x, y)
            assert steady.predict_proba_one(x) == restored.predict_proba_one(x)


# BG/NBD


def customers(count: int, seed: int) -> Iterator[dict[str, float]]:
    rng = np.random.default_rng(seed)
    for _ in range(count):
        life = float(rng.uniform(30, 400))
        repeats = int(rng.poisson(life * rng.gamma(1.2, 0.01)))
        yield {"repeats": repeats, "last": life * rng.beta(3, 1) if repeats else 0.0, "life": life}


def test_bgnbd_says_what_a_fit_of_its_count_table_says_whatever_the_labels_are() -> None:
    model, contrary = (BgNbdClassifier(horizon_weeks=13.0, refit_every=200) for _ in range(2))
    counts: dict[tuple[int, int, int], int] = {}
    fitted: BgNbd | None = None
    for number, x in enumerate(customers(700, seed=12), start=1):
        model.learn_one(x, True)
        contrary.learn_one({**x, "else": 1.0}, number % 2)
        cell = cell_of(int(x["repeats"]), x["last"], x["life"])
        counts[cell] = counts.get(cell, 0) + 1
        if number in (64, 128, 256, 456, 656):
            fitted = fit(counts, fitted)
        quiet = 0.5
        if fitted is not None:
            quiet = p_no_purchase(fitted, int(x["repeats"]), x["last"] / 7, x["life"] / 7, 13.0)
        assert {False: 1.0 - quiet, True: quiet} == model.predict_proba_one(x)

    assert fitted is not None
    assert model.fitted == contrary.fitted == fitted


def test_bgnbd_counts_nothing_and_says_a_half_of_what_is_no_customer() -> None:
    model = BgNbdClassifier(refit_every=1)
    for x in ({}, {"repeats": 1, "last": 5.0}, {"weather": 3.0}):
        model.learn_one(x, True)
        assert {False: 0.5, True: 0.5} == model.predict_proba_one(x)
    assert {} == model.counts

    nan = float("nan")
    for repeats, last, life in [(-1, 0, 9), (1, 9, 8), (1, -1, 8), (nan, 1, 8), (1, 1, nan)]:
        with pytest.raises(ValueError, match="0 <= last <= life"):
            model.learn_one({"repeats": repeats, "last": last, "life": life}, True)
    for wrong in ({"horizon_weeks": 0.0}, {"refit_every": 0}):
        with pytest.raises(ValueError, match="must be"):
            BgNbdClassifier(**wrong)


# Blend


class Says(base.Classifier):
    """Returns the value of its feature ``logit``."""

    def __init__(self, slope: float = 1.0, intercept: float = 0.0) -> None:
        self.slope = slope
        self.intercept = intercept
        self.learnt: list[tuple[Any, Any]] = []

    def learn_one(self, x: dict[Any, Any], y: Any) -> None:
        self.learnt.append((x, y))

    def predict_proba_one(self, x: dict[Any, Any], **_: Any) -> dict[Any, float]:
        p = sigmoid(self.slope * x["logit"] + self.intercept)
        return {False: 1.0 - p, True: p}


@pytest.mark.parametrize(("weights", "logit"), [(None, 2.5), ((3.0, 1.0), 1.75), ((0.0, 2.0), 4.0)])
def test_a_blend_says_the_mean_of_the_log_odds(
    weights: tuple[float, ...] | None, logit: float
) -> None:
    # Of log odds 1: 1 and 4.
    model = MeanLogit([Says(), Says(slope=3.0, intercept=1.0)], weights)

    assert pytest.approx(sigmoid(logit)) == model.predict_proba_one({"logit": 1.0})[True]


def test_a_blend_teaches_every_member_and_a_clone_has_learnt_nothing() -> None:
    members = [Says(), Says()]
    model = MeanLogit(members)
    model.learn_one({"logit": 1.0}, True)
    clone = model.clone()
    clone.learn_one({"logit": 2.0}, False)

    assert [[({"logit": 1.0}, True)]] * 2 == [member.learnt for member in members]
    assert [[({"logit": 2.0}, False)]] * 2 == [member.learnt for member in clone.models]
    with_state = model.clone(include_attributes=True)
    assert [({"logit": 1.0}, True)] == with_state.models[0].learnt
    assert with_state.models[0] is not members[0]


def test_a_blend_wants_as_many_weights_as_members_and_one_above_0() -> None:
    for weights in ((1.0,), (1.0, -1.0), (0.0, 0.0), (1.0, float("nan"))):
        with pytest.raises(ValueError, match="weights"):
            MeanLogit([Says(), Says()], weights)


def test_log_odds_of_what_a_classifier_says() -> None:
    assert 0.0 == logit_of({})
    assert 0.0 == logit_of({True: 0.5, False: 0.5})
    assert pytest.approx(log(3)) == logit_of({np.True_: 0.75, np.False_: 0.25})
    assert LOGIT_MAX == logit_of({True: 1.0})
    assert -LOGIT_MAX == logit_of({True: 0.0, False: 1.0})
    assert -LOGIT_MAX == logit_of({True: 1e-300, False: 1.0})


# Recalibration


def test_a_classifier_that_says_too_much_is_set_right() -> None:
    rng = np.random.default_rng(13)
    distorted = Says(intercept=1.5)
    model = OnlineRecalibration(distorted)
    losses = {distorted: 0.0, model: 0.0, Says(): 0.0}
    for number in range(12_000):
        x = {"logit": float(rng.normal(scale=1.5))}
        y = bool(rng.random() < sigmoid(x["logit"]))
        if number >= 2_000:
            for one in losses:
                losses[one] -= log(one.predict_proba_one(x)[y]) / 10_000
        model.learn_one(x, y)

    before, after, best = losses.values()
    assert before - best > 0.1
    assert after - best < 0.001
    assert pytest.approx(-1.5, abs=0.1) == model.shift.mean


def test_what_is_right_stays_as_it_is() -> None:
    rng = np.random.default_rng(14)
    fresh, model = Shift(), Shift()
    for _ in range(10_000):
        logit = float(rng.normal(scale=2.0))
        model.learn(logit, bool(rng.random() < sigmoid(logit)))

    assert 2.5 == fresh.apply(2.5)
    assert pytest.approx(2.5, abs=0.1) == model.apply(2.5)


def test_the_shift_learns_from_what_was_said_before_the_classifier_learnt() -> None:
    model = OnlineRecalibration(LogisticRegression(), prior_variance=0.5, drift=1e-3)
    alone, expected = LogisticRegression(), Shift(variance=0.5)
    for vector, y in examples(3, 200, seed=15):
        x = dict(enumerate(vector.tolist()))
        expected.learn(logit_of(alone.predict_proba_one(x)), y, drift=1e-3)
        alone.learn_one(x, y)
        model.learn_one(x, y)

    assert (expected.mean, expected.variance) == (model.shift.mean, model.shift.variance)


def test_a_shift_follows_a_population_that_changes() -> None:
    rng = np.random.default_rng(16)
    follows = Shift()
    for number in range(40_000):
        said = float(rng.normal(scale=1.5))
        truth = said if number < 20_000 else said - 1.0
        follows.learn(said, bool(rng.random() < sigmoid(truth)))

    assert pytest.approx(-1.0, abs=0.2) == follows.mean


def test_a_clone_of_a_deep_copy_has_learnt_nothing() -> None:
    model = OnlineRecalibration(BayesianLogisticRegression(("x",)))
    for _ in range(20):
        model.learn_one({"x": 1.0}, True)
    copied, fresh = deepcopy(model), model.clone()

    assert model.predict_proba_one({"x": 1.0}) == copied.predict_proba_one({"x": 1.0})
    assert {False: 0.5, True: 0.5} == fresh.predict_proba_one({"x": 1.0})

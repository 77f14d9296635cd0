"""Bayesian regressions that learn one example at a time; River estimators.

Each keeps a Gaussian over its weights and conditions it on every example by an extended Kalman
filter: an example moves the mean by the prediction error, most in the directions that are still
uncertain. There is no learning rate to tune. K. Murphy (2023), "Probabilistic
Machine Learning: Advanced Topics", 8.3.

Both take these arguments. ``names``: features whose weights come first and in this order; others
follow as they are first seen. ``prior_mean`` by feature, 0 by default; ``prior_mean[INTERCEPT]`` is
the intercept's. ``prior_variance``, the same for each weight, so put a scaler before them.
``forgetting`` (1: none): about the last 1 / (1 - forgetting) examples count. They learn the
``mean`` and ``covariance`` of ``weights``: exact doubles, which can be saved and restored.
"""

from collections.abc import Hashable, Mapping
from math import exp, inf, isfinite, log, pi, sqrt
from typing import Any

from river import base
from river.base.typing import ClfTarget

from models.learning.gaussian_weights import INTERCEPT, GaussianWeights, Vector
from models.learning.log_odds import clipped, sigmoid

__all__ = ["INTERCEPT", "BayesianLogisticRegression", "BayesianPoissonRegression"]

#: e to the power of this is 7e10: more minor units than any customer spends.
_LOG_MEAN_MAX = 25.0
_STEPS_MAX = 100
_TOLERANCE = 1e-12


class BayesianLogisticRegression(base.Classifier):
    """Binary classifier with a Gaussian over its weights.

    >>> model = BayesianLogisticRegression()
    >>> for x, y in [({"late": 1.0}, True), ({"late": -1.0}, False)] * 20:
    ...     model.learn_one(x, y)
    >>> round(model.predict_proba_one({"late": 1.0})[True], 2)
    0.9
    """

    def __init__(
        self,
        names: tuple[Hashable, ...] | None = None,
        prior_mean: Mapping[Hashable, float] | None = None,
        prior_variance: float = 1.0,
        forgetting: float = 1.0,
    ) -> None:
        self.names = names
        self.prior_mean = prior_mean
        self.prior_variance = prior_variance
        self.forgetting = forgetting
        self.weights = GaussianWeights(names or (), prior_mean, prior_variance, forgetting)

    def learn_one(self, x: dict[Any, Any], y: ClfTarget, w: float = 1.0) -> None:
        """Condition the weights on one example, which counts as ``w`` of them."""
        self.weights.grow(x)
        self.learn_vector(self.weights.vector(x), bool(y), w)

    def learn_vector(self, vector: Vector, y: bool, w: float = 1.0) -> None:
        """`learn_one` for a vector in the order of the weights: 1 for the intercept, then
        ``weights.names``.
        """
        weights = self.weights
        projection = weights.project(vector)
        probability = sigmoid(projection.center)
        information = w * probability * (1.0 - probability)
        surprise = w * (float(y) - probability)
        weights.condition(
            projection, information, surprise / (1.0 + information * projection.variance)
        )

    def center(self, vector: Vector) -> float:
        """The log odds by the mean of the weights, for a vector in their order."""
        return self.weights.center(vector)

    def predict_proba_one(self, x: dict[Any, Any], **_: Any) -> dict[ClfTarget, float]:
        """The probability of each class, nearer to 0.5 the more uncertain the log odds are: they
        are divided by sqrt(1 + pi / 8 * variance). D. MacKay (1992), "The Evidence Framework
        Applied to Classification Networks", Neural Computation 4(5).
        """
        center, variance = self.weights.believed(x)
        probability = sigmoid(center / sqrt(1.0 + pi * variance / 8.0))
        return {False: 1.0 - probability, True: probability}

    def predict_variance_one(self, x: dict[Any, Any]) -> float:
        """The posterior variance of the log odds."""
        return self.weights.believed(x)[1]


class BayesianPoissonRegression(base.Regressor):
    """Regression of amounts of 0 or more, whose expectation is e to a linear predictor.

    ``dispersion`` is the variance divided by the expectation, 1 for counts. The mean moves to the
    posterior mode: a single linear step would overshoot, because the expectation is exponential.
    L. Fahrmeir (1992), "Posterior Mode Estimation by Extended Kalman Filtering for Multivariate
    Dynamic Generalized Linear Models", JASA 87. For one example the mode minimizes a convex
    function of one number.

    Give a feature that is itself the log of an expectation the ``prior_mean`` 1.

    >>> model = BayesianPoissonRegression(prior_mean={"log_expected": 1.0})
    >>> round(model.predict_one({"log_expected": 2.0}), 2)
    7.39
    """

    def __init__(
        self,
        names: tuple[Hashable, ...] | None = None,
        prior_mean: Mapping[Hashable, float] | None = None,
        prior_variance: float = 1.0,
        forgetting: float = 1.0,
        dispersion: float = 1.0,
    ) -> None:
        if not (isfinite(dispersion) and dispersion > 0.0):
            raise ValueError(f"dispersion must be above 0, not {dispersion}")
        self.names = names
        self.prior_mean = prior_mean
        self.prior_variance = prior_variance
        self.forgetting = forgetting
        self.dispersion = dispersion
        self.weights = GaussianWeights(names or (), prior_mean, prior_variance, forgetting)

    def learn_one(self, x: dict[Any, Any], y: float, w: float = 1.0) -> None:
        """Condition the weights on one example, which counts as ``w`` of them.

        Raises ``ValueError`` for an amount below 0.
        """
        self.weights.grow(x)
        self.learn_vector(self.weights.vector(x), float(y), w)

    def learn_vector(self, vector: Vector, y: float, w: float = 1.0) -> None:
        """`learn_one` for a vector in the order of the weights: 1 for the intercept, then
        ``weights.names``.
        """
        if not 0.0 <= y < inf:
            raise ValueError(f"a Poisson regression learns finite amounts of 0 or more, not {y}")
        weights = self.weights
        projection = weights.project(vector)
        center, variance, _ = projection
        trust = w / self.dispersion
        mode = _log_mean_mode(center, variance * trust, y)
        # The same as trust * (y - exp(mode)), without the difference of two large numbers.
        step = (mode - center) / variance if variance > 0.0 else 0.0
        weights.condition(projection, trust * exp(mode), step)

    def center(self, vector: Vector) -> float:
        """The log of the expectation by the mean of the weights, for a vector in their order."""
        return self.weights.center(vector)

    def predict_one(self, x: dict[Any, Any]) -> float:
        """The expectation by the mean of the weights, at most e**25."""
        return exp(clipped(self.center(self.weights.vector(x)), _LOG_MEAN_MAX))

    def predict_variance_one(self, x: dict[Any, Any]) -> float:
        """The posterior variance of the log of the expectation."""
        return self.weights.believed(x)[1]


def _log_mean_mode(center: float, reach: float, y: float) -> float:
    """The posterior mode of a log mean, ``center`` before ``y`` was seen: the solution of
    mode = center + reach * (y - exp(mode)), at most 25.

    Newton's method, started above the only solution, descends to it without overshooting.
    """
    mode = min(max(center, log(y)) if y > 0.0 else center, _LOG_MEAN_MAX)
    for _ in range(_STEPS_MAX):
        mean = exp(mode)
        change = (mode - center - reach * (y - mean)) / (1.0 + reach * mean)
        mode = min(mode - change, _LOG_MEAN_MAX)
        if abs(change) < _TOLERANCE:
            break
    return mode

"""Bayesian logistic regression with full covariance, learnt one example at a time.

An extended Kalman filter over the weights: each example moves the mean by what it says against
what is already known, in the directions that are still uncertain. There is no learning rate to
tune. K. Murphy (2023), "Probabilistic Machine Learning: Advanced Topics", 8.3; the moderated
prediction is D. MacKay (1992), "The Evidence Framework Applied to Classification Networks".
"""

from collections.abc import Hashable
from math import exp, pi, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray
from river import base
from river.base.typing import ClfTarget

_BIAS = "\x00bias"
_LOGIT_MAX = 30.0


class BayesianLogisticRegression(base.Classifier):
    """Binary classifier with a Gaussian over its weights; a River estimator.

    ``prior_variance`` is that of each weight before anything is learnt; put a scaler before it.
    ``forgetting`` (1: none) inflates the covariance by 1/forgetting before each example, so that
    about the last 1 / (1 - forgetting) examples count.

    Products are summed element by element and never by a matrix library, whose last bits depend
    on where in memory a vector happens to begin.

    >>> model = BayesianLogisticRegression()
    >>> for x, y in [({"late": 1.0}, True), ({"late": -1.0}, False)] * 20:
    ...     model.learn_one(x, y)
    >>> round(model.predict_proba_one({"late": 1.0})[True], 2)
    0.85
    """

    def __init__(self, prior_variance: float = 1.0, forgetting: float = 1.0) -> None:
        self.prior_variance = prior_variance
        self.forgetting = forgetting
        self._index: dict[Hashable, int] = {_BIAS: 0}
        self.mean: NDArray[np.float64] = np.zeros(1)
        self.covariance: NDArray[np.float64] = np.full((1, 1), prior_variance)

    @property
    def _multiclass(self) -> bool:
        return False

    def learn_one(self, x: dict[Any, float], y: ClfTarget) -> None:
        """Condition the weights on one example."""
        self._grow(x)
        self.learn_vector(self._vector(x), bool(y))

    def learn_vector(self, vector: NDArray[np.float64], y: bool) -> None:
        """`learn_one` for a vector in the order of the weights, the bias (1) first."""
        covariance = self.covariance
        if self.forgetting < 1.0:
            covariance = np.minimum(covariance / self.forgetting, self.prior_variance)
        spread = (covariance * vector).sum(axis=1)
        probability = _sigmoid(float((self.mean * vector).sum()))
        curvature = max(probability * (1.0 - probability), 1e-6)
        gain = spread / (1.0 / curvature + float((spread * vector).sum()))
        self.covariance = covariance - gain[:, None] * spread[None, :]
        # After the update the covariance times the example is the gain over its curvature.
        self.mean = self.mean + gain / curvature * (float(y) - probability)

    def predict_proba_one(self, x: dict[Any, float], **_: Any) -> dict[ClfTarget, float]:
        """The probability moderated by what is not known yet: nearer to a half where it is much."""
        vector = self._vector(x)
        center, variance = float((self.mean * vector).sum()), self._variance(vector)
        probability = _sigmoid(center / sqrt(1.0 + pi * variance / 8.0))
        return {False: 1.0 - probability, True: probability}

    def predict_variance_one(self, x: dict[Any, float]) -> float:
        """The posterior variance of the log odds."""
        return self._variance(self._vector(x))

    def _variance(self, vector: NDArray[np.float64]) -> float:
        return float(((self.covariance * vector).sum(axis=1) * vector).sum())

    def _vector(self, x: dict[Any, float]) -> NDArray[np.float64]:
        """The example in the order of the weights; what was never learnt from counts nothing."""
        vector = np.zeros(len(self._index))
        vector[0] = 1.0
        for name, value in x.items():
            place = self._index.get(name)
            if place is not None:
                vector[place] = value
        return vector

    def _grow(self, x: dict[Any, float]) -> None:
        new = [name for name in x if name not in self._index]
        if not new:
            return
        for name in new:
            self._index[name] = len(self._index)
        size, known = len(self._index), len(self.mean)
        mean, covariance = np.zeros(size), np.eye(size) * self.prior_variance
        mean[:known], covariance[:known, :known] = self.mean, self.covariance
        self.mean, self.covariance = mean, covariance


def _sigmoid(logit: float) -> float:
    return 1.0 / (1.0 + exp(-min(max(logit, -_LOGIT_MAX), _LOGIT_MAX)))

"""A Gaussian over the weights of a linear predictor, conditioned on one example at a time.

The core that the Bayesian regressions share: the mean and covariance of the weights, the index of
each feature's weight, and the rank-one update of an extended Kalman filter. The link function and
the likelihood are the regression's own.
"""

from collections.abc import Hashable, Iterable, Mapping
from math import hypot, inf, isfinite, sqrt
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]

#: The name of the weight whose input is always 1; the brackets keep it apart from feature names.
INTERCEPT = "(intercept)"
_VARIANCE_MIN = 1e-300
_LENGTH_MAX = 1e100
#: `Vector.sum` without its overhead.
_sum = np.add.reduce
_most = np.maximum.reduce


class Projection(NamedTuple):
    """The linear predictor of one example: its mean (``center``), its ``variance``, and its
    covariance with each weight (``spread``).
    """

    center: float
    variance: float
    spread: Vector


def with_intercept(values: list[float]) -> Vector:
    """The input vector of an example whose values are in the order of the weights' names."""
    return np.array([1.0, *values])


class GaussianWeights:
    """Mean and covariance of the weights: the intercept's first, then by feature as first seen.

    The same examples give the same bits: products are rounded, then added in one order, whereas the
    order in a matrix library depends on the processor. The covariance stays exactly symmetric,
    because only outer products of a vector with itself are subtracted from it.
    """

    def __init__(
        self,
        names: Iterable[Hashable],
        prior_mean: Mapping[Hashable, float] | None,
        prior_variance: float,
        forgetting: float,
    ) -> None:
        if not (isfinite(prior_variance) and prior_variance > 0.0):
            raise ValueError(f"prior_variance must be above 0, not {prior_variance}")
        if not 0.0 < forgetting <= 1.0:
            raise ValueError(f"forgetting must be above 0 and at most 1, not {forgetting}")
        self._prior_mean = dict(prior_mean or {})
        self._prior_variance = prior_variance
        self._forgetting = forgetting
        self._places: dict[Hashable, int] = {}
        self._mean: Vector = np.zeros(0)
        self._covariance: Vector = np.zeros((0, 0))
        # A buffer for products of the covariance's shape: allocating one for each would take as
        # long as the products.
        self._products: Vector = np.zeros((0, 0))
        # Features with a prior have their weight from the start, so that a prediction before the
        # first example uses it.
        self.grow((INTERCEPT, *names, *self._prior_mean))

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_products": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _products=np.zeros(state["_covariance"].shape))

    @property
    def names(self) -> tuple[Hashable, ...]:
        """The features in the order of their weights, without the intercept."""
        return tuple(self._places)[1:]

    @property
    def mean(self) -> Vector:
        """A copy; an assigned value is copied, too."""
        return self._mean.copy()

    @mean.setter
    def mean(self, values: object) -> None:
        self._mean = self._checked(values, self._mean.shape)

    @property
    def covariance(self) -> Vector:
        """A copy; an assigned value is copied, too."""
        return self._covariance.copy()

    @covariance.setter
    def covariance(self, values: object) -> None:
        found = self._checked(values, self._covariance.shape)
        if not np.array_equal(found, found.T):
            raise ValueError("a covariance must be symmetric to the last bit")
        self._covariance = found

    def stored(self) -> tuple[bytes, bytes]:
        """Mean and covariance as packed doubles, from which `restore` gets the same bits."""
        return self._mean.tobytes(), self._covariance.tobytes()

    def restore(self, mean: bytes, covariance: bytes) -> None:
        """Restore the mean and covariance that `stored` returned, for the same weights."""
        size = len(self._places)
        self.mean = np.frombuffer(mean)
        self.covariance = np.frombuffer(covariance).reshape(size, size)

    def grow(self, names: Iterable[Hashable]) -> None:
        """Add a weight with its prior for each new name."""
        new = [name for name in dict.fromkeys(names) if name not in self._places]
        if not new:
            return
        known = len(self._places)
        self._places.update({name: known + place for place, name in enumerate(new)})
        size = known + len(new)
        mean, covariance = np.zeros(size), np.eye(size) * self._prior_variance
        mean[:known], covariance[:known, :known] = self._mean, self._covariance
        mean[known:] = [self._prior_mean.get(name, 0.0) for name in new]
        self._mean, self._covariance = mean, covariance
        self._products = np.zeros((size, size))

    def vector(self, x: Mapping[Any, float]) -> Vector:
        """The example in the order of the weights: 0 for missing features; new features are
        ignored.
        """
        vector = np.zeros(len(self._places))
        for name, value in x.items():
            place = self._places.get(name)
            if place is not None:
                vector[place] = value
        vector[0] = 1.0
        return vector

    def center(self, vector: Vector) -> float:
        """The linear predictor, computed with the mean of the weights."""
        return float(_sum(self._mean * vector))

    def project(self, vector: Vector) -> Projection:
        """The linear predictor of an example. Raises ``ValueError`` for values that are not finite:
        they would make all weights NaN for good.
        """
        if not hypot(*vector.tolist()) <= _LENGTH_MAX:
            raise ValueError("an example has a value that is missing, infinite or above 1e100")
        spread = _sum(np.multiply(self._covariance, vector, out=self._products), axis=1)
        variance = float(_sum(spread * vector))
        return Projection(self.center(vector), max(variance, 0.0), spread)

    def believed(self, x: Mapping[Any, float]) -> tuple[float, float]:
        """Mean and variance of the linear predictor; an unknown feature adds the variance of its
        prior.
        """
        center, variance, _ = self.project(self.vector(x))
        squares = 0.0
        for name, value in x.items():
            if name not in self._places:
                squares += float(value) * float(value)
        return center, variance + self._prior_variance * squares

    def condition(self, projection: Projection, information: float, step: float) -> None:
        """Update mean and covariance with one example.

        ``information``: the negative second derivative of its log-likelihood; ``step``: how far
        the mean moves along the spread.
        """
        if not 0.0 <= information < inf:
            raise ValueError("the weight of an example must be finite and 0 or more")
        _, variance, spread = projection
        gain = spread * sqrt(information / (1.0 + information * variance))
        self._covariance -= np.multiply(gain[:, None], gain, out=self._products)
        self._mean += spread * step
        self._forget()

    def _forget(self) -> None:
        """Inflate the covariance by 1 / forgetting, so that about the last 1 / (1 - forgetting)
        examples count. A variance never exceeds the prior's; otherwise that of an unused weight
        would grow without bound. Rows and columns are scaled alike, so the matrix stays positive
        definite.
        """
        if self._forgetting == 1.0:
            return
        inflation, variances = 1.0 / self._forgetting, self._covariance.diagonal()
        if float(_most(variances)) * inflation <= self._prior_variance:
            self._covariance *= inflation
            return
        room = self._prior_variance / np.maximum(variances, _VARIANCE_MIN)
        scale = np.sqrt(np.minimum(np.maximum(room, 1.0), inflation))
        self._covariance *= np.multiply(scale[:, None], scale, out=self._products)

    @staticmethod
    def _checked(values: object, shape: tuple[int, ...]) -> Vector:
        found = np.array(values, dtype=np.float64)
        if found.shape != shape or not np.isfinite(found).all():
            raise ValueError(
                f"expected finite numbers of shape {shape}, got {found.shape}: name the features "
                "with `names`, in the order they were learnt in, before restoring their weights"
            )
        return found

"""A logistic regression on standardized features, learnt one example at a time.

The arithmetic equals that of River's ``StandardScaler() | LogisticRegression(SGD(rate), l2=0)`` to
the last bit. It uses one fixed list of features instead of a dictionary per example, which costs
several times as much. `tests/models/test_standardized_logistic.py` compares it with River itself.
"""

from math import exp

#: River's learning rate for the intercept.
INTERCEPT_RATE = 0.01
#: Beyond this, River treats the loss as linear or as zero.
_CERTAIN = 18.0


class StandardizedLogistic:
    """``means`` and ``variances`` of the ``count`` examples so far, which standardize features, and
    the ``weights`` of the standardized features, all in one order.
    """

    __slots__ = ("count", "intercept", "means", "rate", "variances", "weights")

    def __init__(self, features: int, rate: float) -> None:
        self.rate = rate
        self.count = 0
        self.means = [0.0] * features
        self.variances = [0.0] * features
        self.weights = [0.0] * features
        self.intercept = 0.0

    def learn(self, features: tuple[float, ...], came_true: bool) -> list[float]:
        """Count one example into means and variances, then learn its outcome. Return the
        standardized example as it was learnt.
        """
        self.count = count = self.count + 1
        means, variances, weights = self.means, self.variances, self.weights
        standardized = [0.0] * len(features)
        total = 0.0
        for place, value in enumerate(features):
            before, variance = means[place], variances[place]
            off = value - before
            mean = before + off / count
            variance += (off * (value - mean) - variance) / count
            means[place], variances[place] = mean, variance
            scaled = (value - mean) / variance**0.5 if variance else 0.0
            standardized[place] = scaled
            total += weights[place] * scaled
        gradient = _gradient(total + self.intercept, came_true)
        self.intercept -= INTERCEPT_RATE * gradient
        rate = self.rate
        for place, scaled in enumerate(standardized):
            weights[place] -= rate * (scaled * gradient)
        return standardized

    def standardized(self, features: tuple[float, ...]) -> list[float]:
        """The features, standardized by present statistics; 0 for a feature that never varied."""
        means, variances = self.means, self.variances
        standardized = [0.0] * len(features)
        for place, value in enumerate(features):
            variance = variances[place]
            standardized[place] = (value - means[place]) / variance**0.5 if variance else 0.0
        return standardized

    def log_odds(self, standardized: list[float]) -> float:
        """The log odds of a standardized example."""
        total, weights = 0.0, self.weights
        for place, scaled in enumerate(standardized):
            total += weights[place] * scaled
        return total + self.intercept


def _gradient(log_odds: float, came_true: bool) -> float:
    """The derivative of the log loss with respect to the log odds."""
    sign = 1 if came_true else -1
    margin = log_odds * sign
    if margin > _CERTAIN:
        return exp(-margin) * -sign
    if margin < -_CERTAIN:
        return float(-sign)
    return -sign / (exp(margin) + 1.0)

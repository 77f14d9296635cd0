"""Online recalibration of probabilities by a shift of their log odds.

The shift is a single number on purpose. Labels are a horizon old; when the population buys more or
less meanwhile, all customers' log odds move alike. Learning a slope as well improved none of our
data sets, and makes the order of customers unstable over time.
"""

from models.learning.log_odds import sigmoid

#: Variance of the shift before anything is learnt.
PRIOR_VARIANCE = 0.1
#: Added to the variance with each example, so that about the last 10,000 examples count.
DRIFT = 1e-7


class Shift:
    """The amount to add to log odds to calibrate them: a Gaussian, conditioned on each example by
    an extended Kalman filter.

    >>> boastful = Shift()
    >>> for came_true in [True, True, True, False] * 1000:
    ...     boastful.learn(2.0, came_true)
    >>> round(boastful.apply(2.0), 1)  # three to one: log 3
    1.1
    """

    __slots__ = ("mean", "variance")

    def __init__(self, mean: float = 0.0, variance: float = PRIOR_VARIANCE) -> None:
        self.mean = mean
        self.variance = variance

    def apply(self, log_odds: float) -> float:
        """The recalibrated log odds."""
        return log_odds + self.mean

    def learn(
        self, log_odds: float, came_true: bool, weight: float = 1.0, drift: float = DRIFT
    ) -> None:
        """Learn from log odds that were predicted before the outcome was known."""
        probability = sigmoid(self.apply(log_odds))
        variance = self.variance + drift
        information = weight * probability * (1.0 - probability)
        self.variance = variance / (1.0 + variance * information)
        self.mean += self.variance * weight * (came_true - probability)

"""Online recalibration of probabilities by a shift of their log odds.

One number, on purpose. Labels are a horizon old; when the population buys more or less meanwhile,
all customers' log odds move alike. Learning a slope as well improved no data set we have, and
makes the order of customers unstable over time.
"""

from collections.abc import Iterator
from typing import Any

from msgspec import Struct
from river import base
from river.base.typing import ClfTarget
from river.linear_model import LogisticRegression

from models.learning.log_odds import logit_of, sigmoid

#: Variance of the shift before anything is learnt.
PRIOR_VARIANCE = 0.1
#: Added to the variance with each example: about the last 10,000 examples count.
DRIFT = 1e-7


class Shift(Struct, rename="camel"):
    """What to add to log odds to calibrate them: a Gaussian, conditioned on each example by an
    extended Kalman filter.

    >>> boastful = Shift()
    >>> for came_true in [True, True, True, False] * 1000:
    ...     boastful.learn(2.0, came_true)
    >>> round(boastful.apply(2.0), 1)  # three to one: log 3
    1.1
    """

    mean: float = 0.0
    variance: float = PRIOR_VARIANCE

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


class OnlineRecalibration(base.Wrapper[base.Classifier], base.Classifier):
    """Predicts a binary classifier's probabilities after a `Shift` of their log odds.

    The shift learns from the classifier's prediction before the classifier learns from the
    example, because a classifier is overconfident about examples it has learnt from.

    >>> model = OnlineRecalibration(LogisticRegression())
    >>> model.predict_proba_one({"late": 1.0})
    {False: 0.5, True: 0.5}
    """

    def __init__(
        self,
        classifier: base.Classifier,
        prior_variance: float = PRIOR_VARIANCE,
        drift: float = DRIFT,
    ) -> None:
        self.classifier = classifier
        self.prior_variance = prior_variance
        self.drift = drift
        self.shift = Shift(variance=prior_variance)

    @property
    def _wrapped_model(self) -> base.Classifier:
        return self.classifier

    @property
    def _multiclass(self) -> bool:
        return False  # even if the classifier is: log odds need two classes

    def learn_one(self, x: dict[Any, Any], y: ClfTarget, **kwargs: Any) -> None:
        """Teach the shift the prediction, then the classifier the example."""
        said = logit_of(self.classifier.predict_proba_one(x))
        self.shift.learn(said, bool(y), kwargs.get("w", 1.0), self.drift)
        self.classifier.learn_one(x, y, **kwargs)

    def predict_proba_one(self, x: dict[Any, Any], **kwargs: Any) -> dict[ClfTarget, float]:
        said = logit_of(self.classifier.predict_proba_one(x, **kwargs))
        probability = sigmoid(self.shift.apply(said))
        return {False: 1.0 - probability, True: probability}

    @classmethod
    def _unit_test_params(cls) -> Iterator[dict[str, Any]]:
        yield {"classifier": LogisticRegression()}

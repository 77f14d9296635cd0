"""Making probabilities mean what they say, online.

One number, on purpose. Labels are a horizon old, and meanwhile a population goes on buying more or
less: that moves everybody alike. A slope as well was better on no data we have, and it unsettles
the order of customers over time.
"""

from collections.abc import Iterator
from typing import Any

from msgspec import Struct
from river import base
from river.base.typing import ClfTarget
from river.linear_model import LogisticRegression

from models.learning.log_odds import logit_of, sigmoid

#: Of the shift before anything is learnt.
PRIOR_VARIANCE = 0.1
#: Added to the variance with each example: about the last ten thousand count.
DRIFT = 1e-7


class Shift(Struct, rename="camel"):
    """What to add to log odds so that they come true as often as they say: a Gaussian, conditioned
    on each example as an extended Kalman filter does.

    >>> boastful = Shift()
    >>> for came_true in [True, True, True, False] * 1000:
    ...     boastful.learn(2.0, came_true)
    >>> round(boastful.apply(2.0), 1)  # three to one: log 3
    1.1
    """

    mean: float = 0.0
    variance: float = PRIOR_VARIANCE

    def apply(self, log_odds: float) -> float:
        """The log odds that should have been said."""
        return log_odds + self.mean

    def learn(
        self, log_odds: float, came_true: bool, weight: float = 1.0, drift: float = DRIFT
    ) -> None:
        """Learn from log odds that were said before it was known what would come true."""
        probability = sigmoid(self.apply(log_odds))
        variance = self.variance + drift
        information = weight * probability * (1.0 - probability)
        self.variance = variance / (1.0 + variance * information)
        self.mean += self.variance * weight * (came_true - probability)


class OnlineRecalibration(base.Wrapper[base.Classifier], base.Classifier):
    """Answers a binary classifier's probabilities after a `Shift` of their log odds.

    The shift learns from what the classifier says of an example before the classifier has learnt
    from it: of what it has seen, a classifier speaks too surely.

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
        return False  # whatever the classifier could do: log odds are of two classes

    def learn_one(self, x: dict[Any, Any], y: ClfTarget, **kwargs: Any) -> None:
        """Test, then train: first the shift, then the classifier."""
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

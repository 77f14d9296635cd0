"""A binary classifier whose probabilities are recalibrated online."""

from collections.abc import Iterator
from typing import Any

from river import base
from river.base.typing import ClfTarget
from river.linear_model import LogisticRegression

from models.learning.log_odds import logit_of, sigmoid
from models.learning.shift import DRIFT, PRIOR_VARIANCE, Shift


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

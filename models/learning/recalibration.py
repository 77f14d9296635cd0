"""Making a classifier's probabilities mean what they say, online."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from river import base
from river.base.typing import ClfTarget
from river.linear_model import LogisticRegression

from models.learning.bayesian import BayesianLogisticRegression
from models.learning.gaussian_weights import GaussianWeights, Vector
from models.learning.log_odds import logit_of, sigmoid


class LogitMap:
    """slope * log odds + intercept, learnt from what came true; no change before that.

    Platt scaling by a Bayesian logistic regression of one feature, so that few examples change
    little: J. Platt (1999), "Probabilistic Outputs for Support Vector Machines". All it learns is
    in ``weights``: (intercept, slope).

    >>> boastful = LogitMap()
    >>> for came_true in [True, True, True, False] * 500:
    ...     boastful.learn(4.0, came_true)
    >>> round(boastful.apply(4.0), 1)  # three to one: log 3
    1.1
    """

    def __init__(self, prior_variance: float = 0.1, forgetting: float = 1.0) -> None:
        self._model = BayesianLogisticRegression(
            names=("logit",),
            prior_mean={"logit": 1.0},
            prior_variance=prior_variance,
            forgetting=forgetting,
        )

    @property
    def weights(self) -> GaussianWeights:
        return self._model.weights

    def learn(self, logit: float, came_true: bool, w: float = 1.0) -> None:
        """Learn from log odds that were said before it was known what would come true."""
        self._model.learn_vector(_vector(logit), came_true, w)

    def apply(self, logit: float) -> float:
        """The log odds that should have been said."""
        return self._model.center(_vector(logit))


class OnlineRecalibration(base.Wrapper[base.Classifier], base.Classifier):
    """Answers a binary classifier's probabilities after a `LogitMap` of their log odds.

    The map learns from what the classifier says of an example before the classifier has learnt
    from it: of what it has seen, a classifier speaks too surely.

    >>> model = OnlineRecalibration(LogisticRegression())
    >>> model.predict_proba_one({"late": 1.0})
    {False: 0.5, True: 0.5}
    """

    def __init__(
        self, classifier: base.Classifier, prior_variance: float = 0.1, forgetting: float = 1.0
    ) -> None:
        self.classifier = classifier
        self.prior_variance = prior_variance
        self.forgetting = forgetting
        self.map = LogitMap(prior_variance, forgetting)

    @property
    def _wrapped_model(self) -> base.Classifier:
        return self.classifier

    @property
    def _multiclass(self) -> bool:
        return False  # whatever the classifier could do: log odds are of two classes

    def learn_one(self, x: dict[Any, Any], y: ClfTarget, **kwargs: Any) -> None:
        """Test, then train: first the map, then the classifier."""
        said = logit_of(self.classifier.predict_proba_one(x))
        self.map.learn(said, bool(y), kwargs.get("w", 1.0))
        self.classifier.learn_one(x, y, **kwargs)

    def predict_proba_one(self, x: dict[Any, Any], **kwargs: Any) -> dict[ClfTarget, float]:
        said = logit_of(self.classifier.predict_proba_one(x, **kwargs))
        probability = sigmoid(self.map.apply(said))
        return {False: 1.0 - probability, True: probability}

    @classmethod
    def _unit_test_params(cls) -> Iterator[dict[str, Any]]:
        yield {"classifier": LogisticRegression()}


def _vector(logit: float) -> Vector:
    return np.array((1.0, logit))

"""Several classifiers as one, by the mean of their log odds."""

from collections.abc import Iterator, Sequence
from math import isfinite
from typing import Any, Self

from river import base
from river.base.typing import ClfTarget
from river.linear_model import LogisticRegression

from models.learning.bayesian import BayesianLogisticRegression
from models.learning.log_odds import logit_of, sigmoid


class MeanLogit(base.Ensemble[base.Classifier], base.Classifier):
    """Predicts the mean of its members' log odds, weighted by ``weights`` if given.

    The logarithmic opinion pool: a confident member has more influence than in a mean of
    probabilities, and one that says 0.5 pulls the mean towards 0.5. C. Genest, J. Zidek (1986),
    "Combining Probability Distributions", Statistical Science 1(1).

    >>> blend = MeanLogit([BayesianLogisticRegression(), LogisticRegression()])
    >>> for x, y in [({"late": 1.0}, True), ({"late": -1.0}, False)] * 20:
    ...     blend.learn_one(x, y)
    >>> round(blend.predict_proba_one({"late": 1.0})[True], 2)
    0.77
    """

    def __init__(
        self, models: Sequence[base.Classifier], weights: tuple[float, ...] | None = None
    ) -> None:
        super().__init__(iter(models))
        shares = (1.0,) * len(self.models) if weights is None else weights
        if len(shares) != len(self.models):
            raise ValueError(f"{len(self.models)} models need as many weights, not {len(shares)}")
        total = 0.0
        for share in shares:
            total += share
        if not all(isfinite(share) and share >= 0.0 for share in shares) or total <= 0.0:
            raise ValueError(f"weights must be 0 or more, and one of them above 0, not {shares}")
        self.weights = weights
        self._shares = tuple(share / total for share in shares)

    def learn_one(self, x: dict[Any, Any], y: ClfTarget, **kwargs: Any) -> None:
        """Teach every member."""
        for model in self.models:
            model.learn_one(x, y, **kwargs)

    def predict_proba_one(self, x: dict[Any, Any], **kwargs: Any) -> dict[ClfTarget, float]:
        logit = 0.0
        for model, share in zip(self.models, self._shares, strict=True):
            logit += share * logit_of(model.predict_proba_one(x, **kwargs))
        probability = sigmoid(logit)
        return {False: 1.0 - probability, True: probability}

    def clone(
        self, new_params: dict[str, Any] | None = None, include_attributes: bool = False
    ) -> Self:
        """Members are cloned one by one: River's own way would copy what they have learnt."""
        params = {"models": self.models, "weights": self.weights, **(new_params or {})}
        models = [model.clone(include_attributes=include_attributes) for model in params["models"]]
        return type(self)(models, params["weights"])

    @classmethod
    def _unit_test_params(cls) -> Iterator[dict[str, Any]]:
        yield {"models": [BayesianLogisticRegression(), LogisticRegression()]}

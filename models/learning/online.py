"""River's scaler and logistic regression for one horizon, and whether it is to be listened to."""

from collections import Counter, defaultdict
from typing import Any

from msgspec import Struct
from river.linear_model import LogisticRegression
from river.optim import SGD
from river.preprocessing import StandardScaler

from config.parameters import Parameters
from models.learning.features import NAMES
from models.learning.snapshot import LinearModel

#: Weight of the latest example in the running losses: about the last thousand count.
_LOSS_RATE = 0.001
_JUDGED_MIN = 100


class OnlineState(Struct, rename="camel"):
    """All that a learner is, as numbers: a restored one learns on bit for bit."""

    count: int = 0
    means: tuple[float, ...] = (0.0,) * len(NAMES)
    variances: tuple[float, ...] = (0.0,) * len(NAMES)
    weights: tuple[float, ...] = (0.0,) * len(NAMES)
    intercept: float = 0.0
    judged: int = 0
    champion_loss: float = 0.0
    baseline_loss: float = 0.0
    serves: bool = False


class OnlineLearner:
    """Standardizes and learns one example at a time."""

    def __init__(self, state: OnlineState, parameters: Parameters) -> None:
        self._parameters = parameters
        self._state = state
        # River's methods have no types.
        self._scaler: Any = StandardScaler()
        self._model: Any = LogisticRegression(SGD(parameters.learning.learning_rate), l2=0.0)
        if state.count:
            # River has no way to hand it a state; these are its own attributes, and a test fails
            # when a restored learner and one that never stopped differ in a bit.
            self._scaler.counts = Counter(dict.fromkeys(NAMES, state.count))
            self._scaler.means = defaultdict(float, zip(NAMES, state.means, strict=True))
            self._scaler.vars = defaultdict(float, zip(NAMES, state.variances, strict=True))
            for name, weight in zip(NAMES, state.weights, strict=True):
                self._model._weights[name] = weight
            self._model.intercept = state.intercept

    def predict(self, features: tuple[float, ...]) -> float:
        """The probability by what has been learnt so far."""
        x = self._scaler.transform_one(dict(zip(NAMES, features, strict=True)))
        return float(self._model.predict_proba_one(x)[True])

    def learn(self, features: tuple[float, ...], churned: bool) -> None:
        """Learn from one example."""
        x = dict(zip(NAMES, features, strict=True))
        self._scaler.learn_one(x)
        self._model.learn_one(self._scaler.transform_one(x), churned)
        self._state.count += 1

    def judge(self, champion_loss: float, baseline_loss: float) -> None:
        """Compare the two scorers on one example; a lead must be clear to change who serves."""
        state = self._state
        state.judged += 1
        rate = max(_LOSS_RATE, 1.0 / state.judged)
        state.champion_loss += rate * (champion_loss - state.champion_loss)
        state.baseline_loss += rate * (baseline_loss - state.baseline_loss)
        if state.judged < _JUDGED_MIN:
            return
        lead = state.baseline_loss - state.champion_loss
        margin = self._parameters.learning.champion_margin
        state.serves = lead > (-margin if state.serves else margin)

    def state(self) -> OnlineState:
        """Everything there is to restore it from."""
        scaler, model, before = self._scaler, self._model, self._state
        if before.count:
            before.means = tuple(scaler.means[name] for name in NAMES)
            before.variances = tuple(scaler.vars[name] for name in NAMES)
            before.weights = tuple(float(model._weights[name]) for name in NAMES)
            before.intercept = float(model.intercept)
        return before

    def model(self) -> LinearModel | None:
        """What scores are made with; None until enough was learnt to say anything."""
        state = self.state()
        if state.count < self._parameters.learning.minimum_examples:
            return None
        return LinearModel(
            means=state.means,
            deviations=tuple(variance**0.5 for variance in state.variances),
            weights=state.weights,
            intercept=state.intercept,
            examples=state.count,
            serves=state.serves,
        )

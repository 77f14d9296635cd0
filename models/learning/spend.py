"""The challenger of the value formula: a customer's spend within a horizon, learnt online.

A Poisson regression with a logarithmic link and a Gaussian over its weights: each example updates
it by one step of an extended Kalman filter, and its variance grows with time. M. West,
P. J. Harrison, H. S. Migon (1985), "Dynamic Generalized Linear Models and Bayesian Forecasting",
Journal of the American Statistical Association 80(389). It starts equal to the formula, whose
logarithm is a feature of weight 1, and learns to correct it. The unit of amounts is one typical
order.
"""

from math import exp, log, log1p
from typing import Any

from config.duration import DAY_MS
from config.parameters import Parameters
from models.learning.history import History
from models.learning.horizons import name_of
from models.learning.lessons import Example, Forecast
from models.learning.log_odds import clipped
from models.learning.spend_models import (
    PRIOR_VARIANCE,
    SIZE,
    SpendScoring,
    SpendState,
    SpendStates,
    model_of,
    spend_quality,
)

#: The share of a weight's initial variance that is added each day.
_DRIFT_A_DAY = 0.01
#: The variance of spend divided by its mean, in typical orders; it would be 1 for a count.
_DISPERSION = 5.0
_LEAST_ORDERS = 1e-6
_LOG_MAX = 12.0
#: Added to the spend per day, in typical orders, so that a spend of 0 has a logarithm.
_SPEND_FLOOR = 0.03
#: Weight of the latest example in the running losses: about the last 1,000 examples count.
_LOSS_RATE = 0.001
_JUDGED_MIN = 100


def features(
    past: History, net_minor: int, formula_orders: float, order_minor: float
) -> tuple[float, ...]:
    """The challenger's features, in the order of `NAMES`.

    They are recomputed for waiting labels. So if this formula changes, the part that keeps labels
    needs a new version, which reads old labels by the old formula.
    """
    days = past.repeats + 1
    # Compared inline, as below: this runs at every decision point, and a call takes longer.
    return (
        log(_LEAST_ORDERS if formula_orders < _LEAST_ORDERS else formula_orders),
        log1p(past.recency),
        log1p(past.repeats),
        log1p(past.life),
        log((net_minor if net_minor > 0 else 0) / (days * order_minor) + _SPEND_FLOOR),
        1.0 if past.repeats == 0 else 0.0,
    )


def spent_behind(spend_a_day: float, repeats: int, order_minor: float) -> int:
    """The net spend from which `features` computed this ``spend_a_day``; 0 if there was none."""
    return round((exp(spend_a_day) - _SPEND_FLOOR) * (repeats + 1) * order_minor)


def expected_orders(weights: tuple[float, ...], seen: tuple[float, ...]) -> float:
    """The expected spend in typical orders, added up in the order of the features."""
    total = weights[0]
    for place, value in enumerate(seen, 1):
        total += weights[place] * value
    return exp(clipped(total, _LOG_MAX))


def deviance(said: float, came: float) -> float:
    """The Poisson deviance of one forecast: 0 if it was exact, larger the further it was off."""
    if said < _LEAST_ORDERS:
        said = _LEAST_ORDERS
    return 2.0 * ((came * log(came / said) if came > 0 else 0.0) - (came - said))


def learn_spend(
    state: SpendState, forecast: Forecast, spent_minor: int, at_ms: int, margin: float
) -> None:
    """Judge the forecast that matured at ``at_ms``, and learn from it.

    The challenger is judged with its present weights. The serving scorer changes only when the
    other one leads by ``margin``, a share of the formula's loss.
    """
    came = spent_minor / forecast.order_minor
    seen = forecast.features
    said = expected_orders(state.weights, seen)
    _judge(state, forecast, said, came, margin)
    days = max(at_ms - state.latest_ms, 0) / DAY_MS if state.latest_ms else 0.0
    state.latest_ms = max(state.latest_ms, at_ms)
    state.examples += 1
    _update(state, (1.0, *seen), said, came, days)


def _judge(
    state: SpendState, forecast: Forecast, by_now: float, came: float, margin: float
) -> None:
    """``by_now``: the forecast with the challenger's present weights."""
    judged = state.examples + 1
    rate = max(_LOSS_RATE, 1.0 / judged)
    formula = forecast.formula_minor / forecast.order_minor
    state.formula_loss += rate * (deviance(formula, came) - state.formula_loss)
    state.challenger_loss += rate * (deviance(by_now, came) - state.challenger_loss)
    if judged >= _JUDGED_MIN:
        lead = state.formula_loss - state.challenger_loss
        needed = margin * state.formula_loss
        state.serves = lead > (-needed if state.serves else needed)
    if forecast.challenger_minor is not None:
        challenger = forecast.challenger_minor / forecast.order_minor
        state.compared += 1
        state.formula_orders += formula
        state.challenger_orders += challenger
        state.spent_orders += came
        state.formula_deviance += deviance(formula, came)
        state.challenger_deviance += deviance(challenger, came)


def _update(state: SpendState, x: tuple[float, ...], said: float, came: float, days: float) -> None:
    """Increase the variances by the ``days`` since the last example, and learn one example, for
    which the weights forecast ``said``.

    Plain sums in one order give the same bits on every machine. The columns are written out,
    because a loop over seven takes twice as long.
    """
    looser = _DRIFT_A_DAY * days * PRIOR_VARIANCE
    covariance = [list(row) for row in state.covariance]
    for place in range(SIZE):
        covariance[place][place] += looser
    x0, x1, x2, x3, x4, x5, x6 = x
    s0, s1, s2, s3, s4, s5, s6 = spread = [
        0.0 + a * x0 + b * x1 + c * x2 + d * x3 + e * x4 + f * x5 + g * x6
        for a, b, c, d, e, f, g in covariance
    ]
    variance = 0.0 + s0 * x0 + s1 * x1 + s2 * x2 + s3 * x3 + s4 * x4 + s5 * x5 + s6 * x6
    total = variance + _DISPERSION / said
    gain = (came - said) / said / total
    # A tuple from a list: one from a generator takes several times as long.
    state.weights = tuple([w + gain * s for w, s in zip(state.weights, spread, strict=True)])
    state.covariance = tuple(
        [
            (
                a - s * s0 / total,
                b - s * s1 / total,
                c - s * s2 / total,
                d - s * s3 / total,
                e - s * s4 / total,
                f - s * s5 / total,
                g - s * s6 / total,
            )
            for (a, b, c, d, e, f, g), s in zip(covariance, spread, strict=True)
        ]
    )


class SpendLearner:
    """Learns each horizon separately."""

    knows_enough = True

    def __init__(self, state: Any, parameters: Parameters) -> None:
        self._state: SpendStates = state or SpendStates()
        self._parameters = parameters

    def learn(self, example: Example) -> None:
        """Learn from an example, if it has a forecast."""
        if example.forecast is None:
            return
        horizon = name_of(example.horizon_days)
        state = self._state.horizons.get(horizon)
        if state is None:
            state = self._state.horizons[horizon] = SpendState()
        margin = self._parameters.value.challenger_margin
        learn_spend(state, example.forecast, example.spent_minor, example.timestamp_ms, margin)

    def state(self) -> SpendStates:
        """The whole state, enough to restore the learner."""
        return self._state

    def draw(self, _now_ms: int) -> SpendScoring:
        """The models with enough examples, and the quality of both scorers."""
        minimum = self._parameters.learning.minimum_examples
        found = {name: model_of(state, minimum) for name, state in self._state.horizons.items()}
        models = {name: model for name, model in found.items() if model is not None}
        return SpendScoring(models, tuple(spend_quality(self._state.horizons)))

"""The challenger of the value formula: what a customer spends within a horizon, learnt online.

A Poisson regression with a logarithmic link whose weights are a Gaussian belief that drifts: each
example turns it by one step of an extended Kalman filter, and time lets it loosen. M. West,
P. J. Harrison, H. S. Migon (1985), "Dynamic Generalized Linear Models and Bayesian Forecasting",
Journal of the American Statistical Association 80(389). It begins as the formula, whose logarithm
is a feature of weight 1, and learns in what the formula errs. Amounts are told in typical orders.
"""

from collections.abc import Iterator, Mapping, Sequence
from math import exp, log, log1p

from msgspec import Struct

from config.duration import DAY_MS
from models.customer.pending import Forecast
from models.learning.features import History
from models.learning.snapshot import SpendModel, SpendQuality

NAMES = ("formula", "recency", "frequency", "tenure", "spend_a_day", "one_timer")
_SIZE = 1 + len(NAMES)
_PRIOR = (0.0, 1.0, *(0.0,) * (_SIZE - 2))
#: Variance of a weight before anything is learnt, and the share of it by which a day loosens it.
_PRIOR_VARIANCE = 0.0625
_DRIFT_A_DAY = 0.01
#: Spend varies more than counts do: its variance is so many times its mean, both in orders.
_DISPERSION = 5.0
_LEAST_ORDERS = 1e-6
_LOG_MAX = 12.0
#: Weight of the latest example in the running losses: about the last thousand count.
_LOSS_RATE = 0.001
_JUDGED_MIN = 100


class SpendState(Struct, rename="camel"):
    """All that a learner is, as numbers: a restored one learns on bit for bit.

    The losses are running means of the Poisson deviance by which the server is chosen;
    ``formula_orders``, ``challenger_orders`` and ``spent_orders`` are sums over all examples that
    both had foretold, of what they said then and of what came.
    """

    weights: tuple[float, ...] = _PRIOR
    covariance: tuple[tuple[float, ...], ...] = tuple(
        tuple(_PRIOR_VARIANCE if row == column else 0.0 for column in range(_SIZE))
        for row in range(_SIZE)
    )
    latest_ms: int = 0
    examples: int = 0
    formula_loss: float = 0.0
    challenger_loss: float = 0.0
    serves: bool = False
    compared: int = 0
    formula_orders: float = 0.0
    challenger_orders: float = 0.0
    spent_orders: float = 0.0
    formula_deviance: float = 0.0
    challenger_deviance: float = 0.0


def features(
    past: History, net_minor: int, formula_orders: float, order_minor: float
) -> tuple[float, ...]:
    """What the challenger sees, in the order of `NAMES`."""
    days = past.repeats + 1
    return (
        log(max(formula_orders, _LEAST_ORDERS)),
        log1p(past.recency),
        log1p(past.repeats),
        log1p(past.life),
        log(max(net_minor, 0) / (days * order_minor) + 0.03),
        1.0 if past.repeats == 0 else 0.0,
    )


def expected_orders(weights: tuple[float, ...], seen: tuple[float, ...]) -> float:
    """The expected spend in typical orders, added up in the order of the features."""
    total = weights[0]
    for weight, value in zip(weights[1:], seen, strict=True):
        total += weight * value
    return exp(min(max(total, -_LOG_MAX), _LOG_MAX))


def deviance(said: float, came: float) -> float:
    """The Poisson deviance of one forecast: 0 when it was right, more the further it was off."""
    said = max(said, _LEAST_ORDERS)
    return 2.0 * ((came * log(came / said) if came > 0 else 0.0) - (came - said))


def learn_spend(
    state: SpendState, forecast: Forecast, spent_minor: int, at_ms: int, margin: float
) -> None:
    """Judge the forecast that matured at ``at_ms``, and learn from it.

    Who serves is decided by what the learner would say by now; a lead must be clear, by ``margin``
    of the formula's loss, to change it.
    """
    came = spent_minor / forecast.order_minor
    seen = forecast.features
    _judge(state, forecast, came, margin)
    days = max(at_ms - state.latest_ms, 0) / DAY_MS if state.latest_ms else 0.0
    state.latest_ms = max(state.latest_ms, at_ms)
    state.examples += 1
    _update(state, (1.0, *seen), came, days)


def _judge(state: SpendState, forecast: Forecast, came: float, margin: float) -> None:
    judged = state.examples + 1
    rate = max(_LOSS_RATE, 1.0 / judged)
    formula = forecast.formula_minor / forecast.order_minor
    by_now = expected_orders(state.weights, forecast.features)
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


def _update(state: SpendState, x: tuple[float, ...], came: float, days: float) -> None:
    """Loosen the belief by the days gone by, and turn it towards one example.

    Plain sums in one order: the same bits on every machine.
    """
    looser = _DRIFT_A_DAY * days * _PRIOR_VARIANCE
    covariance = [list(row) for row in state.covariance]
    for place in range(_SIZE):
        covariance[place][place] += looser
    spread = [_product(row, x) for row in covariance]
    variance = _product(spread, x)
    said = expected_orders(state.weights, x[1:])
    noise = _DISPERSION / said
    gain = (came - said) / said / (variance + noise)
    state.weights = tuple(w + gain * s for w, s in zip(state.weights, spread, strict=True))
    state.covariance = tuple(
        tuple(c - s * other / (variance + noise) for c, other in zip(row, spread, strict=True))
        for row, s in zip(covariance, spread, strict=True)
    )


def _product(row: Sequence[float], x: Sequence[float]) -> float:
    """The dot product, added from left to right: ``sum`` compensates from Python 3.12 on."""
    total = 0.0
    for one, other in zip(row, x, strict=True):
        total += one * other
    return total


def model_of(state: SpendState, minimum_examples: int) -> SpendModel | None:
    """What forecasts are made with; None until enough was learnt to say anything."""
    if state.examples < minimum_examples:
        return None
    return SpendModel(state.weights, state.examples, state.serves)


def spend_quality(states: Mapping[str, SpendState]) -> Iterator[SpendQuality]:
    """How both did, by horizon."""
    for horizon, state in sorted(states.items()):
        for scorer, orders, lost in (
            ("challenger", state.challenger_orders, state.challenger_deviance),
            ("formula", state.formula_orders, state.formula_deviance),
        ):
            yield SpendQuality(
                horizon_days=float(horizon),
                scorer=scorer,
                examples=state.compared,
                ratio=orders / state.spent_orders if state.spent_orders else None,
                deviance=lost / state.compared if state.compared else None,
            )

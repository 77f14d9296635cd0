"""The challengers that forecast spend, their learner's state in a snapshot, and their quality."""

from collections.abc import Iterator, Mapping

from msgspec import Struct

from models.measures import Measure, Sample

#: The features of a challenger, in their order.
NAMES = ("formula", "recency", "frequency", "tenure", "spend_a_day", "one_timer")
SIZE = 1 + len(NAMES)
_PRIOR = (0.0, 1.0, *(0.0,) * (SIZE - 2))
#: Variance of a weight before anything is learnt.
PRIOR_VARIANCE = 0.0625


class SpendModel(Struct, frozen=True, rename="camel"):
    """The weights for `expected_orders`, the intercept's first. ``serves``: whether this model is
    used instead of the formula.
    """

    weights: tuple[float, ...]
    examples: int
    serves: bool


class SpendQuality(Struct, frozen=True, rename="camel"):
    """The quality of one scorer's forecasts of spend: ``ratio`` is total forecast divided by total
    actual spend; ``deviance`` is the mean Poisson deviance in typical orders. Both cover the
    forecasts that both scorers made.
    """

    horizon_days: float
    scorer: str
    examples: int
    ratio: float | None
    deviance: float | None


class SpendScoring(Struct, frozen=True, rename="camel"):
    """The models by horizon in days, and the quality of both scorers."""

    models: dict[str, SpendModel] = {}
    quality: tuple[SpendQuality, ...] = ()


_SCORER = ("horizon_days", "scorer")
_RATIO = Measure(
    "keepstream_spend_expected_ratio",
    "Total spend forecast at matured decisions, divided by total actual spend",
    _SCORER,
)
_DEVIANCE = Measure(
    "keepstream_spend_deviance",
    "Mean Poisson deviance of expected spend, in typical orders",
    _SCORER,
)
_SERVES = Measure(
    "keepstream_spend_serves",
    "Whether the challenger's expected spend is served (1) or the formula's (0)",
    ("horizon_days",),
)
MEASURES: tuple[Measure, ...] = (_RATIO, _DEVIANCE, _SERVES)


def samples(drawn: SpendScoring) -> Iterator[Sample]:
    """The quality of forecasts of spend, and which scorer serves."""
    for horizon, model in drawn.models.items():
        yield Sample(_SERVES, (horizon,), float(model.serves))
    for told in drawn.quality:
        for measure, value in ((_RATIO, told.ratio), (_DEVIANCE, told.deviance)):
            if value is not None:
                yield Sample(measure, (f"{told.horizon_days:g}", told.scorer), value)


class SpendState(Struct, rename="camel"):
    """A learner's whole state: a restored one continues bit for bit.

    The losses are running means of the Poisson deviance, which decide the serving scorer.
    ``formula_orders``, ``challenger_orders`` and ``spent_orders`` are sums of forecasts and of
    actual spend over all examples that both scorers forecast.
    """

    weights: tuple[float, ...] = _PRIOR
    covariance: tuple[tuple[float, ...], ...] = tuple(
        tuple(PRIOR_VARIANCE if row == column else 0.0 for column in range(SIZE))
        for row in range(SIZE)
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


class SpendStates(Struct, rename="camel"):
    """The state of each horizon, by its days."""

    horizons: dict[str, SpendState] = {}


def model_of(state: SpendState, minimum_examples: int) -> SpendModel | None:
    """The model for forecasts; None before there are enough examples."""
    if state.examples < minimum_examples:
        return None
    return SpendModel(state.weights, state.examples, state.serves)


def spend_quality(states: Mapping[str, SpendState]) -> Iterator[SpendQuality]:
    """The quality of both scorers, by horizon."""
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

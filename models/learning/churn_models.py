"""The models that churn scores are made with, and how good those scores were."""

from collections.abc import Iterator

from msgspec import Struct

from models.measures import Measure, Sample

#: The name of the served scores, whichever scorer gave them; and of all kinds of decisions
#: together.
CHAMPION, ALL_KINDS = "champion", "all"


class LinearModel(Struct, frozen=True, rename="camel"):
    """Weights of standardized features, in the order of `feature_names.NAMES`, and an intercept."""

    intercept: float
    weights: tuple[float, ...]


class ChurnModels(Struct, frozen=True, rename="camel"):
    """The models of one horizon: two logistic models over the same standardized features.

    ``shift``: what recalibration adds to the log odds of the blend. ``champion``: the name of the
    scorer whose scores are served; all others keep learning and are judged.
    """

    means: tuple[float, ...]
    deviations: tuple[float, ...]
    logistic: LinearModel
    bayesian: LinearModel
    shift: float
    champion: str
    examples: int


class Quality(Struct, frozen=True, rename="camel"):
    """The quality of one scorer for one horizon and kind of decision; None for a measure that
    cannot be computed yet.

    ``curve``: (mean score, share that came true) in bins of equal count, only for served scores.
    """

    horizon_days: float
    kind: str
    scorer: str
    examples: int
    log_loss: float | None
    auc: float | None
    calibration_error: float | None
    curve: tuple[tuple[float, float], ...] = ()


class ChurnScoring(Struct, frozen=True, rename="camel"):
    """The models by horizon in days, and the quality of every scorer."""

    models: dict[str, ChurnModels] = {}
    quality: tuple[Quality, ...] = ()


_SCORER = ("horizon_days", "kind", "scorer")
_LOG_LOSS = Measure(
    "keepstream_model_log_loss",
    "Mean log loss of matured decisions, each scored before it was learnt from",
    _SCORER,
)
_AUC = Measure("keepstream_model_auc", "AUC of matured decisions", _SCORER)
_CALIBRATION_ERROR = Measure(
    "keepstream_model_calibration_error",
    "Mean gap between scores and outcomes, over 15 bins of equal count",
    _SCORER,
)
_RELIABILITY = Measure(
    "keepstream_model_reliability",
    "Reliability curve of served scores: mean score (of = said) and share that came true "
    "(of = came_true) by bin of equal count, the lowest scores in bin 1",
    ("horizon_days", "kind", "bin", "of"),
)
_EXAMPLES = Measure("keepstream_model_examples", "Matured decisions scored", _SCORER)
_SERVES = Measure(
    "keepstream_model_serves",
    "Whether this scorer's scores are served (1) or only judged (0)",
    ("horizon_days", "scorer"),
)
MEASURES: tuple[Measure, ...] = (
    _LOG_LOSS,
    _AUC,
    _CALIBRATION_ERROR,
    _RELIABILITY,
    _EXAMPLES,
    _SERVES,
)


def samples(drawn: ChurnScoring, scorers: tuple[str, ...]) -> Iterator[Sample]:
    """The quality of the models, and which of the ``scorers`` serves."""
    for horizon, model in drawn.models.items():
        for scorer in scorers:
            yield Sample(_SERVES, (horizon, scorer), float(scorer == model.champion))
    for told in drawn.quality:
        labels = (f"{told.horizon_days:g}", told.kind, told.scorer)
        yield Sample(_EXAMPLES, labels, told.examples)
        for measure, value in (
            (_LOG_LOSS, told.log_loss),
            (_AUC, told.auc),
            (_CALIBRATION_ERROR, told.calibration_error),
        ):
            if value is not None:
                yield Sample(measure, labels, value)
        for number, (said, came_true) in enumerate(told.curve, start=1):
            place = (*labels[:2], str(number))
            yield Sample(_RELIABILITY, (*place, "said"), said)
            yield Sample(_RELIABILITY, (*place, "came_true"), came_true)

"""The scorers that run side by side, and the log odds of churn that each of them gives."""

from collections.abc import Sequence
from enum import StrEnum
from math import exp, isnan, log1p, nan
from struct import Struct as Layout
from typing import NamedTuple

from models.learning.log_odds import clipped, logit
from models.learning.snapshot import ChurnModels

#: Beyond it a scorer says no more than "certainly".
LOG_ODDS_MAX = 12.0


class Scorer(StrEnum):
    """The formula, the models, and what is made of them."""

    BASELINE = "baseline"
    LOGISTIC = "logistic"
    BAYESIAN = "bayesian"
    BLEND = "blend"
    RECALIBRATED = "recalibrated"


SCORERS = tuple(Scorer)
#: Log odds in the order of `SCORERS`; None of a scorer that has nothing to say yet.
LogOdds = tuple[float | None, ...]

_BASELINE = SCORERS.index(Scorer.BASELINE)
_LAYOUT = Layout(f"<{len(SCORERS)}fb")


class Said(NamedTuple):
    """What each scorer said of a decision, and the place in `SCORERS` of the one that served."""

    log_odds: LogOdds
    served: int

    @property
    def is_complete(self) -> bool:
        """Whether every scorer had something to say."""
        return None not in self.log_odds


def say(models: ChurnModels | None, features: Sequence[float], formula: float | None) -> LogOdds:
    """What every scorer says; ``formula`` is the probability by BG/NBD, None before it is fitted.

    Added up in the order of the features: a product over many rows may differ in its last bits
    with their number.
    """
    baseline = None if formula is None else log_odds_of(formula)
    if models is None:
        return (baseline, None, None, None, None)
    logistic, bayesian = models.logistic.intercept, models.bayesian.intercept
    for value, mean, deviation, one, other in zip(
        features,
        models.means,
        models.deviations,
        models.logistic.weights,
        models.bayesian.weights,
        strict=True,
    ):
        if deviation:
            standardized = (value - mean) / deviation
            logistic += one * standardized
            bayesian += other * standardized
    return combined(baseline, logistic, bayesian, models.shift)


def combined(baseline: float | None, logistic: float, bayesian: float, shift: float) -> LogOdds:
    """What the two models said, with the formula, their mean, and the mean recalibrated."""
    logistic, bayesian = _bounded(logistic), _bounded(bayesian)
    if baseline is None:
        blend = (logistic + bayesian) / 2.0
    else:
        blend = (logistic + bayesian + baseline) / 3.0
    return baseline, logistic, bayesian, blend, _bounded(blend + shift)


def shares(scorer: Scorer, has_formula: bool) -> tuple[float, float, float]:
    """The parts of logistic model, Bayesian model and formula in what ``scorer`` says."""
    if scorer is Scorer.BASELINE:
        return 0.0, 0.0, 1.0
    if scorer is Scorer.LOGISTIC:
        return 1.0, 0.0, 0.0
    if scorer is Scorer.BAYESIAN:
        return 0.0, 1.0, 0.0
    return (1 / 3, 1 / 3, 1 / 3) if has_formula else (1 / 2, 1 / 2, 0.0)


def pack_said(said: Said) -> bytes:
    """As single precision floats, which is more than a score means."""
    return _LAYOUT.pack(*[nan if odds is None else odds for odds in said.log_odds], said.served)


def unpack_said(content: bytes) -> Said:
    """Raises ``ValueError`` for what a release with other scorers packed."""
    if len(content) != _LAYOUT.size:
        raise ValueError(f"not what the {len(SCORERS)} scorers of this release said")
    *log_odds, served = _LAYOUT.unpack(content)
    return Said(tuple(None if isnan(odds) else odds for odds in log_odds), served)


def log_odds_of(probability: float) -> float:
    """Within ±`LOG_ODDS_MAX`."""
    return logit(probability, LOG_ODDS_MAX)


def loss_of(log_odds: float, came_true: bool) -> float:
    """Minus the logarithm of the probability given to what happened."""
    against = -log_odds if came_true else log_odds
    return log1p(exp(against)) if against < 0.0 else against + log1p(exp(-against))


def _bounded(log_odds: float) -> float:
    return clipped(log_odds, LOG_ODDS_MAX)

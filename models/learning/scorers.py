"""The scorers that run side by side, and the log odds of churn that each one gives."""

from enum import StrEnum
from math import exp, isnan, log1p, nan
from struct import Struct as Layout
from typing import NamedTuple

from models.learning.churn_models import ChurnModels
from models.learning.log_odds import clipped, logit

#: A scorer's log odds are limited to ± this, a probability of 0.999994.
LOG_ODDS_MAX = 12.0


class Scorer(StrEnum):
    """The formula, the two models, their blend, and the recalibrated blend."""

    BASELINE = "baseline"
    LOGISTIC = "logistic"
    BAYESIAN = "bayesian"
    BLEND = "blend"
    RECALIBRATED = "recalibrated"


SCORERS = tuple(Scorer)
#: Log odds in the order of `SCORERS`; None for a scorer that cannot score yet.
LogOdds = tuple[float | None, ...]

_BASELINE = SCORERS.index(Scorer.BASELINE)
_LAYOUT = Layout(f"<{len(SCORERS)}fb")


class Said(NamedTuple):
    """Each scorer's log odds at a decision, and the index in `SCORERS` of the one that served."""

    log_odds: LogOdds
    served: int

    @property
    def is_complete(self) -> bool:
        """Whether every scorer gave log odds."""
        return None not in self.log_odds


def say(models: ChurnModels | None, features: tuple[float, ...], formula: float | None) -> LogOdds:
    """Every scorer's log odds; ``formula``: BG/NBD's probability, None before it is fitted.

    Added up in the order of the features, because the last bits of a matrix product may depend on
    the number of rows.
    """
    baseline = None if formula is None else log_odds_of(formula)
    if models is None:
        return (baseline, None, None, None, None)
    logistic, bayesian = models.logistic.intercept, models.bayesian.intercept
    means = models.means
    if len(features) != len(means):
        raise ValueError(f"{len(features)} features, where the models know {len(means)}")
    # The compiler does not make a loop of a strict zip.
    for value, mean, deviation, one, other in zip(  # noqa: B905
        features, means, models.deviations, models.logistic.weights, models.bayesian.weights
    ):
        if deviation:
            standardized = (value - mean) / deviation
            logistic += one * standardized
            bayesian += other * standardized
    return combined(baseline, logistic, bayesian, models.shift)


def combined(baseline: float | None, logistic: float, bayesian: float, shift: float) -> LogOdds:
    """The log odds of the formula and the models, of their mean, and of the mean recalibrated."""
    logistic = clipped(logistic, LOG_ODDS_MAX)
    bayesian = clipped(bayesian, LOG_ODDS_MAX)
    if baseline is None:
        blend = (logistic + bayesian) / 2.0
    else:
        blend = (logistic + bayesian + baseline) / 3.0
    return baseline, logistic, bayesian, blend, clipped(blend + shift, LOG_ODDS_MAX)


def shares(scorer: Scorer, has_formula: bool) -> tuple[float, float, float]:
    """The weights of logistic model, Bayesian model and formula in the log odds of ``scorer``."""
    if scorer is Scorer.BASELINE:
        return 0.0, 0.0, 1.0
    if scorer is Scorer.LOGISTIC:
        return 1.0, 0.0, 0.0
    if scorer is Scorer.BAYESIAN:
        return 0.0, 1.0, 0.0
    return (1 / 3, 1 / 3, 1 / 3) if has_formula else (1 / 2, 1 / 2, 0.0)


def pack_said(said: Said) -> bytes:
    """Encode as single-precision floats, which are precise enough."""
    return _LAYOUT.pack(*[nan if odds is None else odds for odds in said.log_odds], said.served)


def unpack_said(content: bytes) -> Said:
    """Read what `pack_said` wrote. Raises ``ValueError`` if it is of other scorers."""
    if len(content) != _LAYOUT.size:
        raise ValueError(f"not what the {len(SCORERS)} scorers of this release said")
    *log_odds, served = _LAYOUT.unpack(content)
    # A tuple from a list: one from a generator takes several times as long.
    return Said(tuple([None if isnan(odds) else odds for odds in log_odds]), served)


def log_odds_of(probability: float) -> float:
    """The log odds of a probability, limited to ±`LOG_ODDS_MAX`."""
    return logit(probability, LOG_ODDS_MAX)


def loss_of(log_odds: float, came_true: bool) -> float:
    """Minus the logarithm of the probability given to the outcome."""
    against = -log_odds if came_true else log_odds
    return log1p(exp(against)) if against < 0.0 else against + log1p(exp(-against))

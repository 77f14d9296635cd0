"""The probability that a customer does not buy within a horizon, and who says so."""

from enum import StrEnum
from math import exp, log

from msgspec import Struct

from config.parameters import Parameters
from models.customer.row import Row
from models.learning.features import History, baseline, extract, history
from models.learning.snapshot import LinearModel, Snapshot

#: No score is surer than this: beyond it, all but the last bits of a probability are the same.
LOG_ODDS_MAX = 30.0


class Source(StrEnum):
    """Whose word a score is."""

    CHAMPION = "champion"
    CHALLENGER = "challenger"
    BASELINE = "baseline"
    PRIOR = "prior"


class Churn(Struct, frozen=True, rename="camel"):
    """P(no purchase in (t, t + horizon]); ``champion`` and ``baseline`` are what either said."""

    probability: float
    horizon_days: float
    source: Source
    model_version: int
    champion: float | None = None
    baseline: float | None = None


class Assessment(Struct, frozen=True):
    """A customer's features at a moment, and the scores of every horizon."""

    features: tuple[float, ...]
    churn: tuple[Churn, ...]
    history: History


def assess(row: Row, at_ms: int, snapshot: Snapshot, parameters: Parameters) -> Assessment | None:
    """Score every horizon kept; None for somebody who has not bought."""
    past = history(row.purchases, at_ms)
    if past is None:
        return None
    features = extract(row, past, at_ms, snapshot, parameters)
    horizons = parameters.churn.horizon_days
    scores = tuple(_churn(features, past, days, snapshot, parameters) for days in horizons)
    return Assessment(features, scores, past)


def score(
    row: Row | None, at_ms: int, horizon_days: float, snapshot: Snapshot, parameters: Parameters
) -> Churn:
    """The score for one horizon, kept or not: BG/NBD knows every horizon, the champion its own."""
    past = None if row is None else history(row.purchases, at_ms)
    if row is None or past is None:
        return Churn(parameters.churn.prior, horizon_days, Source.PRIOR, snapshot.version)
    features = extract(row, past, at_ms, snapshot, parameters)
    return _churn(features, past, horizon_days, snapshot, parameters)


def _churn(
    features: tuple[float, ...],
    past: History,
    horizon_days: float,
    snapshot: Snapshot,
    parameters: Parameters,
) -> Churn:
    learner = snapshot.churn.get(f"{horizon_days:g}")
    model = snapshot.bgnbd
    by_formula = None if model is None else baseline(past, model, horizon_days)
    by_champion = None if learner is None else linear(learner, features)
    if by_champion is not None and learner is not None and learner.serves:
        probability, source = by_champion, Source.CHAMPION
    elif by_formula is not None:
        probability, source = by_formula, Source.BASELINE
    else:
        probability, source = parameters.churn.prior, Source.PRIOR
    return Churn(probability, horizon_days, source, snapshot.version, by_champion, by_formula)


def linear(model: LinearModel, features: tuple[float, ...]) -> float:
    """The logistic model's probability, added up in the order of the features.

    One fixed order for every row: a product over many rows may differ in its last bits with their
    number.
    """
    total = model.intercept
    for value, mean, deviation, weight in zip(
        features, model.means, model.deviations, model.weights, strict=True
    ):
        if deviation:
            total += weight * ((value - mean) / deviation)
    return 1.0 / (1.0 + exp(-min(max(total, -LOG_ODDS_MAX), LOG_ODDS_MAX)))


def log_odds(probability: float) -> float:
    """The log odds of a probability, as far from 0 as those of a score may be."""
    if not 0.0 < probability < 1.0:
        return LOG_ODDS_MAX if probability > 0.5 else -LOG_ODDS_MAX
    return min(max(log(probability / (1.0 - probability)), -LOG_ODDS_MAX), LOG_ODDS_MAX)

"""The probability that a customer does not buy within a horizon, and who says so."""

from collections.abc import Iterable
from enum import StrEnum
from typing import NamedTuple

from msgspec import Struct

from config.parameters import Parameters
from models.customer.row import Row
from models.learning.features import History, baseline, extract, history
from models.learning.log_odds import sigmoid
from models.learning.scorers import SCORERS, Said, Scorer, say
from models.learning.snapshot import Snapshot

_BASELINE = SCORERS.index(Scorer.BASELINE)
#: What is said of somebody who has not bought.
_NOBODY = Said((None,) * len(SCORERS), _BASELINE)


class Source(StrEnum):
    """Whose word a score is."""

    CHAMPION = "champion"
    CHALLENGER = "challenger"
    BASELINE = "baseline"
    PRIOR = "prior"


class Churn(Struct, frozen=True):
    """P(no purchase in (t, t + horizon]), and what each scorer said."""

    probability: float
    horizon_days: float
    source: Source
    model_version: int
    said: Said

    @property
    def scorer(self) -> Scorer | None:
        """Whose word the probability is; None for the prior."""
        return None if self.source is Source.PRIOR else SCORERS[self.said.served]

    def scores(self) -> dict[str, float]:
        """The probability by each scorer that had one."""
        return {
            scorer: sigmoid(log_odds)
            for scorer, log_odds in zip(SCORERS, self.said.log_odds, strict=True)
            if log_odds is not None
        }


class Seen(NamedTuple):
    """What a model sees of a customer at a moment."""

    features: tuple[float, ...]
    history: History


class Assessment(Struct, frozen=True):
    """A customer's features at a moment, and the scores of every horizon."""

    features: tuple[float, ...]
    churn: tuple[Churn, ...]
    history: History


def see(row: Row | None, at_ms: int, snapshot: Snapshot, parameters: Parameters) -> Seen | None:
    """None for somebody who has not bought."""
    past = None if row is None else history(row.purchases, at_ms)
    if row is None or past is None:
        return None
    return Seen(extract(row, past, at_ms, snapshot, parameters), past)


def assess(row: Row, at_ms: int, snapshot: Snapshot, parameters: Parameters) -> Assessment | None:
    """Score every horizon kept; None for somebody who has not bought."""
    seen = see(row, at_ms, snapshot, parameters)
    if seen is None:
        return None
    first, *others = parameters.churn.horizon_days
    return assessed(seen, score(seen, first, snapshot, parameters), others, snapshot, parameters)


def assessed(
    seen: Seen,
    first: Churn,
    others: Iterable[float],
    snapshot: Snapshot,
    parameters: Parameters,
) -> Assessment:
    """What was seen, with the first horizon's score and those of the ``others``."""
    rest = [score(seen, horizon_days, snapshot, parameters) for horizon_days in others]
    return Assessment(seen.features, (first, *rest), seen.history)


def score(
    seen: Seen | None, horizon_days: float, snapshot: Snapshot, parameters: Parameters
) -> Churn:
    """The score for one horizon, kept or not: BG/NBD knows every horizon, the models their own.

    The prior for somebody who has not bought.
    """
    if seen is None:
        return Churn(parameters.churn.prior, horizon_days, Source.PRIOR, snapshot.version, _NOBODY)
    models = snapshot.churn.get(f"{horizon_days:g}")
    formula = None
    if snapshot.bgnbd is not None:
        formula = baseline(seen.history, snapshot.bgnbd, horizon_days)
    log_odds = say(models, seen.features, formula)
    served = _BASELINE if models is None else SCORERS.index(Scorer(models.champion))
    answer = log_odds[served]
    if answer is None:
        probability, source = parameters.churn.prior, Source.PRIOR
    else:
        probability = sigmoid(answer)
        source = Source.BASELINE if served == _BASELINE else Source.CHAMPION
    said = Said(log_odds, served)
    return Churn(probability, horizon_days, source, snapshot.version, said)

"""The probability that a customer does not buy within a horizon, and where it comes from."""

from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import NamedTuple

from msgspec import Struct
from msgspec.structs import replace

from config.parameters import Parameters
from models.learning.bgnbd import BgNbd, p_no_purchase
from models.learning.churn_models import ChurnScoring
from models.learning.feature_names import Features
from models.learning.history import History
from models.learning.horizons import ascending, name_of
from models.learning.log_odds import sigmoid
from models.learning.population import Population
from models.learning.scorers import SCORERS, Said, Scorer, say
from models.learning.snapshot import Snapshot

_PLACES = {str(scorer): place for place, scorer in enumerate(SCORERS)}
_BASELINE = _PLACES[Scorer.BASELINE]
#: The scores of a customer without a purchase: none.
_NOBODY = Said((None,) * len(SCORERS), _BASELINE)


class Source(StrEnum):
    """Where a score comes from."""

    CHAMPION = "champion"
    BASELINE = "baseline"
    PRIOR = "prior"


class Churn(Struct, frozen=True):
    """P(no purchase in (t, t + horizon]), and each scorer's log odds.

    The probability is that of the serving scorer's, kept in order with other horizons' (`score`).
    """

    probability: float
    horizon_days: float
    source: Source
    model_version: int
    said: Said

    @property
    def scorer(self) -> Scorer | None:
        """The scorer that gave the probability; None for the prior."""
        return None if self.source is Source.PRIOR else SCORERS[self.said.served]

    def scores(self) -> dict[str, float]:
        """Probabilities by scorer, without scorers that have no model yet."""
        return {
            scorer: sigmoid(log_odds)
            for scorer, log_odds in zip(SCORERS, self.said.log_odds, strict=True)
            if log_odds is not None
        }


class Seen(NamedTuple):
    """What a model sees of a customer at a moment."""

    features: Features
    history: History


class Assessment(Struct, frozen=True):
    """A customer's features at a moment, and the scores of every horizon."""

    features: Features
    churn: tuple[Churn, ...]
    history: History


def baseline(past: History, model: BgNbd, horizon_days: float) -> float:
    """BG/NBD's probability of no purchase within the horizon."""
    return p_no_purchase(model, past.repeats, past.last / 7.0, past.life / 7.0, horizon_days / 7.0)


def assessed(
    seen: Seen,
    first: Churn,
    others: Iterable[float],
    snapshot: Snapshot,
    parameters: Parameters,
) -> Assessment:
    """The features, with the scores of the first horizon and of the ``others`` (in days)."""
    found = [first]
    for horizon_days in others:
        found.append(score(seen, horizon_days, snapshot, parameters, found))
    return Assessment(seen.features, tuple(found), seen.history)


def score(
    seen: Seen | None,
    horizon_days: float,
    snapshot: Snapshot,
    parameters: Parameters,
    known: Sequence[Churn] = (),
) -> Churn:
    """The score for one horizon, which is never above that of a shorter one.

    The models of several horizons know nothing of each other, and the formula knows of none. So a
    shorter horizon's model is the most that a longer one may say, and what is said for a horizon
    between theirs lies between them. ``known``: scores of the same moment, not to be made again.
    """
    found = _by_itself(seen, horizon_days, snapshot, parameters)
    if seen is None:
        return found
    told = {one.horizon_days: one.probability for one in known}
    least, most = 0.0, 1.0
    for days in ascending(tuple(snapshot.of(ChurnScoring).models)):
        if days == horizon_days:
            break
        other = told.get(days)
        if other is None:
            other = _by_itself(seen, days, snapshot, parameters).probability
        if days > horizon_days:
            least = min(other, most)
            break
        most = min(other, most)
    probability = min(max(found.probability, least), most)
    return found if probability == found.probability else replace(found, probability=probability)


def _by_itself(
    seen: Seen | None, horizon_days: float, snapshot: Snapshot, parameters: Parameters
) -> Churn:
    """What the serving scorer says. BG/NBD scores any horizon, the models only those they learnt.

    The prior for customers without a purchase.
    """
    if seen is None:
        return Churn(parameters.churn.prior, horizon_days, Source.PRIOR, snapshot.version, _NOBODY)
    models = snapshot.of(ChurnScoring).models.get(name_of(horizon_days))
    formula, rhythm = None, snapshot.of(Population).bgnbd
    if rhythm is not None:
        formula = baseline(seen.history, rhythm, horizon_days)
    log_odds = say(models, seen.features, formula)
    served = _BASELINE if models is None else _PLACES[models.champion]
    answer = log_odds[served]
    if answer is None:
        probability, source = parameters.churn.prior, Source.PRIOR
    else:
        probability = sigmoid(answer)
        source = Source.BASELINE if served == _BASELINE else Source.CHAMPION
    said = Said(log_odds, served)
    return Churn(probability, horizon_days, source, snapshot.version, said)

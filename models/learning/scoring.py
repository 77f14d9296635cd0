"""Scores a customer: every scorer's log odds, and the probability that is served."""

from collections.abc import Iterable, Sequence

from msgspec.structs import replace

from config.parameters import Parameters
from models.learning.churn import Assessment, Churn, Seen, Source
from models.learning.churn_models import ChurnScoring
from models.learning.horizons import ascending, name_of
from models.learning.log_odds import sigmoid
from models.learning.population import Population
from models.learning.purchases_ahead import baseline
from models.learning.scorers import SCORERS, Said, Scorer, say
from models.learning.snapshot import Snapshot

_PLACES = {str(scorer): place for place, scorer in enumerate(SCORERS)}
_BASELINE = _PLACES[Scorer.BASELINE]
#: The scores of a customer without a purchase: none.
_NOBODY = Said((None,) * len(SCORERS), _BASELINE)


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

    The models of different horizons do not know of each other, and the formula knows of none. So
    the score of a shorter horizon's model is an upper bound for a longer horizon, and a score for a
    horizon between two models' lies between their scores. ``known``: scores of the same moment,
    which are not computed again.
    """
    found = _by_itself(seen, horizon_days, snapshot, parameters)
    learnt = ascending(tuple(snapshot.of(ChurnScoring).models))
    if seen is None or not learnt or learnt[0] == horizon_days:
        # There is no shorter horizon; in rules this is the usual case.
        return found
    least, most = 0.0, 1.0
    for days in learnt:
        if days == horizon_days:
            break
        other = _known_for(days, known)
        if other is None:
            other = _by_itself(seen, days, snapshot, parameters).probability
        if days > horizon_days:
            least = min(other, most)
            break
        most = min(other, most)
    probability = min(max(found.probability, least), most)
    return found if probability == found.probability else replace(found, probability=probability)


def _known_for(horizon_days: float, known: Sequence[Churn]) -> float | None:
    """The score for a horizon, if it was already computed."""
    for one in known:
        if one.horizon_days == horizon_days:
            return one.probability
    return None


def _by_itself(
    seen: Seen | None, horizon_days: float, snapshot: Snapshot, parameters: Parameters
) -> Churn:
    """The serving scorer's score. BG/NBD scores any horizon, the models only those they learnt.

    Customers without a purchase get the prior.
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

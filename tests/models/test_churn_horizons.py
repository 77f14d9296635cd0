"""No purchase within a longer time is never likelier than within a shorter one, for any model."""

from itertools import pairwise
from math import exp

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from config.parameters import Parameters
from models.customer import scores
from models.learning.bgnbd import BgNbd
from models.learning.churn import Seen
from models.learning.churn_models import ChurnModels, ChurnScoring, LinearModel
from models.learning.explanation import Group
from models.learning.feature_names import NAMES, pack
from models.learning.history import History
from models.learning.population import Population
from models.learning.scorers import SCORERS, Scorer
from models.learning.scoring import assessed, score
from models.learning.snapshot import Snapshot
from tests.models.lines import PARAMETERS, PRIOR, at, context, happened, lived, scene

HORIZONS = (1.0, 7.0, 28.0, 29.0, 60.0, 90.0, 91.0, 365.0, 1_000.0)
POPULATION = replace(PRIOR.of(Population), bgnbd=BgNbd(0.6, 6.0, 0.8, 2.5))
STILL = (0.0,) * len(NAMES)


def says(log_odds: float, champion: str = Scorer.LOGISTIC) -> ChurnModels:
    """A model with the same score for all customers."""
    return ChurnModels(
        means=STILL,
        deviations=STILL,
        logistic=LinearModel(log_odds, STILL),
        bayesian=LinearModel(-log_odds, STILL),
        shift=0.3,
        champion=champion,
        examples=500,
    )


def taught(models: dict[str, ChurnModels], formula: BgNbd | None = POPULATION.bgnbd) -> Snapshot:
    return PRIOR.replace(replace(POPULATION, bgnbd=formula), ChurnScoring(models), version=3)


def seen_of(repeats: int, last: float, recency: float) -> Seen:
    past = History((), repeats, last if repeats else 0.0, last + recency, recency)
    return Seen(STILL, past, pack(STILL))


champions = st.sampled_from(SCORERS)
odds = st.floats(-14, 14)


@given(
    st.dictionaries(st.sampled_from(["7", "28", "90", "400"]), st.tuples(odds, champions)),
    st.booleans(),
    st.integers(0, 300),
    st.floats(1, 900),
    st.floats(0, 900),
)
def test_silence_is_never_likelier_within_a_longer_time(
    models: dict[str, tuple[float, str]],
    is_fitted: bool,
    repeats: int,
    last: float,
    recency: float,
) -> None:
    taught_by = {name: says(*model) for name, model in models.items()}
    snapshot = taught(taught_by, POPULATION.bgnbd if is_fitted else None)
    buyer = seen_of(repeats, last, recency)
    found = [score(buyer, h, snapshot, PARAMETERS).probability for h in HORIZONS]

    assert all(longer <= shorter + 1e-12 for shorter, longer in pairwise(found))
    assert all(0.0 < probability < 1.0 for probability in found)


@given(odds, odds, odds, champions)
def test_scores_of_one_moment_are_those_that_are_asked_for_one_by_one(
    near: float, middle: float, far: float, champion: str
) -> None:
    models = {"28": says(near), "60": says(middle, champion), "90": says(far)}
    snapshot, buyer = taught(models), seen_of(3, 90.0, 40.0)
    first = score(buyer, 28.0, snapshot, PARAMETERS)
    together = assessed(buyer, first, (90.0, 45.0, 365.0), snapshot, PARAMETERS).churn

    for one in together:
        assert one == score(buyer, one.horizon_days, snapshot, PARAMETERS)


def test_the_shortest_horizon_stays_as_its_model_says_and_those_in_order_do_too() -> None:
    buyer = seen_of(3, 90.0, 40.0)
    for far in (-1.0, 0.5, 3.0):
        snapshot = taught({"28": says(0.8), "90": says(far)})
        near = score(buyer, 28.0, snapshot, PARAMETERS)
        found = score(buyer, 90.0, snapshot, PARAMETERS)

        assert pytest.approx(1 / (1 + exp(-0.8))) == near.probability
        assert pytest.approx(1 / (1 + exp(-min(far, 0.8)))) == found.probability
        # What is learnt from is what each said by itself.
        assert far == found.said.log_odds[SCORERS.index(Scorer.LOGISTIC)]


@pytest.mark.parametrize(("horizon_days", "far"), [(90.0, 2.5), (365.0, -4.0)])
def test_what_keeping_them_in_order_took_away_is_told(horizon_days: float, far: float) -> None:
    snapshot = taught({"28": says(0.8), "90": says(far)})
    tuning = replace(PARAMETERS.churn, horizon_days=(28.0, horizon_days))
    parameters: Parameters = replace(PARAMETERS, churn=tuning)
    buyer = lived(
        [
            happened("Order Completed", at(days=day), order_id=f"O-{day}", revenue=50.0)
            for day in (1, 9)
        ]
    )
    moment = scene(buyer, at(days=60), context(snapshot=snapshot, parameters=parameters))
    first, told = scores.explanations(moment)

    assert Group.LIMIT not in {part.group for part in first.groups}
    [limit] = [part for part in told.groups if part.group == Group.LIMIT]
    assert limit.contribution < 0.0
    assert "shorter time" in limit.words
    total = told.base + sum(part.contribution for part in told.groups)
    assert pytest.approx(told.log_odds, abs=1e-9) == total
    found = scores.assessment(moment)
    assert found is not None
    assert pytest.approx(found.churn[1].probability, rel=1e-9) == 1 / (1 + exp(-told.log_odds))

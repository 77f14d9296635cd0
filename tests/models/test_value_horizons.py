"""A customer's expected spend never falls with a longer horizon, for any scorer."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from models.learning.bgnbd import BgNbd
from models.learning.gamma_gamma import GammaGamma
from models.learning.history import History
from models.learning.population import Population
from models.learning.snapshot import Snapshot
from models.learning.spend_models import SpendModel, SpendScoring
from models.learning.value import Worth, expect, expect_in_order
from tests.models.lines import PRIOR

HORIZONS = (1.0, 7.0, 28.0, 29.0, 60.0, 90.0, 91.0, 365.0, 1_000.0)
weights = st.tuples(*[st.floats(-2, 2)] * 7)


def taught(**by_horizon: SpendModel) -> Snapshot:
    population = replace(
        PRIOR.of(Population),
        bgnbd=BgNbd(0.6, 6.0, 0.8, 2.5),
        gamma_gamma=GammaGamma(4.0, 3.0, 3_000.0),
    )
    models = {name.removeprefix("days_"): model for name, model in by_horizon.items()}
    return PRIOR.replace(population, SpendScoring(models))


def past(repeats: int, last: float, recency: float) -> History:
    return History((), repeats, last if repeats else 0.0, last + recency, recency)


@given(
    weights,
    weights,
    st.booleans(),
    st.booleans(),
    st.integers(0, 300),
    st.floats(1, 900),
    st.floats(0, 900),
)
def test_spend_never_falls_with_a_longer_horizon(
    near: tuple[float, ...],
    far: tuple[float, ...],
    near_serves: bool,
    far_serves: bool,
    repeats: int,
    last: float,
    recency: float,
) -> None:
    snapshot = taught(
        days_28=SpendModel(near, 500, near_serves), days_90=SpendModel(far, 500, far_serves)
    )
    found = [expect_in_order(past(repeats, last, recency), 9_000, h, snapshot) for h in HORIZONS]

    spends = [one.spend_minor for one in found if one is not None]
    assert len(HORIZONS) == len(spends)
    assert all(shorter <= longer for shorter, longer in pairwise(spends))
    purchases = [one.purchases for one in found if one is not None]
    assert all(shorter <= longer + 1e-9 for shorter, longer in pairwise(purchases))


def test_what_is_served_and_in_order_stays_as_it_is() -> None:
    even = (0.1, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    snapshot = taught(days_28=SpendModel(even, 500, True), days_90=SpendModel(even, 500, True))

    for horizon in (28.0, 90.0):
        plain = expect(past(3, 90, 10), 9_000, horizon, snapshot)
        assert plain == expect_in_order(past(3, 90, 10), 9_000, horizon, snapshot)
        assert plain is not None
        assert Worth.CHALLENGER is plain.source


def test_what_is_learnt_from_is_what_each_said_by_itself() -> None:
    gloomy = (-2.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    snapshot = taught(
        days_28=SpendModel((0.0, *gloomy[1:]), 500, True), days_90=SpendModel(gloomy, 500, True)
    )
    told = expect_in_order(past(3, 90, 10), 9_000, 90.0, snapshot)
    shorter = expect_in_order(past(3, 90, 10), 9_000, 28.0, snapshot)

    assert told is not None
    assert shorter is not None
    assert shorter.spend_minor == told.spend_minor
    assert told.spend_minor > (told.forecast.challenger_minor or 0.0)

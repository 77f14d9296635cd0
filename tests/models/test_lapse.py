"""Whether a customer has lapsed by what is usual for them."""

from math import nan

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.customer.churn import FACTS
from models.customer.scene import Scene
from models.customer.scores import churn, lapsed
from models.learning.bgnbd import BgNbd
from models.learning.churn import Churn, Source
from models.learning.history import History
from models.learning.lapse import lapse
from models.learning.purchases_ahead import p_no_purchase
from models.learning.scorers import SCORERS, Said
from tests.models.lines import at, context, happened, lived

RHYTHM = BgNbd(r=0.6, alpha=6.0, a=0.8, b=2.5)
NOBODY = Said((None,) * len(SCORERS), 0)


def scored(probability: float, horizon_days: float = 28.0) -> Churn:
    return Churn(probability, horizon_days, Source.CHAMPION, 1, NOBODY)


def past(silent_days: float, gap_days: int = 60, gaps: int = 3) -> History:
    last = float(gaps * gap_days)
    days = tuple(range(0, gaps * gap_days + 1, gap_days))
    return History(days, gaps, last, last + silent_days, silent_days)


def by_formula(silent_days: float, horizon_days: float) -> float:
    return p_no_purchase(RHYTHM, 3, 180 / 7, (180 + silent_days) / 7, horizon_days / 7)


def test_the_window_is_twice_the_expected_gap_and_never_less_than_the_horizon() -> None:
    assert 120.0 == lapse(past(70), scored(0.9), RHYTHM, 60.0, 70.0).window_days
    assert 28.0 == lapse(past(70), scored(0.9), RHYTHM, 7.0, 70.0).window_days


def test_where_the_formula_serves_the_probability_is_the_formulas_over_the_window() -> None:
    found = lapse(past(70), scored(by_formula(70, 28)), RHYTHM, 60.0, 70.0)

    assert pytest.approx(by_formula(70, 120)) == found.probability
    assert by_formula(70, 120) < found.risk < by_formula(70, 28)


def test_within_the_horizon_and_before_anything_is_learnt_the_score_stands_for_itself() -> None:
    for found in (
        lapse(past(70), scored(0.9), RHYTHM, 14.0, 70.0),
        lapse(past(70), scored(0.9), None, 60.0, 70.0),
    ):
        assert (pytest.approx(0.9), pytest.approx(0.9)) == (found.probability, found.risk)


@pytest.mark.parametrize(
    ("silent_days", "is_risk"), [(0.0, False), (59.9, False), (60.0, True), (90.0, True)]
)
def test_there_is_no_risk_before_a_purchase_is_expected(silent_days: float, is_risk: bool) -> None:
    found = lapse(past(silent_days), scored(0.99), RHYTHM, 60.0, silent_days)

    assert is_risk == (found.risk > 0.0)
    assert 0.0 < found.probability < 1.0


@given(st.floats(0.01, 0.99), st.floats(0, 1_000), st.floats(1, 800))
def test_a_longer_window_never_makes_a_lapse_likelier(
    probability: float, silent_days: float, expected_days: float
) -> None:
    one = lapse(past(silent_days), scored(probability), RHYTHM, expected_days, silent_days)
    longer = lapse(past(silent_days), scored(probability), RHYTHM, expected_days * 2, silent_days)

    assert longer.probability <= one.probability + 1e-12
    assert one.probability <= probability + 1e-6


@given(st.sets(st.integers(0, 200), min_size=1, max_size=6), st.integers(0, 400))
def test_the_risk_that_rules_ask_for_is_that_of_the_lapse_and_takes_no_score_while_it_is_nought(
    days: set[int], later: int
) -> None:
    orders = (
        happened("Order Completed", at(days=day), order_id=f"O-{day}", revenue=10.0)
        for day in sorted(days)
    )
    row, within = lived(orders), context()
    scene = Scene(row, "ada", at(days=later), within.present)

    risk = FACTS["churn_risk"].read(scene)
    is_scored = churn in scene._known
    found = scene.of(lapsed)

    assert repr(risk) == repr(found.risk if found is not None else nan)
    assert is_scored == (found is not None and found.risk > 0.0)

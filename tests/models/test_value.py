"""What a customer is worth: every term of it, and what it may not see."""

import pytest
from msgspec.structs import replace

from models.answer import answer
from models.customer.profile import profile
from models.customer.row import Row
from models.decisions.facts import FACTS, Scene
from models.learning.bgnbd import BgNbd
from models.learning.examples import Example
from models.learning.features import history
from models.learning.gamma_gamma import GammaGamma, expected_spend_minor
from models.learning.purchases_ahead import expected_purchases
from models.learning.snapshot import Snapshot, SpendModel
from models.learning.value import Worth, expect, expected_revenue, net_until, value
from tests.models.lines import PARAMETERS, PRIOR, at, context, happened, lived, waited

RHYTHM = BgNbd(0.243, 4.414, 0.793, 2.426)
MONEY = GammaGamma(6.25, 3.74, 1_544.0)
KNOWING = replace(PRIOR, version=1, bgnbd=RHYTHM, gamma_gamma=MONEY)
#: Twice what the formula says.
DOUBLING = SpendModel((0.6931471805599453, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0), 500, True)
NOW_MS = at(60)


def bought() -> Row:
    """Three orders, on days 0, 10 and 30, of 120 together."""
    return lived(
        happened("Order Completed", at(days), channel="search", order_id=f"o{days}", revenue=amount)
        for days, amount in ((0.5, 30), (10.5, 50), (30.5, 40))
    )


def expected_by(snapshot: Snapshot, horizon_days: float = 28.0) -> float | None:
    return expected_of(bought(), snapshot, horizon_days)


def expected_of(row: Row, snapshot: Snapshot, horizon_days: float = 28.0) -> float | None:
    past = history(row.purchases, NOW_MS)
    assert past is not None
    return expected_revenue(row, past, NOW_MS, horizon_days, snapshot, PARAMETERS)


@pytest.mark.parametrize("horizon_days", [1.0, 28.0, 90.0, 1_000.0])
def test_the_formula_answers_for_any_horizon(horizon_days: float) -> None:
    purchases = expected_purchases(RHYTHM, 2, 30 / 7, 60 / 7, horizon_days / 7)
    spend = expected_spend_minor(MONEY, 3, 12_000) / 100

    assert purchases * spend == pytest.approx(expected_by(KNOWING, horizon_days))


def test_nobody_can_say_before_there_is_a_model_or_a_purchase() -> None:
    assert expected_by(PRIOR) is None
    assert expected_by(replace(KNOWING, gamma_gamma=None)) is None
    visitor = lived([happened("page", at(1))])
    for row in (None, visitor):
        answered = answer(
            message_id="m",
            customer="ada",
            at_ms=NOW_MS,
            horizon_days=28.0,
            row=row,
            snapshot=KNOWING,
            parameters=PARAMETERS,
        )
        assert (None, None) == (answered.value, answered.silent_churn)


def test_the_challenger_answers_for_the_horizon_it_has_learnt_while_it_serves() -> None:
    formula = expected_by(KNOWING)
    assert formula is not None
    served = replace(KNOWING, spend={"28": DOUBLING})
    on_trial = replace(KNOWING, spend={"28": replace(DOUBLING, serves=False)})

    assert 2 * formula == pytest.approx(expected_by(served))
    assert formula == expected_by(on_trial)
    assert expected_by(KNOWING, 90.0) == expected_by(served, 90.0)


def test_both_are_told_whoever_serves() -> None:
    row = bought()
    past = history(row.purchases, NOW_MS)
    assert past is not None
    found = expect(past, 12_000, 28.0, replace(KNOWING, spend={"28": DOUBLING}))
    assert found is not None

    assert Worth.CHALLENGER == found.source
    assert found.forecast.challenger_minor == found.spend_minor
    assert 2 == pytest.approx(found.spend_minor / found.forecast.formula_minor)


def test_a_lifetime_value_is_the_product_of_the_terms_that_are_shown() -> None:
    tuned = replace(
        PARAMETERS, value=replace(PARAMETERS.value, gross_margin=0.4, acquisition_cost=3.0)
    )
    row = bought()
    past = history(row.purchases, NOW_MS)
    assert past is not None
    found = value(row, past, NOW_MS, KNOWING, tuned)
    assert found is not None

    lifetime = found.annual_revenue * found.gross_margin * found.lifetime_years
    assert (0.4, 3.0) == (found.gross_margin, found.acquisition_cost)
    assert lifetime - 3.0 == pytest.approx(found.clv)
    within = expected_of(row, KNOWING, PARAMETERS.value.lifetime_max / 86_400_000)
    assert within == pytest.approx(found.annual_revenue * found.lifetime_years)


def test_a_channel_whose_cost_is_known_is_charged_to_its_customers() -> None:
    for channel, cost in (("search", 7.0), ("letters", 0.0)):
        known = replace(KNOWING, acquisition_cost_minor={channel: 700.0})
        found = profile("ada", bought(), NOW_MS, known, PARAMETERS).value
        assert found is not None
        assert cost == found.acquisition_cost


def test_another_currency_changes_the_scale_and_nothing_else() -> None:
    row = bought()
    past = history(row.purchases, NOW_MS)
    assert past is not None
    model = replace(DOUBLING, weights=(0.1, 0.9, -0.1, 0.2, -0.1, 0.3, 0.1))
    cheap = replace(KNOWING, spend={"28": model})
    dear = replace(
        cheap,
        gamma_gamma=GammaGamma(MONEY.p, MONEY.q, 137 * MONEY.v),
        order_minor=137 * cheap.order_minor,
    )
    one, other = expect(past, 12_000, 28.0, cheap), expect(past, 137 * 12_000, 28.0, dear)
    assert one is not None
    assert other is not None

    assert 137 == pytest.approx(other.spend_minor / one.spend_minor)
    assert 137 == pytest.approx(other.forecast.formula_minor / one.forecast.formula_minor)


def test_orders_of_later_are_not_seen() -> None:
    later = lived(
        [
            happened("Order Completed", at(61), order_id="late", revenue=500),
            happened("Order Refunded", at(62), order_id="late", revenue=100),
        ],
        row=bought(),
    )

    assert 12_000 == net_until(later.purchases, NOW_MS)
    assert 52_000 == net_until(later.purchases, at(63))
    assert expected_by(KNOWING) == expected_of(later, KNOWING)


def test_an_example_says_what_was_spent_in_its_horizon_and_what_had_been_expected() -> None:
    knowing = context(snapshot=replace(KNOWING, spend={"28": DOUBLING}))
    row, _ = waited(bought(), at(31), within=knowing)
    row = lived(
        [
            happened("Order Completed", at(45), order_id="a", revenue=70),
            happened("Order Refunded", at(46), order_id="a", revenue=20),
            happened("Order Completed", at(50), order_id="b", revenue=10),
            happened("Order Completed", at(59.5), order_id="c", revenue=900),
        ],
        row=row,
        within=knowing,
    )
    _, effects = waited(row, at(60), within=knowing)

    examples = {e.timestamp_ms // 86_400_000: e for e in effects if isinstance(e, Example)}
    # The end of the day of the third order, day 30, and four weeks.
    example = examples[at(58) // 86_400_000]
    assert 6_000 == example.spent_minor
    assert example.forecast is not None
    assert example.forecast.challenger_minor is not None
    assert 2 == pytest.approx(example.forecast.challenger_minor / example.forecast.formula_minor)
    past = history(bought().purchases, at(31) - 1_000)
    assert past is not None
    expected = expect(past, 12_000, 28.0, knowing.snapshot)
    assert expected is not None
    assert expected.forecast == example.forecast


def test_rules_may_name_it() -> None:
    knowing, unknowing = (
        Scene(bought(), NOW_MS, context(snapshot=snapshot)) for snapshot in (KNOWING, PRIOR)
    )
    view = profile("ada", bought(), NOW_MS, KNOWING, PARAMETERS).value
    assert view is not None

    assert (view.clv, view.horizons[0].spend) == (knowing["clv"], knowing["expected_spend"])
    for name in ("clv", "expected_spend"):
        assert unknowing[name] != unknowing[name]
        assert "." in FACTS[name].words.format(knowing[name])


def test_a_customer_who_was_expected_back_long_ago_is_worth_less() -> None:
    row = bought()
    soon = profile("ada", row, NOW_MS, KNOWING, PARAMETERS).value
    late = profile("ada", row, at(300), KNOWING, PARAMETERS).value
    assert soon is not None
    assert late is not None

    assert late.clv < soon.clv / 2
    assert late.lifetime_years < soon.lifetime_years

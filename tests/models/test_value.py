"""What a customer is worth: every term of it, and what it must not depend on."""

import pytest
from msgspec.structs import replace

from config.parameters import Parameters
from models.answer import answer
from models.customer import purchases
from models.customer.registry import FACTS
from models.customer.row import Row
from models.customer.scores import net_so_far, worth
from models.learning.acquisition import AcquisitionCosts
from models.learning.bgnbd import BgNbd
from models.learning.gamma_gamma import GammaGamma, expected_spend_minor
from models.learning.history import History
from models.learning.lessons import Example
from models.learning.population import Population
from models.learning.purchases_ahead import expected_purchases
from models.learning.snapshot import Snapshot
from models.learning.spend_models import SpendModel, SpendScoring
from models.learning.value import ValueView, Worth, expect, expected_revenue
from tests.models.lines import PARAMETERS, PRIOR, at, context, happened, lived, scene, seen, waited

RHYTHM = BgNbd(0.243, 4.414, 0.793, 2.426)
MONEY = GammaGamma(6.25, 3.74, 1_544.0)
POPULATION = replace(PRIOR.of(Population), bgnbd=RHYTHM, gamma_gamma=MONEY)
KNOWING = PRIOR.replace(POPULATION, version=1)
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
    net_minor = net_so_far(scene(row, NOW_MS))
    return expected_revenue(past_of(row), net_minor, horizon_days, snapshot, PARAMETERS)


def past_of(row: Row, at_ms: int = NOW_MS) -> History:
    past = purchases.history(scene(row, at_ms))
    assert past is not None
    return past


def worth_of(
    row: Row, snapshot: Snapshot, at_ms: int = NOW_MS, parameters: Parameters = PARAMETERS
) -> ValueView:
    """As rules see it, which equals the profile."""
    within = context(snapshot=snapshot, parameters=parameters)
    found = worth(scene(row, at_ms, within))
    assert found is not None
    assert found == seen(row, at_ms, within).value
    return found


@pytest.mark.parametrize("horizon_days", [1.0, 28.0, 90.0, 1_000.0])
def test_the_formula_answers_for_any_horizon(horizon_days: float) -> None:
    purchases = expected_purchases(RHYTHM, 2, 30 / 7, 60 / 7, horizon_days / 7)
    spend = expected_spend_minor(MONEY, 3, 12_000) / 100

    assert purchases * spend == pytest.approx(expected_by(KNOWING, horizon_days))


def test_nobody_can_say_before_there_is_a_model_or_a_purchase() -> None:
    assert expected_by(PRIOR) is None
    assert expected_by(PRIOR.replace(replace(POPULATION, gamma_gamma=None))) is None
    visitor = lived([happened("page", at(1))])
    for row in (None, visitor):
        answered = answer(
            message_id="m",
            customer="ada",
            at_ms=NOW_MS,
            horizon_days=28.0,
            row=row,
            context=context(snapshot=KNOWING).present,
        )
        assert (None, None) == (answered.value, answered.silent_churn)


def test_the_challenger_answers_for_the_horizon_it_has_learnt_while_it_serves() -> None:
    formula = expected_by(KNOWING)
    assert formula is not None
    served = KNOWING.replace(SpendScoring({"28": DOUBLING}))
    on_trial = KNOWING.replace(SpendScoring({"28": replace(DOUBLING, serves=False)}))

    assert 2 * formula == pytest.approx(expected_by(served))
    assert formula == expected_by(on_trial)
    assert expected_by(KNOWING, 90.0) == expected_by(served, 90.0)


def test_both_are_told_whoever_serves() -> None:
    served = KNOWING.replace(SpendScoring({"28": DOUBLING}))
    found = expect(past_of(bought()), 12_000, 28.0, served)
    assert found is not None

    assert Worth.CHALLENGER == found.source
    assert found.forecast.challenger_minor == found.spend_minor
    assert 2 == pytest.approx(found.spend_minor / found.forecast.formula_minor)


def test_a_lifetime_value_is_the_product_of_the_terms_that_are_shown() -> None:
    tuned = replace(
        PARAMETERS, value=replace(PARAMETERS.value, gross_margin=0.4, acquisition_cost=3.0)
    )
    row = bought()
    found = worth_of(row, KNOWING, parameters=tuned)

    lifetime = found.annual_revenue * found.gross_margin * found.lifetime_years
    assert (0.4, 3.0) == (found.gross_margin, found.acquisition_cost)
    assert lifetime - 3.0 == pytest.approx(found.clv)
    within = expected_of(row, KNOWING, PARAMETERS.value.lifetime_max / 86_400_000)
    assert within == pytest.approx(found.annual_revenue * found.lifetime_years)


def test_a_channel_whose_cost_is_known_is_charged_to_its_customers() -> None:
    for channel, cost in (("search", 7.0), ("letters", 0.0)):
        known = KNOWING.replace(AcquisitionCosts({channel: 700.0}))
        assert cost == worth_of(bought(), known).acquisition_cost


def test_another_currency_changes_the_scale_and_nothing_else() -> None:
    past = past_of(bought())
    model = replace(DOUBLING, weights=(0.1, 0.9, -0.1, 0.2, -0.1, 0.3, 0.1))
    cheap = KNOWING.replace(SpendScoring({"28": model}))
    dear = cheap.replace(
        replace(
            POPULATION,
            gamma_gamma=GammaGamma(MONEY.p, MONEY.q, 137 * MONEY.v),
            order_minor=137 * POPULATION.order_minor,
        )
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

    assert 12_000 == net_so_far(scene(later, NOW_MS))
    assert 52_000 == net_so_far(scene(later, at(63)))
    assert expected_by(KNOWING) == expected_of(later, KNOWING)


def test_an_example_says_what_was_spent_in_its_horizon_and_what_had_been_expected() -> None:
    knowing = context(snapshot=KNOWING.replace(SpendScoring({"28": DOUBLING})))
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
    expected = expect(past_of(bought(), at(31) - 1_000), 12_000, 28.0, knowing.snapshot)
    assert expected is not None
    assert expected.forecast == example.forecast


def test_rules_may_name_it() -> None:
    knowing, unknowing = (
        scene(bought(), NOW_MS, context(snapshot=snapshot)) for snapshot in (KNOWING, PRIOR)
    )
    view = worth_of(bought(), KNOWING)

    assert (view.clv, view.horizons[0].spend) == (knowing["clv"], knowing["expected_spend"])
    for name in ("clv", "expected_spend"):
        assert unknowing[name] != unknowing[name]
        assert "." in FACTS[name].words.format(knowing[name])


def test_a_customer_who_was_expected_back_long_ago_is_worth_less() -> None:
    row = bought()
    soon, late = worth_of(row, KNOWING), worth_of(row, KNOWING, at(300))

    assert late.clv < soon.clv / 2
    assert late.lifetime_years < soon.lifetime_years

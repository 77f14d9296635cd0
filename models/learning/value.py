"""A customer's expected value: purchases and spend within any horizon, and lifetime value."""

from enum import StrEnum
from math import inf
from typing import NamedTuple

from msgspec import Struct

from config.parameters import Parameters
from models.learning.acquisition import AcquisitionCosts
from models.learning.gamma_gamma import expected_spend_minor
from models.learning.history import History
from models.learning.horizons import ascending, name_of
from models.learning.lessons import Forecast
from models.learning.population import Population
from models.learning.purchases_ahead import expected_purchases, lifetime_years, yearly_purchases
from models.learning.snapshot import Snapshot
from models.learning.spend import expected_orders, features
from models.learning.spend_models import SpendScoring
from models.money import minor_per_unit


class Worth(StrEnum):
    """The source of an expectation: BG/NBD times gamma-gamma, or the model that corrects it."""

    FORMULA = "formula"
    CHALLENGER = "challenger"


class Expectation(NamedTuple):
    """Purchase days and net revenue, in minor units, within a horizon."""

    purchases: float
    spend_minor: float
    source: Worth
    forecast: Forecast


class HorizonView(Struct, frozen=True, rename="camel"):
    """Expected purchase days and spend within a horizon; net, in the shop's currency."""

    horizon_days: float
    purchases: float
    spend: float
    source: Worth


class Lifetime(NamedTuple):
    """The terms of a lifetime value, in the shop's currency and in years; see `ValueView`."""

    annual_revenue: float
    years: float
    acquisition_cost: float
    clv: float


class ValueView(Struct, frozen=True, rename="camel"):
    """``clv`` = annual revenue * gross margin * lifetime in years - acquisition cost.

    Amounts are in the shop's currency. ``annual_revenue``: net revenue per year while the customer
    stays. ``gross_margin``: of what they buy. ``lifetime_years``: the expected years of buying
    within `value.lifetime_max`, where later years are discounted by `value.discount`.
    """

    annual_revenue: float
    gross_margin: float
    lifetime_years: float
    acquisition_cost: float
    clv: float
    horizons: tuple[HorizonView, ...]


def expect(
    past: History, net_minor: int, horizon_days: float, snapshot: Snapshot
) -> Expectation | None:
    """Purchases and spend expected within the horizon; None before there is a model.

    The formula works for any horizon, the challenger only for those it learnt.
    """
    population = snapshot.of(Population)
    formula = _by_formula(past, net_minor, horizon_days, population)
    if formula is None:
        return None
    purchases, spend_minor = formula
    order_minor = population.order_minor
    seen = features(past, net_minor, spend_minor / order_minor, order_minor)
    model = snapshot.of(SpendScoring).models.get(name_of(horizon_days))
    corrected = None if model is None else expected_orders(model.weights, seen) * order_minor
    forecast = Forecast(spend_minor, corrected, order_minor, seen)
    if model is not None and corrected is not None and model.serves:
        return Expectation(purchases, corrected, Worth.CHALLENGER, forecast)
    return Expectation(purchases, spend_minor, Worth.FORMULA, forecast)


def expected_spend(
    past: History, net_minor: int, horizon_days: float, snapshot: Snapshot
) -> float | None:
    """Only the spend of `expect`, in minor units, without the forecast to learn from."""
    population = snapshot.of(Population)
    formula = _by_formula(past, net_minor, horizon_days, population)
    model = snapshot.of(SpendScoring).models.get(name_of(horizon_days))
    if formula is None or model is None or not model.serves:
        return None if formula is None else formula[1]
    order_minor = population.order_minor
    seen = features(past, net_minor, formula[1] / order_minor, order_minor)
    return expected_orders(model.weights, seen) * order_minor


def _by_formula(
    past: History, net_minor: int, horizon_days: float, population: Population
) -> tuple[float, float] | None:
    """Purchase days and spend by BG/NBD and gamma-gamma; None before they are fitted."""
    rhythm, money = population.bgnbd, population.gamma_gamma
    if rhythm is None or money is None:
        return None
    last, life = past.last / 7.0, past.life / 7.0
    purchases = expected_purchases(rhythm, past.repeats, last, life, horizon_days / 7.0)
    return purchases, purchases * expected_spend_minor(money, past.repeats + 1, net_minor)


def expect_in_order(
    past: History, net_minor: int, horizon_days: float, snapshot: Snapshot
) -> Expectation | None:
    """The expectation, with a spend that never falls as the horizon grows.

    The challengers of different horizons do not know of each other, and the formula knows of none.
    So the spend of a shorter horizon's challenger is a lower bound for a longer horizon, and the
    spend for a horizon between two challengers' lies between theirs.
    """
    found = expect(past, net_minor, horizon_days, snapshot)
    if found is None:
        return None
    least, most = 0.0, inf
    for served_days in _served_days(snapshot):
        other = found if served_days == horizon_days else None
        other = other or expect(past, net_minor, served_days, snapshot)
        assert other is not None
        if served_days >= horizon_days:
            most = max(least, other.spend_minor)
            break
        least = max(least, other.spend_minor)
    return found._replace(spend_minor=min(max(found.spend_minor, least), most))


def _served_days(snapshot: Snapshot) -> tuple[float, ...]:
    """The horizons for which a challenger serves, shortest first."""
    models = snapshot.of(SpendScoring).models
    return ascending(tuple([name for name, model in models.items() if model.serves]))


def expected_revenue(
    past: History,
    net_minor: int,
    horizon_days: float,
    snapshot: Snapshot,
    parameters: Parameters,
) -> float | None:
    """Net revenue expected within the horizon, in the shop's currency; None before there is a
    model.
    """
    found = expect_in_order(past, net_minor, horizon_days, snapshot)
    return None if found is None else found.spend_minor / _minor(parameters)


def value(
    past: History,
    net_minor: int,
    channel: str,
    margin: float,
    snapshot: Snapshot,
    parameters: Parameters,
) -> ValueView | None:
    """The customer's value with each of its terms, as in `lifetime`, and the expectations for each
    horizon; None before there is a model.
    """
    found = lifetime(past, net_minor, channel, margin, snapshot, parameters)
    if found is None:
        return None
    return ValueView(
        annual_revenue=found.annual_revenue,
        gross_margin=margin,
        lifetime_years=found.years,
        acquisition_cost=found.acquisition_cost,
        clv=found.clv,
        horizons=tuple(_horizons(past, net_minor, snapshot, parameters)),
    )


def lifetime(
    past: History,
    net_minor: int,
    channel: str,
    margin: float,
    snapshot: Snapshot,
    parameters: Parameters,
) -> Lifetime | None:
    """The customer's lifetime value; None before there is a model.

    ``net_minor``: net spend so far, in minor units; ``channel``: of the first event; ``margin``:
    the gross margin of what they buy, as a share.
    """
    population = snapshot.of(Population)
    rhythm, money = population.bgnbd, population.gamma_gamma
    if rhythm is None or money is None:
        return None
    tuning, unit = parameters.value, _minor(parameters)
    last, life, days = past.last / 7.0, past.life / 7.0, past.repeats + 1
    spend = expected_spend_minor(money, days, net_minor) / unit
    annual = yearly_purchases(rhythm, past.repeats, life) * spend
    years = lifetime_years(rhythm, past.repeats, last, life, tuning.lifetime_max, tuning.discount)
    cost = acquisition_cost(channel, snapshot, parameters)
    return Lifetime(annual, years, cost, annual * margin * years - cost)


def _horizons(
    past: History, net_minor: int, snapshot: Snapshot, parameters: Parameters
) -> list[HorizonView]:
    unit, horizons = _minor(parameters), parameters.churn.horizon_days
    expected = [(days, expect_in_order(past, net_minor, days, snapshot)) for days in horizons]
    return [
        HorizonView(days, found.purchases, found.spend_minor / unit, found.source)
        for days, found in expected
        if found is not None
    ]


def acquisition_cost(channel: str, snapshot: Snapshot, parameters: Parameters) -> float:
    """The cost of winning a customer through the channel, in the shop's currency;
    `value.acquisition_cost` for a channel without known costs.
    """
    cost_minor = snapshot.of(AcquisitionCosts).by_channel_minor.get(channel)
    if cost_minor is None:
        return parameters.value.acquisition_cost
    return cost_minor / _minor(parameters)


def _minor(parameters: Parameters) -> int:
    return minor_per_unit(parameters.money.currency)

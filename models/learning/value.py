"""What a customer is expected to bring: purchases and spend within any time, and lifetime value."""

from enum import StrEnum
from typing import NamedTuple

from msgspec import Struct

from config.parameters import Parameters
from models.customer.pending import Forecast
from models.customer.purchases import Purchases, minor_per_unit
from models.customer.row import Row
from models.learning.features import History
from models.learning.gamma_gamma import expected_spend_minor
from models.learning.purchases_ahead import expected_purchases, lifetime_years, yearly_purchases
from models.learning.snapshot import Snapshot
from models.learning.spend import expected_orders, features


class Worth(StrEnum):
    """Whose word an expectation is: BG/NBD times gamma-gamma, or the model that corrects it."""

    FORMULA = "formula"
    CHALLENGER = "challenger"


class Expectation(NamedTuple):
    """Purchase days and net revenue, in minor units, within a horizon."""

    purchases: float
    spend_minor: float
    source: Worth
    forecast: Forecast


class HorizonView(Struct, frozen=True, rename="camel"):
    """What is expected within a horizon; ``spend`` is net and in the shop's currency."""

    horizon_days: float
    purchases: float
    spend: float
    source: Worth


class ValueView(Struct, frozen=True, rename="camel"):
    """``clv`` = annual revenue * gross margin * lifetime in years - acquisition cost.

    Amounts are in the shop's currency. ``annual_revenue`` is what a year brings while the customer
    stays, ``lifetime_years`` how much of `value.lifetime_max` they are expected to.
    """

    annual_revenue: float
    gross_margin: float
    lifetime_years: float
    acquisition_cost: float
    clv: float
    horizons: tuple[HorizonView, ...]


def net_until(bought: Purchases, at_ms: int) -> int:
    """Net revenue of the orders placed by ``at_ms``, in minor units."""
    net_minor = bought.net_minor
    for order in reversed(bought.orders):
        if order.known_since_ms <= at_ms:
            break
        if order.placed_at_ms > at_ms:
            net_minor -= order.net_minor
    return net_minor


def expect(
    past: History, net_minor: int, horizon_days: float, snapshot: Snapshot
) -> Expectation | None:
    """What is expected within the horizon; None before there is a model.

    The formula knows every horizon, the challenger its own.
    """
    rhythm, money = snapshot.bgnbd, snapshot.gamma_gamma
    if rhythm is None or money is None:
        return None
    last, life = past.last / 7.0, past.life / 7.0
    purchases = expected_purchases(rhythm, past.repeats, last, life, horizon_days / 7.0)
    spend_minor = purchases * expected_spend_minor(money, past.repeats + 1, net_minor)
    order_minor = snapshot.order_minor
    seen = features(past, net_minor, spend_minor / order_minor, order_minor)
    model = snapshot.spend.get(f"{horizon_days:g}")
    corrected = None if model is None else expected_orders(model.weights, seen) * order_minor
    forecast = Forecast(spend_minor, corrected, order_minor, seen)
    if model is not None and corrected is not None and model.serves:
        return Expectation(purchases, corrected, Worth.CHALLENGER, forecast)
    return Expectation(purchases, spend_minor, Worth.FORMULA, forecast)


def expected_revenue(
    row: Row,
    past: History,
    at_ms: int,
    horizon_days: float,
    snapshot: Snapshot,
    parameters: Parameters,
) -> float | None:
    """Net revenue expected in (t, t + horizon], in the shop's currency; None before there is a
    model.
    """
    found = expect(past, net_until(row.purchases, at_ms), horizon_days, snapshot)
    return None if found is None else found.spend_minor / _minor(parameters)


def value(
    row: Row, past: History, at_ms: int, snapshot: Snapshot, parameters: Parameters
) -> ValueView | None:
    """The customer's value with each of its terms; None before there is a model."""
    rhythm, money = snapshot.bgnbd, snapshot.gamma_gamma
    if rhythm is None or money is None:
        return None
    tuning, unit = parameters.value, _minor(parameters)
    net_minor, last, life = net_until(row.purchases, at_ms), past.last / 7.0, past.life / 7.0
    days = past.repeats + 1
    spend = expected_spend_minor(money, days, net_minor) / unit
    annual = yearly_purchases(rhythm, past.repeats, life) * spend
    years = lifetime_years(rhythm, past.repeats, last, life, tuning.lifetime_max)
    cost = acquisition_cost(row, snapshot, parameters)
    return ValueView(
        annual_revenue=annual,
        gross_margin=tuning.gross_margin,
        lifetime_years=years,
        acquisition_cost=cost,
        clv=annual * tuning.gross_margin * years - cost,
        horizons=tuple(_horizons(past, net_minor, snapshot, parameters)),
    )


def _horizons(
    past: History, net_minor: int, snapshot: Snapshot, parameters: Parameters
) -> list[HorizonView]:
    unit, horizons = _minor(parameters), parameters.churn.horizon_days
    expected = [(days, expect(past, net_minor, days, snapshot)) for days in horizons]
    return [
        HorizonView(days, found.purchases, found.spend_minor / unit, found.source)
        for days, found in expected
        if found is not None
    ]


def acquisition_cost(row: Row, snapshot: Snapshot, parameters: Parameters) -> float:
    """What it cost to win the customer, in the shop's currency: by the channel of their first
    event, or `value.acquisition_cost` where no cost is known of it.
    """
    cost_minor = snapshot.acquisition_cost_minor.get(row.engagement.first_channel)
    if cost_minor is None:
        return parameters.value.acquisition_cost
    return cost_minor / _minor(parameters)


def _minor(parameters: Parameters) -> int:
    return minor_per_unit(parameters.money.currency)

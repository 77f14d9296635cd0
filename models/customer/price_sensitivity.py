"""How much the price decides, by a customer's orders and what is usual for all customers."""

from math import exp, exp2
from typing import Final, NamedTuple

from config.duration import DAY_MS
from models.customer.decay import decayed
from models.customer.price_measures import Usual, month_of, usual_discounts
from models.customer.price_state import PricedOrder, PriceParameters, Prices, is_discounted
from models.customer.scene import Scene

#: The weights of `share`, `depth` and `hunt` in the price sensitivity.
_WEIGHTS = (0.60, 0.25, 0.15)
#: A discount of this depth counts in full; this many signs of hunting, nearly so.
_DEEP, _SIGNS = 0.30, 3.0
YEAR_MS: Final = 365 * DAY_MS
_DEPENDENT_PURCHASES_MIN = 3


class Sensitivity(NamedTuple):
    """How much the price decides, 0 to 1, and what that is made of.

    ``share`` of purchases that are discounted, drawn towards the usual one; ``depth`` of their
    discounts; ``hunt``: 0 to 1, signs of looking for a lower price. ``discount_only``: at least
    three purchases in the last 365 days, none at full price.
    """

    total: float
    share: float
    depth: float
    hunt: float
    discount_only: bool


def sensitivity_of(state: Prices, scene: Scene) -> Sensitivity | None:
    """The price sensitivity of a customer with this state; None without a purchase."""
    section, at_ms = scene.parameters.of(PriceParameters), scene.at_ms
    bought = bought_until(state, at_ms)
    if not bought:
        return None
    usual = scene.of(usual_discounts)
    all_weights = discounted_weights = depths = 0.0
    for order in bought:
        weight = exp2(-(at_ms - order.placed_at_ms) / section.half_life) * _surprise(order, usual)
        all_weights += weight
        if is_discounted(order, section):
            discounted_weights += weight
            depths += weight * order.depth
    spare = section.typical_weight
    share = (discounted_weights + spare * usual.share) / (all_weights + spare)
    depth = depths / discounted_weights if discounted_weights else 0.0
    lag_ms = at_ms - state.hunting_at_ms
    hunt = 1.0 - exp(-decayed(state.hunting, lag_ms, section.hunting_half_life) / _SIGNS)
    of_share, of_depth, of_hunt = _WEIGHTS
    return Sensitivity(
        of_share * share + of_depth * min(depth / _DEEP, 1.0) + of_hunt * hunt,
        share,
        depth,
        hunt,
        buys_for_less_only(state, at_ms, section),
    )


def bought_until(state: Prices, at_ms: int) -> list[PricedOrder]:
    """The purchases up to this time, the earliest first."""
    return [one for one in state.orders if one.is_purchase and one.placed_at_ms <= at_ms]


def buys_for_less_only(state: Prices, at_ms: int, section: PriceParameters) -> bool:
    """Whether there are enough purchases in the last 365 days, none of them at full price."""
    lately = 0
    if at_ms - YEAR_MS < state.full_ms <= at_ms:
        return False
    # The latest first: one at full price decides it, and most customers have one.
    for one in reversed(state.orders):
        if one.is_purchase and at_ms - YEAR_MS < one.placed_at_ms <= at_ms:
            if not is_discounted(one, section):
                return False
            lately += 1
    return lately >= _DEPENDENT_PURCHASES_MIN


def _surprise(order: PricedOrder, usual: Usual) -> float:
    """How much a purchase says about its customer: 1, and less in a month in which all customers
    buy for less than is usual in other months.
    """
    in_month = usual.by_month.get(month_of(order.placed_at_ms // DAY_MS))
    if in_month is None or in_month <= usual.share:
        return 1.0
    return (1.0 - in_month) / (1.0 - usual.share)


def is_dependent(state: Prices, scene: Scene) -> bool:
    """Whether the customer buys only for less, and the price decides."""
    section = scene.parameters.of(PriceParameters)
    if not buys_for_less_only(state, scene.at_ms, section):
        return False
    found = sensitivity_of(state, scene)
    return found is not None and found.total >= section.dependent_at

"""The UTC days somebody bought on, kept beside the orders: no score has to go through them all."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from config.duration import DAY_MS

if TYPE_CHECKING:
    from models.customer.purchases import Order

Days = tuple[int, ...]


def purchase_days(orders: Iterable["Order"]) -> Days:
    """The days of the purchases among ``orders``, ascending, each once."""
    return tuple(sorted({order.placed_at_ms // DAY_MS for order in orders if order.is_purchase}))


def with_news(days: Days, before: "Order", after: "Order", orders: Iterable["Order"]) -> Days:
    """``days`` once ``before`` has become ``after`` in ``orders``."""
    if after.is_purchase:
        if before.is_purchase and before.placed_at_ms == after.placed_at_ms:
            return days
        day = after.placed_at_ms // DAY_MS
        if not before.is_purchase and (not days or day >= days[-1]):
            return days if days and day == days[-1] else (*days, day)
    elif not before.is_purchase:
        return days
    return purchase_days(orders)

"""The sums over all customers of purchases at a reduced price, by calendar month, and what is usual
by them.
"""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final, NamedTuple

from config.duration import DAY_MS
from config.parameters import Parameters
from models.customer.part import Sum
from models.customer.price_state import PricedOrder, PriceParameters, Prices, is_discounted
from models.customer.scene import Scene
from models.learning.tallies import Tallies
from models.measures import Measure, Sample

#: The part's name, by which its sums are found.
PRICES_NAME: Final = "prices"
#: The sums over all customers cover this many days: two sales of each calendar month.
SUMS_DAYS: Final = 730
_MONTHS: Final = tuple(f"{month:02d}" for month in range(1, 13))


def sums_of(order: PricedOrder, scene: Scene) -> dict[tuple[str, int], int]:
    """An order's share of the sums over all customers."""
    if not order.is_purchase:
        return {}
    day = order.placed_at_ms // DAY_MS
    month = month_of(day)
    sums = {(f"purchases:{month}", day): 1}
    if is_discounted(order, scene.parameters.of(PriceParameters)):
        sums[f"discounted:{month}", day] = 1
    return sums


def sums_of_all(state: Prices, scene: Scene) -> list[Sum]:
    """One customer's share of the sums."""
    return [
        (key, day, amount)
        for order in state.orders
        for (key, day), amount in sums_of(order, scene).items()
    ]


@lru_cache(maxsize=4_096)
def month_of(day: int) -> str:
    """The calendar month of a day since 1970, "01" to "12"."""
    return _MONTHS[datetime.fromtimestamp(day * DAY_MS // 1_000, UTC).month - 1]


class Usual(NamedTuple):
    """The share of all customers' purchases that is discounted, over all and by calendar month."""

    share: float
    by_month: Mapping[str, float]


def usual_discounts(scene: Scene) -> Usual:
    """What is usual as of the snapshot; the operator's values if too few purchases were seen."""
    section = scene.parameters.of(PriceParameters)
    found = scene.snapshot.of(Tallies).parts.get(PRICES_NAME, {})
    return _usual_of(found, section)


def _usual_of(sums: Mapping[str, int], section: PriceParameters) -> Usual:
    shares: dict[str, float] = {}
    purchases = discounted = 0
    for month in _MONTHS:
        count = sums.get(f"purchases:{month}", 0)
        lower = sums.get(f"discounted:{month}", 0)
        purchases += count
        discounted += lower
        if count >= section.purchases_min:
            shares[month] = lower / count
    enough = purchases >= section.purchases_min
    return Usual(discounted / purchases if enough else section.typical_share, shares)


_DISCOUNTED = Measure(
    "keepstream_discounted_purchases_share",
    "Share of purchases of the last two years with a discount or a coupon, by calendar month",
    ("month",),
)
MEASURES: Final = (_DISCOUNTED,)


def keys(_parameters: Parameters) -> list[str]:
    """The keys of all sums."""
    return [f"{what}:{month}" for month in _MONTHS for what in ("purchases", "discounted")]


def samples(sums: Mapping[str, int], parameters: Parameters) -> Iterator[Sample]:
    """The metrics computed from the sums."""
    usual = _usual_of(sums, parameters.of(PriceParameters))
    for month, share in usual.by_month.items():
        yield Sample(_DISCOUNTED, (month,), share)

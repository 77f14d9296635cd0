"""The sums over all customers of value tiers and of the bins of their ranks, and the metrics
computed from them.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from config.parameters import Parameters
from models.customer.part import Sum
from models.customer.tier_ranks import NO_BIN
from models.customer.tier_state import Tier, Tiered
from models.learning.tallies import NO_DAY
from models.learning.tiers import ENDS, key_of
from models.measures import Measure, Sample
from models.money import minor_per_unit

#: The keys of bins in the sums over all customers, by side.
_BIN_KEYS: Final = tuple(
    tuple(key_of(side, place) for place in range(len(ends) + 1)) for side, ends in ENDS.items()
)


def sums_of(state: Tiered) -> list[Sum]:
    """One customer's share of the sums."""
    return sums_of_bins(state.tier, state.bins, state.net_minor)


def sums_of_bins(tier: str, bins: Sequence[int], net_minor: int) -> list[Sum]:
    """`sums_of` for a customer with this tier, these bins, and this net revenue."""
    if not tier:
        return []
    sums: list[Sum] = [(f"tier:{tier}", NO_DAY, 1), (f"net:{tier}", NO_DAY, net_minor)]
    for keys, place in zip(_BIN_KEYS, bins, strict=True):
        if place != NO_BIN:
            sums.append((keys[place], NO_DAY, 1))
    return sums


def moved(before: Sequence[int], state: Tiered, more_minor: int) -> list[Sum]:
    """The change of the sums for a customer who stays in a tier, in the order of keys."""
    sums: list[Sum] = [(f"net:{state.tier}", NO_DAY, more_minor)] if more_minor else []
    for keys, was, place in zip(_BIN_KEYS, before, state.bins, strict=True):
        if was != place:
            sums += [(keys[was], NO_DAY, -1)] if was != NO_BIN else ()
            sums += [(keys[place], NO_DAY, 1)] if place != NO_BIN else ()
    sums.sort()
    return sums


_CUSTOMERS = Measure("keepstream_customers_by_tier", "Customers by value tier", ("tier",))
_NET = Measure(
    "keepstream_net_by_tier",
    "Net revenue of a year in the shop's currency, by value tier, as of each customer's last look",
    ("tier",),
)
MEASURES: Final = (_CUSTOMERS, _NET)


def keys(_parameters: Parameters) -> list[str]:
    """The keys of all sums."""
    return [
        *(f"{what}:{tier}" for what in ("tier", "net") for tier in Tier),
        *(key for keys in _BIN_KEYS for key in keys),
    ]


def samples(sums: Mapping[str, int], parameters: Parameters) -> Iterator[Sample]:
    """The metrics computed from the sums."""
    unit = minor_per_unit(parameters.money.currency)
    for tier in Tier:
        yield Sample(_CUSTOMERS, (tier,), sums.get(f"tier:{tier}", 0))
        yield Sample(_NET, (tier,), sums.get(f"net:{tier}", 0) / unit)

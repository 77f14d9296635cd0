"""The sums over all customers of bands of risk, episodes of churn and who stayed, and the metrics
computed from them.
"""

from collections.abc import Iterator, Mapping
from typing import Final

from config.duration import DAY_MS
from config.parameters import Parameters
from models.customer.part import Sum
from models.customer.risk_state import Risk, RiskBand
from models.learning.tallies import NO_DAY
from models.measures import Measure, Sample

_EPISODES, _SILENT = "episodes", "silent"
#: Customers whom the price decides and others, and the same a year ago.
_WHO: Final = ("price-sensitive", "others")
_NOW, YEAR_BEFORE = "now", "year-before"


def stay_key(*, stayed: bool, sensitive: bool) -> str:
    """The key of customers who bought again in time, or did not."""
    return f"{'stayed' if stayed else 'left'}:{_WHO[not sensitive]}"


def band_key(band: str) -> str:
    """The key of customers in a band."""
    return f"band:{band}"


def sums_of(state: Risk) -> list[Sum]:
    """One customer's share of the sums."""
    sums: list[Sum] = [(band_key(state.band), NO_DAY, 1)] if state.band else []
    if state.left_ms:
        day = state.left_ms // DAY_MS
        sums.append((_EPISODES, day, 1))
        if state.was_silent:
            sums.append((_SILENT, day, 1))
    return sums


_BANDS = Measure(
    "keepstream_customers_by_risk", "Customers by the band of their churn risk", ("band",)
)
_LEFT = Measure(
    "keepstream_churn_episodes",
    "Customers who left lately, all and those of whom nothing bad was heard before",
    ("kind",),
)
_SILENT_SHARE = Measure(
    "keepstream_silent_churn_share", "Share of customers who left lately without a word"
)
_PRICE_CHURN = Measure(
    "keepstream_price_churn_ratio",
    "Of who bought, how many did not again within risk.episode, by how much the price decides",
    ("who", "when"),
)
_PRICE_ASKED = Measure(
    "keepstream_price_churn_customers",
    "Of how many it was asked lately whether they bought again, by how much the price decides",
    ("who", "when"),
)
MEASURES: Final = (_BANDS, _LEFT, _SILENT_SHARE, _PRICE_CHURN, _PRICE_ASKED)


def keys(_parameters: Parameters) -> list[str]:
    """The keys of all sums."""
    stays = [
        stay_key(stayed=stayed, sensitive=sensitive)
        for stayed in (True, False)
        for sensitive in (True, False)
    ]
    before = [f"{key}:{YEAR_BEFORE}" for key in stays]
    return [*(band_key(band) for band in RiskBand), _EPISODES, _SILENT, *stays, *before]


def samples(sums: Mapping[str, int], _parameters: Parameters) -> Iterator[Sample]:
    """The metrics computed from the sums."""
    for band in RiskBand:
        yield Sample(_BANDS, (band,), sums.get(band_key(band), 0))
    left, silent = sums.get(_EPISODES, 0), sums.get(_SILENT, 0)
    yield Sample(_LEFT, ("all",), left)
    yield Sample(_LEFT, ("silent",), silent)
    if left:
        yield Sample(_SILENT_SHARE, (), silent / left)
    for who in _WHO:
        for when, suffix in ((_NOW, ""), (YEAR_BEFORE, f":{YEAR_BEFORE}")):
            gone, stayed = sums.get(f"left:{who}{suffix}", 0), sums.get(f"stayed:{who}{suffix}", 0)
            if gone + stayed:
                yield Sample(_PRICE_ASKED, (who, when), gone + stayed)
                yield Sample(_PRICE_CHURN, (who, when), gone / (gone + stayed))

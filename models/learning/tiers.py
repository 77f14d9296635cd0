"""The distributions of customers that value tiers are based on: how often they buy, their average
order, how often they come, and how much is expected of them.

Cut points are redrawn only every ``tiers.recut``: if they changed with each snapshot, they would
move customers who did nothing.
"""

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from functools import lru_cache
from itertools import accumulate
from typing import Annotated, Any, Final

from msgspec import Struct

from config.duration import DAY_MS
from config.limits import ASCENDING, NOT_NEGATIVE, PositiveInt, PositiveMs, Share
from config.parameters import Parameters, Section
from models.learning.lessons import AddedUp, Tally
from models.learning.tallies import NO_DAY

TIERS_NAME: Final = "tiers"
_Cuts = Annotated[tuple[float, ...], ASCENDING, NOT_NEGATIVE]


class TierParameters(Section, frozen=True):
    """``frequency``, ``average_order``, ``active_days`` and ``expected``: cut points between fifths
    of customers, used until enough customers were seen; amounts are in the shop's currency.
    """

    section = TIERS_NAME
    enabled: bool
    vip: Share
    vip_until: Share
    vip_orders: PositiveInt
    grace: PositiveMs
    potential: Share
    potential_until: Share
    recut: PositiveMs
    frequency: _Cuts
    average_order: _Cuts
    active_days: _Cuts
    expected: _Cuts

    def problems(self) -> Iterator[str]:
        """A tier that is left at a higher score than it is entered at would be left at once."""
        for tier in ("vip", "potential"):
            if getattr(self, f"{tier}_until") > getattr(self, tier):
                yield f"tiers.{tier}_until is no more than tiers.{tier}"

    def rank(self, side: "Side", value: float, typical_order: float) -> float:
        """The share of customers at or below a value of a side, by these cut points. Cut points of
        amounts are in the currency, so ``typical_order`` converts the value.
        """
        cuts: tuple[float, ...] = getattr(self, side)
        is_amount = side in (Side.AVERAGE_ORDER, Side.EXPECTED)
        place = bisect_left(cuts, value * typical_order if is_amount else value)
        return (1 + place) / (len(cuts) + 1)


class Side(StrEnum):
    """The measures that customers are ranked by: orders within 365 days, the net amount of one of
    these, active days within 28, and net revenue expected within 90 days. Amounts are in typical
    orders of the shop, as the operator configures it.
    """

    FREQUENCY = "frequency"
    AVERAGE_ORDER = "average_order"
    ACTIVE_DAYS = "active_days"
    EXPECTED = "expected"


_AMOUNTS = tuple(2.0 ** (step / 2) for step in range(-8, 9))
#: The upper ends of bins; one more bin is above them.
ENDS: Final[Mapping[Side, tuple[float, ...]]] = {
    Side.FREQUENCY: (1, 2, 3, 4, 5, 7, 10, 15, 22, 32),
    Side.AVERAGE_ORDER: _AMOUNTS,
    Side.ACTIVE_DAYS: (0, 1, 2, 3, 4, 6, 9, 14, 20),
    Side.EXPECTED: _AMOUNTS,
}
#: Sides whose bins are always counted whole.
_WHOLE: Final = frozenset({Side.FREQUENCY, Side.ACTIVE_DAYS})


def bin_of(side: Side, value: float) -> int:
    """The bin of a value; a bin includes its upper end."""
    return bisect_left(ENDS[side], value)


class TierCuts(Struct, frozen=True, rename="camel"):
    """The number of customers in each bin, by side, when cut points were drawn; empty before enough
    customers were seen.
    """

    drawn_at_ms: int = 0
    counts: dict[str, tuple[int, ...]] = {}

    def rank(self, side: Side, value: float) -> float | None:
        """The share of customers at or below the value; None before there are cut points."""
        spread = self.spread(side)
        return None if spread is None else spread.rank(bin_of(side, value), value)

    def spread(self, side: Side) -> "Spread | None":
        """The distribution of customers on a side; None before there are cut points. Expected
        revenue has none before there is a model.
        """
        counts = self.counts.get(side)
        return _spread(side, counts) if counts is not None and any(counts) else None


class Spread:
    """The distribution of customers over the bins of one side."""

    __slots__ = ("_begins", "_below", "_counts", "_ends", "_whole", "_whole_from")

    def __init__(self, side: Side, counts: Sequence[int]) -> None:
        self._ends = ENDS[side]
        self._begins = (0.0, *self._ends)
        self._counts = counts
        # The number of customers below each bin, and finally of all.
        self._below = below = tuple(accumulate(counts, initial=0))
        # Bins of days and orders, and the last bin, are counted whole.
        self._whole_from = 0 if side in _WHOLE else len(self._ends)
        self._whole = tuple(up_to / below[-1] for up_to in below[1:])

    def rank(self, place: int, value: float) -> float:
        """The share of customers at or below ``value``, which is in the bin at ``place``. Within
        that bin customers count as evenly distributed.
        """
        if place >= self._whole_from:
            return self._whole[place]
        below, begin = self._below, self._begins[place]
        part = (value - begin) / (self._ends[place] - begin)
        return (below[place] + part * self._counts[place]) / below[-1]


@lru_cache(maxsize=64)
def _spread(side: Side, counts: tuple[int, ...]) -> Spread:
    # Many snapshots share their cut points, so this is cached.
    return Spread(side, counts)


def key_of(side: Side, place: int) -> str:
    """The key of a bin in the sums over all customers."""
    return f"{side}:{place}"


class TierCutsState(Struct, rename="camel"):
    """``counts``: customers by the key of a bin, each as of their latest look; ``looks``: how many
    looks so far moved a customer.
    """

    counts: dict[str, int] = {}
    looks: int = 0
    drawn: TierCuts = TierCuts()


class TierCutsLearner:
    """Counts customers by bin, in any order, and redraws cut points now and then."""

    knows_enough = True

    def __init__(self, state: Any, parameters: Parameters) -> None:
        self._state: TierCutsState = state or TierCutsState()
        self._parameters = parameters

    def learn(self, tally: Tally | AddedUp) -> None:
        """Count the customers that entered or left a bin."""
        if tally.part != TIERS_NAME:
            return
        counts = self._state.counts
        self._state.looks += tally.tallies
        for key, day, amount in tally.sums:
            if day == NO_DAY:
                counts[key] = counts[key] + amount if key in counts else amount

    def state(self) -> TierCutsState:
        """The whole state, enough to restore the learner."""
        return self._state

    def draw(self, now_ms: int) -> TierCuts:
        """The cut points in force. They are redrawn if they are old enough, once there were enough
        looks.
        """
        state, section = self._state, self._parameters.of(TierParameters)
        drawn = state.drawn
        is_due = not drawn.counts or now_ms >= drawn.drawn_at_ms + section.recut
        if is_due and state.looks >= self._parameters.learning.minimum_examples:
            state.drawn = TierCuts(now_ms // DAY_MS * DAY_MS, self._counts())
        return state.drawn

    def _counts(self) -> dict[str, tuple[int, ...]]:
        counts = self._state.counts
        return {
            str(side): tuple(
                max(counts.get(key_of(side, place), 0), 0) for place in range(len(ends) + 1)
            )
            for side, ends in ENDS.items()
        }

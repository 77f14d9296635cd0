"""What a row keeps of a customer's value tier, and how the tiers of a person's ids become one."""

from collections.abc import Sequence
from enum import StrEnum
from typing import Final

from msgspec import field

from config.parameters import Parameters
from models.customer.row import State


class Tier(StrEnum):
    VIP = "vip"
    POTENTIAL = "potential"
    ORDINARY = "ordinary"


#: The place of each tier among them, and of none.
_PLACES: Final = {"": 0, Tier.ORDINARY: 1, Tier.POTENTIAL: 2, Tier.VIP: 3}


class TierCause(StrEnum):
    """What moved a customer to another tier. ``activity``: they bought or came more; ``silence``:
    they did less; ``others``: they are where they were, and the cut points have changed.
    """

    ACTIVITY = "activity"
    REFUND = "refund"
    SILENCE = "silence"
    OTHERS = "others"


class Tiered(State):
    """The ``tier`` at the last look, since when, and the one ``before`` it; "" for none.

    ``below_ms``: since when a VIP has had too low a score. ``percents``: the ranks then, by `Side`.
    ``bins`` and ``net_minor`` are this customer's share of the sums; ``orders`` those of the year
    before the look. ``cause`` is the `TierCause` of the latest change, ``below_cause`` that of a
    score too low for a VIP; "" for none.
    """

    tier: str = ""
    since_ms: int = 0
    before: str = ""
    below_ms: int = 0
    percents: list[int] = field(default_factory=list)
    bins: list[int] = field(default_factory=list)
    net_minor: int = 0
    cause: str = ""
    orders: int = 0
    below_cause: str = ""


def united(states: Sequence[Tiered], _parameters: Parameters) -> Tiered:
    """One person's tier is the highest that an id was found to be in, until they are looked at as
    one.
    """
    one = Tiered()
    go_on(one, max(states, key=_order, default=one))
    return one


def go_on(state: Tiered, known: Tiered) -> None:
    """Let a person go on from the tier that is ``known`` of one of their ids."""
    state.tier, state.since_ms, state.before = known.tier, known.since_ms, known.before
    state.below_ms, state.below_cause, state.cause = known.below_ms, known.below_cause, known.cause
    state.percents, state.bins = list(known.percents), list(known.bins)
    state.net_minor, state.orders = known.net_minor, known.orders


def place(state: Tiered) -> int:
    """The place of its tier among all tiers, 0 for none."""
    return _PLACES[state.tier]


def _order(state: Tiered) -> tuple[int, int, int, list[int]]:
    return place(state), state.since_ms, state.net_minor, state.bins

"""The sums over customers for whom an action was decided, and the comparison of their groups."""

from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from config.parameters import Parameters
from models.customer.holdout import CONTROL, TREATED
from models.learning.differences import Ahead, Amounts, of_means, of_shares
from models.measures import Measure, Sample
from models.money import minor_per_unit

#: Any action, or any reason.
ANY: Final = "*"
GROUPS: Final = (TREATED, CONTROL)
#: With fewer customers in either group no difference is reported.
FEW: Final = 30
#: The most cells (an action, or an action for a reason) that have sums: the first in the catalogue.
CELLS_MAX: Final = 64
#: Sums of a cell and a group: customers whose time to convert is over, and how many of them bought;
#: customers whose time to be kept is over, how many bought, what they spent, and that squared.
SEEN, CONVERTED = "seen", "converted"
FOLLOWED, KEPT, NET, SQUARES = "followed", "kept", "net", "squares"
SUMS: Final = (SEEN, CONVERTED, FOLLOWED, KEPT, NET, SQUARES)
#: A customer who spends more counts with this much, in minor units, so that one order cannot decide
#: a comparison.
NET_MAX_MINOR: Final = 10**8
#: Squares are counted in units of this many, so that their sums stay exact.
_SQUARE: Final = 10**4
#: Chi-squared above which the groups are skewed: random groups exceed it once in a thousand times.
_SKEWED: Final = 10.83


class LiftCell(NamedTuple):
    """An action, and the reason it was for; `ANY` for all together."""

    action: str
    reason: str = ANY

    def key(self, group: str, what: str) -> str:
        """The key of one of the cell's sums."""
        return f"{self.action}|{self.reason}|{group}|{what}"


def cells(parameters: Parameters) -> list[LiftCell]:
    """The cells that have sums: all actions together, each action, and each by its reasons."""
    found = [LiftCell(ANY)]
    for rule in parameters.actions.actions:
        found.append(LiftCell(rule.name))
        found += [LiftCell(rule.name, reason) for reason in rule.reasons]
    return found[:CELLS_MAX]


def squared(net_minor: int) -> int:
    """The square of an amount, in the unit of the sums."""
    return round(net_minor * net_minor / _SQUARE)


class Arm(NamedTuple):
    """One group of a cell: see `SUMS`."""

    seen: int
    converted: int
    followed: int
    kept: int
    net_minor: int
    squares: int

    @property
    def amounts(self) -> Amounts:
        return Amounts(self.followed, float(self.net_minor), float(self.squares) * _SQUARE)


class Compared(NamedTuple):
    """A cell's two groups, and by how much the treated are ahead: None with too few in either.

    ``net``: in minor units a customer. ``is_skewed``: the sizes of the groups do not fit the
    holdout's share, so something besides chance decides who is in which.
    """

    cell: LiftCell
    treated: Arm
    control: Arm
    converted: Ahead | None
    kept: Ahead | None
    net: Ahead | None
    is_skewed: bool


def compared(sums: Mapping[str, int], parameters: Parameters) -> Iterator[Compared]:
    """Every cell with customers in it."""
    for cell in cells(parameters):
        treated, control = (_arm(sums, cell, group) for group in GROUPS)
        if treated.seen <= 0 and control.seen <= 0:
            continue
        converted = kept = net = None
        if min(treated.seen, control.seen) >= FEW:
            converted = of_shares(treated.converted, treated.seen, control.converted, control.seen)
        if min(treated.followed, control.followed) >= FEW:
            kept = of_shares(treated.kept, treated.followed, control.kept, control.followed)
            net = of_means(treated.amounts, control.amounts)
        is_skewed = _is_skewed(treated.seen, control.seen, parameters.actions.holdout)
        yield Compared(cell, treated, control, converted, kept, net, is_skewed)


def _arm(sums: Mapping[str, int], cell: LiftCell, group: str) -> Arm:
    return Arm(*(sums.get(cell.key(group, what), 0) for what in SUMS))


def _is_skewed(treated: int, control: int, holdout: float) -> bool:
    size = treated + control
    spread = size * holdout * (1 - holdout)
    return spread > 0 and (control - size * holdout) ** 2 / spread > _SKEWED


_OF_GROUP: Final = ("action", "reason", "group")
_OF_BOUND: Final = ("action", "reason", "bound")
CUSTOMERS: Final = Measure(
    "keepstream_lift_customers",
    "Customers for whom an action was decided, once each, whose time to convert is over",
    _OF_GROUP,
)
FOLLOWED_UP: Final = Measure(
    "keepstream_lift_followed_customers",
    "Those of them whose time to be kept is over, too",
    _OF_GROUP,
)
CONVERSION: Final = Measure(
    "keepstream_lift_conversion_ratio", "How many of them bought soon after it", _OF_GROUP
)
RETENTION: Final = Measure(
    "keepstream_lift_retention_ratio", "How many of them were kept", _OF_GROUP
)
NET_OF: Final = Measure(
    "keepstream_lift_net", "What one of them spent meanwhile, in the shop's currency", _OF_GROUP
)
CONVERSION_BY: Final = Measure(
    "keepstream_lift_conversion_difference_ratio",
    "Conversion of the treated less that of the control group: estimate, and interval of 95 %",
    _OF_BOUND,
)
RETENTION_BY: Final = Measure(
    "keepstream_lift_retention_difference_ratio", "The same of retention", _OF_BOUND
)
NET_BY: Final = Measure(
    "keepstream_lift_net_difference", "The same of what one of them spent", _OF_BOUND
)
SKEWED: Final = Measure(
    "keepstream_lift_skewed",
    "1: the groups are not as large as they were drawn; trust no difference",
    ("action", "reason"),
)
MEASURES: Final = (
    CUSTOMERS,
    FOLLOWED_UP,
    CONVERSION,
    RETENTION,
    NET_OF,
    CONVERSION_BY,
    RETENTION_BY,
    NET_BY,
    SKEWED,
)


def keys(parameters: Parameters) -> list[str]:
    """The keys of all sums."""
    return [
        cell.key(group, what) for cell in cells(parameters) for group in GROUPS for what in SUMS
    ]


def samples(sums: Mapping[str, int], parameters: Parameters) -> Iterator[Sample]:
    """The metrics computed from the sums."""
    unit = minor_per_unit(parameters.money.currency)
    for one in compared(sums, parameters):
        for group, arm in zip(GROUPS, (one.treated, one.control), strict=True):
            labels = (*one.cell, group)
            yield Sample(CUSTOMERS, labels, arm.seen)
            if arm.seen > 0:
                yield Sample(CONVERSION, labels, arm.converted / arm.seen)
            if arm.followed > 0:
                yield Sample(FOLLOWED_UP, labels, arm.followed)
                yield Sample(RETENTION, labels, arm.kept / arm.followed)
                yield Sample(NET_OF, labels, arm.net_minor / arm.followed / unit)
        yield from _bounds(CONVERSION_BY, one.cell, one.converted, 1)
        yield from _bounds(RETENTION_BY, one.cell, one.kept, 1)
        yield from _bounds(NET_BY, one.cell, one.net, unit)
        if one.is_skewed:
            yield Sample(SKEWED, tuple(one.cell), 1.0)


def _bounds(measure: Measure, cell: LiftCell, found: Ahead | None, unit: int) -> Iterator[Sample]:
    if found is not None:
        for name, value in zip(Ahead._fields, found, strict=True):
            yield Sample(measure, (*cell, name), value / unit)

"""Decision points and their outcomes, from the purchases alone.

A day is a UTC day, and a decision is made at its end. A scorer may know of a customer only what is
in `Past`, and is judged only by `outcomes`: the two look in opposite directions from the same place
in `PurchaseTable`.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from agents.trials.evaluation.datasets import PastOrder
from config.duration import DAY_MS

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

PURCHASE, CHECK_IN, ALL_KINDS = "purchase", "check-in", "all"
#: More days than any data set has, so that customer and day fit into one sortable number.
_STRIDE = 1 << 20


class PurchaseTable(NamedTuple):
    """Purchase days by customer, then by day; ``starts[c]:starts[c + 1]`` are customer c's.

    ``days`` count from ``first_day``, in days since 1970; ``spend`` is in major units.
    """

    customers: tuple[str, ...]
    first_day: int
    last_day: int
    starts: Ints
    owner: Ints
    days: Ints
    orders: Floats
    spend: Floats

    def places(self, customer: Ints, day: Ints) -> Ints:
        """The index of the first purchase day after ``day``, for pairs of customer and day."""
        keys = self.owner * _STRIDE + self.days
        return np.searchsorted(keys, customer * _STRIDE + day, side="right").astype(np.int64)


def purchases(orders: Sequence[PastOrder]) -> PurchaseTable:
    """The purchase table of orders in any order, summed by customer and day."""
    customers = tuple(sorted({order.customer for order in orders}))
    codes = {customer: code for code, customer in enumerate(customers)}
    first_day = min(order.placed_at_ms for order in orders) // DAY_MS
    # In minor units, so that a sum does not depend on the order of its terms.
    sums: dict[tuple[int, int], list[int]] = {}
    for order in orders:
        key = (codes[order.customer], order.placed_at_ms // DAY_MS - first_day)
        entry = sums.setdefault(key, [0, 0])
        entry[0] += 1
        entry[1] += order.revenue_minor
    keys = sorted(sums)
    owner = np.array([customer for customer, _ in keys], dtype=np.int64)
    days = np.array([day for _, day in keys], dtype=np.int64)
    return PurchaseTable(
        customers,
        first_day,
        int(days.max()),
        np.searchsorted(owner, np.arange(len(customers) + 1)).astype(np.int64),
        owner,
        days,
        np.array([float(sums[key][0]) for key in keys]),
        np.array([sums[key][1] / 100.0 for key in keys]),
    )


class Decisions(NamedTuple):
    """The customer, the day and the kind of each decision, ordered by day."""

    customer: Ints
    day: Ints
    is_purchase: Bools
    is_check_in: Bools

    def of_kind(self, kind: str) -> Bools:
        """Which rows are of a kind: purchase days, check-ins without a purchase, or all."""
        if kind == ALL_KINDS:
            return np.ones(len(self.day), dtype=np.bool_)
        return self.is_purchase if kind == PURCHASE else ~self.is_purchase

    def only(self, rows: Bools) -> "Decisions":
        return Decisions(
            self.customer[rows], self.day[rows], self.is_purchase[rows], self.is_check_in[rows]
        )


def decisions(bought: PurchaseTable, check_in_days: int) -> Decisions:
    """The end of each purchase day, and of every ``check_in_days``-th day after the first."""
    points: set[tuple[int, int]] = {
        (int(day), int(customer)) for customer, day in zip(bought.owner, bought.days, strict=True)
    }
    bought_on = set(points)
    for customer, first in enumerate(bought.days[bought.starts[:-1]]):
        grid = range(int(first), bought.last_day + 1, check_in_days)
        points.update((day, customer) for day in grid)
    ordered = sorted(points)
    days = np.array([day for day, _ in ordered], dtype=np.int64)
    customers = np.array([customer for _, customer in ordered], dtype=np.int64)
    since = days - bought.days[bought.starts[customers]]
    return Decisions(
        customers,
        days,
        np.array([point in bought_on for point in ordered], dtype=np.bool_),
        (since > 0) & (since % check_in_days == 0),
    )


class Past(NamedTuple):
    """What had been bought by a decision, times in days; ``place``: the index of the last purchase
    day.
    """

    place: Ints
    repeats: Floats
    last: Floats
    life: Floats
    recency: Floats

    def only(self, rows: Bools) -> "Past":
        return Past(
            self.place[rows],
            self.repeats[rows],
            self.last[rows],
            self.life[rows],
            self.recency[rows],
        )


def past(bought: PurchaseTable, at: Decisions) -> Past:
    """In BG/NBD's terms: the number of repeat purchase days, the last of them, and the time since
    the first.
    """
    place = bought.places(at.customer, at.day) - 1
    start = bought.starts[at.customer]
    first, last = bought.days[start], bought.days[place]
    return Past(
        place,
        (place - start).astype(np.float64),
        (last - first).astype(np.float64),
        (at.day - first).astype(np.float64),
        (at.day - last).astype(np.float64),
    )


class Outcomes(NamedTuple):
    """Whether nothing was bought in the horizon after each decision. ``is_known``: whether the data
    reaches the horizon's end; where it does not, ``churned`` is meaningless.
    """

    churned: Bools
    is_known: Bools


def outcomes(bought: PurchaseTable, at: Decisions, horizon_days: int) -> Outcomes:
    """The outcomes from purchases after each decision's day, up to the last day of its horizon."""
    return Outcomes(
        days_bought(bought, at, horizon_days) == 0,
        at.day + horizon_days <= bought.last_day,
    )


def days_bought(bought: PurchaseTable, at: Decisions, horizon_days: int) -> Ints:
    """The number of purchase days in (day, day + horizon]."""
    until = bought.places(at.customer, at.day + horizon_days)
    return until - bought.places(at.customer, at.day)


def spent(bought: PurchaseTable, at: Decisions, horizon_days: int) -> Floats:
    """The amount spent in (day, day + horizon]."""
    total = np.concatenate([[0.0], np.cumsum(bought.spend)])
    until = bought.places(at.customer, at.day + horizon_days)
    found: Floats = total[until] - total[bought.places(at.customer, at.day)]
    return found

"""Disguises purchases in ways that must not change the quality of a score."""

from itertools import groupby
from random import Random

from msgspec import Struct
from msgspec.structs import replace

from agents.trials.evaluation.datasets import DataSet, PastOrder
from config.duration import DAY_MS

_WEEKS_MAX = 260
_FACTOR_MAX = 4.0


class Guise(Struct, frozen=True):
    """The changes to a log: moved by weeks, amounts multiplied, each day's lines shuffled."""

    seed: int
    weeks: int
    factor: float


def disguise(data: DataSet, seed: int) -> tuple[DataSet, Guise]:
    """``data`` moved by whole weeks, at another price level, and shuffled within each day.

    Days of the week and gaps stay the same for every customer. Orders within a day are no longer in
    order of time.
    """
    chance = Random(f"{data.name}-{seed}")
    weeks = chance.choice([-1, 1]) * chance.randint(1, _WEEKS_MAX)
    factor = round(_FACTOR_MAX ** chance.uniform(-1.0, 1.0), 3)
    orders: list[PastOrder] = []
    for _, day in groupby(data.orders, key=lambda order: order.placed_at_ms // DAY_MS):
        moved = [
            order._replace(
                placed_at_ms=order.placed_at_ms + weeks * 7 * DAY_MS,
                revenue_minor=round(order.revenue_minor * factor),
            )
            for order in day
        ]
        chance.shuffle(moved)
        orders += moved
    return replace(data, orders=tuple(orders)), Guise(seed, weeks, factor)

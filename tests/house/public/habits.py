"""A log that is long enough to learn from: customers with habits, some of whom stop."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

CUSTOMERS = 40
DAYS = 260
#: From here on everybody buys half as often: drift.
CHANGE_DAY = 150
LAST_DAYS = (120, 140, 160, 180, 200)
HORIZONS_DAYS = (28, 90)
_START = datetime(2026, 1, 1, tzinfo=UTC)


def name_of(customer: int) -> str:
    return f"customer-{customer:02}"


def revenue_of(customer: int) -> float:
    """What a customer spends at each purchase."""
    return 20.0 + customer


def purchase_days(customer: int) -> list[int]:
    """Every few days, then half as often; a quarter of all customers stop for good."""
    every = 4 + 3 * (customer % 6)
    stops = customer % 4 == 0
    last = LAST_DAYS[customer % len(LAST_DAYS)] if stops else DAYS
    before = range(customer % 7, min(last, CHANGE_DAY), every)
    return [*before, *range(before[-1] + 2 * every, last, 2 * every)]


def lines(days: int) -> Iterator[dict[str, Any]]:
    """Each day's purchases, each after a page view, then the watermark; at the end, questions."""
    bought = [(day, customer) for customer in range(CUSTOMERS) for day in purchase_days(customer)]
    for day in range(days):
        for customer in [customer for at, customer in sorted(bought) if at == day]:
            yield _track("Product Viewed", day, customer, product_id="p1")
            yield _track("Order Completed", day, customer, revenue=revenue_of(customer))
        yield {"type": "watermark", "timestamp": _at(day, 23)}
    for customer in range(CUSTOMERS):
        for horizon_days in HORIZONS_DAYS:
            yield {
                "type": "score",
                "messageId": f"{name_of(customer)} {horizon_days}",
                "userId": name_of(customer),
                "timestamp": _at(days - 1, 23),
                "horizonDays": horizon_days,
            }


def _track(event: str, day: int, customer: int, **properties: Any) -> dict[str, Any]:
    return {
        "type": "track",
        "event": event,
        "messageId": f"{event} {customer} {day}",
        "userId": name_of(customer),
        "timestamp": _at(day, 9 + customer % 8),
        "properties": properties,
    }


def _at(day: int, hour: int) -> str:
    return (_START + timedelta(days=day, hours=hour)).isoformat()

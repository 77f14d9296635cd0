"""The purchases as a log for `models.replay`, with a question at each decision point."""

from collections import defaultdict
from collections.abc import Iterator
from itertools import groupby

import numpy as np
import orjson

from agents.trials.demo.agenda import iso_timestamp
from agents.trials.evaluation.datasets import DataSet, PastOrder
from agents.trials.evaluation.decisions import Decisions, PurchaseTable
from config.duration import DAY_MS

#: The end of a day in a log; a decision about the day is a second before it.
_DAY_END_MS = DAY_MS - 1
_DECISION_MS = DAY_MS - 1_000


def log_lines(data: DataSet, bought: PurchaseTable, asked: Decisions) -> Iterator[bytes]:
    """Each day's orders in the order of ``data``, then the watermark that closes the day, then the
    day's questions. A question's message id is its row in ``asked``.
    """
    questions: dict[int, list[int]] = defaultdict(list)
    for row, day in enumerate(asked.day):
        questions[int(day)].append(row)
    by_day = groupby(data.orders, key=lambda order: order.placed_at_ms // DAY_MS)
    sold = {day - bought.first_day: list(orders) for day, orders in by_day}
    for day in range(bought.last_day + 1):
        for order in sold.get(day, ()):
            yield _order_completed(order, data.currency)
        start_ms = (bought.first_day + day) * DAY_MS
        yield _line("watermark", start_ms + _DAY_END_MS)
        for row in questions[day]:
            customer = bought.customers[asked.customer[row]]
            yield _line("score", start_ms + _DECISION_MS, messageId=f"row-{row}", userId=customer)


def everybody(bought: PurchaseTable, day: int) -> Decisions:
    """All customers who had bought by ``day``, as questions at its end."""
    customer = np.flatnonzero(bought.days[bought.starts[:-1]] <= day).astype(np.int64)
    none = np.zeros(len(customer), dtype=np.bool_)
    return Decisions(customer, np.full(len(customer), day, dtype=np.int64), none, none)


def _order_completed(order: PastOrder, currency: str) -> bytes:
    return orjson.dumps(
        {
            "type": "track",
            "event": "Order Completed",
            "messageId": order.order_id,
            "userId": order.customer,
            "timestamp": iso_timestamp(order.placed_at_ms),
            "properties": {
                "order_id": order.order_id,
                "revenue": order.revenue_minor / 100,
                "currency": currency,
            },
        }
    )


def _line(kind: str, at_ms: int, **fields: str) -> bytes:
    return orjson.dumps({"type": kind, "timestamp": iso_timestamp(at_ms), **fields})

"""The mishaps between a shop and its broker, each a stage of its own."""

from collections.abc import Iterator
from heapq import heappop, heappush
from itertools import cycle
from random import Random
from typing import Any

import orjson

from agents.trials.demo.agenda import ShopRecord, message_id
from config.duration import MINUTE_MS
from config.topics import SUPPORT, TRANSACTIONS

MALFORMED_KINDS = (
    "broken_json",
    "missing_timestamp",
    "naive_timestamp",
    "negative_revenue",
    "wrong_type",
    "unknown_event",
    "no_identity",
    "impossible_nps",
)


def swap_neighbours(
    records: Iterator[ShopRecord], share: float, rng: Random
) -> Iterator[ShopRecord]:
    """Let ``share`` of the records arrive after their successor.

    Only records less than a minute apart change places. If a swap finds no such pair, it waits for
    the next one, so that the share is also reached in quiet hours.
    """
    held: ShopRecord | None = None
    owed = 0
    for record in records:
        owed += rng.random() < share
        if held is None:
            held = record
        elif owed and 0 < record.occurred_at_ms - held.occurred_at_ms < MINUTE_MS:
            owed -= 1
            yield record
            yield held
            held = None
        else:
            yield held
            held = record
    if held is not None:
        yield held


def release_later(
    records: Iterator[ShopRecord],
    share: float,
    delay_ms: tuple[int, int],
    *,
    end_ms: int,
    rng: Random,
    now_too: bool,
) -> Iterator[ShopRecord]:
    """Release ``share`` of the records after a delay; with ``now_too``, also at once.

    A delay that would end after ``end_ms`` is skipped: no later record would show that this one was
    late.
    """
    waiting: list[tuple[int, int, ShopRecord]] = []
    for turn, record in enumerate(records):
        now_ms = record.occurred_at_ms
        while waiting and waiting[0][0] <= now_ms:
            yield heappop(waiting)[2]
        if rng.random() < share:
            release_ms = now_ms + rng.randint(*delay_ms)
            if release_ms < end_ms:
                heappush(waiting, (release_ms, turn, record))
                if not now_too:
                    continue
        yield record
    while waiting:
        yield heappop(waiting)[2]


def add_malformed(records: Iterator[ShopRecord], share: float, rng: Random) -> Iterator[ShopRecord]:
    """After ``share`` of the records, add one that must be refused, cycling through the kinds."""
    kinds = cycle(MALFORMED_KINDS)
    for record in records:
        yield record
        if rng.random() < share:
            yield malform(next(kinds), record, rng)


def malform(kind: str, record: ShopRecord, rng: Random) -> ShopRecord:
    """A record of the same customer and time with exactly one fault."""
    event: dict[str, Any] = orjson.loads(record.value)
    # A new id: with the good event's id, this would be a duplicate of it.
    event["messageId"] = message_id(rng)
    topic, key = record.topic, record.key
    match kind:
        case "missing_timestamp":
            del event["timestamp"]
        case "naive_timestamp":
            event["timestamp"] = event["timestamp"].removesuffix("Z")
        case "no_identity":
            del event["userId"]
            event.pop("anonymousId", None)
            key = None
        case "unknown_event":
            topic = TRANSACTIONS
            _track(event, "Order Teleported", {"order_id": "o-000000"})
        case "negative_revenue" | "wrong_type":
            topic = TRANSACTIONS
            revenue = -19.9 if kind == "negative_revenue" else "much"
            _track(
                event,
                "Order Completed",
                {"order_id": f"o-{kind}", "revenue": revenue, "currency": "EUR"},
            )
        case "impossible_nps":
            topic = SUPPORT
            score = {"score": 11, "scale_min": 0, "scale_max": 10, "higher_is_better": True}
            _track(event, "Survey Responded", {"survey_id": "s-000000", "kind": "nps", **score})
    value = orjson.dumps(event)
    if kind == "broken_json":
        value = value[: len(value) // 2]
    return ShopRecord(topic, key, value, record.occurred_at_ms)


def _track(event: dict[str, Any], name: str, properties: dict[str, Any]) -> None:
    event.pop("name", None)
    event.pop("traits", None)
    event.update(type="track", event=name, properties=properties)

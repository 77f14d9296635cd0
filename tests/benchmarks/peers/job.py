"""The job that every engine does: a customer's recency, frequency, money and engagement, a churn
score on every event, and a trigger when it rises above a threshold.

Nothing here depends on an engine, a clock or a broker. Engines keep the state, a dictionary that
any of them can store. They differ only in how they read events, keep state and write triggers.
"""

from datetime import datetime
from hashlib import sha256
from math import exp, log1p
from typing import Any

import orjson

DAY_MS = 86_400_000
HALF_LIFE_MS = 14 * DAY_MS
#: A trigger fires when the score rises to the first value, and not again until it has fallen to the
#: second.
RISES_TO, REARMS_AT = 0.7, 0.5
WEIGHTS = {"Order Completed": 5.0, "Checkout Started": 4.0, "Product Added": 3.0, "page": 0.5}

Event = dict[str, Any]
State = dict[str, Any]
Trigger = dict[str, Any]


def decode(value: bytes) -> Event:
    """An event of the shop, in the format of Segment's spec."""
    event: Event = orjson.loads(value)
    return event


def customer_of(event: Event) -> str:
    return str(event["userId"])


def encode(value: State | Trigger) -> bytes:
    return orjson.dumps(value)


def new_state() -> State:
    return {
        "seen_ms": 0,
        "ordered_ms": 0,
        "orders": 0,
        "spent": 0.0,
        "engagement": 0.0,
        "at_risk": False,
    }


def advance(state: State, event: Event) -> Trigger | None:
    """Score an event and fold it into ``state``, in place; returns the trigger, if it fires."""
    timestamp = event["timestamp"]
    at_ms = round(datetime.fromisoformat(timestamp).timestamp() * 1_000)
    name = event.get("event") or event["type"]
    spent = (event["properties"].get("revenue") or 0.0) if name == "Order Completed" else 0.0
    score, has_risen = rescored(state, name, spent, at_ms)
    if not has_risen:
        return None
    return trigger_of(event["userId"], event["messageId"], timestamp, score)


def rescored(state: State, name: str, spent: float, at_ms: int) -> tuple[float, bool]:
    """The score at an event, which is folded afterwards, and whether the threshold is crossed
    now.
    """
    score = _score(state, at_ms)
    _fold(state, name, spent, at_ms)
    if score >= RISES_TO and not state["at_risk"]:
        state["at_risk"] = True
        return score, True
    if score <= REARMS_AT:
        state["at_risk"] = False
    return score, False


def _score(state: State, at_ms: int) -> float:
    """How likely it seemed that the customer was lost, just before this event."""
    silent_days = (at_ms - state["ordered_ms"]) / DAY_MS if state["orders"] else 0.0
    gone_days = (at_ms - state["seen_ms"]) / DAY_MS if state["seen_ms"] else 0.0
    log_odds = (
        0.06 * silent_days
        + 0.12 * gone_days
        - 0.6 * log1p(state["orders"])
        - 0.1 * log1p(state["spent"])
        - 0.2 * log1p(state["engagement"])
    )
    return 1.0 / (1.0 + exp(-log_odds))


def _fold(state: State, name: str, spent: float, at_ms: int) -> None:
    kept = 0.5 ** ((at_ms - state["seen_ms"]) / HALF_LIFE_MS)
    state["engagement"] = state["engagement"] * kept + WEIGHTS.get(name, 1.0)
    state["seen_ms"] = at_ms
    if name == "Order Completed":
        state["orders"] += 1
        state["spent"] += spent
        state["ordered_ms"] = at_ms


def trigger_of(customer: str, message: str, timestamp: str, score: float) -> Trigger:
    return {
        "id": sha256(f"{customer}\n{message}".encode()).hexdigest()[:32],
        "userId": customer,
        "messageId": message,
        "timestamp": timestamp,
        "score": score,
    }

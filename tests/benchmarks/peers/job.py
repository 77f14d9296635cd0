"""The job that all engines do: a customer's orders, spend and presence, a score after every event,
and a trigger when it climbs. Nothing but the standard library, so that it runs in any environment.
"""

import time
from datetime import datetime
from math import exp, exp2, log1p
from typing import Any

HALF_LIFE_S = 7 * 86_400.0
THRESHOLD, REARM = 0.6, 0.5

Event = dict[str, Any]
State = dict[str, Any]


def new() -> State:
    """A customer of whom nothing is known."""
    return {"orders": 0, "spent": 0.0, "level": 0.0, "at_s": 0.0, "ordered_s": 0.0, "told": False}


def step(state: State, customer: str, event: Event) -> Event | None:
    """Advance a customer by an event, in place; the trigger that it fires, if any."""
    at_s = datetime.fromisoformat(event["timestamp"]).timestamp()
    lag_s = max(at_s - state["at_s"], 0.0)
    state["level"] = state["level"] * exp2(-lag_s / HALF_LIFE_S) + 1.0
    state["at_s"] = max(state["at_s"], at_s)
    if event.get("event") == "Order Completed":
        state["orders"] += 1
        state["spent"] += float(event["properties"].get("revenue") or 0.0)
        state["ordered_s"] = max(state["ordered_s"], at_s)
    silent_days = (at_s - state["ordered_s"]) / 86_400.0 if state["orders"] else 0.0
    odds = 0.8 + 0.1 * silent_days - 0.4 * log1p(state["orders"]) - 0.3 * log1p(state["level"])
    score = 1.0 / (1.0 + exp(-(odds - 0.01 * log1p(max(state["spent"], 0.0)))))
    if score <= REARM:
        state["told"] = False
    elif score >= THRESHOLD and not state["told"]:
        state["told"] = True
        return {"customer": customer, "score": score, "cause": event["messageId"]}
    return None


class Meter:
    """This process's CPU time from the first of ``events`` to the last."""

    def __init__(self, events: int) -> None:
        self._events, self._seen, self._started_s = events, 0, 0.0

    def count(self) -> bool:
        """Count one event; whether it was the last."""
        if not self._seen:
            self._started_s = time.process_time()
        self._seen += 1
        return self._seen >= self._events

    def tell(self) -> None:
        """Print the microseconds of an event: the last line that is printed."""
        print((time.process_time() - self._started_s) / self._events * 1e6, flush=True)

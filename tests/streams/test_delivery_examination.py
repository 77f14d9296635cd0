"""Decisions are counted as the deliver agent and the gates treat them."""

from datetime import datetime
from typing import Any

import pytest
from msgspec.structs import replace

from config.duration import HOUR_MS
from models.decisions.trigger import NextBestAction, Suppressed, Trigger
from models.events.times import milliseconds
from models.replay import Replay
from streams.delivery_examination import DeliveryCounts
from streams.vitals import Deliveries
from tests.models.lines import PARAMETERS, at, line


def decided() -> tuple[Trigger, NextBestAction]:
    """A bad answer to a survey, and the decision about it."""
    survey = {"kind": "nps", "score": 1, "scale_max": 10}
    order = {"order_id": "o-1", "revenue": 500}
    replay = Replay(PARAMETERS)
    replay.feed(line("Order Completed", at(days=-20), properties=order), 1)
    outputs: list[Any] = replay.feed(line("Survey Responded", at(), properties=survey), 2)
    [trigger] = [one for one in outputs if getattr(one, "kind", "") == "low-satisfaction"]
    [action] = [one for one in outputs if getattr(one, "action", None) is not None]
    return trigger, action


def counted(max_age_ms: int, *, trigger_ms: int, action_ms: int) -> Deliveries:
    """The counts for both, delivered at these times."""
    trigger, action = decided()
    counts = DeliveryCounts(max_age_ms)
    counts.add(trigger, trigger_ms)
    counts.add(action, action_ms)
    return counts.counted(7)


def due_ms() -> int:
    _, action = decided()
    assert action.due_at is not None
    return milliseconds(datetime.fromisoformat(action.due_at))


@pytest.mark.parametrize(
    ("max_age_ms", "after_ms", "is_held_back"),
    [(HOUR_MS, 0, False), (HOUR_MS, 1, True), (0, 1, False)],
)
def test_what_comes_too_late_is_held_back_by_kind(
    max_age_ms: int, after_ms: int, *, is_held_back: bool
) -> None:
    found = counted(max_age_ms, trigger_ms=at() + HOUR_MS + after_ms, action_ms=due_ms() + after_ms)
    both = {"low-satisfaction": 1, "next-best-action": 1}

    assert (both if is_held_back else {}) == found.held_back
    assert ({} if is_held_back else both) == found.delivered
    assert (7, 2, 0) == (found.count, found.read, found.nothing)


def test_rejected_actions_are_counted_by_their_gates_and_a_moment_with_none_as_nothing() -> None:
    _, action = decided()
    suppressed = (
        Suppressed("a", "answers"),
        Suppressed("b", "cooldown"),
        Suppressed("c", "cooldown"),
        Suppressed("d", "consent"),
    )
    counts = DeliveryCounts(HOUR_MS)
    counts.add(replace(action, action=None, due_at=None, suppressed=suppressed), at(days=99))
    found = counts.counted(1)

    assert {"cooldown": 2, "consent": 1} == found.gates
    assert (1, {}, {}) == (found.nothing, found.delivered, found.held_back)

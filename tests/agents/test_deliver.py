"""Decisions that are too old to be delivered."""

import asyncio
from typing import Any

import pytest
from faust.types import TP

from agents.deliver import DeliverAgent
from config.duration import HOUR_MS
from config.settings import SettingsError, load_settings
from config.topics import RETENTION_TRIGGERS
from models.decisions.trigger import Decision, NextBestAction, encode_decision, is_too_old
from models.events.times import iso
from models.replay import Replay
from streams.graves import Fingerprints
from streams.record_batches import BatchLedger
from streams.trigger_streams import Deliverable
from tests.models.lines import PARAMETERS, at, line
from tests.simulation.worker import NOBODY
from tests.streams.test_record_batches import FakeRecord

DAY_MS = 24 * HOUR_MS


@pytest.fixture(scope="module")
def decided() -> dict[str, Decision]:
    """A trigger and the action that answers it, both decided at the start of the story."""
    survey = {"kind": "nps", "score": 1, "scale_max": 10}
    order = {"order_id": "o-1", "revenue": 500}
    replay = Replay(PARAMETERS)
    replay.feed(line("Order Completed", at(days=-20), properties=order), 1)
    outputs: list[Any] = replay.feed(line("Survey Responded", at(), properties=survey), 2)
    return {
        "action" if isinstance(one, NextBestAction) else "trigger": one
        for one in outputs
        if getattr(one, "action", "") is not None
    }


def test_a_trigger_is_held_back_by_its_age(decided: dict[str, Decision]) -> None:
    trigger = decided["trigger"]
    assert not is_too_old(trigger, at() + DAY_MS, DAY_MS)
    assert is_too_old(trigger, at() + DAY_MS + 1, DAY_MS)


def test_an_action_is_held_back_by_its_due_time_whatever_its_age(
    decided: dict[str, Decision],
) -> None:
    action = decided["action"]
    assert isinstance(action, NextBestAction)
    due_ms = next(ms for ms in range(at(), at(days=30), HOUR_MS) if iso(ms) == action.due_at)
    assert not is_too_old(action, due_ms, HOUR_MS)
    assert is_too_old(action, due_ms + 1, 30 * DAY_MS)


def test_nothing_is_held_back_when_it_is_switched_off(decided: dict[str, Decision]) -> None:
    assert not any(is_too_old(one, at(days=9_999), 0) for one in decided.values())


@pytest.mark.parametrize(("text", "age_ms"), [("0", 0), ("24h", DAY_MS), ("90s", 90_000)])
def test_the_age_is_written_as_a_duration(text: str, age_ms: int) -> None:
    settings = load_settings({"KEEPSTREAM_DELIVER_MAX_AGE": text})
    assert age_ms == settings.deliver_max_age_ms


def test_an_age_without_a_unit_is_refused_with_an_example() -> None:
    with pytest.raises(SettingsError, match="KEEPSTREAM_DELIVER_MAX_AGE is .24.*24h"):
        load_settings({"KEEPSTREAM_DELIVER_MAX_AGE": "24"})


class AwayThenBack:
    """Fails the first time, and succeeds afterwards."""

    def __init__(self) -> None:
        self.taken: list[list[Deliverable]] = []
        self.is_away = True

    async def append(self, decisions: list[Deliverable]) -> list[Deliverable]:
        if self.is_away:
            self.is_away = False
            return decisions
        self.taken.append(decisions)
        return []


def test_after_a_batch_that_was_given_up_none_is_committed(decided: dict[str, Decision]) -> None:
    """Its commit would cover the batch before it, too."""
    store: Any = AwayThenBack()
    ledger = BatchLedger(on_end=lambda _: None)
    ledger.seek({TP(RETENTION_TRIGGERS, 0): 0})
    agent = DeliverAgent(RETENTION_TRIGGERS, store, NOBODY, lambda: True, 0, Fingerprints())
    content = encode_decision(decided["trigger"])
    for offset in (0, 1):
        record = FakeRecord(offset, 0, RETENTION_TRIGGERS, value=content)
        asyncio.run(agent.take(ledger.admit(RETENTION_TRIGGERS, {0: [record]})))
    assert [] == store.taken
    assert {} == ledger.commits_due()
    assert ledger.is_idle(RETENTION_TRIGGERS)

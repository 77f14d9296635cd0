"""What the trainer's agent asks before it learns."""

import asyncio
from typing import Any

import pytest
from faust.types import TP

from agents.trainer import TrainerAgent
from config.settings import load_settings
from config.topics import LABELLED_EXAMPLES
from models.learning.lessons import DayEnd, encode_lesson
from models.learning.snapshot import Snapshot, prior_snapshot
from streams import log_ends
from streams.record_batches import BatchLedger
from tests.models.lines import PARAMETERS, at
from tests.simulation.worker import NOBODY
from tests.streams.test_record_batches import FakeRecord

SETTINGS = load_settings({}, partitions=1)
LOG_END = 50


class Snapshots:
    async def latest(self) -> Snapshot:
        return prior_snapshot(PARAMETERS)


class Consumer:
    """One that knows where the log ends."""

    def __init__(self) -> None:
        self.ledger = BatchLedger(on_end=lambda _: None)
        self.ledger.begin_epoch()
        self.ledger.seek({TP(LABELLED_EXAMPLES, 0): 0})

    async def log_ends(self, _topic: str, partitions: int) -> dict[int, int]:
        return dict.fromkeys(range(partitions), LOG_END)


def told(place: int, offset: int, at_ms: int) -> FakeRecord:
    value = encode_lesson(DayEnd(at_ms, partition=0, offset=offset))
    return FakeRecord(place, 0, LABELLED_EXAMPLES, value=value)


def test_a_lesson_whose_place_is_still_to_come_is_left_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Or all true ones before that place would count as repeats."""
    monkeypatch.setattr(log_ends, "END_RETRY_S", 0.0)
    snapshots: Any = Snapshots()
    consumer: Any = Consumer()
    agent = TrainerAgent(snapshots, NOBODY, SETTINGS, PARAMETERS, NOBODY)
    forged, true = told(0, LOG_END, at(days=-9)), told(1, LOG_END - 1, at(days=-5))
    batch = consumer.ledger.admit(LABELLED_EXAMPLES, {0: [forged, true]})
    asyncio.run(agent.take(batch, consumer))
    assert at(days=-5) == agent.heard_ms(0)
    assert consumer.ledger.is_idle(LABELLED_EXAMPLES)

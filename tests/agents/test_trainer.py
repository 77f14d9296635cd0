"""What the trainer's agent checks before it learns."""

import asyncio
import subprocess
import sys
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
    """Has only the first snapshot, and counts the requests."""

    def __init__(self) -> None:
        self.asked = 0

    async def latest(self) -> Snapshot:
        self.asked += 1
        return prior_snapshot(PARAMETERS)


class Consumer:
    """A consumer that knows where the log ends."""

    def __init__(self) -> None:
        self.ledger = BatchLedger(on_end=lambda _: None)
        self.ledger.begin_epoch()
        self.ledger.seek({TP(LABELLED_EXAMPLES, 0): 0})
        self.unread: set[TP] = set()

    def to_come(self) -> set[TP]:
        return self.unread

    async def log_ends(self, _topic: str, partitions: int) -> dict[int, int]:
        return dict.fromkeys(range(partitions), LOG_END)


def told(place: int, offset: int, at_ms: int) -> FakeRecord:
    value = encode_lesson(DayEnd(at_ms, partition=0, offset=offset))
    return FakeRecord(place, 0, LABELLED_EXAMPLES, value=value)


def test_a_lesson_whose_place_is_still_to_come_is_left_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Otherwise all real lessons before that offset would count as repeats."""
    monkeypatch.setattr(log_ends, "END_RETRY_S", 0.0)
    snapshots: Any = Snapshots()
    consumer: Any = Consumer()
    agent = TrainerAgent(snapshots, NOBODY, SETTINGS, PARAMETERS, NOBODY)
    forged, true = told(0, LOG_END, at(days=-9)), told(1, LOG_END - 1, at(days=-5))
    batch = consumer.ledger.admit(LABELLED_EXAMPLES, {0: [forged, true]})
    asyncio.run(agent.take(batch, consumer))
    assert at(days=-5) == agent.heard_ms(0)
    assert consumer.ledger.is_idle(LABELLED_EXAMPLES)


def test_a_trainer_without_lessons_to_read_goes_on_once_a_rebalance() -> None:
    """Otherwise history would wait for it to report its position."""
    snapshots, consumer = Snapshots(), Consumer()
    given: Any = snapshots
    asked: Any = consumer
    agent = TrainerAgent(given, NOBODY, SETTINGS, PARAMETERS, NOBODY)
    place = TP(LABELLED_EXAMPLES, 0)
    consumer.unread = {place}
    asyncio.run(agent.go_on_idle(asked))
    assert 0 == snapshots.asked
    consumer.unread = set()
    for _ in range(2):
        asyncio.run(agent.go_on_idle(asked))
        assert 1 == snapshots.asked
    consumer.ledger.begin_epoch()
    asyncio.run(agent.go_on_idle(asked))
    # Somebody else has the lessons.
    assert 1 == snapshots.asked
    consumer.ledger.seek({place: 0})
    asyncio.run(agent.go_on_idle(asked))
    assert 2 == snapshots.asked


LEARN_SOMETHING = """
import asyncio, sys
from agents.trainer import ready_to_learn
asyncio.run(ready_to_learn())
before = set(sys.modules)
from models.learning.trainer import Trainer
from tests.models.test_learners import FEW, lessons
before |= {name for name in sys.modules if name.startswith("tests")}
trainer = Trainer(FEW)
for lesson in lessons(400):
    trainer.learn(lesson)
trainer.learn_all()
trainer.draw()
print(*sorted({name.partition(".")[0] for name in set(sys.modules) - before}))
"""


def test_whoever_is_ready_to_learn_imports_nothing_more_on_the_way() -> None:
    """An import takes seconds on a busy machine, during which a worker would stall."""
    done = subprocess.run(
        [sys.executable, "-c", LEARN_SOMETHING], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert not set(done.stdout.split()) & {"river", "scipy", "sklearn", "numpy", "pandas"}

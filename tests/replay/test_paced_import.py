"""A live import learns, bit for bit, what a replay of its file learns, with any number of
partitions.

There is no broker: only what `streams/pacing.py` does to partitions, and any order of lessons.
"""

from random import Random

import pytest

from agents.trials.demo.shop import ShopConfig, simulate
from models.admission import admit
from models.events.rejection import Rejected
from models.learning.churn_models import ChurnScoring
from models.learning.day_ends import last_day_end_ms
from models.learning.lessons import Lesson, decode_lesson, encode_lesson
from models.learning.snapshot import Snapshot, encode_snapshot, prior_snapshot
from models.learning.trainer import Trainer
from models.partition import Partition
from models.partition_state import rehearsing_state
from models.plan import plan_for
from models.replay import Replay, no_models
from streams.kafka_clients import partition_for
from tests.models.lines import PARAMETERS
from tests.properties.histories import LiveRows

SHOP = ShopConfig(
    seed=6, customers=110, start_ms=1_700_000_000_000, days=110, late=0, shuffled=0, malformed=0
)
LINES = [record.value for record in simulate(SHOP)]


class Import:
    """Partitions that rehearse, a trainer, and the clock records with which ingest paces them."""

    def __init__(self, partitions: int, seed: int) -> None:
        self.trainer = Trainer(PARAMETERS, partitions=partitions)
        self.drawn: list[bytes] = []
        plan, prior = plan_for(PARAMETERS), prior_snapshot(PARAMETERS)
        self._partitions = [
            Partition(number, LiveRows(), prior, plan, no_models, rehearsing_state())
            for number in range(partitions)
        ]
        self._told: list[list[Lesson]] = [[] for _ in self._partitions]
        self._ended_ms = self._place = 0
        self._rng = Random(seed)

    def take(self, raw: bytes) -> None:
        """Pass on an event; before the first one of a day, end the day before."""
        event = admit(raw, PARAMETERS, message_id="unknown")
        end_ms = last_day_end_ms(event.occurred_at_ms - PARAMETERS.time.disorder)
        if end_ms > self._ended_ms:
            self._ended_ms = end_ms
            for partition in self._partitions:
                offset = partition.state.applied + 1
                self._tell(partition, partition.advance_clock(offset, end_ms).effects)
                partition.skip(offset)
            self._learn()
        partition = self._partitions[partition_for(event.customer.encode(), len(self._partitions))]
        offset = partition.state.applied + 1
        self._tell(partition, partition.fold(offset, event, moves_clock=True).effects)

    def _tell(self, partition: Partition, effects: list[object]) -> None:
        self._told[partition.number] += [one for one in effects if isinstance(one, Lesson)]

    def _learn(self) -> None:
        """Send all lessons so far to the trainer, each partition's in its own order."""
        turns = [number for number, told in enumerate(self._told) for _ in told]
        self._rng.shuffle(turns)
        told = [iter(lessons) for lessons in self._told]
        for number in turns:
            lesson = decode_lesson(encode_lesson(next(told[number])))
            self.trainer.learn(lesson, self._place)
            self._place += 1
            while self.trainer.learn_next():
                if self.trainer.is_due:
                    self._adopt(self.trainer.draw(self._place))
        self._told = [[] for _ in self._partitions]

    def _adopt(self, snapshot: Snapshot) -> None:
        self.drawn.append(decided_with(snapshot))
        for partition in self._partitions:
            partition.adopt(snapshot)


class Replayed(Trainer):
    """A replay's trainer, whose snapshots are kept."""

    def __init__(self) -> None:
        super().__init__(PARAMETERS, partitions=1)
        self.drawn: list[bytes] = []

    def draw(self, consumed: int = 0) -> Snapshot:
        snapshot = super().draw(consumed)
        self.drawn.append(decided_with(snapshot))
        return snapshot


def decided_with(snapshot: Snapshot) -> bytes:
    """A snapshot's bytes without the trainer's state, which contains the positions of its
    lessons.
    """
    return encode_snapshot(snapshot.replace(trainer=b"null"))[0]


@pytest.fixture(scope="module")
def replayed() -> Replayed:
    trainer = Replayed()
    replay = Replay(PARAMETERS, trainer=trainer, is_rehearsed=True)
    for number, line in enumerate(LINES, 1):
        replay.feed(line, number)
    return trainer


@pytest.mark.parametrize(("partitions", "seed"), [(1, 0), (4, 1), (5, 2)])
def test_an_import_learns_bit_for_bit_what_a_replay_learns(
    replayed: Replayed, partitions: int, seed: int
) -> None:
    paced = Import(partitions, seed)
    for line in LINES:
        try:
            paced.take(line)
        except Rejected:
            continue

    assert len(replayed.drawn) > 70
    assert replayed.snapshot.of(ChurnScoring).models
    assert replayed.snapshot.of(ChurnScoring).quality
    assert replayed.drawn == paced.drawn
    assert replayed.lessons == paced.trainer.lessons

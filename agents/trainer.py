"""The trainer: learns from `labelled-examples`, publishes snapshots and announces them in the log.

A snapshot is a function of the lessons before it, however they were cut into batches, so the
trainer checks after each lesson whether one is due. Lessons wait for the end of their day. Offsets
are committed only up to the last snapshot, less the lessons that were waiting then: a restart
restores the snapshot and reads on from there.
"""

import asyncio
import logging
from importlib import import_module
from time import monotonic
from typing import TYPE_CHECKING

from faust.types import TP

from config.parameters import Parameters
from config.settings import Settings
from config.topics import CUSTOMER_EVENTS, LABELLED_EXAMPLES
from models.events.foreign import Foreign
from models.population import MEASURES_OF_PARTS, samples_of_parts
from streams.batch_consumer import BatchConsumer
from streams.log_ends import LogEnds
from streams.metrics import Metrics
from streams.outbox import Outbox
from streams.quarantine import Quarantine, past_lesson
from streams.record_batches import Record, RecordBatch
from streams.snapshot_store import SnapshotStore, announce, publish

if TYPE_CHECKING:
    from models.learning.trainer import Trainer

log = logging.getLogger(__name__)

#: Modules that are imported when they are first used, so that other workers need not wait for them.
NEEDED_TO_LEARN = ("models.learning.trainer", "scipy.optimize", "river.drift")
#: Lessons learnt before heartbeats and the other agents get a turn.
RECORDS_PER_TURN = 200


class TrainerAgent:
    """The agent of `labelled-examples`, which has one partition and so one trainer."""

    def __init__(
        self,
        snapshots: SnapshotStore,
        outbox: Outbox,
        settings: Settings,
        parameters: Parameters,
        metrics: Metrics,
    ) -> None:
        self._snapshots = snapshots
        self._outbox = outbox
        self._settings = settings
        self._parameters = parameters
        self._metrics = metrics
        self._quarantine = Quarantine(metrics)
        self._trainer: Trainer | None = None
        self._epoch = -1
        self._restoring = asyncio.Lock()
        self._ends: LogEnds | None = None
        self._has_heard = False

    def heard_ms(self, partition: int) -> int:
        """The time up to which a partition's lessons have arrived and whole days are learnt; 0 at
        first.
        """
        return self._trainer.clock_ms(partition) if self._trainer is not None else 0

    @property
    def version(self) -> int:
        """The version of the last snapshot drawn here."""
        return self._trainer.snapshot.version if self._trainer is not None else 0

    async def take(self, batch: RecordBatch, consumer: BatchConsumer) -> None:
        """Learn from ``batch``; publish and announce snapshots that become due."""
        started_s = monotonic()
        trainer, committable = await self._of_epoch(batch.epoch), 0
        ends = self._ends = self._ends or self._log_ends(consumer)
        for index, record in enumerate(batch):
            if not index % RECORDS_PER_TURN:
                await asyncio.sleep(0)
            if not batch.is_current:
                return
            await self._hear(trainer, record, ends)
            committable = await self._learn_days(trainer, batch, record.offset + 1) or committable
        if not batch.is_current:
            return
        self._has_heard = True
        batch.release()
        if committable:
            position = {TP(batch.topic, 0): committable}
            consumer.ledger.mark_committable(position, epoch=batch.epoch)
        self._metrics.observe_batch(LABELLED_EXAMPLES, len(batch), monotonic() - started_s)

    async def go_on_idle(self, consumer: BatchConsumer) -> None:
        """Resume from the last snapshot if this worker has the lessons and none are left to read.
        History waits for the trainer's progress, and partitions may wait for a snapshot that a
        killed trainer did not announce.
        """
        ledger, lessons = consumer.ledger, TP(self._settings.topic(LABELLED_EXAMPLES), 0)
        if ledger.epoch != self._epoch and ledger.has_position(lessons):
            if ledger.is_idle(lessons.topic) and lessons not in consumer.to_come():
                await self._of_epoch(ledger.epoch)

    async def _of_epoch(self, epoch: int) -> "Trainer":
        """The trainer of this assignment. A batch may arrive while it is being restored."""
        async with self._restoring:
            if self._trainer is None or epoch != self._epoch:
                self._trainer = await self._restored()
                self._epoch = epoch
            return self._trainer

    async def _hear(self, trainer: "Trainer", record: Record, ends: LogEnds) -> None:
        """Give a record to the trainer; set it aside if it is no lesson that can be learnt."""
        try:
            lesson = past_lesson(record.value or b"")
            await ends.require(lesson)
        except Foreign as error:
            place = (record.partition, record.offset)
            self._quarantine.leave_out(LABELLED_EXAMPLES, *place, str(error))
        else:
            trainer.learn(lesson, record.offset)

    def _log_ends(self, consumer: BatchConsumer) -> LogEnds:
        topic = self._settings.topic(CUSTOMER_EVENTS)
        return LogEnds(
            lambda: consumer.log_ends(topic, self._settings.partitions),
            lambda partition: consumer.ledger.read_up_to(TP(topic, partition)),
        )

    async def _learn_days(self, trainer: "Trainer", batch: RecordBatch, consumed: int) -> int:
        """Learn the days that are complete after the lessons before ``consumed``. Return the
        position that may be committed if there was a snapshot, else 0.
        """
        learnt = committable = 0
        while batch.is_current and learn_next(trainer, self._metrics):
            learnt += 1
            if trainer.is_due:
                snapshot = trainer.draw(consumed)
                await publish(snapshot, self._outbox, self._settings)
                self._snapshots.remember(snapshot)
                committable = trainer.consumed
            elif not learnt % RECORDS_PER_TURN:
                # A whole day is learnt at once, which may take long.
                await asyncio.sleep(0)
        return committable

    async def _restored(self) -> "Trainer":
        """The trainer as of the last snapshot, which is announced again: the trainer that published
        it may have been killed before all partitions heard of it.
        """
        latest = await self._snapshots.latest()
        if latest.version:
            await announce(latest, self._outbox, self._settings)
        log.info("trainer goes on from snapshot %d", latest.version)
        await ready_to_learn()
        from models.learning.trainer import Trainer  # noqa: PLC0415

        return Trainer(self._parameters, latest, partitions=self._settings.partitions)

    def tell(self) -> None:
        """Update the metrics that do not wait for a snapshot: drift, and the parts' measures of all
        customers. Done when they are requested, and not with each batch.
        """
        trainer = self._trainer
        if trainer is None or not self._has_heard:
            return
        self._has_heard = False
        self._metrics.set_drift_means(trainer.drift_means())
        samples = samples_of_parts(trainer.tallies(trainer.heard_ms), self._parameters)
        self._metrics.set_samples(MEASURES_OF_PARTS, samples)


async def ready_to_learn() -> None:
    """Import what learning needs, which takes a second or two. Done only on the trainer, and in a
    thread, so that heartbeats and the other agents don't wait.
    """
    for name in NEEDED_TO_LEARN:
        await asyncio.to_thread(import_module, name)


def learn_next(trainer: "Trainer", metrics: Metrics) -> bool:
    """Learn the next lesson of a complete day, and report drift; False when there is none."""
    try:
        if not trainer.learn_next():
            return False
    except ValueError as error:
        log.warning("left out an example that cannot be learnt: %s", error)
        return True
    for alarm in trainer.alarms:
        # Alarms are not part of snapshots.
        log.warning("%s (%s)", alarm.words, alarm.timestamp)
        metrics.count_drift_alarm(alarm.stream)
    return True

"""The trainer: learns from `labelled-examples`, publishes snapshots and announces them in the log.

A snapshot is a function of the examples before it: batches are cut by chance, so whether one is
due is asked after each example. Offsets are committed only up to the last snapshot: a restart
restores it and reads on from there.
"""

import asyncio
import logging
from importlib import import_module
from time import monotonic
from typing import TYPE_CHECKING

import msgspec
from faust.types import TP

from config.parameters import Parameters
from config.settings import Settings
from config.topics import LABELLED_EXAMPLES
from models.learning.drift import DriftMonitor
from models.learning.examples import Observation, decode_lesson
from streams.batch_consumer import BatchConsumer
from streams.metrics import Metrics
from streams.outbox import Outbox
from streams.record_batches import Record, RecordBatch
from streams.snapshot_store import SnapshotStore, announce, publish

if TYPE_CHECKING:
    from models.learning.trainer import Trainer as Learner

log = logging.getLogger(__name__)

#: Lessons learnt before heartbeats and the other agents get a turn.
RECORDS_PER_TURN = 200


class Trainer:
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
        self._learner: Learner | None = None
        self._drift: DriftMonitor | None = None
        self._epoch = -1

    async def take(self, batch: RecordBatch, consumer: BatchConsumer) -> None:
        """Learn from ``batch``; publish and announce what becomes due."""
        started_s = monotonic()
        if self._learner is None or self._drift is None or batch.epoch != self._epoch:
            self._learner = await self._restored()
            self._drift = DriftMonitor()
            self._epoch = batch.epoch
        committable = 0
        for index, record in enumerate(batch):
            if not index % RECORDS_PER_TURN:
                await asyncio.sleep(0)
            if not batch.is_current:
                return
            if self._learn(self._learner, self._drift, record):
                snapshot = self._learner.draw(consumed=record.offset + 1)
                await publish(snapshot, self._outbox, self._settings)
                committable = record.offset + 1
        self._metrics.set_drift_means(self._drift.means())
        batch.release()
        if committable:
            position = {TP(batch.topic, 0): committable}
            consumer.ledger.mark_committable(position, epoch=batch.epoch)
        self._metrics.observe_batch(LABELLED_EXAMPLES, len(batch), monotonic() - started_s)

    async def _restored(self) -> "Learner":
        """The learner as of the last snapshot, which is announced once more: whoever published
        it may have been killed before all partitions heard of it.
        """
        latest = await self._snapshots.latest()
        if latest.version:
            await announce(latest, self._outbox, self._settings)
        log.info("trainer goes on from snapshot %d", latest.version)
        await ready_to_learn()
        from models.learning.trainer import Trainer as Learner  # noqa: PLC0415

        return Learner(self._parameters, latest)

    def _learn(self, learner: "Learner", drift: DriftMonitor, record: Record) -> bool:
        """Learn from one record; whether a snapshot is due after it."""
        try:
            lesson = decode_lesson(record.value or b"")
            learnt = learner.learn(lesson)
        except (msgspec.DecodeError, ValueError):
            log.warning("left out an example at offset %d that is not one", record.offset)
            return False
        if learnt and isinstance(lesson, Observation):
            watch(drift, lesson, self._metrics)
        return learnt and learner.is_due


async def ready_to_learn() -> None:
    """Import what learning needs: a second or two that only the worker whose turn it is pays,
    beside the loop that heartbeats and the other agents wait for.
    """
    await asyncio.to_thread(import_module, "models.learning.trainer")


def watch(monitor: DriftMonitor, observation: Observation, metrics: Metrics) -> None:
    """Tell of drift, which the snapshots know nothing of."""
    for alarm in monitor.observe(observation):
        log.warning("%s (%s)", alarm.words, alarm.timestamp)
        metrics.count_drift_alarm(alarm.stream)

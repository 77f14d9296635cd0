"""A worker's gauges, updated on request: its progress, and what it holds."""

from agents.worker_condition import WorkerCondition
from config.settings import Settings
from models.population import MEASURES, samples_of
from streams.broker_watch import BrokerWatch
from streams.faust_app import KeepstreamApp
from streams.metrics import Metrics
from streams.owned_partitions import OwnedPartition, OwnedPartitions
from streams.progress import Progress


class Gauges:
    """Updates the gauges from the worker's state."""

    def __init__(
        self,
        app: KeepstreamApp,
        partitions: OwnedPartitions,
        broker: BrokerWatch,
        progress: Progress,
        condition: WorkerCondition,
        metrics: Metrics,
        settings: Settings,
    ) -> None:
        self._app = app
        self._partitions = partitions
        self._broker = broker
        self._progress = progress
        self._condition = condition
        self._metrics = metrics
        self._settings = settings

    def watch(self) -> None:
        """Record the progress between requests, to know since when a topic is stuck."""
        consumer = self._app.batch_consumer
        self._progress.update(consumer.ledger.ended, consumer.lag())

    def refresh(self) -> None:
        """Update all gauges."""
        self.watch()
        self._draw_positions()
        for owned in self._partitions:
            self._draw_partition(owned)
        newest = max(
            (owned.fold.snapshot for owned in self._partitions),
            key=lambda snapshot: snapshot.version,
            default=None,
        )
        if newest is not None:
            self._metrics.set_samples(MEASURES, samples_of(newest))
        self._metrics.ready.set(not self._condition.problems())

    def _draw_positions(self) -> None:
        self._metrics.forget_positions()
        silence_s = self._broker.silence_s()
        self._metrics.broker_silence.set(silence_s)
        unheard_s = silence_s if self._broker.is_silent() else 0.0
        for tp, backlog in self._progress.positions(unheard_s).items():
            topic = tp.topic.removeprefix(self._settings.topic_prefix)
            self._metrics.set_position(topic, tp.partition, backlog)

    def _draw_partition(self, owned: OwnedPartition) -> None:
        state, snapshot = owned.fold.state, owned.fold.snapshot
        age_ms = max(state.clock_ms - snapshot.created_at_ms, 0) if snapshot.version else 0
        self._metrics.set_partition(
            owned.fold.number,
            customers=len(owned.rows),
            damaged=len(owned.rows.damaged),
            packed_bytes=owned.rows.packed_bytes,
            clock_ms=state.clock_ms,
            model_version=snapshot.version,
            snapshot_age_ms=age_ms,
        )

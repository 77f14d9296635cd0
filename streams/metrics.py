"""Every metric, in the one file that knows Prometheus.

Counters take sums, once a batch: what is counted for each event must not cost anything for each
event. No label ever holds a customer.
"""

from collections.abc import Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, generate_latest

from models.learning.drift import STREAMS
from models.learning.scorers import SCORERS
from models.learning.snapshot import Snapshot

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_LATENCY_S = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
_RECORDS = (1, 10, 50, 100, 250, 500, 1_000, 2_000, 4_000, 8_000)


class Metrics:
    """The metrics of one worker, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self._events = Counter(
            "keepstream_events",
            "Events by the topic they came on and what became of them: applied, duplicate, late "
            "or dead_letter; each is in exactly one",
            ["topic", "fate"],
            registry=registry,
        )
        self._dead_letters = Counter(
            "keepstream_dead_letters", "Refused events by reason", ["reason"], registry=registry
        )
        self._decisions = Counter(
            "keepstream_decisions",
            "Decisions by kind (the trigger's name, or next-best-action) and fate: fired, or "
            "treated and control",
            ["kind", "fate"],
            registry=registry,
        )
        self._suppressed = Counter(
            "keepstream_suppressed_actions",
            "Actions that were not to be, by the gate that was shut",
            ["action", "gate"],
            registry=registry,
        )
        self._outcomes = Counter(
            "keepstream_action_outcomes",
            "What came back about actions",
            ["outcome"],
            registry=registry,
        )
        self.event_to_trigger = Histogram(
            "keepstream_event_to_trigger_seconds",
            "From the broker taking an event to its trigger being durable; deadlines left out",
            buckets=_LATENCY_S,
            registry=registry,
        )
        self._batch_records = Histogram(
            "keepstream_batch_records",
            "Records in a batch",
            ["topic"],
            buckets=_RECORDS,
            registry=registry,
        )
        self._batch_seconds = Histogram(
            "keepstream_batch_seconds",
            "From taking a batch to acknowledging it",
            ["topic"],
            buckets=_LATENCY_S,
            registry=registry,
        )
        self._lag = Gauge(
            "keepstream_consumer_lag_records",
            "Records not yet acknowledged, by assigned partition",
            ["topic", "partition"],
            registry=registry,
        )
        self._progress_age = Gauge(
            "keepstream_partition_progress_age_seconds",
            "How long an assigned partition has had records waiting without moving on; 0 if none",
            ["topic", "partition"],
            registry=registry,
        )
        self._table_customers = Gauge(
            "keepstream_table_customers", "Customers in the table", ["partition"], registry=registry
        )
        self._table_bytes = Gauge(
            "keepstream_table_bytes", "Bytes of packed rows", ["partition"], registry=registry
        )
        self._clock = Gauge(
            "keepstream_partition_clock_seconds",
            "Event time a partition has reached, as a Unix time",
            ["partition"],
            registry=registry,
        )
        self.recovery_seconds = Histogram(
            "keepstream_recovery_seconds",
            "Time to recover a partition from its changelog",
            buckets=(0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120),
            registry=registry,
        )
        self.recovered_records = Counter(
            "keepstream_recovered_records", "Changelog records read back", registry=registry
        )
        self.reread_records = Counter(
            "keepstream_reread_records",
            "Records of customer-events that had been applied before: read again after a crash",
            registry=registry,
        )
        self.quarantined_records = Counter(
            "keepstream_quarantined_records",
            "Changelog records that were damaged or not ours, and left out",
            registry=registry,
        )
        self.redis_up = Gauge(
            "keepstream_redis_up", "Whether the last write to Redis succeeded", registry=registry
        )
        self._model_version = Gauge(
            "keepstream_model_version", "Snapshot in use", ["partition"], registry=registry
        )
        scorer = ["horizon_days", "kind", "scorer"]
        self._model_log_loss = Gauge(
            "keepstream_model_log_loss",
            "Mean log loss of matured decisions, each scored before it was learnt from",
            scorer,
            registry=registry,
        )
        self._model_auc = Gauge(
            "keepstream_model_auc", "AUC of matured decisions", scorer, registry=registry
        )
        self._model_calibration_error = Gauge(
            "keepstream_model_calibration_error",
            "Mean gap between scores and outcomes, over 15 bins of equal count",
            scorer,
            registry=registry,
        )
        self._model_reliability = Gauge(
            "keepstream_model_reliability",
            "Reliability curve of what was served: mean score (of = said) and share that came true "
            "(of = came_true) by bin of equal count, the lowest scores in bin 1",
            ["horizon_days", "kind", "bin", "of"],
            registry=registry,
        )
        self._model_examples = Gauge(
            "keepstream_model_examples", "Matured decisions scored", scorer, registry=registry
        )
        self._model_serves = Gauge(
            "keepstream_model_serves",
            "Whether this scorer's word is acted on (1) or only judged (0)",
            ["horizon_days", "scorer"],
            registry=registry,
        )
        self._drift_alarms = Counter(
            "keepstream_drift_alarms",
            "Alarms of drift since the trainer began, by what drifted",
            ["stream"],
            registry=registry,
        )
        self._drift_mean = Gauge(
            "keepstream_drift_mean",
            "Mean of what is watched for drift, over as long as it has had one mean",
            ["stream"],
            registry=registry,
        )
        for stream in STREAMS:
            # At zero from the start, for increase() to see the first one.
            self._drift_alarms.labels(stream)
        spend_scorer = ["horizon_days", "scorer"]
        self._spend_ratio = Gauge(
            "keepstream_spend_expected_ratio",
            "All spend expected at matured decisions over all that came",
            spend_scorer,
            registry=registry,
        )
        self._spend_deviance = Gauge(
            "keepstream_spend_deviance",
            "Mean Poisson deviance of expected spend, in typical orders",
            spend_scorer,
            registry=registry,
        )
        self._spend_serves = Gauge(
            "keepstream_spend_serves",
            "Whether the challenger's expected spend is served (1) or the formula's (0)",
            ["horizon_days"],
            registry=registry,
        )
        self._revenue_share = Gauge(
            "keepstream_revenue_share_top_fifth",
            "Part of a year's net revenue that the best fifth of customers brought",
            registry=registry,
        )
        self._snapshot_age = Gauge(
            "keepstream_snapshot_age_seconds",
            "Event time between the snapshot in use and the partition's clock",
            ["partition"],
            registry=registry,
        )
        Info("keepstream_build", "Release", registry=registry).info({"version": "0.1.0"})

    def count_events(self, fates: Mapping[tuple[str, str], int]) -> None:
        """Add events by (topic, fate)."""
        for (topic, fate), count in fates.items():
            self._events.labels(topic, fate).inc(count)

    def count_dead_letters(self, reasons: Mapping[str, int]) -> None:
        for reason, count in reasons.items():
            self._dead_letters.labels(reason).inc(count)

    def count_decisions(
        self,
        decisions: Mapping[tuple[str, str], int],
        suppressed: Mapping[tuple[str, str], int],
        outcomes: Mapping[str, int],
    ) -> None:
        """Add decisions by (kind, fate), actions passed over by (action, gate), and outcomes."""
        for (kind, fate), count in decisions.items():
            self._decisions.labels(kind, fate).inc(count)
        for (action, gate), count in suppressed.items():
            self._suppressed.labels(action, gate).inc(count)
        for outcome, count in outcomes.items():
            self._outcomes.labels(outcome).inc(count)

    def observe_batch(self, topic: str, records: int, seconds: float) -> None:
        self._batch_records.labels(topic).observe(records)
        self._batch_seconds.labels(topic).observe(seconds)

    def set_position(self, topic: str, partition: int, *, lag: int, stuck_s: float) -> None:
        self._lag.labels(topic, partition).set(lag)
        self._progress_age.labels(topic, partition).set(stuck_s)

    def set_partition(
        self,
        partition: int,
        *,
        customers: int,
        packed_bytes: int,
        clock_ms: int,
        model_version: int,
        snapshot_age_ms: int,
    ) -> None:
        self._table_customers.labels(partition).set(customers)
        self._table_bytes.labels(partition).set(packed_bytes)
        self._clock.labels(partition).set(clock_ms / 1_000)
        self._model_version.labels(partition).set(model_version)
        self._snapshot_age.labels(partition).set(snapshot_age_ms / 1_000)

    def set_model(self, snapshot: Snapshot) -> None:
        """Tell how good the models of ``snapshot`` have been."""
        for horizon, model in snapshot.churn.items():
            for scorer in SCORERS:
                self._model_serves.labels(horizon, scorer).set(scorer == model.champion)
        for told in snapshot.quality:
            labels = (f"{told.horizon_days:g}", told.kind, told.scorer)
            self._model_examples.labels(*labels).set(told.examples)
            for gauge, value in (
                (self._model_log_loss, told.log_loss),
                (self._model_auc, told.auc),
                (self._model_calibration_error, told.calibration_error),
            ):
                if value is not None:
                    gauge.labels(*labels).set(value)
            for number, (said, came_true) in enumerate(told.curve, start=1):
                self._model_reliability.labels(*labels[:2], number, "said").set(said)
                self._model_reliability.labels(*labels[:2], number, "came_true").set(came_true)
        self._set_spend(snapshot)

    def count_drift_alarm(self, stream: str) -> None:
        self._drift_alarms.labels(stream).inc()

    def set_drift_means(self, means: Mapping[str, float]) -> None:
        for stream, mean in means.items():
            self._drift_mean.labels(stream).set(mean)

    def _set_spend(self, snapshot: Snapshot) -> None:
        for horizon, spend in snapshot.spend.items():
            self._spend_serves.labels(horizon).set(spend.serves)
        for told in snapshot.spend_quality:
            for gauge, value in (
                (self._spend_ratio, told.ratio),
                (self._spend_deviance, told.deviance),
            ):
                if value is not None:
                    gauge.labels(f"{told.horizon_days:g}", told.scorer).set(value)
        if snapshot.revenue_share_top_fifth is not None:
            self._revenue_share.set(snapshot.revenue_share_top_fifth)

    def forget_positions(self) -> None:
        """Drop what was said of partitions; the present owner says it anew."""
        self._lag.clear()
        self._progress_age.clear()

    def forget_partition(self, partition: int) -> None:
        for gauge in (
            self._table_customers,
            self._table_bytes,
            self._clock,
            self._model_version,
            self._snapshot_age,
        ):
            gauge.remove(str(partition))

    def exposition(self) -> bytes:
        """All metrics in Prometheus' text format."""
        return generate_latest(self.registry)

"""Every metric of a worker; only this file and the collector's know Prometheus.

Counters are increased by sums, once per batch, so counting costs nothing per event. No label ever
holds a customer's id.
"""

from collections.abc import Iterable, Mapping
from math import nan

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from config.topics import RAW_TOPICS, READ_BACK_TOPICS
from models.customer.contacts import Outcome
from models.customer.holdout import CONTROL, TREATED
from models.customer.labels import Dropped
from models.decisions.trigger import NEXT_BEST_ACTION
from models.engine import Fate
from models.events.rejection import Reason
from models.learning.drift import STREAMS
from models.measures import Measure, Sample
from models.population import MEASURES, MEASURES_OF_PARTS
from streams.exposition import exposed, new_registry
from streams.progress import Backlog

#: How many combinations of reason, path and fix get labels of their own.
REFUSAL_LABELS_MAX = 200
_LATENCY_S = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
_RECORDS = (1, 10, 50, 100, 250, 500, 1_000, 2_000, 4_000, 8_000)


class _Identities:
    """Changes of identities as this worker saw them, and the labels lost by them."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.links = Counter(
            "keepstream_identity_links",
            "Ids that were linked to a person, by the evidence: event, alias or merged",
            ["by"],
            registry=registry,
        )
        self.splits = Counter(
            "keepstream_identity_splits", "Ids that left a person", registry=registry
        )
        self.forwarded_events = Counter(
            "keepstream_identity_forwarded_events",
            "Events that were passed on from an id to the person whom it belongs to",
            registry=registry,
        )
        self.labels_dropped = Counter(
            "keepstream_labels_dropped",
            "Pending labels that were dropped, by why: an id left the person (split), erased, "
            "consent was revoked, or there were too many (bound)",
            ["why"],
            registry=registry,
        )
        for why in Dropped:
            self.labels_dropped.labels(why)


class _Waiting:
    """Consumer lag by assigned partition, and how long it has lasted."""

    def __init__(self, registry: CollectorRegistry) -> None:
        place = ["topic", "partition"]
        self.lag = Gauge(
            "keepstream_consumer_lag_records",
            "Records not yet acknowledged, by assigned partition; while no broker answers, the "
            "last known number",
            place,
            registry=registry,
        )
        self.offset = Gauge(
            "keepstream_consumer_offset",
            "The first offset that is not acknowledged, by assigned partition",
            place,
            registry=registry,
        )
        self.lag_seconds = Gauge(
            "keepstream_consumer_lag_seconds",
            "How long an assigned partition has had a lag, or no broker has answered; 0 if neither",
            place,
            registry=registry,
        )
        self.progress_age = Gauge(
            "keepstream_partition_progress_age_seconds",
            "How long an assigned partition has had a lag without progress, or no broker has "
            "answered; 0 if neither",
            place,
            registry=registry,
        )
        self.broker_silence = Gauge(
            "keepstream_broker_silence_seconds",
            "How long ago a Kafka broker last answered this process",
            registry=registry,
        )
        self.ready = Gauge(
            "keepstream_ready",
            "1 while /health/ready answers 200, else 0",
            registry=registry,
        )

    def set(self, topic: str, partition: int, backlog: Backlog) -> None:
        self.offset.labels(topic, partition).set(backlog.ended)
        self.lag.labels(topic, partition).set(backlog.lag)
        self.progress_age.labels(topic, partition).set(backlog.stuck_s)
        self.lag_seconds.labels(topic, partition).set(backlog.behind_s)

    def forget(self) -> None:
        for gauge in (self.offset, self.lag, self.progress_age, self.lag_seconds):
            gauge.clear()


class Metrics:
    """The metrics of one worker, in their own registry."""

    def __init__(self) -> None:
        self.registry = registry = new_registry()
        self._identities = _Identities(registry)
        self._events = Counter(
            "keepstream_events",
            "Events by their topic and fate: applied, duplicate, late, erased or dead_letter; each "
            "has exactly one fate",
            ["topic", "fate"],
            registry=registry,
        )
        self._dead_letters = Counter(
            "keepstream_dead_letters", "Refused events by reason", ["reason"], registry=registry
        )
        self._refusals = Counter(
            "keepstream_refusals",
            "Refused events by reason, the JSON path of the fault, and the fix",
            ["reason", "path", "fix"],
            registry=registry,
        )
        self._refusal_labels: set[tuple[str, str, str]] = set()
        self._misnamed = Counter(
            "keepstream_misnamed_events",
            "Events without effect whose name resembles a known one, by the probable meaning",
            ["meant"],
            registry=registry,
        )
        self.unread_consents = Counter(
            "keepstream_unread_consents",
            "Accepted events whose context has consent that is not understood",
            registry=registry,
        )
        # At zero from the start, so that increase() counts the first ones.
        for topic in RAW_TOPICS:
            for fate in (*Fate, "dead_letter"):
                self._events.labels(topic, fate)
        for reason in Reason:
            self._dead_letters.labels(reason)
        self._decisions = Counter(
            "keepstream_decisions",
            "Decisions by kind (the trigger's name, or next-best-action) and fate: fired, or "
            "treated, control and nothing; rehearsed before the shop went live",
            ["kind", "fate"],
            registry=registry,
        )
        self._held_back = Counter(
            "keepstream_held_back",
            "Decisions that were not delivered to Redis because they came too late, by kind",
            ["kind"],
            registry=registry,
        )
        self._suppressed = Counter(
            "keepstream_suppressed_actions",
            "Actions that were rejected, by the gate that rejected them",
            ["action", "gate"],
            registry=registry,
        )
        self._outcomes = Counter(
            "keepstream_action_outcomes",
            "Outcomes that were reported of actions",
            ["outcome"],
            registry=registry,
        )
        self._control_treated = Counter(
            "keepstream_control_treated",
            "Outcomes of control decisions, which must not be carried out, by channel",
            ["channel"],
            registry=registry,
        )
        self._unknown_outcomes = Counter(
            "keepstream_unknown_outcomes",
            "Outcomes of decisions that were not made for the customer, or long ago",
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
        self._waiting = _Waiting(registry)
        self.broker_silence, self.ready = self._waiting.broker_silence, self._waiting.ready
        self._table_customers = Gauge(
            "keepstream_table_customers", "Customers in the table", ["partition"], registry=registry
        )
        self._table_bytes = Gauge(
            "keepstream_table_bytes", "Bytes of packed rows", ["partition"], registry=registry
        )
        self._clock = Gauge(
            "keepstream_partition_clock_timestamp_seconds",
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
            "Records of customer-events that were read again after a crash, and applied before it",
            registry=registry,
        )
        self.quarantined_records = Counter(
            "keepstream_quarantined_records",
            "Changelog records that were left out: damaged, or not written by Keepstream",
            registry=registry,
        )
        self._damaged_rows = Gauge(
            "keepstream_damaged_rows",
            "Customers whose row was damaged, or continued from a damaged one, and not rebuilt yet",
            ["partition"],
            registry=registry,
        )
        self.foreign_records = Counter(
            "keepstream_foreign_records",
            "Records of internal topics that were left out, as Keepstream did not write them",
            ["topic"],
            registry=registry,
        )
        for topic in READ_BACK_TOPICS:
            self.foreign_records.labels(topic)
        self.redis_up = Gauge(
            "keepstream_redis_up", "Whether the last write to Redis succeeded", registry=registry
        )
        self._model_version = Gauge(
            "keepstream_model_version", "Snapshot in use", ["partition"], registry=registry
        )
        self._told = {
            measure.name: Gauge(measure.name, measure.about, measure.labels, registry=registry)
            for measure in (*MEASURES, *MEASURES_OF_PARTS)
        }
        self._drift_alarms = Counter(
            "keepstream_drift_alarms",
            "Drift alarms since the trainer began, by what drifted",
            ["stream"],
            registry=registry,
        )
        self._drift_mean = Gauge(
            "keepstream_drift_mean",
            "Mean of a value watched for drift, since it last changed",
            ["stream"],
            registry=registry,
        )
        for stream in STREAMS:
            # At zero from the start, so that increase() counts the first alarm.
            self._drift_alarms.labels(stream)
        self._snapshot_age = Gauge(
            "keepstream_snapshot_age_seconds",
            "Event time between the snapshot in use and the partition's clock",
            ["partition"],
            registry=registry,
        )

    def count_events(self, fates: Mapping[tuple[str, str], int]) -> None:
        """Add events by (topic, fate)."""
        for (topic, fate), count in fates.items():
            self._events.labels(topic, fate).inc(count)

    def count_dead_letters(self, refusals: Mapping[tuple[str, str, str], int]) -> None:
        """Add refused events by (reason, path, fix)."""
        for (reason, path, fix), count in refusals.items():
            self._dead_letters.labels(reason).inc(count)
            self._refusals.labels(*self._refusal(reason, path, fix)).inc(count)

    def _refusal(self, reason: str, path: str, fix: str) -> tuple[str, str, str]:
        """The labels of a refusal, bounded: a fix may quote a code that came with the event."""
        labels = (reason, path, fix)
        if labels not in self._refusal_labels and len(self._refusal_labels) >= REFUSAL_LABELS_MAX:
            return reason, "$", "`keepstream dead-letters list` shows it"
        self._refusal_labels.add(labels)
        return labels

    def count_misnamed(self, meant: Mapping[str, int]) -> None:
        """Add misnamed events by the known name that was probably meant."""
        for name, count in meant.items():
            self._misnamed.labels(name).inc(count)

    def count_decisions(
        self,
        decisions: Mapping[tuple[str, str], int],
        suppressed: Mapping[tuple[str, str], int],
        outcomes: Mapping[str, int],
    ) -> None:
        """Add decisions by (kind, fate), rejected actions by (action, gate), and outcomes."""
        for (kind, fate), count in decisions.items():
            self._decisions.labels(kind, fate).inc(count)
        for (action, gate), count in suppressed.items():
            self._suppressed.labels(action, gate).inc(count)
        for outcome, count in outcomes.items():
            self._outcomes.labels(outcome).inc(count)

    def expect(self, channels: Iterable[str], triggers: Iterable[str]) -> None:
        """Start every channel, and every kind of decision with its fates, at zero, so that
        increase() counts the first one.
        """
        for channel in channels:
            self._control_treated.labels(channel)
        for trigger in triggers:
            self._decisions.labels(trigger, "fired")
        for group in (TREATED, CONTROL):
            self._decisions.labels(NEXT_BEST_ACTION, group)
        for outcome in set(Outcome) - {Outcome.NONE}:
            self._outcomes.labels(outcome)

    def count_strays(self, control_treated: Mapping[str, int], unknown: int) -> None:
        """Add outcomes that are no action's success: of control decisions, by channel, and
        unknown.
        """
        for channel, count in control_treated.items():
            self._control_treated.labels(channel).inc(count)
        self._unknown_outcomes.inc(unknown)

    def count_links(self, links: Mapping[str, int], splits: int, forwarded: int) -> None:
        """Add linked ids by the kind of evidence, ids split off, and forwarded events."""
        for by, count in links.items():
            self._identities.links.labels(by).inc(count)
        self._identities.splits.inc(splits)
        self._identities.forwarded_events.inc(forwarded)

    def count_dropped_labels(self, dropped: Mapping[Dropped, int]) -> None:
        for why, count in dropped.items():
            self._identities.labels_dropped.labels(why).inc(count)

    def count_held_back(self, kinds: Mapping[str, int]) -> None:
        for kind, count in kinds.items():
            self._held_back.labels(kind).inc(count)

    def observe_batch(self, topic: str, records: int, seconds: float) -> None:
        self._batch_records.labels(topic).observe(records)
        self._batch_seconds.labels(topic).observe(seconds)

    def set_position(self, topic: str, partition: int, backlog: Backlog) -> None:
        self._waiting.set(topic, partition, backlog)

    def set_partition(
        self,
        partition: int,
        *,
        customers: int,
        damaged: int,
        packed_bytes: int,
        clock_ms: int,
        model_version: int,
        snapshot_age_ms: int,
    ) -> None:
        self._table_customers.labels(partition).set(customers)
        self._damaged_rows.labels(partition).set(damaged)
        self._table_bytes.labels(partition).set(packed_bytes)
        self._clock.labels(partition).set(clock_ms / 1_000)
        self._model_version.labels(partition).set(model_version)
        self._snapshot_age.labels(partition).set(snapshot_age_ms / 1_000)

    def set_samples(self, measures: Iterable[Measure], samples: Iterable[Sample]) -> None:
        """Set ``measures`` to these samples; remove values that no longer have a sample."""
        for measure in measures:
            gauge = self._told[measure.name]
            if measure.labels:
                gauge.clear()
            else:
                gauge.set(nan)
        for sample in samples:
            gauge = self._told[sample.measure.name]
            (gauge.labels(*sample.labels) if sample.labels else gauge).set(sample.value)

    def count_drift_alarm(self, stream: str) -> None:
        self._drift_alarms.labels(stream).inc()

    def set_drift_means(self, means: Mapping[str, float]) -> None:
        for stream, mean in means.items():
            self._drift_mean.labels(stream).set(mean)

    def forget_positions(self) -> None:
        """Remove the values of all partitions; each partition's present owner reports them."""
        self._waiting.forget()

    def forget_partition(self, partition: int) -> None:
        for gauge in (
            self._table_customers,
            self._damaged_rows,
            self._table_bytes,
            self._clock,
            self._model_version,
            self._snapshot_age,
        ):
            gauge.remove(str(partition))

    def exposition(self) -> bytes:
        """All metrics in Prometheus' text format."""
        return exposed(self.registry)

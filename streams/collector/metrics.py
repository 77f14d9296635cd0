"""The collector's metrics: what each source sent and what became of it."""

from collections import Counter as Tally
from collections import deque
from collections.abc import Iterable, Mapping

from prometheus_client import Counter, Gauge, Histogram

from models.events.rejection import Reason
from streams.exposition import exposed, new_registry
from streams.file_metrics import FileMetrics

#: This many sources have labels of their own; all others share one.
SOURCES_LABELLED_MAX = 50
OTHER = "other"
#: The label of requests whose write key belongs to no source.
NOBODY = "unknown"
#: Clock skews remembered for each source, one a request.
SKEWS_MAX = 1_000
_QUANTILES = (0.5, 0.99)
_SECONDS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)


class CollectorMetrics:
    """The metrics of one collector, in their own registry; no label names a customer."""

    def __init__(self, sources: Iterable[str]) -> None:
        self.registry = registry = new_registry()
        self.files = FileMetrics(registry)
        self._labels: dict[str, str] = {}
        self._requests = Counter(
            "keepstream_collector_requests",
            "Requests by source and status",
            ["source", "status"],
            registry=registry,
        )
        self._events = Counter(
            "keepstream_collector_events",
            "Events by source and fate: accepted (published), refused (a dead letter), left_out "
            "(about no customer) or ignored (a webhook that gives no event)",
            ["source", "fate"],
            registry=registry,
        )
        self._refused = Counter(
            "keepstream_collector_refused_events",
            "Refused events by source and reason",
            ["source", "reason"],
            registry=registry,
        )
        self._duplicates = Counter(
            "keepstream_collector_duplicate_events",
            "Accepted events whose messageId came from the same source shortly before",
            ["source"],
            registry=registry,
        )
        self._late = Counter(
            "keepstream_collector_late_events",
            "Accepted events that are older than time.lateness, and will be too late",
            ["source"],
            registry=registry,
        )
        self._incomplete = Counter(
            "keepstream_collector_incomplete_events",
            "Accepted events that lack a field that they should have, by the field",
            ["source", "missing"],
            registry=registry,
        )
        self._skew = Gauge(
            "keepstream_collector_clock_skew_seconds",
            "How much later than the sender's clock says requests were sent they came, by quantile",
            ["source", "quantile"],
            registry=registry,
        )
        self._skews: dict[str, deque[float]] = {}
        self.seconds = Histogram(
            "keepstream_collector_request_seconds",
            "From the whole request to its answer",
            buckets=_SECONDS,
            registry=registry,
        )
        self.waiting_bytes = Gauge(
            "keepstream_collector_waiting_bytes",
            "Bytes of accepted events that wait to be written to Kafka",
            registry=registry,
        )
        self.know(sources)

    def know(self, sources: Iterable[str]) -> None:
        """Give sources labels of their own, as long as there are some left."""
        for label in sorted(set(sources) - self._labels.keys()):
            if len(self._labels) == SOURCES_LABELLED_MAX:
                return
            self._labels[label] = label
            # At zero from the start, so that increase() counts the first ones.
            for fate in ("accepted", "refused", "left_out", "ignored"):
                self._events.labels(label, fate)
            for reason in Reason:
                self._refused.labels(label, reason)
            self._duplicates.labels(label)
            self._late.labels(label)

    def count_request(self, source: str | None, status: int) -> None:
        """Count an answer; ``source`` is None for a write key that belongs to no source."""
        self._requests.labels(self._label(source), status).inc()

    def count_events(
        self,
        source: str,
        *,
        accepted: int,
        refused: Mapping[str, int],
        duplicate: int,
        late: int,
        left_out: int,
        incomplete: Mapping[str, int],
    ) -> None:
        """Add what became of a request's events."""
        label = self._label(source)
        self._events.labels(label, "accepted").inc(accepted)
        self._events.labels(label, "left_out").inc(left_out)
        self._duplicates.labels(label).inc(duplicate)
        self._late.labels(label).inc(late)
        if refused:
            self._events.labels(label, "refused").inc(Tally(refused).total())
        for reason, count in refused.items():
            self._refused.labels(label, reason).inc(count)
        for what, count in incomplete.items():
            self._incomplete.labels(label, what).inc(count)

    def count_ignored(self, source: str) -> None:
        """Count a webhook that gives no event."""
        self._events.labels(self._label(source), "ignored").inc()

    def note_skew(self, source: str, skew_ms: int) -> None:
        """Remember a request's clock skew."""
        skews = self._skews.setdefault(self._label(source), deque(maxlen=SKEWS_MAX))
        skews.append(skew_ms / 1_000)

    def exposition(self) -> bytes:
        """All metrics in Prometheus' text format."""
        for label, skews in self._skews.items():
            ranked = sorted(skews)
            for quantile in _QUANTILES:
                value = ranked[min(int(quantile * len(ranked)), len(ranked) - 1)]
                self._skew.labels(label, quantile).set(value)
        return exposed(self.registry)

    def _label(self, source: str | None) -> str:
        return NOBODY if source is None else self._labels.get(source, OTHER)

"""Every metric of delivery over HTTP. Labels are names from the endpoints' file, and a few
reasons.
"""

from collections.abc import Iterable
from contextlib import suppress

from prometheus_client import Counter, Gauge, Histogram

from streams.exposition import exposed, new_registry
from streams.file_metrics import FileMetrics

#: The fates of a message for an endpoint.
DELIVERED, EXPIRED, WITHDRAWN, ERASED, UNDELIVERED = FATES = (
    "delivered",
    "expired",
    "withdrawn",
    "erased",
    "undelivered",
)
_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


class WebhookMetrics:
    """The metrics of one deliverer, in their own registry."""

    def __init__(self, endpoints: Iterable[str] = ()) -> None:
        self.registry = registry = new_registry()
        self._messages = Counter(
            "keepstream_webhook_messages",
            "Messages by fate: delivered; expired before they were taken; withdrawn or erased "
            "before they were sent; undelivered, which are kept for a retry",
            ["endpoint", "fate"],
            registry=registry,
        )
        self._failures = Counter(
            "keepstream_webhook_failures",
            "Tries that failed, by the status, or by why there was no answer",
            ["endpoint", "reason"],
            registry=registry,
        )
        self._retries = Counter(
            "keepstream_webhook_retries", "Tries after the first", ["endpoint"], registry=registry
        )
        self._foreign = Counter(
            "keepstream_webhook_foreign_records",
            "Records of the decision topics that were left out, as they are no decisions",
            ["endpoint"],
            registry=registry,
        )
        self._seconds = Histogram(
            "keepstream_webhook_try_seconds",
            "From sending a message to its answer",
            ["endpoint"],
            buckets=_SECONDS,
            registry=registry,
        )
        self._breaker = Gauge(
            "keepstream_webhook_breaker_open",
            "1 while an endpoint is only probed, after failures in a row",
            ["endpoint"],
            registry=registry,
        )
        self._disabled = Gauge(
            "keepstream_webhook_disabled",
            "1 since an endpoint answered 410, until the next start",
            ["endpoint"],
            registry=registry,
        )
        self._pending = Gauge(
            "keepstream_webhook_pending_messages",
            "Messages that were read and are not done, those of quiet hours included",
            ["endpoint"],
            registry=registry,
        )
        self._lag = Gauge(
            "keepstream_webhook_lag_records",
            "Records of decisions that an endpoint has yet to read",
            ["endpoint"],
            registry=registry,
        )
        self.broker_silence = Gauge(
            "keepstream_broker_silence_seconds",
            "How long ago a Kafka broker last answered this process",
            registry=registry,
        )
        self.files = FileMetrics(registry)
        for endpoint in endpoints:
            self.know(endpoint)

    def know(self, endpoint: str) -> None:
        """Start the counters of an endpoint."""
        # At zero from the start, so that increase() counts the first ones.
        for fate in FATES:
            self._messages.labels(endpoint, fate)
        self._retries.labels(endpoint)
        self._breaker.labels(endpoint)
        self._disabled.labels(endpoint)

    def forget(self, endpoint: str) -> None:
        """Remove the gauges of an endpoint that is no longer declared."""
        for gauge in (self._breaker, self._disabled, self._pending, self._lag):
            with suppress(KeyError):
                gauge.remove(endpoint)

    def count(self, endpoint: str, fate: str, number: int = 1) -> None:
        """Add messages that ended with this fate."""
        self._messages.labels(endpoint, fate).inc(number)

    def observe_try(self, endpoint: str, seconds: float, *, is_first: bool) -> None:
        self._seconds.labels(endpoint).observe(seconds)
        if not is_first:
            self._retries.labels(endpoint).inc()

    def count_failure(self, endpoint: str, reason: str) -> None:
        self._failures.labels(endpoint, reason).inc()

    def count_foreign(self, endpoint: str) -> None:
        self._foreign.labels(endpoint).inc()

    def set_standing(
        self, endpoint: str, *, is_open: bool, is_disabled: bool, pending: int, lag: int
    ) -> None:
        """Set the gauges of an endpoint."""
        self._breaker.labels(endpoint).set(is_open)
        self._disabled.labels(endpoint).set(is_disabled)
        self._pending.labels(endpoint).set(pending)
        self._lag.labels(endpoint).set(lag)

    def exposition(self) -> bytes:
        """All metrics in Prometheus' text format."""
        return exposed(self.registry)

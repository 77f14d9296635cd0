"""Publish events to the raw topics: keyed by customer, acknowledged by every replica.

An event is checked here only as far as needed to find its topic and key. Ingest turns events with
other faults into dead letters.
"""

import contextlib
import threading
from collections import Counter, deque
from collections.abc import Callable, Mapping
from typing import Any, NoReturn, Self

import orjson
from kafka.errors import KafkaError

from config.settings import Settings
from config.topics import CLICKSTREAM, RAW_TOPICS
from models.catalogue import kind_of
from models.events.refusals import refusal_in_words
from models.events.rejection import Rejected
from models.events.wire import Line, decode_line, identity
from models.partition import CONTROL_TYPES
from streams.json_lines import LINE_BYTES_MAX
from streams.kafka_clients import new_admin, new_sync_producer, partition_for
from streams.topics import TopicsError, partition_counts

# kafka-python buffers without limit. These bound its memory while a broker is down.
IN_FLIGHT_RECORDS_MAX = 20_000
IN_FLIGHT_BYTES_MAX = 32 * 1024 * 1024

_TOO_LONG = "over 1 MiB, the most that a topic takes"
_CONTROL_TYPES = CONTROL_TYPES | {"score"}

Route = Callable[[str, str | None], str]


class RejectedEventError(ValueError):
    """An event that can't be published; the message says why, without repeating its content."""


class DeliveryError(ConnectionError):
    """The broker did not acknowledge everything; `failed` may or may not be in the log."""

    def __init__(self, acknowledged: int, failed: int, reason: str) -> None:
        super().__init__(
            f"{failed:,} events were not acknowledged ({reason}), {acknowledged:,} were: "
            f"check the broker, then publish again; events with a messageId count once"
        )
        self.acknowledged = acknowledged
        self.failed = failed


class EventPublisher:
    """Publishes events; use it as a context manager, from as many threads as you like.

    `route(type, event)` names the topic of an event. `publish` returns before the broker has
    acknowledged; `flush` and `close` wait, and raise `DeliveryError` unless all were.
    """

    def __init__(self, settings: Settings, route: Route) -> None:
        self._settings = settings
        self._route = route
        self._partitions = _raw_partitions(settings)
        self._names = {topic: settings.topic(topic) for topic in self._partitions}
        self._producer = new_sync_producer(settings, batch_size=128 * 1024, linger_ms=10)
        self._lock = threading.Lock()
        self._in_flight: deque[tuple[Any, int]] = deque()
        self._in_flight_bytes = 0
        self._acknowledged = 0

    @property
    def acknowledged(self) -> int:
        """Records known to be in the log, of all that were published so far."""
        return self._acknowledged

    def publish(self, event: Mapping[str, Any] | bytes, topic: str | None = None) -> str:
        """Send one event and return its topic; bytes are sent as they are.

        Waits while too much is in flight. Raises `RejectedEventError` for what can't be
        published, and `DeliveryError` when an earlier event was not acknowledged.
        """
        value = event if isinstance(event, bytes) else _encode(event)
        line = _open(value)
        chosen = topic or self._route(line.type, line.event)
        self._send(chosen, _key(line).encode(), value)
        return chosen

    def publish_raw(self, value: bytes) -> None:
        """Send a bad event to clickstream, to become a dead letter; keyed if it has an identity.

        Raises `RejectedEventError` for lines over 1 MiB and for control lines.
        """
        key = None
        with contextlib.suppress(Rejected):
            line = decode_line(value)
            _refuse_control(line)
            key = identity(line)[0].encode()
        self._send(CLICKSTREAM, key, value)

    def forward(self, topic: str, key: bytes | None, value: bytes) -> None:
        """Send a record to a raw topic unchanged and unchecked: if it is wrong, it becomes a dead
        letter. For records that come from a raw topic, or imitate one.
        """
        self._send(topic, key, value)

    def flush(self) -> None:
        """Wait until everything published is acknowledged."""
        self._producer.flush()
        with self._lock:
            self._reap(0, 0)

    def close(self) -> None:
        """Flush, and close the connection even if that fails."""
        try:
            self.flush()
        finally:
            self._producer.close(timeout=10)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None:
            self.close()
        else:
            # The first error should be seen, not one that closing raises.
            self._producer.close(timeout=10)

    def _send(self, topic: str, key: bytes | None, value: bytes) -> None:
        if topic not in self._partitions:
            raise ValueError(f"{topic!r} is no raw topic; those are {', '.join(RAW_TOPICS)}")
        size = len(value) + (len(key) if key else 0)
        if size > LINE_BYTES_MAX:
            raise RejectedEventError(_TOO_LONG)
        partition = None if key is None else partition_for(key, self._partitions[topic])
        with self._lock:
            self._reap(IN_FLIGHT_RECORDS_MAX - 1, IN_FLIGHT_BYTES_MAX)
            try:
                future = self._producer.send(
                    self._names[topic], value, key=key, partition=partition
                )
            except KafkaError as error:
                self._fail(error)
            self._in_flight.append((future, size))
            self._in_flight_bytes += size

    def _reap(self, records_max: int, bytes_max: int) -> None:
        """Wait for the oldest records in flight until at most this many records and bytes are."""
        waiting = self._in_flight
        while len(waiting) > records_max or self._in_flight_bytes > bytes_max:
            future, size = waiting[0]
            try:
                future.get()
            except KafkaError as error:
                self._fail(error)
            waiting.popleft()
            self._in_flight_bytes -= size
            self._acknowledged += 1

    def _fail(self, error: KafkaError) -> NoReturn:
        """Raise for all records in flight: the cause of one failure affects all of them."""
        outcomes = Counter(future.succeeded() for future, _ in self._in_flight)
        self._in_flight.clear()
        self._in_flight_bytes = 0
        self._acknowledged += outcomes[True]
        raise DeliveryError(self._acknowledged, outcomes[False], str(error)) from None


def _raw_partitions(settings: Settings) -> dict[str, int]:
    """How many partitions each raw topic has; raises `TopicsError` for what is missing."""
    with contextlib.closing(new_admin(settings)) as admin:
        counts = partition_counts(admin, [settings.topic(name) for name in RAW_TOPICS])
    if missing := [name for name in RAW_TOPICS if settings.topic(name) not in counts]:
        names = ", ".join(settings.topic(name) for name in missing)
        raise TopicsError(f"missing topics: {names}. Run `keepstream topics create`")
    return {name: counts[settings.topic(name)] for name in RAW_TOPICS}


def _encode(event: Mapping[str, Any]) -> bytes:
    try:
        return orjson.dumps(event)
    except (TypeError, ValueError) as error:
        raise RejectedEventError(f"can't be written as JSON: {error}") from None


def _open(value: bytes) -> Line:
    try:
        line = decode_line(value)
    except Rejected as rejected:
        raise RejectedEventError(refusal_in_words(rejected)) from None
    _refuse_control(line)
    return line


def _key(line: Line) -> str:
    """The customer's id, or the event's name where nobody's events are kept."""
    try:
        return identity(line)[0]
    except Rejected as rejected:
        if line.event and kind_of(line.event).declared.nobody is not None:
            return line.event
        raise RejectedEventError(refusal_in_words(rejected)) from None


def _refuse_control(line: Line) -> None:
    if line.type in _CONTROL_TYPES:
        raise RejectedEventError(
            f"control line ({line.type}): only the engine writes these; "
            f"`keepstream replay` reads them"
        )


def _reason(error: Exception) -> str:
    return str(error)

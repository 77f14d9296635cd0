"""Publishes events to the raw topics, keyed by customer and acknowledged by every replica.

An event is checked here only as far as is needed to find its topic and key. Ingest turns events
with other faults into dead letters.
"""

import contextlib
import logging
import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from time import monotonic, sleep
from typing import Any, NamedTuple, NoReturn, Self

import orjson
from kafka import KafkaProducer
from kafka import errors as kafka_errors
from kafka.errors import KafkaError

from config.settings import Settings
from config.topics import CLICKSTREAM, RAW_TOPICS
from models.catalogue import kind_of
from models.events.line import Line
from models.events.line_ids import identity, message_id_of
from models.events.refusals import refusal_in_words
from models.events.rejection import Rejected
from models.events.wire import decode_line
from models.partition import CONTROL_TYPES
from streams.json_lines import LINE_BYTES_MAX
from streams.kafka_clients import (
    BrokerUnreachable,
    abandon,
    new_sync_producer,
    partition_for,
)
from streams.topics import partitions_there

log = logging.getLogger(__name__)

LINGER_MS = 10
#: How much later than the producer itself this module gives up its records.
GRACE_S = 5.0
RECONNECT_S = 1.0

# kafka-python buffers without limit. These bound its memory while a broker is down.
IN_FLIGHT_RECORDS_MAX = 20_000
IN_FLIGHT_BYTES_MAX = 32 * 1024 * 1024

_TOO_LONG = "over 1 MiB, the most that a topic takes"
#: Errors that a new producer might not have: an outage, or a producer that lost its place in one.
_PASSING = (
    kafka_errors.RetriableError,
    kafka_errors.OutOfOrderSequenceNumberError,
    kafka_errors.UnknownProducerIdError,
    kafka_errors.InvalidProducerEpochError,
    kafka_errors.InvalidProducerIdMappingError,
    kafka_errors.ProducerFencedError,
    kafka_errors.IllegalStateError,
)
#: A broker's answers that say that it did not take the record.
_REFUSALS = (
    kafka_errors.MessageSizeTooLargeError,
    kafka_errors.RecordListTooLargeError,
    kafka_errors.InvalidRecordError,
    kafka_errors.TopicAuthorizationFailedError,
    kafka_errors.ClusterAuthorizationFailedError,
)
_CONTROL_TYPES = CONTROL_TYPES | {"score"}

Route = Callable[[str, str | None], str]


class RejectedEventError(ValueError):
    """An event that can't be published; the message says why, without repeating its content."""


class Sent(NamedTuple):
    """A record that was given to the broker; ``is_bad``: it was sent to become a dead letter."""

    topic: str
    key: bytes | None
    value: bytes
    is_bad: bool = False

    @property
    def counts_once(self) -> bool:
        """Whether it may be sent again: workers recognise a repeated event by its messageId."""
        try:
            return bool(message_id_of(decode_line(self.value), ""))
        except Rejected:
            return False


@dataclass(frozen=True, slots=True)
class Undelivered:
    """Records that were sent and not acknowledged, in order: ``refused`` are not in the log,
    ``unknown`` may be.
    """

    refused: tuple[Sent, ...] = ()
    unknown: tuple[Sent, ...] = ()

    def __len__(self) -> int:
        return len(self.refused) + len(self.unknown)


class DeliveryError(ConnectionError):
    """The broker did not acknowledge everything; `undelivered` are the records."""

    def __init__(self, acknowledged: int, undelivered: Undelivered, reason: str) -> None:
        super().__init__(
            f"{len(undelivered):,} events were not acknowledged ({reason}), {acknowledged:,} were: "
            f"check the broker, then publish again; events with a messageId count once"
        )
        self.acknowledged = acknowledged
        self.undelivered = undelivered
        self.reason = reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long a producer may take to have a record acknowledged before another producer replaces
    it, and how long all producers may go without an acknowledgement before the publisher gives up.
    """

    producer_s: float = 120.0
    broker_s: float = 300.0


class EventPublisher:
    """Publishes events; use it as a context manager, from as many threads as you like.

    `route(type, event)` names the topic of an event. `publish` returns before the broker has
    acknowledged; `flush` and `close` wait, and raise `DeliveryError` unless all were. No wait is
    longer than ``patience`` allows.

    After an outage that the producer did not survive, a new one sends the unacknowledged events
    again if all of them have a messageId: those that had arrived count once.
    """

    def __init__(self, settings: Settings, route: Route, patience: Patience | None = None) -> None:
        self._settings = settings
        self._route = route
        self._patience = patience or Patience()
        self._partitions = partitions_there(settings, RAW_TOPICS)
        self._names = {topic: settings.topic(topic) for topic in self._partitions}
        self._producer = self._new_producer()
        self._lock = threading.Lock()
        self._in_flight: deque[tuple[Any, Sent]] = deque()
        self._in_flight_bytes = 0
        self._acknowledged = 0
        self._acknowledged_s = monotonic()

    @property
    def acknowledged(self) -> int:
        """Records known to be in the log, of all that were published so far."""
        return self._acknowledged

    @property
    def sent(self) -> int:
        """Records that were given to the broker, acknowledged or still in flight."""
        return self._acknowledged + len(self._in_flight)

    def publish(self, event: Mapping[str, Any] | bytes, topic: str | None = None) -> str:
        """Send one event and return its topic; bytes are sent as they are.

        Waits while too much is in flight. Raises `RejectedEventError` for what can't be
        published, and `DeliveryError` when an earlier event was not acknowledged.
        """
        value = event if isinstance(event, bytes) else encode_event(event)
        line = _open(value)
        chosen = topic or self._route(line.type, line.event)
        self._send(Sent(chosen, _key(line).encode(), value))
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
        self._send(Sent(CLICKSTREAM, key, value, is_bad=True))

    def forward(self, topic: str, key: bytes | None, value: bytes) -> None:
        """Send a record to a raw topic unchanged and unchecked: if it is wrong, it becomes a dead
        letter. For records that come from a raw topic, or imitate one.
        """
        self._send(Sent(topic, key, value))

    def flush(self) -> None:
        """Wait until everything published is acknowledged."""
        with self._lock:
            self._reap(0, 0)

    def give_up(self, patience_s: float = 0.0) -> Undelivered:
        """Close the connection, and return records that are not acknowledged within
        ``patience_s``.
        """
        with self._lock:
            self._await_others(patience_s)
            abandon(self._producer)
            return self._settle()

    def close(self) -> None:
        """Flush, and close the connection even if that fails."""
        try:
            self.flush()
        finally:
            abandon(self._producer)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None:
            self.close()
        else:
            # The caller should see the first error, not one from waiting for the rest.
            abandon(self._producer)

    def _new_producer(self) -> KafkaProducer:
        longest_ms = int(self._patience.producer_s * 1_000)
        return new_sync_producer(
            self._settings,
            batch_size=128 * 1024,
            linger_ms=LINGER_MS,
            delivery_timeout_ms=longest_ms,
            request_timeout_ms=min(30_000, longest_ms - LINGER_MS),
        )

    def _send(self, record: Sent) -> None:
        if record.topic not in self._partitions:
            raise ValueError(f"{record.topic!r} is no raw topic; those are {', '.join(RAW_TOPICS)}")
        if _size(record) > LINE_BYTES_MAX:
            raise RejectedEventError(_TOO_LONG)
        with self._lock:
            self._reap(IN_FLIGHT_RECORDS_MAX - 1, IN_FLIGHT_BYTES_MAX)
            if not self._in_flight:
                # With nothing in flight, the wait for an acknowledgement begins now.
                self._acknowledged_s = monotonic()
            try:
                self._hand_over(record)
            except KafkaError as error:
                self._replace_producer(error)
                self._hand_over(record)

    def _hand_over(self, record: Sent) -> None:
        key = record.key
        partition = None if key is None else partition_for(key, self._partitions[record.topic])
        future = self._producer.send(
            self._names[record.topic], record.value, key=key, partition=partition
        )
        self._in_flight.append((future, record))
        self._in_flight_bytes += _size(record)

    def _reap(self, records_max: int, bytes_max: int) -> None:
        """Wait for the oldest records in flight until at most this many records and bytes are."""
        waiting = self._in_flight
        while len(waiting) > records_max or self._in_flight_bytes > bytes_max:
            try:
                # A producer that has lost its id would wait for ever, past its own delivery
                # timeout.
                waiting[0][0].get(timeout=self._patience.producer_s + GRACE_S)
            except KafkaError as error:
                self._replace_producer(error)
                continue
            _, record = waiting.popleft()
            self._in_flight_bytes -= _size(record)
            self._acknowledged += 1
            self._acknowledged_s = monotonic()

    def _replace_producer(self, error: KafkaError) -> None:
        """Send what was not acknowledged again, through a new producer.

        Raises `DeliveryError` when that can't help, might count an event twice, or has taken too
        long.
        """
        if not isinstance(error, _PASSING):
            # The error concerns this record alone; the others may still arrive.
            self._await_others(self._patience.producer_s)
        abandon(self._producer)
        undelivered = self._settle()
        if not isinstance(error, _PASSING) or undelivered.refused:
            self._fail(undelivered, error)
        if not all(record.counts_once for record in undelivered.unknown):
            self._fail(undelivered, error)
        log.warning("nothing acknowledged (%s); trying another connection", type(error).__name__)
        while True:
            if monotonic() - self._acknowledged_s > self._patience.broker_s:
                self._fail(undelivered, error)
            try:
                self._producer = self._new_producer()
                break
            except BrokerUnreachable:
                sleep(RECONNECT_S)
        try:
            for record in undelivered.unknown:
                self._hand_over(record)
        except KafkaError as again:
            handed = len(self._in_flight)
            abandon(self._producer)
            left = self._settle()
            unknown = left.unknown + undelivered.unknown[handed:]
            self._fail(Undelivered(left.refused, unknown), again)

    def _await_others(self, patience_s: float) -> None:
        deadline_s = monotonic() + patience_s
        for future, _ in self._in_flight:
            with contextlib.suppress(KafkaError):
                future.get(timeout=max(deadline_s - monotonic(), 0.0))

    def _settle(self) -> Undelivered:
        """Empty the records in flight: count the acknowledged ones and return the rest."""
        refused: list[Sent] = []
        unknown: list[Sent] = []
        for future, record in self._in_flight:
            if future.succeeded():
                self._acknowledged += 1
                self._acknowledged_s = monotonic()
            elif future.failed() and isinstance(future.exception, _REFUSALS):
                refused.append(record)
            else:
                unknown.append(record)
        self._in_flight.clear()
        self._in_flight_bytes = 0
        return Undelivered(tuple(refused), tuple(unknown))

    def _fail(self, undelivered: Undelivered, error: KafkaError) -> NoReturn:
        reason = str(error) or type(error).__name__
        raise DeliveryError(self._acknowledged, undelivered, reason) from None


def _size(record: Sent) -> int:
    return len(record.value) + (len(record.key) if record.key else 0)


def encode_event(event: Mapping[str, Any]) -> bytes:
    """The event as JSON. Raises `RejectedEventError` for values that JSON can't express."""
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
    """The customer's id, or the event's name for events without a customer."""
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

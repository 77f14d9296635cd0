"""The publisher never waits for ever, sends nothing twice, and accounts for every line."""

import io
import os
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from kafka import errors as kafka_errors
from kafka.errors import KafkaError
from typer.testing import CliRunner

from agents.cli import app
from config.settings import load_settings
from config.topics import CLICKSTREAM, RAW_TOPICS
from models.catalogue import topic_of
from models.parameters import load_parameters
from streams import publisher as publishing
from streams.embedded.kafka import EmbeddedKafka
from streams.kafka_clients import BrokerUnreachable, abandon, new_sync_producer
from streams.line_check import LineCheck
from streams.line_publisher import PublishStopped, publish_files, publish_stream
from streams.publisher import DeliveryError, EventPublisher, Patience, Sent
from streams.topics import create_topics
from tests.streams.test_publisher import read_back

CHECK = LineCheck(load_parameters(), 1_767_225_600_000)
SHORT = Patience(producer_s=0.05, broker_s=0.5)


def page(number: int, *, has_id: bool = True) -> bytes:
    message_id = b'"messageId":"m%d",' % number if has_id else b""
    return b'{"type":"page","userId":"c%d",%b"timestamp":"2025-01-01T00:00:00Z","n":%d}' % (
        number % 7,
        message_id,
        number,
    )


def heard(done: int, note: str, total: int | None = None) -> None:
    """Progress that is not shown."""


class Answer:
    """The fate of a record: acknowledged, refused with an error, or never answered."""

    def __init__(self, outcome: KafkaError | bool | None) -> None:
        self.exception = outcome if isinstance(outcome, KafkaError) else None
        self._is_acknowledged = outcome is True

    def get(self, timeout: float) -> None:
        if self.exception is not None:
            raise self.exception
        if not self._is_acknowledged:
            raise kafka_errors.KafkaTimeoutError(f"after {timeout}")

    def succeeded(self) -> bool:
        return self._is_acknowledged

    def failed(self) -> bool:
        return self.exception is not None


class Producer:
    """Appends records to ``log``; ``outcomes`` gives their fates by place."""

    def __init__(self, log: list[bytes], outcomes: Any = lambda _: True) -> None:
        self._log = log
        self._outcomes = outcomes
        self._taken = 0
        self.is_abandoned = False

    def send(self, topic: str, value: bytes, *, key: bytes | None, partition: int) -> Answer:
        outcome = self._outcomes(self._taken)
        self._taken += 1
        if outcome is True:
            self._log.append(value)
        return Answer(outcome)


class Broker:
    """Provides one producer after the other; without one, it does not answer."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *outcomes: Any) -> None:
        self.log: list[bytes] = []
        self.producers: list[Producer] = []
        self._outcomes = list(outcomes)
        monkeypatch.setattr(publishing, "partitions_there", lambda *_: dict.fromkeys(RAW_TOPICS, 4))
        monkeypatch.setattr(publishing, "new_sync_producer", self._connect)
        monkeypatch.setattr(publishing, "abandon", self._abandon)
        monkeypatch.setattr(publishing, "sleep", lambda _: None)

    def publisher(self, patience: Patience = SHORT) -> EventPublisher:
        return EventPublisher(load_settings({}), topic_of, patience)

    def _connect(self, *_: Any, **__: Any) -> Producer:
        if not self._outcomes:
            raise BrokerUnreachable("away")
        self.producers.append(Producer(self.log, self._outcomes.pop(0)))
        return self.producers[-1]

    @staticmethod
    def _abandon(producer: Producer) -> None:
        producer.is_abandoned = True


def only_first(count: int) -> Any:
    return lambda place: True if place < count else None


@pytest.mark.parametrize(
    "error",
    [
        None,
        kafka_errors.KafkaTimeoutError("expired"),
        kafka_errors.OutOfOrderSequenceNumberError(),
        kafka_errors.UnknownProducerIdError(),
        kafka_errors.IllegalStateError(),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_producer_that_cannot_go_on_is_replaced(
    monkeypatch: pytest.MonkeyPatch, error: KafkaError | None
) -> None:
    broker = Broker(monkeypatch, lambda place: True if place < 3 else error, lambda _: True)
    with broker.publisher() as publisher:
        for number in range(10):
            publisher.publish(page(number))
        publisher.flush()
        assert 10 == publisher.acknowledged == publisher.sent
    assert [page(number) for number in range(10)] == broker.log
    assert [True, True] == [producer.is_abandoned for producer in broker.producers]


def test_what_may_be_in_the_log_and_has_no_id_is_not_sent_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    broker = Broker(monkeypatch, only_first(1), lambda _: True)
    publisher = broker.publisher()
    for number in range(3):
        publisher.publish(page(number, has_id=False))
    with pytest.raises(DeliveryError) as failed:
        publisher.flush()
    assert 1 == failed.value.acknowledged
    assert [page(1, has_id=False), page(2, has_id=False)] == [
        record.value for record in failed.value.undelivered.unknown
    ]
    assert () == failed.value.undelivered.refused


def test_what_the_broker_refuses_does_not_take_its_neighbours_along(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    too_large = kafka_errors.MessageSizeTooLargeError()
    broker = Broker(monkeypatch, lambda place: too_large if place == 1 else True)
    publisher = broker.publisher()
    for number in range(4):
        publisher.publish(page(number))
    with pytest.raises(DeliveryError) as failed:
        publisher.flush()
    assert (3, ()) == (failed.value.acknowledged, failed.value.undelivered.unknown)
    assert [page(1)] == [record.value for record in failed.value.undelivered.refused]


def test_a_broker_that_stays_away_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    broker = Broker(monkeypatch, only_first(2))
    publisher = broker.publisher()
    for number in range(5):
        publisher.publish(page(number))
    with pytest.raises(DeliveryError, match="3 events were not acknowledged") as failed:
        publisher.close()
    assert (2, 3) == (failed.value.acknowledged, len(failed.value.undelivered.unknown))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (page(1), True),
        (page(1, has_id=False), False),
        (b'{"type":"page","messageId":7}', True),
        (b'{"type":"page","messageId":[7]}', False),
        (b"{", False),
    ],
)
def test_what_counts_once_may_be_sent_again(value: bytes, expected: bool) -> None:
    assert expected == Sent(CLICKSTREAM, None, value).counts_once


@pytest.mark.parametrize("interruption", [None, KeyboardInterrupt])
def test_a_file_that_was_cut_short_leaves_a_file_to_go_on_with(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, interruption: type[BaseException] | None
) -> None:
    def outcomes(place: int) -> bool | None:
        if interruption is not None and place == 30:
            raise interruption
        return True if place < 20 else None

    monkeypatch.setattr(publishing, "IN_FLIGHT_RECORDS_MAX", 12)
    broker = Broker(monkeypatch, outcomes)
    lines = [page(number, has_id=number != 21) for number in range(50)]
    path = tmp_path / "events.jsonl"
    path.write_bytes(b"\n".join([*lines, b"{oops"]))
    with pytest.raises(PublishStopped) as stopped:
        publish_files(broker.publisher(), [str(path)], CHECK, on_progress=heard)

    unpublished, unknown = (
        Path(f"{path}{suffix}").read_bytes().splitlines()
        for suffix in (".unpublished.jsonl", ".unknown.jsonl")
    )
    assert [lines[21]] == unknown
    assert lines == [*broker.log, lines[20], lines[21], *unpublished[1:]]
    assert lines[20] == unpublished[0]
    assert (20, 1) == (stopped.value.report.published, stopped.value.report.bad_lines_total)
    words = str(stopped.value)
    assert "20 events are in the log; 29 are not known to be" in words
    assert "1 may be, and have no messageId" in words
    # Go on as it says.
    broker = Broker(monkeypatch, lambda _: True)
    rest = [f"{path}.unpublished.jsonl"]
    again = publish_files(broker.publisher(), rest, CHECK, on_progress=heard)
    assert (29, unpublished) == (again.published, broker.log)


def test_standard_input_that_was_cut_short_says_up_to_where(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(publishing, "IN_FLIGHT_RECORDS_MAX", 4)
    broker = Broker(monkeypatch, only_first(10))
    lines = [page(number) for number in range(30)]
    text = b"\n".join([b"{oops", *lines])
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(text)))
    with pytest.raises(PublishStopped, match="standard input was read up to line 16") as stopped:
        publish_stream(broker.publisher(), CHECK, on_progress=heard)
    kept = Path("stdin.unpublished.jsonl").read_bytes().splitlines()
    assert lines[:15] == broker.log + kept
    assert 10 == stopped.value.report.published


@pytest.fixture
def own_kafka(tmp_path: Path) -> Iterator[EmbeddedKafka]:
    with EmbeddedKafka(tmp_path / "kafka") as kafka:
        yield kafka


@pytest.mark.kafka
@pytest.mark.slow
def test_an_outage_that_the_producer_does_not_outlive_loses_and_repeats_nothing(
    own_kafka: EmbeddedKafka, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And an outage that outlives all producers ends the command, with its accounting."""
    settings = load_settings({}, bootstrap_servers=own_kafka.bootstrap_servers)
    create_topics(settings)
    (pid,) = own_kafka.pids
    monkeypatch.setattr(publishing, "GRACE_S", 0.5)
    lines = [page(number) for number in range(4_000)]
    with EventPublisher(settings, topic_of, Patience(producer_s=1.0, broker_s=120.0)) as publisher:
        for line in lines[:500]:
            publisher.publish(line)
        publisher.flush()
        os.kill(pid, signal.SIGSTOP)
        for line in lines[500:2_000]:
            publisher.publish(line)
        # Long enough for the producer to give up; the publisher waits meanwhile.
        threading.Timer(5.0, os.kill, (pid, signal.SIGCONT)).start()
        publisher.flush()
        assert 2_000 == publisher.acknowledged
    assert set(lines[:2_000]) == {record.value for record in read_back(settings)}

    monkeypatch.setattr(publishing, "Patience", lambda: Patience(producer_s=1.0, broker_s=2.0))
    monkeypatch.setattr(publishing, "IN_FLIGHT_RECORDS_MAX", 100)
    connect = publishing.new_sync_producer

    def connect_and_hang(*arguments: Any, **options: Any) -> Any:
        producer = connect(*arguments, **options)
        os.kill(pid, signal.SIGSTOP)
        return producer

    monkeypatch.setattr(publishing, "new_sync_producer", connect_and_hang)
    path = tmp_path / "rest.jsonl"
    path.write_bytes(b"\n".join(lines[2_000:]))
    result = CliRunner().invoke(
        app, ["publish", str(path), "--bootstrap-servers", own_kafka.bootstrap_servers]
    )
    os.kill(pid, signal.SIGCONT)
    assert 2 == result.exit_code
    assert "0 events are in the log; 2,000 are not known to be" in result.output
    assert "Traceback" not in result.output
    assert lines[2_000:] == Path(f"{path}.unpublished.jsonl").read_bytes().splitlines()


@pytest.mark.kafka
def test_a_producer_is_left_at_once_whatever_it_has_in_hand(own_kafka: EmbeddedKafka) -> None:
    settings = load_settings({}, bootstrap_servers=own_kafka.bootstrap_servers)
    create_topics(settings)
    producer = new_sync_producer(settings)
    topic = settings.topic(CLICKSTREAM)
    producer.send(topic, b"{}").get(timeout=30)
    own_kafka.kill()
    future = producer.send(topic, b"{}")
    abandon(producer)
    assert future.failed()
    assert not producer._sender.is_alive()
    abandon(producer)

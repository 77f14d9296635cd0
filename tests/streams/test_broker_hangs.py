"""Whatever waits for a broker that hangs half way ends, and reports what is known."""

import asyncio
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import KafkaTimeoutError

from agents.cli.errors import explanation
from config.settings import Settings, load_settings
from config.topics import CLICKSTREAM
from streams import dead_letters, going_live, kafka_clients, outbox, recovery, topic_scan
from streams.dead_letters import Parcel, _Mailbox
from streams.embedded.kafka import EmbeddedKafka
from streams.kafka_clients import BrokerUnreachable, running
from streams.outbox import Outbox, new_outbox_producer
from streams.recovery import RecoveryError
from streams.topic_scan import Span, scan, spans_of
from streams.topics import create_topics

pytestmark = pytest.mark.timeout(60)


class Broker:
    def __init__(self, kafka: EmbeddedKafka, settings: Settings) -> None:
        (self._pid,) = kafka.pids
        self.settings = settings

    def hang(self) -> None:
        os.kill(self._pid, signal.SIGSTOP)

    def go_on(self) -> None:
        os.kill(self._pid, signal.SIGCONT)


@pytest.fixture(scope="module")
def own_kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedKafka]:
    directory: Path = tmp_path_factory.mktemp("hanging")
    with EmbeddedKafka(directory) as kafka:
        create_topics(load_settings({}, bootstrap_servers=kafka.bootstrap_servers))
        yield kafka


@pytest.fixture
def broker(own_kafka: EmbeddedKafka, monkeypatch: pytest.MonkeyPatch) -> Iterator[Broker]:
    monkeypatch.setattr(kafka_clients, "CLOSE_TIMEOUT_S", 0.5)
    broker = Broker(own_kafka, load_settings({}, bootstrap_servers=own_kafka.bootstrap_servers))
    yield broker
    broker.go_on()


@pytest.mark.kafka
def test_a_producer_with_records_in_hand_is_left(broker: Broker) -> None:
    """As at a worker's end: it would wait for ever to send them."""

    async def end() -> None:
        async with running(new_outbox_producer(broker.settings), broker.settings) as producer:
            written = Outbox(producer, broker.settings)
            written.add(CLICKSTREAM, 0, key=None, value=b"{}")
            broker.hang()
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.5):
                    await written.flush()

    asyncio.run(end())


@pytest.mark.kafka
def test_a_retry_of_dead_letters_says_how_many_went_back(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dead_letters, "SETTLE_S", 5.0)
    monkeypatch.setattr(dead_letters, "IN_FLIGHT_MAX", 10)

    async def retry() -> None:
        async with _Mailbox(broker.settings, dry_run=False) as mailbox:
            for number in range(15):
                await mailbox.send(Parcel(CLICKSTREAM, b"%d" % number, b"{}"))
                if number == 9:
                    broker.hang()
                    monkeypatch.setattr(dead_letters, "SETTLE_S", 0.5)

    with pytest.raises(BrokerUnreachable, match="10 letters are back on their topics"):
        asyncio.run(retry())


@pytest.mark.kafka
def test_going_live_says_that_it_may_be_done_again(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "ACKNOWLEDGED_S", 0.5)
    add = Outbox.add

    def add_and_hang(*arguments: Any, **options: Any) -> None:
        add(*arguments, **options)
        broker.hang()

    monkeypatch.setattr(Outbox, "add", add_and_hang)
    with pytest.raises(BrokerUnreachable, match="do the same again"):
        asyncio.run(going_live.write_live(broker.settings, [0, 1], 1))


class _SilentReader:
    """A reader whose broker does not answer."""

    async def beginning_offsets(self, _: object) -> None:
        raise KafkaTimeoutError

    async def getmany(self, *_: object, timeout_ms: int) -> dict[object, object]:
        assert timeout_ms
        return {}

    async def position(self, _: object) -> None:
        await asyncio.Event().wait()

    async def seek_to_beginning(self, _: object) -> None:
        """Called by the reader."""

    def assign(self, _: object) -> None:
        """Called by the reader."""

    def seek(self, *_: object) -> None:
        """Called by the reader."""


EVENTS = TopicPartition("events", 3)


def test_a_scan_whose_broker_says_nothing_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(topic_scan, "STALL_S", 0.01)
    monkeypatch.setattr(topic_scan, "_partition_count", lambda *_: 4)
    reader: Any = _SilentReader()

    async def read() -> None:
        async for _ in scan(reader, Span(EVENTS, 0, 5), load_settings({})):
            pass

    with pytest.raises(BrokerUnreachable, match="stopped answering for events-3"):
        asyncio.run(read())
    with pytest.raises(BrokerUnreachable, match="stopped answering for clickstream-0"):
        asyncio.run(spans_of(reader, CLICKSTREAM, load_settings({})))


def test_a_recovery_whose_broker_says_nothing_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recovery, "STALL_S", 0.01)
    reader: Any = _SilentReader()
    with pytest.raises(RecoveryError, match="events-3 gave no position"):
        asyncio.run(recovery.folded(reader, EVENTS, 5, Settings()))


def test_what_a_client_raises_is_told_in_words_and_without_its_text() -> None:
    error = KafkaTimeoutError("sasl_plain_password=canary-1f")
    told = explanation(error)
    assert told is not None
    assert "the Kafka broker stopped answering or refused (KafkaTimeoutError)" in told
    assert "canary" not in told
    assert explanation(ZeroDivisionError()) is None

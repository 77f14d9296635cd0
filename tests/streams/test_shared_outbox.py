"""Requests that wait for Kafka together: all their events are durable, or they get an error."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiokafka.errors import KafkaError

from config.settings import load_settings
from streams.collector import shared_outbox as module
from streams.collector.recent_ids import RecentIds
from streams.collector.shared_outbox import NotWritten, SharedOutbox, shared_outbox
from streams.kafka_clients import BrokerUnreachable
from streams.raw_records import Outgoing


class FakeKafka:
    """Takes what outboxes flush, once the gate is open; each fault fails one flush or start."""

    def __init__(self) -> None:
        self.flushed: list[list[bytes]] = []
        self.faults: list[Exception] = []
        self.is_away = False
        self.begun = asyncio.Event()
        self.gate = asyncio.Event()
        self.gate.set()
        self.connections = 0

    @asynccontextmanager
    async def connected(self, _: object) -> AsyncIterator["FakeKafka"]:
        if self.is_away:
            raise BrokerUnreachable("away")
        self.connections += 1
        self._added: list[bytes] = []
        yield self

    def add(
        self, topic: str, partition: int, *, key: bytes | None, value: bytes, headers: object = ()
    ) -> None:
        self._added.append(value)

    async def flush(self) -> None:
        added, self._added = self._added, []
        self.begun.set()
        await self.gate.wait()
        if self.faults:
            raise self.faults.pop()
        self.flushed.append(added)


def record(value: bytes) -> Outgoing:
    return Outgoing("clickstream", 0, b"ada", value)


Scenario = Callable[[SharedOutbox, FakeKafka], Coroutine[Any, Any, None]]


@pytest.fixture
def play(monkeypatch: pytest.MonkeyPatch) -> Callable[[Scenario], None]:
    """Plays a scenario with an outbox that is connected already."""

    def play(scenario: Scenario) -> None:
        async def whole() -> None:
            kafka = FakeKafka()
            monkeypatch.setattr(module, "_connected", kafka.connected)
            monkeypatch.setattr(module, "RECONNECT_S", 0.0)
            async with shared_outbox(load_settings({})) as outbox:
                await connected(outbox)
                await scenario(outbox, kafka)

        asyncio.run(whole())

    return play


async def connected(outbox: SharedOutbox) -> None:
    for _ in range(1_000):
        if outbox.problem() is None:
            return
        await asyncio.sleep(0)
    raise AssertionError(outbox.problem())


def writing(outbox: SharedOutbox, *values: bytes) -> asyncio.Task[None]:
    return asyncio.create_task(outbox.write([record(value) for value in values]))


def test_who_comes_during_a_write_goes_with_the_next_in_order(play: Any) -> None:
    async def scenario(outbox: SharedOutbox, kafka: FakeKafka) -> None:
        kafka.gate.clear()
        first = writing(outbox, b"1")
        await kafka.begun.wait()
        others = [writing(outbox, b"2", b"3"), writing(outbox, b"4")]
        await asyncio.sleep(0)
        assert 3 == outbox.waiting_bytes - len(b"ada") * 3
        assert not first.done()
        kafka.gate.set()
        await asyncio.gather(first, *others)
        assert [[b"1"], [b"2", b"3", b"4"]] == kafka.flushed
        assert 0 == outbox.waiting_bytes

    play(scenario)


@pytest.mark.parametrize("fault", [KafkaError(), TimeoutError()])
def test_a_failed_write_is_told_to_those_it_was_of_and_another_producer_goes_on(
    play: Any, fault: Exception
) -> None:
    async def scenario(outbox: SharedOutbox, kafka: FakeKafka) -> None:
        kafka.faults = [fault]
        with pytest.raises(NotWritten, match=type(fault).__name__):
            await outbox.write([record(b"1")])
        await connected(outbox)
        await outbox.write([record(b"2")])
        assert [[b"2"]] == kafka.flushed
        assert 2 == kafka.connections

    play(scenario)


def test_while_no_broker_is_there_nobody_waits(play: Any) -> None:
    async def scenario(outbox: SharedOutbox, kafka: FakeKafka) -> None:
        kafka.is_away = True
        kafka.faults = [KafkaError()]
        with pytest.raises(NotWritten):
            await outbox.write([record(b"1")])
        await asyncio.sleep(0)
        with pytest.raises(NotWritten, match="no Kafka broker is connected"):
            await outbox.write([record(b"2")])
        kafka.is_away = False
        await connected(outbox)
        await outbox.write([record(b"3")])
        assert [[b"3"]] == kafka.flushed

    play(scenario)


def test_a_write_that_takes_too_long_is_told_and_what_was_not_begun_is_not_written(
    play: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario(outbox: SharedOutbox, kafka: FakeKafka) -> None:
        monkeypatch.setattr(module, "WAIT_S", 0.05)
        kafka.gate.clear()
        begun = writing(outbox, b"1")
        await kafka.begun.wait()
        waiting = writing(outbox, b"2")
        for task in (begun, waiting):
            with pytest.raises(NotWritten, match="within"):
                await task
        # Whoever comes now is told at once.
        with pytest.raises(NotWritten, match="has not acknowledged"):
            await outbox.write([record(b"3")])
        assert 0 == outbox.waiting_bytes
        kafka.gate.set()
        await connected(outbox)
        await outbox.write([record(b"4")])
        assert [[b"1"], [b"4"]] == kafka.flushed

    play(scenario)


def test_a_stuck_producer_is_replaced(play: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(outbox: SharedOutbox, kafka: FakeKafka) -> None:
        monkeypatch.setattr(module, "STUCK_S", 0.05)
        kafka.gate.clear()
        with pytest.raises(NotWritten, match="TimeoutError"):
            await outbox.write([record(b"1")])
        kafka.gate.set()
        await connected(outbox)
        await outbox.write([record(b"2")])
        assert [[b"2"]] == kafka.flushed

    play(scenario)


def test_what_may_wait_is_bounded(play: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(outbox: SharedOutbox, kafka: FakeKafka) -> None:
        monkeypatch.setattr(module, "WAITING_BYTES_MAX", 100)
        kafka.gate.clear()
        begun = writing(outbox, b"x" * 90)
        await kafka.begun.wait()
        waiting = writing(outbox, b"y" * 90)
        await asyncio.sleep(0)
        with pytest.raises(NotWritten, match="too much waits"):
            await outbox.write([record(b"z" * 90)])
        kafka.gate.set()
        await asyncio.gather(begun, waiting)

    play(scenario)


def test_recent_ids_are_known_for_at_least_half_of_the_bound() -> None:
    recent = RecentIds(100)
    for number in range(1_000):
        assert not recent.add("web", f"m-{number}")
        assert len(recent._newer) + len(recent._older) <= 100
    assert all(recent.add("web", f"m-{number}") for number in range(950, 1_000))
    assert not recent.add("app", "m-999")
    assert not recent.add("web", "m-0")

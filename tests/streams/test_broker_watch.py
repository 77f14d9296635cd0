"""A hanging broker and missing replicas are noticed before records wait for them."""

import asyncio
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest
from aiokafka.structs import PartitionMetadata
from kafka.admin import ConfigResource

from config.settings import Settings, load_settings
from config.topics import CUSTOMERS
from streams import broker_watch
from streams.broker_watch import BrokerWatch, shortages
from streams.embedded.kafka import EmbeddedKafka
from streams.kafka_clients import new_admin
from streams.topics import create_topics


def partition(number: int, leader: int, in_sync: list[int]) -> PartitionMetadata:
    return PartitionMetadata("t", number, leader, [1, 2, 3], in_sync, 0)


@pytest.mark.parametrize(
    ("found", "told"),
    [
        ({0: partition(0, 1, [1, 2, 3])}, []),
        ({0: partition(0, 1, [1, 2])}, []),
        (
            {0: partition(0, 1, [1, 2]), 1: partition(1, 2, [2])},
            ["t: 1 of the 2 replicas that a write needs are in sync"],
        ),
        (
            {0: partition(0, -1, []), 1: partition(1, 2, [2])},
            ["t: 1 of 2 partitions have no leader"],
        ),
        ({}, []),
    ],
)
def test_what_is_short_is_told_by_topic(
    found: dict[int, PartitionMetadata], told: list[str]
) -> None:
    assert told == shortages({"t": found}, {"t": 2})


@pytest.fixture
def own_kafka(tmp_path: Path) -> Iterator[EmbeddedKafka]:
    with EmbeddedKafka(tmp_path) as kafka:
        yield kafka


@pytest.mark.kafka
def test_the_watch_tells_when_it_begins_and_when_it_is_over(
    own_kafka: EmbeddedKafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in [("LOOK_EVERY_S", 0.05), ("CONFIGS_EVERY_S", 0.0), ("ANSWER_MS", 500)]:
        monkeypatch.setattr(broker_watch, name, value)
    settings = load_settings({}, bootstrap_servers=own_kafka.bootstrap_servers)
    create_topics(settings)
    (pid,) = own_kafka.pids

    async def story() -> None:
        watch = BrokerWatch(settings)
        watching = asyncio.create_task(watch.watch())
        assert [] == watch.problems()
        # The topics have one replica, so that one in sync is all there can be.
        _require_in_sync(settings, 2)
        short = "customers: 1 of the 2 replicas that a write needs are in sync"
        await _until(lambda: [short] == watch.problems())
        _require_in_sync(settings, 1)
        await _until(lambda: [] == watch.problems())

        monkeypatch.setattr(broker_watch, "SILENT_MAX_S", 1.0)
        os.kill(pid, signal.SIGSTOP)
        await _until(lambda: "no Kafka broker has answered" in str(watch.problems()))
        os.kill(pid, signal.SIGCONT)
        monkeypatch.setattr(broker_watch, "SILENT_MAX_S", 15.0)
        await _until(lambda: [] == watch.problems())
        watching.cancel()
        with suppress(asyncio.CancelledError):
            await watching

    asyncio.run(story())


@pytest.mark.kafka
@pytest.mark.nightly
def test_a_broker_without_a_majority_names_leaders_that_are_dead(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It answers, and reports a leader and every replica for all partitions."""
    for name, value in [("LOOK_EVERY_S", 0.05), ("ANSWER_MS", 500), ("SILENT_MAX_S", 2.0)]:
        monkeypatch.setattr(broker_watch, name, value)
    with EmbeddedKafka(tmp_path, nodes=3) as kafka:
        settings = load_settings(
            {}, bootstrap_servers=kafka.bootstrap_servers, replication_factor=3
        )
        create_topics(settings)

        async def story() -> None:
            watch = BrokerWatch(settings)
            watching = asyncio.create_task(watch.watch())
            await _until(lambda: len(watch._leaders_s) == 3)
            kafka.kill(1, 2)
            await _until(lambda: len(watch._silent_leaders()) == 2)
            assert "broker 1 leads partitions and has not answered" in str(watch.problems())
            kafka.start(1, 2)
            await _until(lambda: [] == watch.problems())
            watching.cancel()
            with suppress(asyncio.CancelledError):
                await watching

        asyncio.run(story())


def _require_in_sync(settings: Settings, number: int) -> None:
    wanted = {"min.insync.replicas": str(number)}
    with closing(new_admin(settings)) as admin:
        admin.alter_configs([ConfigResource("TOPIC", settings.topic(CUSTOMERS), wanted)])


async def _until(holds: Callable[[], bool]) -> None:
    for _ in range(1_200):
        if holds():
            return
        await asyncio.sleep(0.05)
    pytest.fail("never came")

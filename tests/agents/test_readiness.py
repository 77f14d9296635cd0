"""A worker reports that it is ready only when it is, and otherwise why it is not."""

from typing import Any

import pytest

from agents.app import Worker, build_app
from config.settings import load_settings
from models.parameters import load_parameters
from streams.kafka_clients import partition_for
from streams.trigger_streams import TriggerStreams

SILENT = "no Kafka broker has answered for 20 s"
READING = "the rows of partition 3 are being read"


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch) -> Worker:
    """A worker that has joined its group, and has read all rows but those of partition 3."""
    worker = Worker(load_settings({}), load_parameters())
    monkeypatch.setattr(worker.condition, "is_joining", lambda: False)
    monkeypatch.setattr(worker.condition, "unread", lambda: [3])
    return worker


def test_a_worker_is_not_ready_while_it_reads_rows(worker: Worker) -> None:
    assert [READING] == worker.condition.problems()


def test_a_worker_is_not_ready_when_its_broker_hangs(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker.broker, "problems", lambda: [SILENT])
    assert [SILENT, READING] == worker.condition.problems()
    monkeypatch.setattr(worker.condition, "is_joining", lambda: True)
    assert [SILENT, "joining the group"] == worker.condition.problems()


def test_customers_are_recovering_until_their_rows_are_read(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    by_partition = {partition_for(f"c-{n}".encode(), 4): f"c-{n}" for n in range(40)}
    assert [3] == [
        n for n, name in sorted(by_partition.items()) if worker.condition.is_recovering(name)
    ]
    monkeypatch.setattr(worker.condition, "is_joining", lambda: True)
    assert all(map(worker.condition.is_recovering, by_partition.values()))


def test_what_waits_for_a_foreign_key_in_redis_is_a_delay(worker: Worker) -> None:
    redis: Any = None
    streams = TriggerStreams(redis, worker.settings, worker.metrics)
    assert [] == worker.condition.delays(streams)
    streams.foreign_keys.add("keepstream:triggers:x")
    assert ["decisions wait for the key keepstream:triggers:x, which holds something else"] == (
        worker.condition.delays(streams)
    )


@pytest.mark.parametrize("session_timeout_ms", [1_000, 10_000, 300_000])
def test_every_session_timeout_that_may_be_set_can_be_used(session_timeout_ms: int) -> None:
    """Faust refuses one that is longer than its request time-out, once it connects."""
    conf = build_app(load_settings({}, session_timeout_ms=session_timeout_ms)).conf
    assert session_timeout_ms / 1_000 == conf.broker_session_timeout
    assert conf.broker_session_timeout <= conf.broker_request_timeout

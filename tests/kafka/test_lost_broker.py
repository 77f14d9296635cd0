"""A broker that is killed or hangs is reported: by readiness, metrics and the log."""

import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from config.topics import CUSTOMER_EVENTS
from streams.broker_watch import SILENT_MAX_S
from streams.embedded.kafka import EmbeddedKafka
from streams.embedded.ports import free_ports
from streams.embedded.valkey import EmbeddedValkey
from streams.faust_app import CLOSE_GRACE_S, STOP_GRACE_S
from tests.kafka.deployment import Deployment, orderly_shop
from tests.kafka.exactness import assert_exact
from tests.kafka.test_webhooks import Deliverer, declare
from tests.kafka.worker import Worker

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(600)]

#: What is promised of each: readiness, and the end after SIGTERM.
READY_WITHIN_S, ENDED_WITHIN_S = 30.0, 25.0

#: aiokafka's default for a request, after which it gives up to find room for a buffer.
BUFFER_FULL_S = 40.0


class Broker:
    """A broker for this test, which fails in one of two ways."""

    def __init__(self, kafka: EmbeddedKafka, way: str) -> None:
        self._kafka, self._way = kafka, way
        self._pid = kafka.pids[0]

    def go_away(self) -> None:
        if self._way == "killed":
            self._kafka.kill()
        else:
            os.kill(self._pid, signal.SIGSTOP)

    def come_back(self) -> None:
        if self._way == "killed":
            self._kafka.start()
        else:
            os.kill(self._pid, signal.SIGCONT)


@pytest.fixture
def own_kafka(tmp_path: Path) -> Iterator[EmbeddedKafka]:
    with EmbeddedKafka(tmp_path / "kafka") as kafka:
        yield kafka


def test_the_promised_times_are_those_of_the_limits() -> None:
    """The tests below wait longer, as machines are busy; these constants are the promise."""
    assert SILENT_MAX_S < READY_WITHIN_S
    assert STOP_GRACE_S + CLOSE_GRACE_S < ENDED_WITHIN_S


@pytest.mark.nightly
@pytest.mark.parametrize("way", ["killed", "silent"])
def test_a_lost_broker_is_seen_and_what_waited_is_done_when_it_is_back(
    own_kafka: EmbeddedKafka, valkey: EmbeddedValkey, tmp_path: Path, way: str
) -> None:
    broker = Broker(own_kafka, way)
    records = orderly_shop(160)
    with (
        Deployment(
            # Batches are large, so that some fill more than one of the producer's buffers.
            own_kafka.bootstrap_servers,
            valkey.url,
            f"{way}.",
            tmp_path,
            max_batch_records=4_000,
        ) as deployment,
        ExitStack() as stack,
    ):
        staying, leaving = deployment.start_workers(2)
        (nobody,) = free_ports(1)
        declare(deployment, crm={"url": f"http://127.0.0.1:{nobody}/"})
        deliverer = Deliverer(deployment)
        stack.callback(deliverer.process.kill)
        deployment.wait("it has joined", deliverer.is_ready)
        deployment.publish(records)
        # In the middle of its work: with batches in hand, and more to come.
        deployment.wait("some is folded", lambda: deployment.folded() > len(records) / 20)
        broker.go_away()
        everybody = (staying, leaving, deliverer)
        deployment.wait("all say so", lambda: all(map(_says_so, everybody)))
        lines, silence_s = _lines(staying), _silence_s(staying)

        # Whether it could finish what it had in hand depends on when it was told.
        assert leaving.stop() in (0, 1)
        deployment.wait("the deliverer tells it, too", lambda: 0 < _silence_s(deliverer))
        before = _ages(staying)
        deployment.wait("ages grow", lambda: _ages(staying) > before)
        # Longer than the clients wait for a place in their buffers.
        deployment.wait("they gave up", lambda: _silence_s(staying) > BUFFER_FULL_S + 5)
        ages = _ages(staying)
        assert min(ages) >= min(_silence_s(staying), max(ages)) / 2
        # The worker's own clock says for how long; no more than a line a second.
        assert _lines(staying) - lines <= _silence_s(staying) - silence_s + 1
        print(  # noqa: T201 - shown by pytest -s
            f"\n{way}: {_lines(staying) - lines} lines in {_silence_s(staying) - silence_s:.0f} s"
        )

        broker.come_back()
        deployment.wait("all is read", deployment.is_drained)
        deployment.wait("they are ready again", lambda: staying.is_ready() and deliverer.is_ready())
        assert "a Kafka broker answers again" in staying.log_text()
        assert staying.process.pid
        assert_exact(deployment, published=len(records))


def _says_so(worker: Worker) -> bool:
    status, body = worker.get("/health/ready")
    return status == 503 and b"no Kafka broker has answered for" in body


def _silence_s(worker: Worker) -> float:
    return worker.metric("keepstream_broker_silence_seconds")


def _ages(worker: Worker) -> tuple[float, float]:
    """The lowest age that a worker reports for its partitions of customers."""
    return (
        _least_age(worker, "keepstream_partition_progress_age_seconds"),
        _least_age(worker, "keepstream_consumer_lag_seconds"),
    )


def _least_age(worker: Worker, name: str) -> float:
    events = [s for s in worker.samples(name) if s.labels["topic"] == CUSTOMER_EVENTS]
    return min((sample.value for sample in events), default=0.0)


def _lines(worker: Worker) -> int:
    return worker.log_text().count("\n")

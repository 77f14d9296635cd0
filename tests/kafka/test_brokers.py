"""Brokers that die together, or run out of disk space: what was acknowledged is still there."""

import resource
from pathlib import Path

import pytest

from streams.embedded.kafka import EmbeddedKafka
from streams.embedded.valkey import EmbeddedValkey
from tests.kafka.deployment import Deployment, orderly_shop
from tests.kafka.exactness import assert_exact

pytestmark = [pytest.mark.kafka, pytest.mark.nightly, pytest.mark.timeout(900)]

#: How much larger than any other a file of the broker may still become.
ROOM_BYTES = 64 * 1024


def test_two_of_three_brokers_die_and_nothing_acknowledged_is_lost(
    valkey: EmbeddedValkey, tmp_path: Path
) -> None:
    records = orderly_shop(300)
    third = len(records) // 3
    with (
        EmbeddedKafka(tmp_path / "kafka", nodes=3) as kafka,
        Deployment(
            kafka.bootstrap_servers,
            valkey.url,
            "three.",
            tmp_path,
            max_batch_records=500,
            replication_factor=3,
        ) as deployment,
    ):
        deployment.publish(records[:third])
        deployment.start_workers(2)
        for number, victims in enumerate([(1, 2), (2, 3)], 1):
            deployment.wait("both are ready", lambda: _are_both_ready(deployment))
            kafka.kill(*victims)
            # One copy of three is no majority: nothing is written, and whoever is alive says so.
            deployment.wait("nobody is ready", lambda: not _ready(deployment))
            kafka.start(*victims)
            deployment.publish(records[number * third : (number + 1) * third])
        rest = records[3 * third :]
        deployment.publish(rest)
        deployment.wait("all is read", lambda: deployment.is_drained_by(2))
        assert_exact(deployment, published=len(records))


def _are_both_ready(deployment: Deployment) -> bool:
    """Workers that ended by themselves are replaced in between."""
    deployment.restart_ended()
    return _ready(deployment) == 2


def _ready(deployment: Deployment) -> int:
    return sum(worker.is_ready() for worker in deployment.alive)


def test_a_broker_without_room_ends_and_loses_nothing(
    valkey: EmbeddedValkey, tmp_path: Path
) -> None:
    records = orderly_shop(300)
    half = len(records) // 2
    with (
        EmbeddedKafka(tmp_path / "kafka") as kafka,
        Deployment(
            kafka.bootstrap_servers, valkey.url, "full.", tmp_path, max_batch_records=500
        ) as deployment,
    ):
        deployment.publish(records[:half])
        deployment.start_workers(2)
        deployment.wait("a tenth is folded", lambda: deployment.folded() > len(records) / 10)
        _take_the_room(kafka)
        deployment.wait("the broker has ended", lambda: not kafka.pids)
        # Started again, it has room.
        kafka.start()
        deployment.restart_ended()
        deployment.publish(records[half:])
        deployment.wait("all is read", lambda: deployment.is_drained_by(2))
        assert_exact(deployment, published=len(records))


def _take_the_room(kafka: EmbeddedKafka) -> None:
    """Like a full disk: writes fail in the middle of any record."""
    (pid,) = kafka.pids
    logs = kafka.directory.rglob("*.log")
    largest = max(path.stat().st_size for path in logs if path.parent != kafka.directory)
    _, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (largest + ROOM_BYTES, hard))

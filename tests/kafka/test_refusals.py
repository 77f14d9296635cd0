"""A worker that cannot work correctly refuses, says what to do, and exits with a code above 0."""

import contextlib
import subprocess
import sys

import msgspec
import pytest
from kafka import TopicPartition
from msgspec.structs import replace

from config.topics import (
    CUSTOMER_EVENTS,
    CUSTOMERS,
    DEAD_LETTERS,
    LABELLED_EXAMPLES,
    MODEL_SNAPSHOTS,
)
from models.customer.row import Row, encode_row
from models.customer.row_formats import ROW_FORMAT
from models.events.dead_letter import decode_dead_letter
from models.events.line import LOG_FORMAT
from models.events.times import iso
from models.learning.snapshot import SNAPSHOT_FORMAT
from streams.kafka_clients import new_admin
from tests.kafka.deployment import START_MS, Deployment, orderly_shop
from tests.kafka.exactness import assert_exact
from tests.kafka.worker import ROOT

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(900)]


def refused(deployment: Deployment, *arguments: str, **environment: str) -> str:
    """The output of a worker that must exit with 2 before it has done anything."""
    done = subprocess.run(
        [sys.executable, "-m", "agents.cli", "worker", *arguments],
        cwd=ROOT,
        env={**deployment.environment, "KEEPSTREAM_WEB_PORT": "0", **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert 2 == done.returncode, done.stderr
    assert "Traceback" not in done.stderr
    assert "" == done.stdout
    return " ".join(done.stderr.split())


@pytest.mark.parametrize(
    ("environment", "fix"),
    [
        ({"KEEPSTREAM_PARTITIONS": "8"}, "set KEEPSTREAM_PARTITIONS=4 or recreate it"),
        ({"KEEPSTREAM_TOPIC_PREFIX": "nowhere."}, "run `keepstream topics create`"),
        (
            {"KEEPSTREAM_BOOTSTRAP_SERVERS": "127.0.0.1:1"},
            "or set KEEPSTREAM_BOOTSTRAP_SERVERS to where it is",
        ),
        ({"KEEPSTREAM_REDIS_URI": "redis://r"}, "did you mean KEEPSTREAM_REDIS_URL?"),
        ({"KEEPSTREAM_SESSION_TIMEOUT_MS": "1"}, "set it to a whole number from 1000 to 300000"),
    ],
)
def test_settings_that_cannot_work_are_refused(
    deployment: Deployment, environment: dict[str, str], fix: str
) -> None:
    assert fix in refused(deployment, **environment)


def test_a_password_for_a_broker_that_asks_for_none_is_refused_and_not_told(
    deployment: Deployment,
) -> None:
    text = refused(
        deployment,
        KEEPSTREAM_SECURITY_PROTOCOL="SASL_PLAINTEXT",
        KEEPSTREAM_SASL_USERNAME="keepstream",
        KEEPSTREAM_SASL_PASSWORD="canary-7b1e",
    )
    assert "KEEPSTREAM_SECURITY_PROTOCOL" in text
    assert "canary" not in text


def test_a_parameter_that_does_not_exist_is_refused(deployment: Deployment) -> None:
    assert "time.disorder" in refused(deployment, "--set", "time.disordre=1s")


def test_a_port_that_is_taken_is_refused_by_name(deployment: Deployment) -> None:
    (first,) = deployment.start_workers(1)
    text = refused(deployment, KEEPSTREAM_WEB_PORT=str(first.port))
    assert f"{first.port}" in text
    assert "KEEPSTREAM_WEB_PORT" in text


@pytest.mark.nightly
def test_state_that_fits_its_topics_no_longer_is_refused(deployment: Deployment) -> None:
    (worker,) = deployment.start_workers(1, "--set", "learning.minimum_examples=20")
    deployment.publish(orderly_shop(60))
    deployment.wait("all is read", deployment.is_drained)
    assert 0 == worker.stop()

    _empty_snapshots(deployment)
    text = last_words(deployment)
    assert "model-snapshots does not have model" in text
    assert "Put its records back from a backup, or start over" in text

    deployment.create_anew(CUSTOMER_EVENTS)
    text = last_words(deployment)
    assert "the topic was deleted and created again" in text
    assert "set another KEEPSTREAM_TOPIC_PREFIX" in text

    for partition in range(4):
        deployment.write(CUSTOMERS, partition, (b"c-1", row_in_format(ROW_FORMAT + 1)))
    assert "a newer release; upgrade this worker" in last_words(deployment)


START_OVER = "start over with another KEEPSTREAM_TOPIC_PREFIX"


def test_rows_of_an_older_format_are_refused(deployment: Deployment) -> None:
    deployment.publish(orderly_shop(3))
    for partition in range(4):
        deployment.write(CUSTOMERS, partition, (b"c-1", row_in_format(1)))

    text = last_words(deployment)
    assert "a row is in format 1, which this release does not read" in text
    assert START_OVER in text


def test_snapshots_of_an_older_format_are_refused(deployment: Deployment) -> None:
    """By the trainer, which would otherwise learn anew and publish version 1 again."""
    snapshot = msgspec.json.encode({"format": SNAPSHOT_FORMAT - 1, "version": 1, "createdAtMs": 0})
    deployment.write(MODEL_SNAPSHOTS, 0, (b"1", snapshot))
    deployment.write(LABELLED_EXAMPLES, 0, (None, b"{}"))

    text = last_words(deployment)
    assert f"snapshot 1 is in format {SNAPSHOT_FORMAT - 1}, which this release does not" in text
    assert START_OVER in text


def test_a_log_of_an_older_format_is_refused(deployment: Deployment) -> None:
    clock = msgspec.json.encode({"type": "clock", "timestamp": "2026-01-01T00:00:00Z"})
    deployment.write(CUSTOMER_EVENTS, 2, (None, clock))

    text = last_words(deployment)
    assert "customer-events has records in format 1" in text
    assert START_OVER in text


def test_a_forged_record_of_a_newer_release_is_set_aside_by_naming_it(
    deployment: Deployment,
) -> None:
    """It ends every worker, which says how to continue without this very record."""
    # No matter how busy the machine is: a worker that stands still is another matter.
    deployment.settings = replace(deployment.settings, session_timeout_ms=25_000)
    records = orderly_shop(3)
    deployment.publish(records)
    deployment.write(CUSTOMERS, 1, (b"nobody", row_in_format(ROW_FORMAT + 1)))
    clock = {"type": "clock", "timestamp": iso(START_MS), "logFormat": LOG_FORMAT + 1}
    deployment.write(CUSTOMER_EVENTS, 2, (None, msgspec.json.encode(clock)))
    # Whichever it meets first, and then both.
    for _ in range(2):
        _, told, rest = last_words(deployment).partition("set KEEPSTREAM_SET_ASIDE=")
        assert told
        deployment.settings = replace(deployment.settings, set_aside=rest.split(" ")[0])
    assert "customer-events-2@0,customers-1@0" == deployment.settings.set_aside
    (worker,) = deployment.start_workers(1)
    deployment.wait("all is read", deployment.is_drained)
    assert_exact(deployment, published=len(records), quarantined=1)
    assert [(2, "$.logFormat")] == [
        (number, decode_dead_letter(value).path)
        for number, _, value in deployment.read(DEAD_LETTERS)
    ]
    assert 0 == worker.stop()
    # Nor does it stop whoever makes rows anew.
    deployment.run("rebuild", "--all")


def row_in_format(its_format: int) -> bytes:
    """A row by another release: its first field is the format."""
    fields = msgspec.msgpack.decode(encode_row(Row()))
    return msgspec.msgpack.encode([its_format, *fields[1:]])


def last_words(deployment: Deployment) -> str:
    """The message of a worker that finds a fault after it has begun to work: one line, before the
    last line, which says that it ends.
    """
    worker = deployment.start_worker()
    assert 1 == worker.wait()
    text = worker.log_text()
    assert "Traceback" not in text
    *_, said, last = text.splitlines()
    assert "CRITICAL" in said
    assert "ends after" in last
    return said


def _empty_snapshots(deployment: Deployment) -> None:
    topic = TopicPartition(deployment.settings.topic(MODEL_SNAPSHOTS), 0)
    end = deployment.ends(MODEL_SNAPSHOTS)[0]
    assert end > 0
    with contextlib.closing(new_admin(deployment.settings)) as admin:
        admin.delete_records({topic: end})

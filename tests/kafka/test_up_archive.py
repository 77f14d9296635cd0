"""`keepstream up --archive`, on a deployment that already has customers, and afterwards."""

from contextlib import closing
from pathlib import Path

import pytest
from kafka.admin import ConfigResource, KafkaAdminClient

from agents.standing.directory import Addresses
from streams.embedded.process import wait_until
from tests.kafka.deployment import LIVENESS_S
from tests.kafka.test_up import Up, is_known, order, up

__all__ = ["up"]

pytestmark = [pytest.mark.kafka, pytest.mark.nightly, pytest.mark.timeout(600)]

DAY_MS = 86_400_000


def kept(at: Addresses, topic: str, key: str) -> str:
    """The broker's retention settings of a topic."""
    with closing(KafkaAdminClient(bootstrap_servers=at.bootstrap_servers)) as admin:
        asked = [ConfigResource("TOPIC", topic, [key])]
        answer = admin.describe_configs(asked, config_filter="all")["topic"]
    return str(answer[topic][key]["value"])


def exported(up: Up) -> None:
    """Do what it says in another terminal: export the variables that it prints."""
    for line in up.process.log_since_start().splitlines():
        name, is_export, value = line.removeprefix("  export ").partition("=")
        if is_export and line.startswith("  export "):
            up.environ[name] = value


def test_what_it_has_already_is_sealed_before_the_log_may_expire(up: Up, tmp_path: Path) -> None:
    at = up.start()
    assert 0 == up.says("publish", order(tmp_path, "ada"), addresses=at)[0]
    wait_until(lambda: is_known(up, "ada", at), "ada is known", LIVENESS_S, [up.process])
    assert "-1" == kept(at, "customer-events", "retention.ms")
    assert 0 == up.stop()

    at = up.start("--archive")
    assert "Sealing what customer-events has" in up.process.log_since_start()
    assert str(30 * DAY_MS) == kept(at, "customer-events", "retention.ms")
    assert str(DAY_MS) == kept(at, "customers", "max.compaction.lag.ms")
    plain = dict(up.environ)
    exported(up)
    assert {"KEEPSTREAM_ARCHIVE", "KEEPSTREAM_LOG_RETENTION"} <= up.environ.keys() - plain.keys()
    code, said = up.says("archive", "check", addresses=at)
    assert (0, True) == (code, "may expire" in said)
    assert (0, []) == problems(up, at)
    code, said = up.says("erase", "ada", addresses=at)
    assert (0, False) == (code, "NOT a complete erasure" in said)
    up.environ = plain
    assert 0 == up.stop()

    # It stays on, and nothing has to be sealed once more; until somebody says that it is off.
    at = up.start()
    assert "Sealing" not in up.process.log_since_start()
    assert "KEEPSTREAM_ARCHIVE=on" in up.process.log_since_start()
    assert 0 == up.stop()
    up.environ["KEEPSTREAM_ARCHIVE"] = "off"
    at = up.start()
    # What is not sealed is kept.
    assert "-1" == kept(at, "customer-events", "retention.ms")
    assert 0 == up.stop()


def problems(up: Up, at: Addresses) -> tuple[int, list[str]]:
    code, said = up.says("topics", "check", addresses=at)
    return code, [line for line in said.splitlines() if not line.startswith("ok ")]

"""The release of Kafka that answers."""

import re
from contextlib import closing

import pytest
from kafka.errors import UnsupportedVersionError

from config.settings import load_settings
from streams.broker_release import RELEASES, broker_release, release_of
from streams.embedded.kafka import EmbeddedKafka
from streams.kafka_clients import new_admin
from tests.house.repository import ROOT


@pytest.mark.parametrize(
    ("metadata_version", "release"),
    [(33, "4.4"), (31, "4.4"), (30, "4.3"), (29, "4.2"), (26, "4.1"), (34, "4.4 or later")],
)
def test_a_release_is_known_by_its_newest_metadata_version(
    metadata_version: int, release: str
) -> None:
    assert release == release_of(metadata_version)


def test_the_release_that_is_embedded_is_known() -> None:
    jars = (ROOT / "streams/embedded/jars.sha256").read_text()
    [release] = re.findall(r"/kafka_2\.13-(\d+\.\d+)\.\d+\.jar", jars)

    assert RELEASES[-1][1] == release


@pytest.mark.kafka
def test_a_broker_is_asked_for_its_features(kafka: EmbeddedKafka) -> None:
    settings = load_settings({}, bootstrap_servers=kafka.bootstrap_servers)
    with closing(new_admin(settings)) as admin:
        assert RELEASES[-1][1] == broker_release(admin)


class OldBroker:
    """An admin client of a broker that reports no features."""

    class _manager:  # noqa: N801 - as kafka-python has it
        broker_version = (3, 2)

    def describe_features(self) -> object:
        raise UnsupportedVersionError


def test_a_broker_that_tells_no_features_speaks_at_least_some_protocol() -> None:
    assert "3.2 or later" == broker_release(OldBroker())

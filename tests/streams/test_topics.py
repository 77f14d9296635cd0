"""Topics are created as declared, and faults are reported with their fix."""

import uuid
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import pytest
from kafka.admin import ConfigResource
from msgspec.structs import replace

from config.duration import DAY_MS
from config.settings import Settings, load_settings
from config.topics import (
    CLICKSTREAM,
    CUSTOMER_ARCHIVE,
    CUSTOMER_EVENTS,
    CUSTOMER_KEYS,
    CUSTOMERS,
    DECISION_LEDGER,
    LABELLED_EXAMPLES,
    MODEL_SNAPSHOTS,
    RAW_TOPICS,
    RETENTION_TRIGGERS,
    Topic,
    topics,
)
from streams.embedded.kafka import EmbeddedKafka
from streams.kafka_clients import new_admin
from streams.topics import (
    TopicsError,
    check_topics,
    create_topics,
    declared,
    require_topics,
)

TEN_MINUTES_MS = 600_000


@dataclass
class Deployment:
    """Topics for one test, on the shared broker."""

    settings: Settings
    admin: Any

    def create(self, name: str, partitions: int, **config: str) -> None:
        """Create a topic by hand, as an operator might, instead of as declared."""
        found = next(t for t in topics(partitions, 1) if t.name == name)
        configs = {**found.config, **{k.replace("_", "."): v for k, v in config.items()}}
        full_name = self.settings.topic(name)
        self.admin.create_topics(
            {
                full_name: {
                    "num_partitions": partitions,
                    "replication_factor": 1,
                    "configs": configs,
                }
            }
        )
        self.admin.wait_for_topics([full_name])

    def texts(self, settings: Settings | None = None) -> list[str]:
        prefix = self.settings.topic_prefix
        problems = check_topics(settings or self.settings)
        return [str(problem).replace(prefix, "") for problem in problems]


@pytest.fixture
def deployment(kafka: EmbeddedKafka) -> Iterator[Deployment]:
    prefix = f"{uuid.uuid4().hex[:8]}."
    settings = load_settings({}, bootstrap_servers=kafka.bootstrap_servers, topic_prefix=prefix)
    with closing(new_admin(settings)) as admin:
        yield Deployment(settings, admin)


def by_name(partitions: int = 4, replication: int = 1) -> dict[str, Topic]:
    return {topic.name: topic for topic in topics(partitions, replication)}


def test_partitioned_topics_are_equal_and_the_others_have_one_partition() -> None:
    counts = {name: topic.partitions for name, topic in by_name(partitions=6).items()}
    assert {1} == {counts.pop(LABELLED_EXAMPLES), counts.pop(MODEL_SNAPSHOTS)}
    assert {6} == set(counts.values())


def test_what_state_and_models_are_made_of_is_kept_forever() -> None:
    declared_topics = by_name()
    for name in (CUSTOMER_EVENTS, LABELLED_EXAMPLES, MODEL_SNAPSHOTS):
        assert declared_topics[name].config["retention.ms"] == "-1"
        assert declared_topics[name].config["retention.bytes"] == "-1"
        assert declared_topics[name].config["cleanup.policy"] == "delete"


def test_with_the_archive_what_was_deleted_is_gone_in_a_day_and_the_log_may_expire() -> None:
    kept = {
        topic.name: topic.config
        for topic in topics(4, 1, has_archive=True, log_retention_ms=30 * DAY_MS)
    }
    assert {CUSTOMER_ARCHIVE, CUSTOMER_KEYS} == kept.keys() - by_name().keys()
    assert str(30 * DAY_MS) == kept[CUSTOMER_EVENTS]["retention.ms"]
    assert (
        "-1" == kept[CUSTOMER_ARCHIVE]["retention.ms"] == kept[CUSTOMER_ARCHIVE]["retention.bytes"]
    )
    for name in (CUSTOMERS, CUSTOMER_KEYS):
        assert "compact" == kept[name]["cleanup.policy"]
        assert str(DAY_MS) == kept[name]["max.compaction.lag.ms"]
    assert "max.compaction.lag.ms" not in by_name()[CUSTOMERS].config


@pytest.mark.kafka
def test_a_log_that_expires_earlier_than_the_settings_say_is_refused(
    deployment: Deployment,
) -> None:
    kept = replace(deployment.settings, archive="on", log_retention="30d")
    create_topics(kept)
    assert [] == check_topics(kept)
    # Kept for longer is no harm, and for ever is what they say without the archive.
    assert [] == deployment.texts(replace(kept, log_retention="7d"))
    (told,) = deployment.texts(replace(kept, log_retention="forever"))
    assert told.startswith("customer-events has retention.ms=2592000000, -1 is needed: ")
    (told,) = deployment.texts(replace(kept, log_retention="60d"))
    assert told.startswith("customer-events has retention.ms=2592000000, 5184000000 is needed: ")
    assert told.endswith("--add-config retention.ms=5184000000")


def test_the_changelog_keeps_both_writers_of_a_takeover() -> None:
    changelog = by_name()[CUSTOMERS].config
    assert changelog["cleanup.policy"] == "compact"
    assert int(changelog["min.compaction.lag.ms"]) >= TEN_MINUTES_MS


def test_the_ledger_has_a_decision_once_and_for_a_quarter() -> None:
    ledger = by_name()[DECISION_LEDGER]
    assert {"compact", "delete"} == set(ledger.config["cleanup.policy"].split(","))
    assert str(90 * DAY_MS) == ledger.config["retention.ms"]
    assert ledger.is_partitioned


def test_latency_is_measured_between_two_broker_times() -> None:
    for name in (*RAW_TOPICS, RETENTION_TRIGGERS):
        assert by_name()[name].config["message.timestamp.type"] == "LogAppendTime"


def test_three_copies_wait_for_two() -> None:
    assert all("min.insync.replicas" not in t.config for t in by_name().values())
    assert all(
        t.config["min.insync.replicas"] == "2" and t.replication == 3
        for t in by_name(replication=3).values()
    )


def test_the_prefix_is_part_of_every_name() -> None:
    names = {topic.name for topic in declared(Settings(topic_prefix="eu."))}
    assert {f"eu.{name}" for name in by_name()} == names


@pytest.mark.kafka
def test_created_topics_are_as_declared(deployment: Deployment) -> None:
    created = create_topics(deployment.settings)
    assert ["created"] * len(by_name()) == [topic.outcome for topic in created]
    assert [] == check_topics(deployment.settings)
    require_topics(deployment.settings)

    for topic in declared(deployment.settings):
        asked = [ConfigResource("TOPIC", topic.name, list(topic.config))]
        answer = deployment.admin.describe_configs(asked, config_filter="all")
        found = answer["topic"][topic.name]
        assert dict(topic.config) == {key: entry["value"] for key, entry in found.items()}


@pytest.mark.kafka
def test_creating_again_leaves_what_exists(deployment: Deployment) -> None:
    deployment.create(CLICKSTREAM, 4, retention_ms="1000")
    outcomes = {t.name: t.outcome for t in create_topics(deployment.settings)}
    assert outcomes.pop(deployment.settings.topic(CLICKSTREAM)) == "exists"
    assert {"created"} == set(outcomes.values())
    assert {"exists"} == {t.outcome for t in create_topics(deployment.settings)}
    # How long raw events are kept is the operator's choice.
    assert [] == deployment.texts()


@pytest.mark.kafka
def test_missing_topics_are_all_named(deployment: Deployment) -> None:
    deployment.create(CLICKSTREAM, 4)
    missing = [name for name in by_name() if name != CLICKSTREAM]
    assert [
        f"{name} is missing: run `keepstream topics create`" for name in missing
    ] == deployment.texts()
    with pytest.raises(TopicsError) as refused:
        require_topics(deployment.settings)
    for name in missing:
        assert deployment.settings.topic(name) in str(refused.value)


@pytest.mark.kafka
def test_topics_that_agree_on_another_count_can_be_configured(deployment: Deployment) -> None:
    deployment.create(CUSTOMER_EVENTS, 1)
    fix = "customer-events has 1 partition, 4 are configured: set KEEPSTREAM_PARTITIONS=1"
    assert any(text.startswith(fix) for text in deployment.texts())


@pytest.mark.kafka
def test_topics_that_disagree_can_only_be_recreated(deployment: Deployment) -> None:
    deployment.create(CUSTOMER_EVENTS, 3)
    deployment.create(CLICKSTREAM, 4)
    wrong = [text for text in deployment.texts() if "configured" in text]
    said = "customer-events has 3 partitions, 4 are configured: recreate it"
    assert [f"{said}: partitioned topics must be equal, there are [3, 4]"] == wrong


@pytest.mark.kafka
def test_a_topic_whose_order_matters_has_one_partition(deployment: Deployment) -> None:
    deployment.create(LABELLED_EXAMPLES, 4)
    wrong = [text for text in deployment.texts() if "configured" in text]
    said = "labelled-examples has 4 partitions, 1 is configured: recreate it"
    assert [f"{said}: its order matters, and only one partition has an order"] == wrong


@pytest.mark.kafka
def test_nothing_is_added_to_topics_of_another_count(deployment: Deployment) -> None:
    deployment.create(CLICKSTREAM, 2)
    with pytest.raises(TopicsError, match="KEEPSTREAM_PARTITIONS=2"):
        create_topics(deployment.settings)
    prefix = deployment.settings.topic_prefix
    assert [deployment.settings.topic(CLICKSTREAM)] == [
        name for name in deployment.admin.list_topics() if name.startswith(prefix)
    ]


@pytest.mark.kafka
@pytest.mark.parametrize(
    ("name", "config", "said"),
    [
        (CUSTOMERS, {"cleanup_policy": "delete"}, "cleanup.policy=delete, compact is needed"),
        (CUSTOMERS, {"cleanup_policy": "compact,delete"}, "compact is needed"),
        (
            CUSTOMERS,
            {"min_compaction_lag_ms": "0"},
            "min.compaction.lag.ms=0, 600000 or more is needed",
        ),
        (CUSTOMER_EVENTS, {"retention_ms": "86400000"}, "retention.ms=86400000, -1 is needed"),
        (CUSTOMER_EVENTS, {"cleanup_policy": "compact"}, "delete is needed"),
        (
            CUSTOMER_EVENTS,
            {"message_timestamp_type": "LogAppendTime"},
            "LogAppendTime, CreateTime is needed",
        ),
        (CLICKSTREAM, {"message_timestamp_type": "CreateTime"}, "LogAppendTime is needed"),
    ],
)
def test_a_wrong_configuration_is_named_with_its_fix(
    deployment: Deployment, name: str, config: dict[str, str], said: str
) -> None:
    deployment.create(name, 4, **config)
    [text] = [text for text in deployment.texts() if "is needed" in text]
    assert text.startswith(f"{name} has ")
    assert said in text
    assert f"kafka-configs --alter --topic {name} --add-config " in text


@pytest.mark.kafka
def test_more_compaction_lag_than_needed_is_fine(deployment: Deployment) -> None:
    deployment.create(CUSTOMERS, 4, min_compaction_lag_ms=str(2 * TEN_MINUTES_MS))
    assert [] == [text for text in deployment.texts() if "is needed" in text]


@pytest.mark.kafka
def test_more_copies_than_brokers_is_refused_with_the_setting(deployment: Deployment) -> None:
    settings = load_settings(
        {},
        bootstrap_servers=deployment.settings.bootstrap_servers,
        topic_prefix=deployment.settings.topic_prefix,
        replication_factor=3,
    )
    with pytest.raises(TopicsError, match="KEEPSTREAM_REPLICATION_FACTOR"):
        create_topics(settings)

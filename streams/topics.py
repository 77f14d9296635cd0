"""Creates the topics of a deployment, and says what is wrong with existing ones."""

import contextlib
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, NamedTuple

import msgspec
from kafka import KafkaAdminClient
from kafka.admin import ConfigResource
from kafka.errors import BrokerResponseError, KafkaError, for_code

from config.settings import Settings
from config.topics import FOREVER, Topic, topics
from streams.kafka_clients import new_admin

_EXISTS = 36  # TOPIC_ALREADY_EXISTS
_UNKNOWN = 3  # UNKNOWN_TOPIC_OR_PARTITION


class TopicsError(RuntimeError):
    """Topics are missing, wrong, or can't be created; the message lists each with its fix."""


class Created(NamedTuple):
    """What `create_topics` found or did."""

    name: str
    is_new: bool

    @property
    def outcome(self) -> str:
        return "created" if self.is_new else "exists"


class Problem(NamedTuple):
    """One thing that is wrong with one topic."""

    topic: str
    text: str

    def __str__(self) -> str:
        return self.text


def topics_of(settings: Settings) -> tuple[Topic, ...]:
    """The topics of this deployment, without its prefix."""
    return topics(
        settings.partitions,
        settings.replication_factor,
        has_archive=settings.has_archive,
        log_retention_ms=settings.log_retention_ms,
    )


def declared(settings: Settings) -> tuple[Topic, ...]:
    """The topics of this deployment, under the names that the broker knows."""
    return tuple(
        msgspec.structs.replace(topic, name=settings.topic(topic.name))
        for topic in topics_of(settings)
    )


def create_topics(settings: Settings) -> list[Created]:
    """Create what is missing and leave what exists as it is.

    Returns when every new partition has a leader. Raises `TopicsError` when the broker refuses,
    and when an existing topic has another number of partitions: adding some would split customers.
    """
    with _admin(settings) as admin:
        wanted = declared(settings)
        existing = partition_counts(admin, [topic.name for topic in wanted])
        if wrong := _wrong_counts(wanted, existing):
            raise _error(settings, wrong)
        missing = [topic for topic in wanted if topic.name not in existing]
        if missing:
            _create(admin, missing)
    return [Created(topic.name, topic.name not in existing) for topic in wanted]


def check_topics(settings: Settings) -> list[Problem]:
    """Everything that makes the broker's topics unusable; empty when all is well."""
    with _admin(settings) as admin:
        return topic_problems(admin, settings)


def topic_problems(admin: KafkaAdminClient, settings: Settings) -> list[Problem]:
    """`check_topics` with a connected client."""
    wanted = declared(settings)
    counts = partition_counts(admin, [topic.name for topic in wanted])
    configs = _configs(admin, [topic for topic in wanted if topic.name in counts])
    missing = [
        Problem(topic.name, f"{topic.name} is missing: run `keepstream topics create`")
        for topic in wanted
        if topic.name not in counts
    ]
    wrong_configs = [
        problem
        for topic in wanted
        if topic.name in counts
        for problem in _wrong_config(topic, configs[topic.name])
    ]
    return missing + _wrong_counts(wanted, counts) + wrong_configs


def set_as_declared(settings: Settings, names: Collection[str]) -> None:
    """Set the configs of these topics (without the deployment's prefix) to the declared ones,
    whatever they were. Raises `TopicsError`.
    """
    wanted = {settings.topic(name) for name in names}
    with _admin(settings) as admin:
        admin.alter_configs(
            [
                ConfigResource("TOPIC", topic.name, dict(topic.config))
                for topic in declared(settings)
                if topic.name in wanted
            ]
        )


def require_topics(settings: Settings) -> None:
    """Raise `TopicsError`, with every problem, unless the topics can be used."""
    if problems := check_topics(settings):
        raise _error(settings, problems)


def partition_counts(admin: KafkaAdminClient, names: list[str]) -> dict[str, int]:
    """Partitions of those of `names` that exist."""
    counts = {}
    for found in admin.describe_topics(names):
        if found["error_code"] == _UNKNOWN:
            continue
        if found["error_code"]:
            raise TopicsError(f"can't look at topic {found['name']}: {_reason(found)}")
        counts[str(found["name"])] = len(found["partitions"])
    return counts


def partitions_there(settings: Settings, names: Collection[str]) -> dict[str, int]:
    """How many partitions each of these topics (without the deployment's prefix) has. Raises
    `TopicsError` for missing ones, and `BrokerUnreachable`.
    """
    with contextlib.closing(new_admin(settings)) as admin:
        counts = partition_counts(admin, [settings.topic(name) for name in names])
    if missing := [settings.topic(name) for name in names if settings.topic(name) not in counts]:
        raise TopicsError(f"missing topics: {', '.join(missing)}. Run `keepstream topics create`")
    return {name: counts[settings.topic(name)] for name in names}


@contextlib.contextmanager
def _admin(settings: Settings) -> Iterator[KafkaAdminClient]:
    admin = new_admin(settings)
    try:
        yield admin
    except KafkaError as error:
        raise TopicsError(f"{settings.bootstrap_servers} refused: {error}") from None
    finally:
        admin.close()


def _error(settings: Settings, problems: list[Problem]) -> TopicsError:
    lines = "\n".join(f"  - {problem}" for problem in problems)
    return TopicsError(f"the topics at {settings.bootstrap_servers} can't be used:\n{lines}")


def _create(admin: KafkaAdminClient, missing: list[Topic]) -> None:
    request = {
        topic.name: {
            "num_partitions": topic.partitions,
            "replication_factor": topic.replication,
            "configs": dict(topic.config),
        }
        for topic in missing
    }
    answer = admin.create_topics(request, raise_errors=False)
    refused = [
        f"  - {topic['name']}: {_reason(topic)}"
        for topic in answer["topics"]
        # It is fine that another process creates the same topics at the same time.
        if topic["error_code"] not in (0, _EXISTS)
    ]
    if refused:
        raise TopicsError("the broker refused to create topics:\n" + "\n".join(refused))
    admin.wait_for_topics([topic.name for topic in missing])


def _reason(answer: Mapping[str, Any]) -> str:
    error: type[BrokerResponseError] = for_code(answer["error_code"])
    reason = str(answer.get("error_message") or error.__name__)
    if error.__name__ == "InvalidReplicationFactorError":
        reason += " Set KEEPSTREAM_REPLICATION_FACTOR to the number of brokers, 3 at most."
    return reason


def _configs(admin: KafkaAdminClient, existing: list[Topic]) -> dict[str, dict[str, str]]:
    """The broker's values of the declared configs, by topic."""
    if not existing:
        return {}
    asked = [ConfigResource("TOPIC", topic.name, list(topic.config)) for topic in existing]
    answer = admin.describe_configs(asked, config_filter="all")["topic"]
    return {
        name: {key: str(entry["value"]) for key, entry in entries.items()}
        for name, entries in answer.items()
    }


def _wrong_counts(wanted: tuple[Topic, ...], counts: Mapping[str, int]) -> list[Problem]:
    found = {counts[t.name] for t in wanted if t.is_partitioned and t.name in counts}
    problems = []
    for topic in wanted:
        count = counts.get(topic.name, topic.partitions)
        if count == topic.partitions:
            continue
        if not topic.is_partitioned:
            fix = "recreate it: its order matters, and only one partition has an order"
        elif len(found) == 1:
            fix = f"set KEEPSTREAM_PARTITIONS={count} or recreate it"
        else:
            # No setting fits topics that differ: a customer's events would be split.
            fix = f"recreate it: partitioned topics must be equal, there are {sorted(found)}"
        have = f"{count} partition{'s' if count > 1 else ''}"
        need = f"{topic.partitions} {'are' if topic.partitions > 1 else 'is'} configured"
        problems.append(Problem(topic.name, f"{topic.name} has {have}, {need}: {fix}"))
    return problems


def _is_at_least(found: str, wanted: str) -> bool:
    return int(found) >= int(wanted)


def _is_at_most(found: str, wanted: str) -> bool:
    return int(found) <= int(wanted)


def _lasts(found: str, wanted: str) -> bool:
    """Whether records are kept for at least as long as wanted, or for ever."""
    is_forever = found == FOREVER["retention.ms"]
    return is_forever or (wanted != FOREVER["retention.ms"] and _is_at_least(found, wanted))


def _is_same(found: str, wanted: str) -> bool:
    return set(found.split(",")) == set(wanted.split(","))


# The configs that a deployment needs. All others, such as the retention of raw events, are the
# operator's choice.
_REQUIRED: Mapping[str, tuple[Callable[[str, str], bool], str]] = {
    "cleanup.policy": (_is_same, ""),
    "message.timestamp.type": (_is_same, ""),
    "min.compaction.lag.ms": (_is_at_least, " or more"),
    "max.message.bytes": (_is_at_least, " or more"),
    "max.compaction.lag.ms": (_is_at_most, " or less"),
    "delete.retention.ms": (_is_at_least, " or more"),
}


def _wrong_config(topic: Topic, found: Mapping[str, str]) -> Iterator[Problem]:
    for key, wanted in topic.config.items():
        must_last = key.startswith("retention.") and "retention.bytes" in topic.config
        holds, or_more = (_lasts, "") if must_last else _REQUIRED.get(key, (None, ""))
        if holds is None or holds(found[key], wanted):
            continue
        text = (
            f"{topic.name} has {key}={found[key]}, {wanted}{or_more} is needed: "
            f"kafka-configs --alter --topic {topic.name} --add-config {key}={wanted}"
        )
        yield Problem(topic.name, text)

"""Says when records written by a given time are gone from each topic, by the topics' retention."""

from contextlib import closing
from typing import Final, NamedTuple

from kafka.admin import ConfigResource

from config.settings import Settings
from config.topics import (
    CUSTOMER_EVENTS,
    CUSTOMER_KEYS,
    CUSTOMERS,
    DEAD_LETTERS,
    DECISION_LEDGER,
    NEXT_BEST_ACTIONS,
    RAW_TOPICS,
    RETENTION_TRIGGERS,
)
from streams.kafka_clients import new_admin

#: The topics whose records name customers.
NAMING: Final = (
    *RAW_TOPICS,
    CUSTOMER_EVENTS,
    DEAD_LETTERS,
    RETENTION_TRIGGERS,
    NEXT_BEST_ACTIONS,
    DECISION_LEDGER,
    CUSTOMERS,
)
_KEYS: Final = (
    "cleanup.policy",
    "retention.ms",
    "segment.ms",
    "delete.retention.ms",
    "max.compaction.lag.ms",
)
#: An unset lag is as large as a number can be.
_LAG_MS_MAX: Final = 2**53


class Expiry(NamedTuple):
    """By when a topic has deleted its records; ``by_ms`` is None if it keeps them.
    ``is_compacted``: compaction deletes them. Then None means whenever the broker compacts.
    """

    topic: str
    by_ms: int | None
    is_compacted: bool = False


def expiries(settings: Settings, written_ms: int) -> list[Expiry]:
    """When each topic deletes what it had at ``written_ms``; missing topics are left out.

    A broker deletes a segment when its last record is old enough, so records may stay for one
    segment longer.
    """
    naming = (*NAMING, CUSTOMER_KEYS) if settings.has_archive else NAMING
    names = {settings.topic(name): name for name in naming}
    with closing(new_admin(settings)) as admin:
        asked = [ConfigResource("TOPIC", topic, list(_KEYS)) for topic in names]
        answer = admin.describe_configs(asked, config_filter="all")["topic"]
    found = []
    for topic, name in names.items():
        entries = answer.get(topic)
        if not entries:
            continue
        config = {key: str(entry["value"]) for key, entry in entries.items()}
        found.append(_expiry(name, config, written_ms))
    return found


def _expiry(name: str, config: dict[str, str], written_ms: int) -> Expiry:
    if "delete" not in config["cleanup.policy"]:
        lag_ms = int(config["max.compaction.lag.ms"])
        if lag_ms > _LAG_MS_MAX:
            return Expiry(name, None, is_compacted=True)
        # The first compaction removes the deleted record, a later one its tombstone.
        by_ms = written_ms + 2 * lag_ms + int(config["delete.retention.ms"])
        return Expiry(name, by_ms, is_compacted=True)
    retention_ms = int(config["retention.ms"])
    if retention_ms < 0:
        return Expiry(name, None)
    return Expiry(name, written_ms + retention_ms + int(config["segment.ms"]))

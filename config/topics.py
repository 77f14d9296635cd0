"""The topics of Keepstream, as data.

Names are without the deployment's prefix, which `Settings.topic` adds.
"""

from collections.abc import Mapping

import msgspec

from config.duration import DAY_MS, MINUTE_MS

MEBIBYTE = 1024 * 1024

CLICKSTREAM = "clickstream"
TRANSACTIONS = "transactions"
SUPPORT = "support"
FEEDBACK = "feedback"
CUSTOMER_EVENTS = "customer-events"
CUSTOMERS = "customers"
DEAD_LETTERS = "dead-letters"
RETENTION_TRIGGERS = "retention-triggers"
NEXT_BEST_ACTIONS = "next-best-actions"
DECISION_LEDGER = "decision-ledger"
LABELLED_EXAMPLES = "labelled-examples"
MODEL_SNAPSHOTS = "model-snapshots"
CUSTOMER_ARCHIVE = "customer-archive"
CUSTOMER_KEYS = "customer-keys"
UNDELIVERED = "undelivered"

#: Topics that exist only if the archive is on.
ARCHIVE_TOPICS = (CUSTOMER_ARCHIVE, CUSTOMER_KEYS)
RAW_TOPICS = (CLICKSTREAM, TRANSACTIONS, SUPPORT, FEEDBACK)
#: Topics whose records are delivered to Redis.
DELIVERED_TOPICS = (RETENTION_TRIGGERS, NEXT_BEST_ACTIONS)
#: Topics that workers write and read themselves, besides the log.
READ_BACK_TOPICS = (
    CUSTOMERS,
    LABELLED_EXAMPLES,
    MODEL_SNAPSHOTS,
    RETENTION_TRIGGERS,
    NEXT_BEST_ACTIONS,
)

FOREVER_MS = -1
FOREVER = {"cleanup.policy": "delete", "retention.ms": "-1", "retention.bytes": "-1"}

# Deleted records really leave the disk within a day, however little is written.
GONE_IN_A_DAY = {"max.compaction.lag.ms": str(DAY_MS)}

# The broker's time, not the publisher's. Events too far ahead of it are refused, and a trigger's
# latency is the difference of two broker times.
BROKER_TIME = {"message.timestamp.type": "LogAppendTime"}


class Topic(msgspec.Struct, frozen=True, kw_only=True):
    """One topic as it must exist; `config` holds the broker's own names and spellings.

    `is_partitioned` topics all have the same number of partitions; the others have one, because
    their order matters.
    """

    name: str
    partitions: int
    is_partitioned: bool
    replication: int
    config: Mapping[str, str]
    purpose: str


def topics(
    partitions: int,
    replication: int,
    *,
    has_archive: bool = False,
    log_retention_ms: int = FOREVER_MS,
) -> tuple[Topic, ...]:
    """Every topic of a deployment, in the order of the flow."""

    def topic(
        name: str, config: Mapping[str, str], purpose: str, *, is_partitioned: bool = True
    ) -> Topic:
        # With three copies a write waits for two, so that the loss of one broker loses no records
        # and stops no writes.
        in_sync = {"min.insync.replicas": "2"} if replication >= 3 else {}
        return Topic(
            name=name,
            partitions=partitions if is_partitioned else 1,
            is_partitioned=is_partitioned,
            replication=replication,
            config={**config, **in_sync},
            purpose=purpose,
        )

    raw = {**_kept_for(days=7), **BROKER_TIME}
    log = {**FOREVER, "retention.ms": str(log_retention_ms)}
    archive = (
        topic(
            CUSTOMER_ARCHIVE,
            {**FOREVER, "max.message.bytes": str(4 * MEBIBYTE)},
            "every record of the log, sealed with its customer's key",
        ),
        topic(CUSTOMER_KEYS, _keys(), "the key of each customer, until they are erased"),
    )
    return (
        topic(CLICKSTREAM, raw, "what customers look at, as published"),
        topic(TRANSACTIONS, raw, "what customers buy and return, as published"),
        topic(SUPPORT, raw, "tickets, complaints, chats and surveys, as published"),
        topic(FEEDBACK, raw, "outcomes of messages and actions, as published"),
        topic(
            CUSTOMER_EVENTS,
            {**log, "message.timestamp.type": "CreateTime"},
            "all events in one order; state follows from it",
        ),
        *(archive if has_archive else ()),
        topic(CUSTOMERS, _changelog(has_keys=has_archive), "changelog of the customers table"),
        topic(
            DEAD_LETTERS,
            # A dead letter holds its event in base64, and a raw event may have a mebibyte.
            {**_kept_for(days=30), "max.message.bytes": str(4 * MEBIBYTE)},
            "records that could not be used, with the reason",
        ),
        topic(
            RETENTION_TRIGGERS,
            {**_kept_for(days=30), **BROKER_TIME},
            "customers to act on, once, with a reason",
        ),
        topic(
            NEXT_BEST_ACTIONS,
            {**_kept_for(days=30), **BROKER_TIME},
            "the one action chosen for each of these moments",
        ),
        topic(DECISION_LEDGER, _ledger(days=90), "every decision by its id, for explanations"),
        topic(UNDELIVERED, _ledger(days=30), "messages that endpoints refused, by log position"),
        topic(
            LABELLED_EXAMPLES,
            FOREVER,
            "features and their outcomes, for the trainer",
            is_partitioned=False,
        ),
        topic(
            MODEL_SNAPSHOTS,
            {**FOREVER, "max.message.bytes": str(8 * MEBIBYTE)},
            "every version of the shared models; kept as long as the events they scored",
            is_partitioned=False,
        ),
    )


def partitions_of(name: str, partitions: int) -> int:
    """How many partitions topic ``name`` has if partitioned topics have ``partitions``."""
    return next(topic.partitions for topic in topics(partitions, 1) if topic.name == name)


def _kept_for(*, days: int) -> dict[str, str]:
    return {"cleanup.policy": "delete", "retention.ms": str(days * DAY_MS)}


def _ledger(*, days: int) -> dict[str, str]:
    """Kept for ``days``, with one record an id: a decision written again after a crash is there
    once.
    """
    return {**_kept_for(days=days), "cleanup.policy": "compact,delete"}


def _changelog(*, has_keys: bool) -> dict[str, str]:
    return {
        **(GONE_IN_A_DAY if has_keys else {}),
        "cleanup.policy": "compact",
        # After a takeover the old owner may still write for a session timeout. Recovery compares
        # both owners' rows, so compaction must start only long after that.
        "min.compaction.lag.ms": str(10 * MINUTE_MS),
        # The segment being written is never compacted: small ones keep recovery short.
        "segment.bytes": str(64 * MEBIBYTE),
    }


def _keys() -> dict[str, str]:
    return {
        "cleanup.policy": "compact",
        **GONE_IN_A_DAY,
        # A reader that takes longer than this could miss the deletion of a key.
        "delete.retention.ms": str(7 * DAY_MS),
    }

"""The Kafka rights that each program needs at least, as data; docs/security.md has them as a table.

Topics are named without the deployment's prefix. A program that may read or write a topic may also
describe it.
"""

from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

import msgspec

from config.topics import (
    CUSTOMER_ARCHIVE,
    CUSTOMER_EVENTS,
    CUSTOMER_KEYS,
    CUSTOMERS,
    DEAD_LETTERS,
    DECISION_LEDGER,
    LABELLED_EXAMPLES,
    MODEL_SNAPSHOTS,
    NEXT_BEST_ACTIONS,
    RAW_TOPICS,
    RETENTION_TRIGGERS,
    UNDELIVERED,
    topics,
)

Kind = str
TOPIC: Final = "topic"
GROUP: Final = "group"
CLUSTER: Final = "cluster"

ALL: Final = tuple(topic.name for topic in topics(1, 1, has_archive=True))


class Right(NamedTuple):
    """One entry: an operation, as Kafka names it, on a topic, the workers' group or the cluster."""

    kind: Kind
    name: str
    operation: str


class Rights(msgspec.Struct, frozen=True, kw_only=True):
    """A program's operations on topics, on the group and on the cluster."""

    reads: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()
    describes: tuple[str, ...] = ()
    looks_at_configs: tuple[str, ...] = ()
    creates: tuple[str, ...] = ()
    deletes: tuple[str, ...] = ()
    group: str = ""
    cluster: str = ""

    def __iter__(self) -> Iterator[Right]:
        # DescribeConfigs does not imply Describe, without which a topic seems not to exist.
        told = {*self.reads, *self.writes, *self.describes}
        looked_at = tuple(name for name in self.looks_at_configs if name not in told)
        for operation, names in (
            ("Read", self.reads),
            ("Write", self.writes),
            ("Describe", self.describes + looked_at),
            ("DescribeConfigs", self.looks_at_configs),
            ("Create", self.creates),
            ("Delete", self.deletes),
        ):
            for name in names:
                yield Right(TOPIC, name, operation)
        if self.group:
            yield Right(GROUP, "", self.group)
        if self.cluster:
            yield Right(CLUSTER, "", self.cluster)


RIGHTS: Mapping[str, Rights] = {
    "worker": Rights(
        reads=(
            *RAW_TOPICS,
            CUSTOMER_EVENTS,
            CUSTOMER_KEYS,
            CUSTOMERS,
            LABELLED_EXAMPLES,
            MODEL_SNAPSHOTS,
            RETENTION_TRIGGERS,
            NEXT_BEST_ACTIONS,
        ),
        writes=(
            CUSTOMER_EVENTS,
            CUSTOMER_ARCHIVE,
            CUSTOMER_KEYS,
            CUSTOMERS,
            DEAD_LETTERS,
            LABELLED_EXAMPLES,
            MODEL_SNAPSHOTS,
            RETENTION_TRIGGERS,
            NEXT_BEST_ACTIONS,
            DECISION_LEDGER,
        ),
        looks_at_configs=ALL,
        group="Read",
    ),
    "collector": Rights(writes=(*RAW_TOPICS, DEAD_LETTERS)),
    "publish": Rights(writes=RAW_TOPICS),
    "deliver": Rights(
        reads=(RETENTION_TRIGGERS, NEXT_BEST_ACTIONS),
        writes=(UNDELIVERED,),
        looks_at_configs=ALL,
    ),
    "live": Rights(
        reads=(CUSTOMERS,),
        writes=(CUSTOMER_EVENTS,),
        describes=RAW_TOPICS,
        group="Describe",
    ),
    "audit": Rights(reads=ALL, group="Describe"),
    "rebuild": Rights(
        reads=(CUSTOMER_EVENTS, CUSTOMER_ARCHIVE, CUSTOMER_KEYS, CUSTOMERS, MODEL_SNAPSHOTS),
        writes=(CUSTOMERS,),
        group="Describe",
    ),
    "rebuild --decide-again": Rights(
        creates=(CUSTOMERS,),
        deletes=(CUSTOMERS,),
        describes=ALL,
        group="Read",
    ),
    "archive fill": Rights(
        reads=(CUSTOMER_EVENTS, CUSTOMER_ARCHIVE, CUSTOMER_KEYS, CUSTOMERS),
        writes=(CUSTOMER_ARCHIVE, CUSTOMER_KEYS, CUSTOMERS),
        group="Describe",
    ),
    "archive check": Rights(reads=(CUSTOMER_EVENTS, CUSTOMER_ARCHIVE, CUSTOMER_KEYS, CUSTOMERS)),
    "export": Rights(reads=(CUSTOMER_EVENTS, CUSTOMER_ARCHIVE, CUSTOMER_KEYS, MODEL_SNAPSHOTS)),
    # Rights to put dead letters back are checked when an operator does that.
    "console": Rights(
        reads=(
            *RAW_TOPICS,
            CUSTOMERS,
            DEAD_LETTERS,
            LABELLED_EXAMPLES,
            MODEL_SNAPSHOTS,
            RETENTION_TRIGGERS,
            NEXT_BEST_ACTIONS,
            DECISION_LEDGER,
            # Trying out a rule reads the log.
            CUSTOMER_EVENTS,
            CUSTOMER_ARCHIVE,
            CUSTOMER_KEYS,
        ),
        looks_at_configs=ALL,
        group="Describe",
        cluster="Describe",
    ),
    "explain": Rights(reads=(DECISION_LEDGER,)),
    "lift": Rights(reads=(MODEL_SNAPSHOTS,)),
    "customers ids": Rights(reads=(CUSTOMERS,)),
    "customers merge": Rights(reads=(CUSTOMERS,), writes=RAW_TOPICS),
    "customers split": Rights(reads=(CUSTOMERS,), writes=RAW_TOPICS),
    "customers export": Rights(
        reads=(
            *RAW_TOPICS,
            CUSTOMER_EVENTS,
            CUSTOMERS,
            DEAD_LETTERS,
            RETENTION_TRIGGERS,
            NEXT_BEST_ACTIONS,
            DECISION_LEDGER,
        ),
    ),
    "erase": Rights(reads=(CUSTOMERS,), writes=RAW_TOPICS, looks_at_configs=ALL),
    "erase status": Rights(reads=(CUSTOMERS,), looks_at_configs=ALL),
    "dead-letters list": Rights(reads=(DEAD_LETTERS,)),
    "dead-letters retry": Rights(reads=(DEAD_LETTERS,), writes=(*RAW_TOPICS, DEAD_LETTERS)),
    "dead-letters mend": Rights(reads=(DEAD_LETTERS,), writes=(*RAW_TOPICS, DEAD_LETTERS)),
    "undelivered list": Rights(reads=(UNDELIVERED,)),
    "undelivered retry": Rights(
        reads=(RETENTION_TRIGGERS, NEXT_BEST_ACTIONS, UNDELIVERED), writes=(UNDELIVERED,)
    ),
    "doctor": Rights(
        reads=(
            *RAW_TOPICS,
            CUSTOMERS,
            DEAD_LETTERS,
            LABELLED_EXAMPLES,
            MODEL_SNAPSHOTS,
            RETENTION_TRIGGERS,
            NEXT_BEST_ACTIONS,
            DECISION_LEDGER,
            UNDELIVERED,
        ),
        describes=(CUSTOMER_EVENTS,),
        looks_at_configs=ALL,
        group="Describe",
        cluster="Describe",
    ),
    "topics create": Rights(creates=ALL, looks_at_configs=ALL, describes=ALL),
    "topics check": Rights(looks_at_configs=ALL, describes=ALL),
    "topics delete": Rights(deletes=ALL, describes=ALL, group="Delete"),
}

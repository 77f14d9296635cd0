"""The facts that a diagnosis is based on, as data."""

from msgspec import Struct

from models.events.refusals import Misnamed, RefusalCause
from models.learning.snapshot import Snapshot
from streams.findings import listed


class WorkerGroup(Struct, frozen=True):
    """The workers' consumer group, as its coordinator has it."""

    name: str
    state: str
    members: int


class GroupPosition(Struct, frozen=True):
    """How far the group has committed a partition, now and at the look before."""

    topic: str
    partition: int
    committed: int
    end: int
    committed_before: int

    @property
    def waiting(self) -> int:
        return max(self.end - self.committed, 0)

    @property
    def is_stuck(self) -> bool:
        return self.waiting > 0 and self.committed <= self.committed_before


class PartitionFact(Struct, frozen=True):
    """A partition of `customer-events`, from its state in the changelog; ``live_at_ms`` is None
    while it rehearses, and ``rehearsed`` how many decisions it held back. ``damaged``: customers
    whose row was damaged and not rebuilt yet. ``has_archive``: whether the archive has all that
    was applied.
    """

    number: int
    clock_ms: int
    latest_ms: int
    model_version: int
    live_at_ms: int | None = 0
    rehearsed: int = 0
    damaged: int = 0
    has_archive: bool = True


class Store(Struct, frozen=True):
    """Redis or Valkey; ``error`` is why it can't be used, without its address. ``displaced``:
    decisions that wait because the key of their stream holds something else.
    """

    address: str
    error: str | None = None
    version: str = ""
    policy: str = "noeviction"
    memory_max_bytes: int = 0
    memory_bytes: int = 0
    has_profiles: bool = False
    displaced: int = 0
    #: Whether it answered at all, be it with an error.
    is_seen: bool = True


class LoudCause(Struct, frozen=True):
    """A cause for which more than a fifth of the ``events`` of ten minutes were refused."""

    cause: RefusalCause
    events: int


class Letters(Struct, frozen=True):
    """Dead letters of the last hour that were not put back; the reasons are those of the newest
    ``read`` ones. ``loud``: of the ten minutes of that hour in which it was worst, each cause that
    much was refused for.
    """

    count: int
    events: int
    reasons: dict[str, int]
    read: int
    loud: tuple[LoudCause, ...] = ()


class Deliveries(Struct, frozen=True):
    """Decisions of the last hour, ``count`` in all; the rest is of the newest ``read`` ones.

    ``delivered`` to Redis and ``held_back`` because they came too late, by kind; ``nothing``:
    moments at which nothing is done; ``gates``: actions that were rejected, by the gate.
    """

    count: int
    read: int
    delivered: dict[str, int]
    held_back: dict[str, int]
    nothing: int = 0
    gates: dict[str, int] = {}


class EndpointFact(Struct, frozen=True):
    """How an endpoint stands: records of decisions that it has yet to read, deliverers that have
    its group, messages that were set aside; and what a deliverer said of it, if one was asked.
    """

    name: str
    waiting: int
    deliverers: int
    undelivered: int
    is_open: bool | None = None
    is_disabled: bool | None = None


class ForeignRecords(Struct, frozen=True):
    """Records of an internal topic that are not ours, of the newest that were read, and the last of
    them.
    """

    topic: str
    count: int
    read: int
    partition: int
    offset: int
    why: str


class DeploymentFacts(Struct, frozen=True):
    """Everything that was looked at, at one moment. ``broker_error`` leaves the rest empty.
    ``misnamed``: names of the newest events that are nearly known ones. ``foreign``: what is among
    the newest records of internal topics and is not ours. ``deliverer_error``: why the deliverer
    that was to be asked said nothing.
    """

    at_ms: int
    store: Store
    broker_error: str | None = None
    broker_version: str = ""
    brokers: int = 0
    topic_problems: tuple[str, ...] = ()
    group: WorkerGroup | None = None
    positions: tuple[GroupPosition, ...] = ()
    partitions: tuple[PartitionFact, ...] = ()
    snapshot: Snapshot | None = None
    snapshot_error: str | None = None
    lessons: int = 0
    newest_record_ms: int | None = None
    letters: Letters | None = None
    deliveries: Deliveries | None = None
    misnamed: tuple[Misnamed, ...] = ()
    foreign: tuple[ForeignRecords, ...] = ()
    endpoints: tuple[EndpointFact, ...] = ()
    deliverer_error: str | None = None


def in_partitions(partitions: list[PartitionFact]) -> str:
    """Which ones, to go on a sentence with."""
    return f" in partition {listed([partition.number for partition in partitions])}"

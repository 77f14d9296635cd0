"""The facts that a diagnosis is based on, as data."""

from msgspec import Struct

from models.events.refusals import Misnamed, RefusalCause
from models.learning.snapshot import Snapshot
from streams.findings import listed


class WorkerGroup(Struct, frozen=True):
    """The workers' consumer group, according to its coordinator."""

    name: str
    state: str
    members: int


class GroupPosition(Struct, frozen=True):
    """How far the group has committed a partition, now and at the previous look."""

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
    """A partition of `customer-events`, from its state in the changelog. ``live_at_ms`` is None
    while it rehearses; ``rehearsed``: how many decisions it held back. ``damaged``: how many
    customers have a damaged row that is not rebuilt yet. ``has_archive``: whether the archive has
    everything that was applied.
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
    """Redis or Valkey. ``error``: why it can't be used, without its address. ``displaced``: how
    many decisions wait because the key of their stream holds something else.
    """

    address: str
    error: str | None = None
    version: str = ""
    policy: str = "noeviction"
    memory_max_bytes: int = 0
    memory_bytes: int = 0
    has_profiles: bool = False
    displaced: int = 0
    #: Whether it answered at all, even with an error.
    is_seen: bool = True


class LoudCause(Struct, frozen=True):
    """A cause for which more than a fifth of the ``events`` of ten minutes were refused."""

    cause: RefusalCause
    events: int


class Letters(Struct, frozen=True):
    """Dead letters of the last hour that were not put back. The reasons are those of the newest
    ``read`` letters. ``loud``: each cause of many refusals, in the ten minutes when it was worst.
    """

    count: int
    events: int
    reasons: dict[str, int]
    read: int
    loud: tuple[LoudCause, ...] = ()


class Deliveries(Struct, frozen=True):
    """Decisions of the last hour, ``count`` in all; the other figures are of the newest ``read``.

    By kind: ``delivered`` to Redis, and ``held_back`` because they were too late. ``nothing``:
    moments without an action. ``gates``: rejected actions, by the gate that rejected them.
    """

    count: int
    read: int
    delivered: dict[str, int]
    held_back: dict[str, int]
    nothing: int = 0
    gates: dict[str, int] = {}


class EndpointFact(Struct, frozen=True):
    """An endpoint: decisions that it has yet to read, deliverers in its group, messages set aside;
    and what a deliverer reported, if one was asked.
    """

    name: str
    waiting: int
    deliverers: int
    undelivered: int
    is_open: bool | None = None
    is_disabled: bool | None = None


class ForeignRecords(Struct, frozen=True):
    """Foreign records among the newest ``read`` of an internal topic; the place and fault are those
    of the last one.
    """

    topic: str
    count: int
    read: int
    partition: int
    offset: int
    why: str


class DeploymentFacts(Struct, frozen=True):
    """Everything that was examined, at one moment. With a ``broker_error`` the rest is empty.
    ``misnamed``: names of the newest events that resemble known ones. ``foreign``: records of
    internal topics that Keepstream did not write. ``deliverer_error``: why the deliverer that was
    asked did not answer.
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
    """The partitions, as the continuation of a sentence."""
    return f" in partition {listed([partition.number for partition in partitions])}"

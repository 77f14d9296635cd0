"""A partition of ``customer-events`` as a fold: its customers, its clock, its model version.

The live worker and ``replay`` drive this same class, so that the shell can add nothing.
"""

from collections.abc import Callable, Iterable
from heapq import heapify, heappop, heappush
from typing import NamedTuple, Protocol

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from config.parameters import Parameters
from models.context import Context
from models.customer.row import ROW_VERSION, NewerRow, Row, RowError, version_of
from models.decisions.policy import Policy, compile_policy
from models.engine import Effect, Fate, step
from models.events.wire import Event, Line, event_of, timestamp_ms
from models.learning.examples import Lesson
from models.learning.snapshot import Snapshot
from models.silence import run_deadline

CONTROL_TYPES = frozenset({"clock", "watermark", "model"})
SnapshotSource = Callable[[int, str], Snapshot]


class Rows(Protocol):
    """Where a partition's rows live; ``put`` replaces a row and remembers that it changed."""

    def get(self, customer: str) -> Row | None: ...

    def put(self, customer: str, row: Row) -> None: ...

    def due(self) -> Iterable[tuple[int, str]]:
        """(earliest deadline, customer) of every row that has one."""
        ...


class PartitionState(Struct, array_like=True):
    """What a partition knows beside its customers' rows.

    ``applied``: the last offset that is folded in. ``sources``: the highest offset seen of each
    partition of a raw topic, which drops what ingest repeated after a crash. ``is_delivered``: the
    log says with each clock record that everything up to it has come (a watermark).
    """

    version: int = ROW_VERSION
    applied: int = -1
    clock_ms: int = 0
    latest_ms: int = 0
    model_version: int = 0
    model_sha256: str = ""
    sources: dict[str, int] = {}
    is_delivered: bool = False


def encode_state(state: PartitionState) -> bytes:
    """The state's bytes; equal states give equal bytes."""
    return msgspec.msgpack.encode(state, order="deterministic")


_STATE = msgspec.msgpack.Decoder(PartitionState)


def decode_state(content: bytes) -> PartitionState:
    """Read a partition's state. Raises ``RowError``, or ``NewerRow`` for a newer release's."""
    try:
        state = _STATE.decode(content)
    except msgspec.DecodeError as error:
        if version_of(content) > ROW_VERSION:
            raise NewerRow(
                "a partition was written by a newer release; upgrade this worker"
            ) from None
        raise RowError(f"not a partition's state: {error}") from None
    if state.version > ROW_VERSION:
        raise NewerRow("a partition was written by a newer release; upgrade this worker")
    return state


class Applied(NamedTuple):
    """What one record of the log did. ``fate`` and ``event`` are None for control records and
    for records that were folded in before.
    """

    effects: list[Effect]
    fate: Fate | None = None
    event: Event | None = None


#: A record that was folded in before: it changes nothing.
ALREADY_APPLIED = Applied([])


class Partition:
    """Folds records in the order of their offsets. Not thread-safe: it has one owner."""

    def __init__(
        self,
        number: int,
        rows: Rows,
        snapshot: Snapshot,
        parameters: Parameters,
        snapshots: SnapshotSource,
        state: PartitionState | None = None,
        policy: Policy | None = None,
    ) -> None:
        self.number = number
        self.state = state or PartitionState()
        self.snapshot = snapshot
        self._rows = rows
        self._parameters = parameters
        self._policy = policy or compile_policy(parameters)
        self._snapshots = snapshots
        # Customers by earliest deadline. An entry may be out of date: it is checked when it comes
        # up, and a customer is pushed again only for an earlier deadline than the one scheduled.
        self._heap: list[tuple[int, str]] = list(rows.due())
        self._scheduled: dict[str, int] = {customer: due_ms for due_ms, customer in self._heap}
        heapify(self._heap)

    @property
    def as_of_ms(self) -> int:
        """The moment that profiles are read at: the clock, or the latest event if that is later."""
        return max(self.state.clock_ms, self.state.latest_ms)

    def apply(self, offset: int, line: Line) -> Applied:
        """Fold in the record at ``offset``. Raises ``Rejected`` when it is no record of the log."""
        if line.type not in CONTROL_TYPES:
            return self.fold(offset, event_of(line, message_id=f"{self.number}-{offset}"))
        if offset <= self.state.applied:
            return ALREADY_APPLIED
        applied = Applied(self._control(offset, line))
        self.state.applied = offset
        return applied

    def fold(self, offset: int, event: Event) -> Applied:
        """``apply`` for an event that is decoded already."""
        if offset <= self.state.applied:
            return ALREADY_APPLIED
        applied = self._event(offset, event)
        self.state.applied = offset
        return applied

    def skip(self, offset: int) -> None:
        """Leave out the record at ``offset``: it was refused."""
        self.state.applied = max(self.state.applied, offset)

    def advance_clock(self, offset: int, clock_ms: int) -> list[Effect]:
        """Move the clock to ``clock_ms`` and run what is due, in (deadline, customer) order.

        The clock never goes back: an earlier time changes nothing.
        """
        if clock_ms < self.state.clock_ms:
            return []
        effects: list[Effect] = []
        self.state.clock_ms = clock_ms
        ran: set[str] = set()
        ahead: list[tuple[str, Row]] = []
        while self._heap and self._heap[0][0] <= clock_ms:
            due_ms, customer = heappop(self._heap)
            if self._scheduled.get(customer) != due_ms:
                continue
            del self._scheduled[customer]
            row = self._rows.get(customer)
            if row is None:
                continue
            if row.applied >= offset and customer not in ran:
                # Read again after a crash: this row went through this record before.
                ahead.append((customer, row))
                continue
            if row.next_due_ms == due_ms:
                row, more = run_deadline(row, due_ms, self._context(customer))
                row = replace(row, applied=offset)
                self._rows.put(customer, row)
                ran.add(customer)
                effects += more
            self._schedule(customer, row.next_due_ms)
        for customer, row in ahead:
            self._schedule(customer, row.next_due_ms)
        return self._placed(offset, effects)

    def adopt(self, snapshot: Snapshot, sha256: str = "") -> None:
        """Decide by ``snapshot`` from here on; an older version changes nothing."""
        if snapshot.version > self.state.model_version:
            self.snapshot = snapshot
            self.state.model_version = snapshot.version
            self.state.model_sha256 = sha256

    def _control(self, offset: int, line: Line) -> list[Effect]:
        if line.type == "model":
            version, sha256 = line.version, line.sha256 or ""
            if version is not None and version > self.state.model_version:
                self.adopt(self._snapshots(version, sha256), sha256)
            return []
        self.state.is_delivered |= line.type == "watermark"
        return self.advance_clock(offset, timestamp_ms(line))

    def _event(self, offset: int, event: Event) -> Applied:
        if self._is_repeated_source(event):
            return Applied([], Fate.DUPLICATE, event)
        # Whatever its fate, so that a row that is ahead after a crash makes no difference.
        self.state.latest_ms = max(self.state.latest_ms, event.occurred_at_ms)
        customer = event.customer
        known = self._rows.get(customer)
        if known is not None and known.applied >= offset:
            return ALREADY_APPLIED
        row, fate, effects = step(known or Row(), event, self._context(customer))
        if fate is Fate.APPLIED:
            self._rows.put(customer, replace(row, applied=offset))
            self._schedule(customer, row.next_due_ms)
        return Applied(self._placed(offset, effects), fate, event)

    def _is_repeated_source(self, event: Event) -> bool:
        source = event.source
        if source is None:
            return False
        name = f"{source.topic}-{source.partition}"
        if source.offset <= self.state.sources.get(name, -1):
            return True
        self.state.sources[name] = source.offset
        return False

    def _context(self, customer: str) -> Context:
        delay_ms = 0 if self.state.is_delivered else self._parameters.time.lateness
        return Context(
            customer, self.state.clock_ms, self.snapshot, self._parameters, self._policy, delay_ms
        )

    def _schedule(self, customer: str, due_ms: int) -> None:
        if not due_ms:
            return
        scheduled_ms = self._scheduled.get(customer)
        if scheduled_ms is None or due_ms < scheduled_ms:
            self._scheduled[customer] = due_ms
            heappush(self._heap, (due_ms, customer))

    def _placed(self, offset: int, effects: list[Effect]) -> list[Effect]:
        """The effects with each lesson's place in the log, by which repeats are dropped."""
        return [
            replace(effect, partition=self.number, offset=offset, index=index)
            if isinstance(effect, Lesson)
            else effect
            for index, effect in enumerate(effects)
        ]

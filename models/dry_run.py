"""What an event would do, computed by the fold itself on a copy of its customer.

`models.partition.Partition` folds the copy as it folds in a worker: from the same state, with the
same models. The effects are not emitted.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import msgspec
from msgspec import Struct

from models.applied import Applied
from models.customer.profile import profile
from models.customer.registry import PARTS
from models.customer.row import Row, decode_row
from models.customer.scene import Context, Scene
from models.decisions.policy import CompiledTrigger
from models.decisions.trigger import ActionWithdrawn, NextBestAction, Trigger
from models.decisions.verdicts import RuleLook, look_at
from models.engine import Effect
from models.events.event import Event
from models.events.link_record import LinkRecord
from models.events.rejection import Rejected
from models.events.times import iso, iso_or_none
from models.events.wire import decode_log_line, encode_log_event
from models.graves import Grave
from models.inactivity import INACTIVITY_TIMER
from models.learning.lessons import Taught
from models.learning.snapshot import Snapshot
from models.links import is_elsewhere, is_told, person_of
from models.memory_rows import MemoryRows
from models.partition import Partition
from models.partition_state import PartitionState, decode_state, encode_state
from models.plan import Plan

#: The owner of each deadline, by the code of its timer.
_OWNERS = {timer.code: part.name for part in PARTS for timer in part.timers}
_OWNERS[INACTIVITY_TIMER.code] = "inactivity"


class DryRunRefusal(Struct, frozen=True):
    """The step that refuses an event, and why; see `models.events.rejection.Rejected`."""

    step: str
    reason: str
    path: str
    detail: str
    fix: str

    @classmethod
    def of(cls, rejected: Rejected, step: str) -> "DryRunRefusal":
        return cls(step, str(rejected.reason), rejected.path, rejected.detail, rejected.fix)


class Admitted(Struct, frozen=True, rename="camel"):
    """An event as it is understood. ``topic``: where it is published; ``partition``: its partition
    of ``customer-events``; ``parts``: those that listen to it; ``is_known``: whether its name is
    known. ``person``: the person to whom the event's id belongs, if that is another id.
    """

    name: str
    is_known: bool
    user_id: str
    is_identified: bool
    timestamp: str
    message_id: str
    topic: str
    partition: int
    parts: tuple[str, ...]
    person: str | None = None


class DeadlineChange(Struct, frozen=True):
    """A deadline of the customer that the event would change; null for none."""

    part: str
    name: str
    before: str | None
    after: str | None


class DryRun(Struct, frozen=True, rename="camel", kw_only=True):
    """What an event would do. ``refused``: why it would not be folded; ``fate``: applied,
    duplicate, late or erased if it would. ``clock``: the partition's time. While it
    ``is_rehearsing``, it writes no triggers. ``before`` and ``after``: the customer's profile at
    the same moment, without the event and with it; null without a customer. ``looks``: the rules,
    in the order of evaluation. ``lessons``: how many the models would get, by kind; ``tells``: the
    other ids whose rows would get a record.
    """

    event: Admitted | None = None
    refused: DryRunRefusal | None = None
    clock: str | None = None
    model_version: int = 0
    is_rehearsing: bool = False
    fate: str | None = None
    before: dict[str, Any] | None = None
    after: dict[str, Any] | None = None
    looks: tuple[RuleLook, ...] = ()
    triggers: tuple[Trigger, ...] = ()
    actions: tuple[NextBestAction, ...] = ()
    withdrawals: tuple[ActionWithdrawn, ...] = ()
    deadlines: tuple[DeadlineChange, ...] = ()
    lessons: dict[str, int] = {}
    tells: tuple[str, ...] = ()


ANSWER: msgspec.json.Decoder[DryRun] = msgspec.json.Decoder(DryRun)


class Copied(NamedTuple):
    """A customer and their partition, as bytes, shared with nothing else. ``row`` is None for an
    unknown customer.
    """

    number: int
    state: bytes
    row: bytes | None
    grave: Grave | None
    snapshot: Snapshot

    @classmethod
    def of(cls, fold: Partition, row: bytes | None, grave: Grave | None) -> "Copied":
        return cls(fold.number, encode_state(fold.state), row, grave, fold.snapshot)


def dry_run(event: Event, topic: str, copied: Copied, plan: Plan) -> DryRun:
    """Fold ``event``, as published on ``topic``, on a copy of its customer."""
    state, customer = decode_state(copied.state), event.customer
    known = _row_of(copied)
    rows = MemoryRows()
    if (row := _row_of(copied)) is not None:
        rows.put(customer, row)
    fold = _fold_of(copied, rows, state, customer, plan)
    looks: list[RuleLook] = []
    fold.context.witness = _noting(looks)
    clock_ms = state.clock_ms
    line = decode_log_line(encode_log_event(event))
    applied = fold.apply(state.applied + 1, line)
    at_ms, after = max(fold.as_of_ms, event.occurred_at_ms), rows.get(customer)
    person = person_of(known) if known is not None and is_elsewhere(known) else None
    refused = applied.refused
    return DryRun(
        event=_admitted(event, topic, copied.number, plan, person),
        refused=DryRunRefusal.of(refused, "profile") if refused is not None else None,
        clock=iso_or_none(clock_ms),
        model_version=copied.snapshot.version,
        is_rehearsing=state.live_at_ms is None,
        fate=str(applied.fate) if applied.fate is not None else None,
        before=_profile(customer, known, at_ms, fold.context),
        after=_profile(customer, after, at_ms, fold.context),
        looks=tuple(looks),
        triggers=tuple(one for one in applied.effects if isinstance(one, Trigger)),
        actions=tuple(one for one in applied.effects if isinstance(one, NextBestAction)),
        withdrawals=tuple(one for one in applied.effects if isinstance(one, ActionWithdrawn)),
        deadlines=tuple(_deadlines(known, after)),
        lessons=_lessons(applied.effects),
        tells=_told(applied),
    )


def _row_of(copied: Copied) -> Row | None:
    return decode_row(copied.row) if copied.row is not None else None


def _fold_of(
    copied: Copied, rows: MemoryRows, state: PartitionState, customer: str, plan: Plan
) -> Partition:
    snapshot, grave = copied.snapshot, copied.grave
    graves = {customer: grave} if grave is not None else dict[str, Grave]()
    return Partition(copied.number, rows, snapshot, plan, lambda *_: snapshot, state, graves)


def _noting(looks: list[RuleLook]) -> Any:
    def witness(scene: Scene, moment: str, rules: Sequence[CompiledTrigger]) -> None:
        looks.extend(look_at(scene, moment, compiled) for compiled in rules)

    return witness


def _admitted(event: Event, topic: str, number: int, plan: Plan, person: str | None) -> Admitted:
    return Admitted(
        event.name,
        event.kind.is_known,
        event.customer,
        event.identified,
        iso(event.occurred_at_ms),
        event.message_id,
        topic,
        number,
        tuple(part.name for part in plan.routes[event.kind.number]),
        person,
    )


def _profile(customer: str, row: Row | None, at_ms: int, context: Context) -> dict[str, Any] | None:
    if row is None or not is_told(row):
        return None
    told: dict[str, Any] = msgspec.to_builtins(profile(customer, row, at_ms, context))
    return told


def _deadlines(before: Row | None, after: Row | None) -> Iterator[DeadlineChange]:
    earlier, later = _due(before), _due(after)
    for code in sorted(earlier.keys() | later.keys()):
        was_ms, is_ms = earlier.get(code, 0), later.get(code, 0)
        if was_ms != is_ms:
            owner = _OWNERS.get(code, "")
            yield DeadlineChange(owner, code, iso_or_none(was_ms), iso_or_none(is_ms))


def _due(row: Row | None) -> dict[str, int]:
    return {code: due.due_ms for code, due in row.timers()} if row is not None else {}


def _lessons(effects: Iterable[Effect]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for effect in effects:
        if isinstance(effect, Taught):
            kind = type(effect).__name__.lower()
            counts[kind] = counts.get(kind, 0) + 1
    return counts


def _told(applied: Applied) -> tuple[str, ...]:
    told = [one.customer for one in applied.effects if isinstance(one, LinkRecord)]
    return tuple(dict.fromkeys(told))

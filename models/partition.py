"""A partition of ``customer-events`` as a fold: its customers, its clock, its model version.

The live worker and ``replay`` use this same class, so that both give the same results.
"""

from collections.abc import Callable

from msgspec.structs import replace

from models import erasure, inactivity, links
from models.admission import event_of
from models.applied import ALREADY_APPLIED, Applied, placed
from models.catalogue import KIND_BY_NAME
from models.customer.identities import IDENTITIES
from models.customer.row import NO_IDS, Row
from models.customer.scene import Context
from models.engine import Effect, Fate, step
from models.events.erasure_record import ERASE_REQUESTED
from models.events.event import Event, Source
from models.events.line import GONE, LINK_TYPES, LOG_FORMAT, Line
from models.events.link_record import ERASE, link_record_of
from models.events.rejection import Reason, Rejected
from models.events.wire import timestamp_ms
from models.graves import Grave, Graves
from models.identity import run_timers, take_up
from models.learning.day_ends import has_day_ended
from models.learning.lessons import DayEnd
from models.learning.snapshot import Snapshot, UnknownSnapshot
from models.partition_customers import PartitionCustomers, Rows, knows
from models.partition_state import PartitionState
from models.parts_in_force import NOTHING_AWAITED, awaited, begun_later, known, switched
from models.plan import Plan
from models.repeats import is_repeated

#: Records that are not events.
CONTROL_TYPES = frozenset({"clock", "watermark", "model", "live", GONE}) | LINK_TYPES
ERASE_KIND = KIND_BY_NAME[ERASE_REQUESTED]
#: How many inactive customers one record of the log may erase.
ERASED_AT_ONCE_MAX = 24
SnapshotSource = Callable[[int, str], Snapshot]
_WHO_ANNOUNCES = "see who else than the trainer may write to customer-events and model-snapshots"


class Partition:
    """Applies records in the order of their offsets. Not thread-safe."""

    def __init__(
        self,
        number: int,
        rows: Rows,
        snapshot: Snapshot,
        plan: Plan,
        snapshots: SnapshotSource,
        state: PartitionState | None = None,
        graves: Graves | None = None,
    ) -> None:
        self.number = number
        self.state = state or PartitionState()
        self.snapshot = snapshot
        self._customers = PartitionCustomers(rows, graves, self.state)
        self._plan = plan
        self._snapshots = snapshots
        self._awaited = NOTHING_AWAITED
        self._switch_to(plan, self.state.applied + 1)
        self._await_everybody()

    @property
    def as_of_ms(self) -> int:
        """The time at which profiles are read: the clock, or the latest event if that is later."""
        return max(self.state.clock_ms, self.state.latest_ms)

    @property
    def context(self) -> Context:
        """The partition's clock and models, for reading its customers."""
        return self._context

    def apply(self, offset: int, line: Line) -> Applied:
        """Apply the record at ``offset``. Raises ``Rejected`` if it is not a record of the log, or
        announces a model that does not exist.
        """
        if line.is_before_rehearsal and self.state.live_at_ms is None:
            self._go_live(0)
        if line.type not in CONTROL_TYPES:
            stand_in, own = f"{self.number}-{offset}", self._plan.parameters.names.own
            event = event_of(line, message_id=stand_in, own=own)
            return self.fold(offset, event, moves_clock=line.moves_clock)
        if offset <= self.state.applied:
            return ALREADY_APPLIED
        if line.type in LINK_TYPES:
            applied = self._link(offset, line)
        elif line.type == GONE:
            applied = self._gone(offset, line)
        else:
            applied = self._placed(offset, self._control(offset, line))
        self.state.applied = offset
        return applied

    def fold(self, offset: int, event: Event, *, moves_clock: bool) -> Applied:
        """``apply`` for a decoded event. ``moves_clock``: first move the clock to the event's time,
        less ``time.disorder``.
        """
        if offset <= self.state.applied:
            return ALREADY_APPLIED
        applied = self._event(offset, event, moves_clock=moves_clock)
        self.state.applied = offset
        return applied

    def adopts(self, offset: int, line: Line) -> bool:
        """Whether the record at ``offset`` adopts a model, which must then be there."""
        if line.type != "model" or offset <= self.state.applied:
            return False
        return line.version is not None and line.version > self.state.model_version

    def skip(self, offset: int) -> None:
        """Skip the record at ``offset``, which was refused."""
        if offset > self.state.applied:
            self.state.applied = offset

    def advance_clock(self, offset: int, clock_ms: int) -> Applied:
        """Move the clock to ``clock_ms`` and run what is due, in (time, customer) order.

        The clock never goes back: an earlier time changes nothing.
        """
        return self._placed(offset, self._run_until(offset, clock_ms))

    def _run_until(self, offset: int, clock_ms: int) -> list[Effect]:
        """Move the clock and run what is due; if this passes the end of a day, the last effect says
        so.
        """
        earlier_ms = self.state.clock_ms
        if clock_ms < earlier_ms:
            return []
        self.state.clock_ms = self._context.clock_ms = clock_ms
        effects = self._run_due(offset, clock_ms)
        if has_day_ended(earlier_ms, clock_ms):
            effects.append(DayEnd(clock_ms))
        return effects

    def _run_due(self, offset: int, clock_ms: int) -> list[Effect]:
        effects: list[Effect] = []
        deadlines = self._customers.deadlines
        if deadlines.is_none_by(clock_ms):
            return effects
        ran: set[str] = set()
        ahead: list[tuple[str, Row]] = []
        room = ERASED_AT_ONCE_MAX
        while (due := deadlines.pop_by(clock_ms)) is not None:
            due_ms, customer = due
            row = self._customers.rows.get(customer)
            if row is None:
                continue
            if row.applied >= offset and customer not in ran:
                # The record is read again after a crash, and was already applied to this row.
                ahead.append((customer, row))
                continue
            is_behind = row.applied < self._awaited.before
            wakes_ms = self._awaited.wakes_ms(row, customer) if is_behind else row.wakes_ms
            if wakes_ms == due_ms:
                effects += self._wake(offset, row, customer, due_ms)
                row.applied = offset
                if self._plan.inactive_ms and self._is_ended(customer, row, room, effects):
                    room -= 1
                self._customers.rows.put(customer, row)
                ran.add(customer)
                wakes_ms = row.wakes_ms
            deadlines.set(customer, wakes_ms)
        for customer, row in ahead:
            deadlines.set(customer, row.wakes_ms)
        return effects

    def _is_ended(self, customer: str, row: Row, room: int, effects: list[Effect]) -> bool:
        """Whether the customer was inactive for too long; then their expiry is added to
        ``effects``. ``room``: how many more customers this record may erase. Others are checked
        again later.
        """
        clock_ms, inactive_ms = self.state.clock_ms, self._plan.inactive_ms
        ended_ms = inactivity.ended_ms(row, clock_ms, inactive_ms)
        if ended_ms and room:
            effects.append(erasure.expiry(customer, ended_ms))
            return True
        inactivity.watch(row, clock_ms, inactive_ms)
        return False

    def switch_parts(self, plan: Plan, since: int, *, is_taken_up: bool = True) -> None:
        """Fold the record at ``since``, which is the next one, and all later ones with other
        parts.
        """
        self._plan = plan
        self._switch_to(plan, since, is_taken_up=is_taken_up)
        self._await_everybody()

    def _switch_to(self, plan: Plan, since: int, *, is_taken_up: bool = True) -> None:
        state, now_ms = self.state, self.as_of_ms
        noted = known(state.in_force, state.applied)
        state.in_force = switched(noted, since, now_ms, plan.parts, is_taken_up=is_taken_up)
        self._customers.inactive_ms = plan.inactive_ms
        self._context = plan.context(self.snapshot)
        self._disorder_ms = int(plan.parameters.time.disorder)
        begun = begun_later(state.in_force)
        self._context.begun_ms = {code: one.at_ms for code, one in begun.items()}
        self._awaited = awaited(begun, state.clock_ms)
        if state.watched[0] != plan.watch.declared:
            state.watched = (plan.watch.declared, state.clock_ms)
        self._context.declared_ms = state.watched[1]
        self._refresh()

    def _await_everybody(self) -> None:
        """Schedule every customer who has yet to take up parts that came into force."""
        ahead = self._awaited
        if not ahead.since:
            return
        for applied, customer in self._customers.rows.applied():
            if applied < ahead.before:
                self._customers.deadlines.set(customer, ahead.own_ms(customer))

    def _take_up(self, offset: int, row: Row, customer: str, before_ms: int) -> list[Effect]:
        """Let the customer take up, as of just before ``before_ms``, the parts that came into force
        since their row last changed.
        """
        ahead, plan = self._awaited, self._plan
        at_ms = max(before_ms - 1, ahead.begun_ms, row.latest_ms)
        codes = ahead.codes_for(row.applied)
        try:
            effects = take_up(row, customer, at_ms, codes, self._context, plan)
        except BaseException:
            self._customers.rows.forget(customer)
            raise
        self._customers.put(offset, customer, row)
        return effects

    def adopt(self, snapshot: Snapshot, sha256: str = "") -> None:
        """Decide with ``snapshot`` from here on; an older version changes nothing."""
        if snapshot.version > self.state.model_version:
            self.snapshot = snapshot
            self.state.model_version = snapshot.version
            self.state.model_sha256 = sha256
            self._refresh()

    def _control(self, offset: int, line: Line) -> list[Effect]:
        if line.type == "model":
            version, sha256 = line.version, line.sha256 or ""
            # An older one is not read: it may be deleted, or have been named wrongly.
            if version is not None and self.adopts(offset, line):
                self.adopt(self._announced(version, sha256), sha256)
            elif version == self.state.model_version and self._is_another(sha256):
                raise Rejected(
                    Reason.OUT_OF_RANGE,
                    "$.sha256",
                    "another snapshot of this version was announced before, and decides",
                    _WHO_ANNOUNCES,
                )
            return []
        at_ms = timestamp_ms(line)
        if line.type == "live":
            return self._went_live(offset, at_ms)
        self.state.is_delivered |= line.type == "watermark"
        self._refresh()
        return self._run_until(offset, at_ms)

    def _announced(self, version: int, sha256: str) -> Snapshot:
        try:
            return self._snapshots(version, sha256)
        except UnknownSnapshot:
            # A snapshot is durable before it is announced, so this one never existed.
            raise Rejected(
                Reason.OUT_OF_RANGE,
                "$.sha256",
                "model-snapshots has no such snapshot, so the one before goes on deciding",
                _WHO_ANNOUNCES,
            ) from None

    def _is_another(self, sha256: str) -> bool:
        adopted = self.state.model_sha256
        return bool(adopted) and bool(sha256) and sha256 != adopted

    def _went_live(self, offset: int, at_ms: int) -> list[Effect]:
        """Go live: the deadlines up to now are the last that are rehearsed.

        A partition without events has no time yet, and gets it from its first one.
        """
        if self.state.live_at_ms is not None:
            return []
        effects = self._run_until(offset, at_ms) if self.state.latest_ms else []
        self._go_live(at_ms)
        return effects

    def _go_live(self, at_ms: int) -> None:
        self.state.live_at_ms = at_ms
        self._refresh()

    def _event(self, offset: int, event: Event, *, moves_clock: bool) -> Applied:
        state, customer, source = self.state, event.customer, event.source
        if source is not None and is_repeated(source, state.sources, state.generations):
            return Applied([], Fate.DUPLICATE, event)
        if event.kind is not ERASE_KIND and event.occurred_at_ms > state.latest_ms:
            # For every fate, so that it is the same after a crash, when a row may be ahead of the
            # log.
            state.latest_ms = event.occurred_at_ms
        # Before the clock moves, because timers due by then count as this record's change, too.
        row, grave = self._customers.rows.get(customer), self._customers.graves.get(customer)
        is_applied = knows(row, grave, offset)
        effects: list[Effect] = []
        if moves_clock and event.occurred_at_ms - self._disorder_ms > state.clock_ms:
            effects = self._moved_by(offset, event.occurred_at_ms, source)
            row = self._customers.rows.get(customer)
        if is_applied:
            return self._placed(offset, effects) if effects else ALREADY_APPLIED
        is_rare = grave is not None or event.kind is ERASE_KIND
        is_rare = is_rare or (row is not None and row.applied < self._awaited.before)
        fate = self._before_all_else(offset, event, row, grave, effects) if is_rare else None
        if fate is not None:
            return self._placed(offset, effects, fate, event)
        row = row or Row()
        if row.ids is not NO_IDS or row.has(IDENTITIES) or links.may_link(event, self._plan):
            return self._of_several_ids(offset, row, event, effects)
        try:
            stepped, caused = step(row, event, self._context, self._plan)
        except Rejected as refused:
            # A part refused it, before anything of the customer changed.
            return replace(self._placed(offset, effects), event=event, refused=refused)
        except BaseException:
            # The row may be half changed: discard it and use the stored one.
            self._customers.rows.forget(customer)
            raise
        if stepped is Fate.APPLIED:
            self._customers.put(offset, customer, row)
        effects += caused
        return self._placed(offset, effects, stepped, event)

    def _before_all_else(
        self,
        offset: int,
        event: Event,
        row: Row | None,
        grave: Grave | None,
        effects: list[Effect],
    ) -> Fate | None:
        """The fate of an erasure request, and of any other event for an erased customer; None for
        all other events. Its effects are added to ``effects``, with those of parts that were taken
        up before.
        """
        if row is not None and row.applied < self._awaited.before:
            effects += self._take_up(offset, row, event.customer, event.occurred_at_ms)
        grave = None if grave is None else grave.before(offset)
        if event.kind is not ERASE_KIND:
            is_hidden = grave is not None and grave.hides(event.occurred_at_ms)
            return Fate.ERASED if is_hidden else None
        left = erasure.request(row, grave, event, self._context, self._plan)
        if left is None and grave is not None and grave.erased < offset == grave.applied:
            # The record is read again after a crash: the grave was written, and the row was not.
            left = erasure.Left(row, None, [])
        if left is None:
            return Fate.ERASED
        effects += self._customers.leave(offset, event.customer, left)
        return Fate.APPLIED

    def _of_several_ids(
        self, offset: int, row: Row, event: Event, effects: list[Effect]
    ) -> Applied:
        """As for one id; but the event may have changed one of the person's ids, whatever its fate
        for the person, so the row is written.
        """
        try:
            stepped = links.advance(row, event, self._context, self._plan)
        except BaseException:
            self._customers.rows.forget(event.customer)
            raise
        if stepped.fate is Fate.APPLIED or row.applied >= 0 or row.ids is not NO_IDS:
            self._customers.put(offset, event.customer, row)
        applied = self._placed(offset, [*effects, *stepped.effects], stepped.fate, event)
        return replace(applied, refused=stepped.refused)

    def _link(self, offset: int, line: Line) -> Applied:
        """Fold another row's record about links to one of this partition's rows."""
        record, source = link_record_of(line), line.source
        assert source is not None
        if is_repeated(source, self.state.sources, self.state.generations):
            return Applied([])
        customer = record.customer
        if self._customers.has_applied(offset, customer):
            return ALREADY_APPLIED
        known, grave = (
            self._customers.rows.get(customer),
            self._customers.grave_before(offset, customer),
        )
        taken_up: list[Effect] = []
        if known is not None and known.applied < self._awaited.before:
            taken_up = self._take_up(offset, known, customer, record.at_ms)
        if record.kind == ERASE:
            left = erasure.take(known, grave, record, self._context, self._plan)
            told = [] if left is None else self._customers.leave(offset, customer, left)
            return self._placed(offset, taken_up + told)
        if grave is not None:
            met = erasure.meet(known, grave, record)
            if met is not None:
                told = [*met, *erasure.sums_under_way(record, self._context)]
                return self._placed(offset, taken_up + told)
        row = known or Row()
        try:
            stepped = links.take(row, record, self._context, self._plan)
        except Rejected:
            # Before anything changed: what earlier records made of the row stays.
            raise
        except BaseException:
            self._customers.rows.forget(record.customer)
            raise
        self._customers.put(offset, record.customer, stepped.row)
        applied = self._placed(offset, taken_up + stepped.effects)
        return replace(applied, refused=stepped.refused, passed_on=stepped.passed_on)

    def _gone(self, offset: int, line: Line) -> Applied:
        """Fold what is left of a record like the record itself, except for its customer: it may say
        that they were erased.
        """
        source = line.source
        if source is not None and is_repeated(source, self.state.sources, self.state.generations):
            return Applied([])
        self._customers.bury(offset, line)
        if line.timestamp is None:
            return Applied([])
        at_ms = timestamp_ms(line)
        self.state.latest_ms = max(self.state.latest_ms, at_ms)
        moves_clock = line.version == LOG_FORMAT
        return self._placed(offset, self._moved_by(offset, at_ms, source) if moves_clock else [])

    def _moved_by(self, offset: int, at_ms: int, source: Source | None) -> list[Effect]:
        """Move the clock by an event, unless watermarks do so, or history must be waited for."""
        clock_ms, state = at_ms - self._disorder_ms, self.state
        if clock_ms <= state.clock_ms or state.is_delivered:
            return []
        if state.live_at_ms is None and self._may_precede_history(at_ms, source):
            return []
        return self._run_until(offset, clock_ms)

    def _may_precede_history(self, at_ms: int, source: Source | None) -> bool:
        """Whether a rehearsing partition does not move its clock at this event. The event has only
        just happened, while the clock is far behind, so the history before it is probably still to
        come.

        After ``time.lateness`` of waiting, no history is expected any more.
        """
        lateness_ms = self._plan.lateness_ms
        if source is None or source.received_at - at_ms > lateness_ms:
            return False
        if at_ms - self.state.clock_ms <= lateness_ms:
            return False
        if not self.state.waits_since_ms:
            self.state.waits_since_ms = source.received_at
        return source.received_at - self.state.waits_since_ms <= lateness_ms

    def _wake(self, offset: int, row: Row, customer: str, due_ms: int) -> list[Effect]:
        """Let the customer take up what came into force, and run the timers that are due at this
        time.
        """
        taken_up: list[Effect] = []
        if row.applied < self._awaited.before:
            taken_up = self._take_up(offset, row, customer, due_ms)
            if row.wakes_ms != due_ms:
                return taken_up
        try:
            return taken_up + run_timers(row, customer, due_ms, self._context, self._plan)
        except BaseException:
            self._customers.rows.forget(customer)
            raise

    def _refresh(self) -> None:
        """Update the context of steps after the partition's clock or models changed."""
        context, state = self._context, self.state
        context.snapshot, context.clock_ms = self.snapshot, state.clock_ms
        context.is_rehearsal = state.live_at_ms is None
        lateness_ms = self._plan.parameters.time.lateness
        context.label_delay_ms = 0 if state.is_delivered else lateness_ms

    def _placed(
        self,
        offset: int,
        effects: list[Effect],
        fate: Fate | None = None,
        event: Event | None = None,
    ) -> Applied:
        """What the record at ``offset`` did. Rehearsed rules are counted."""
        if not effects:
            # The usual case.
            return Applied(effects, fate, event)
        applied = placed(self.number, offset, effects, fate, event)
        self.state.rehearsed += len(applied.rehearsed)
        return applied

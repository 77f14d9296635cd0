"""Runs the engine over a log, without a broker: lines in, outputs out.

The same log gives the same outputs. Each output depends only on the lines up to it, so a shorter
log gives a prefix of them.
"""

from collections import deque
from collections.abc import Callable, Iterator
from itertools import chain
from typing import Any, NamedTuple

from config.parameters import Parameters
from models.admission import admit_line
from models.answer import Score, answer
from models.applied import Applied
from models.catalogue import MISSPELT, nearest_known_name
from models.customer.profile import profile
from models.customer.row import Row
from models.decisions.trigger import Decision
from models.engine import Effect, Fate
from models.events.dead_letter import DeadLetter, dead_letter
from models.events.erasure_record import Erased
from models.events.event import Event
from models.events.line import Line
from models.events.line_ids import identity, message_id_of
from models.events.link_record import LinkRecord, encode_link_record
from models.events.log_format import require_log_format
from models.events.rejection import Reason, Rejected
from models.events.wire import decode_log_line, timestamp_ms
from models.graves import Graves
from models.hindsight import Hindsight
from models.learning.day_ends import last_day_end_ms
from models.learning.drift import ALARMS_MAX, DriftAlarm
from models.learning.lessons import DayEnd, Tally, Taught
from models.learning.snapshot import Snapshot, SnapshotError, prior_snapshot
from models.learning.trainer import Trainer
from models.links import is_elsewhere, is_told, person_of
from models.memory_rows import MemoryRows
from models.partition import CONTROL_TYPES, ERASE_KIND, Partition, SnapshotSource
from models.partition_state import PartitionState, rehearsing_state
from models.plan import plan_for
from models.population import name_of, samples_of, samples_of_parts
from models.replay_summary import ReplayCounts, Summary

Output = Decision | Score | DeadLetter


class _Lane(NamedTuple):
    partition: Partition
    rows: MemoryRows


def no_models(version: int, _sha256: str) -> Snapshot:
    raise SnapshotError(
        f"the log adopts model {version}: name the folder of its snapshots with --models"
    )


class Replay:
    """Feeds lines to the partitions they belong to (one, unless the log is an export)."""

    def __init__(
        self,
        parameters: Parameters,
        models: SnapshotSource = no_models,
        trainer: Trainer | None = None,
        *,
        is_rehearsed: bool = False,
        latest_ms: int | None = None,
        graves: Callable[[], Graves] = dict,
    ) -> None:
        """``trainer``: learns from the log instead of a new one, as from one partition; it must not
        have learnt anything yet. ``is_rehearsed``: a plain log writes no triggers before its
        ``live`` line. An export is rehearsed as its partitions were, whatever this says.
        ``latest_ms``: later events are refused, so that one wrong date cannot move the clock of all
        customers. Not in an export, whose events were compared with their arrival. ``graves``:
        makes those of a partition; the graves in an export of an archive are only known by
        fingerprints.
        """
        self._graves = graves
        self._is_rehearsed = is_rehearsed
        self._parameters = parameters
        self._allowed_ms = latest_ms
        self._counts = ReplayCounts()
        self.refusals = self._counts.refusals
        self._models = models
        self._lanes: dict[int, _Lane] = {}
        self._trainer = trainer or Trainer(parameters, partitions=1)
        self._alarms: deque[DriftAlarm] = deque(maxlen=ALARMS_MAX)
        self._has_news = False
        self._plan = plan_for(parameters)
        self._prior = prior_snapshot(parameters)
        self._hindsight = Hindsight()
        self._hindsight.adopted(self._prior, 0)
        # An export contains the clock and model records. For a plain log they are made from its
        # events, until a watermark line takes over the clock.
        self._clock_is_given = False
        self._models_are_given = False
        self._latest_ms = 0
        self._events_read = 0

    def feed(self, raw: bytes, number: int) -> list[Output]:
        """The outputs of line ``number`` (from 1)."""
        try:
            line = decode_log_line(raw)
            if line.position is not None:
                require_log_format(line)
            if line.type == "score":
                return [self._score(line, number)]
            if line.type in CONTROL_TYPES:
                return self._outputs(self._control(line))
        except Rejected as rejected:
            return [self._refused(rejected, raw, number)]
        return self._event(line, raw, number)

    def profiles(self) -> Iterator[Any]:
        """Every customer's profile as of their partition's time, in the order of ids; one for each
        person, however many ids they have.
        """
        where = {key: lane for lane in self._lanes.values() for key in lane.rows.rows}
        for customer, (partition, rows) in sorted(where.items()):
            row, at_ms = rows.rows[customer], partition.as_of_ms
            if is_told(row):
                yield profile(customer, row, at_ms, partition.context)

    def rows(self) -> dict[str, Row]:
        """Every customer's row, for comparison with a live state."""
        return {key: row for lane in self._lanes.values() for key, row in lane.rows.rows.items()}

    def summary(self) -> Summary:
        states = [lane.partition.state for lane in self._lanes.values()]
        clock_ms = max((state.clock_ms for state in states), default=0)
        return self._counts.summary(
            states,
            self._newest_snapshot(),
            customers=sum(1 for row in self.rows().values() if is_told(row)),
            clock_ms=clock_ms,
            alarms=self._alarms,
            measures=self._measures(max(clock_ms, self._latest_ms)),
        )

    def _newest_snapshot(self) -> Snapshot:
        """The trainer's latest one, or the last one adopted from a log with model records."""
        adopted = [lane.partition.snapshot for lane in self._lanes.values()]
        return max([self._trainer.snapshot, *adopted], key=lambda snapshot: snapshot.version)

    def _measures(self, at_ms: int) -> dict[str, float]:
        tallies = self._trainer.tallies(at_ms)
        samples = chain(
            samples_of(self._newest_snapshot()), samples_of_parts(tallies, self._parameters)
        )
        return {name_of(sample): sample.value for sample in samples}

    def _event(self, line: Line, raw: bytes, number: int) -> list[Output]:
        self._events_read += 1
        stand_in = _stand_in_id(line, self._events_read)
        try:
            event = admit_line(line, self._parameters, message_id=stand_in)
            if self._allowed_ms is not None:
                self._refuse_later(event, line, self._allowed_ms)
        except Rejected as rejected:
            return [self._refused(rejected, raw, number)]
        if event.kind is MISSPELT:
            self.refusals.add_name(event.name, nearest_known_name(event.name) or "", number)
        if event.has_unread_consent:
            self.refusals.add_unread_consent(number)
        lane = self._lane(line)
        partition = lane.partition
        effects: list[Effect] = []
        # A line with a position comes from an export, in which the fold itself moves the clock.
        moves_clock = line.position is not None and line.moves_clock
        is_news = event.kind is not ERASE_KIND
        if is_news and line.position is None and not self._clock_is_given:
            self._latest_ms = max(self._latest_ms, event.occurred_at_ms)
            clock_ms = self._latest_ms - self._parameters.time.disorder
            effects += self._moved(partition, clock_ms)
        applied = partition.fold(self._offset(partition, line), event, moves_clock=moves_clock)
        effects += self._learnt(applied)
        self._count_outcome(lane, applied)
        outputs = self._outputs(self._told(partition, line, effects)) if effects else []
        if applied.refused is not None:
            outputs.append(self._refused(applied.refused, raw, number, step="profile"))
            return outputs
        if applied.fate is not None:
            self._counts.add_fate(applied.fate)
        if applied.fate is Fate.APPLIED:
            self._hindsight.record(event, partition.state.clock_ms)
        if applied.fate is Fate.LATE:
            late = Rejected(Reason.TOO_LATE, "$.timestamp", "older than time.lateness allows")
            self.refusals.add(late)
            outputs.append(dead_letter(late, raw, step="profile", line=number))
        return outputs

    def _told(self, partition: Partition, line: Line, effects: list[Effect]) -> list[Effect]:
        """``effects``, with those of records between rows. In an export these records are in the
        log; in a plain log they are applied at once.
        """
        if line.position is not None:
            return effects
        done: list[Effect] = []
        if LinkRecord not in map(type, effects):
            return effects
        waiting = deque(effects)
        while waiting:
            effect = waiting.popleft()
            if isinstance(effect, LinkRecord):
                told = decode_log_line(encode_link_record(effect))
                applied = partition.apply(partition.state.applied + 1, told)
                waiting.extend(self._of_record(self._lane(line), applied))
            else:
                done.append(effect)
        return done

    def _refuse_later(self, event: Event, line: Line, latest_ms: int) -> None:
        """Raise ``Rejected`` for an event later than allowed, unless the log is an export."""
        if line.position is None and event.occurred_at_ms > latest_ms:
            raise Rejected(
                Reason.OUT_OF_RANGE,
                "$.timestamp",
                "later than now",
                "correct the sender's clock and the event's timestamp",
            )

    def _control(self, line: Line) -> list[Effect]:
        lane = self._lane(line)
        offset = self._offset(lane.partition, line)
        effects = self._of_record(lane, lane.partition.apply(offset, line))
        if line.type == "live":
            return effects
        if line.type == "model":
            self._models_are_given, self._has_news = True, False
            self._hindsight.adopted(lane.partition.snapshot, lane.partition.state.clock_ms)
            return effects
        self._clock_is_given = True
        if line.type == "watermark" and self._has_news:
            # Nothing earlier will come, so learn now what the day has taught so far.
            self._alarms.extend(self._trainer.learn_all())
            if self._trainer.knows_enough:
                self._adopt(lane.partition, lane.partition.state.clock_ms)
        return effects

    def _moved(self, partition: Partition, clock_ms: int) -> list[Effect]:
        """Move the clock of a plain log by an event, and adopt a model if one is due: at the end of
        a day, as a live import does, before anything of the next day.
        """
        effects: list[Effect] = []
        if clock_ms <= partition.state.clock_ms:
            return effects
        for at_ms in (last_day_end_ms(clock_ms), clock_ms):
            if at_ms <= partition.state.clock_ms:
                continue
            offset = partition.state.applied + 1
            effects += self._learnt(partition.advance_clock(offset, at_ms))
            partition.skip(offset)
            if self._has_news and self._trainer.is_due:
                self._adopt(partition, self._latest_ms)
        return effects

    def _of_record(self, lane: _Lane, applied: Applied) -> list[Effect]:
        """Count what a record other than an event did, and teach the trainer; return the
        effects.
        """
        if applied.refused is not None:
            self._counts.add_refused_record(applied.refused)
        self._count_outcome(lane, applied)
        return self._learnt(applied)

    def _count_outcome(self, lane: _Lane, applied: Applied) -> None:
        event = applied.outcome
        if event is not None:
            is_history = event.historical or lane.partition.context.is_rehearsal
            self._counts.add_outcome(event, lane.rows.rows[event.customer], is_history=is_history)

    def _learnt(self, applied: Applied) -> list[Effect]:
        """Teach the trainer, unless the log has models; return the effects."""
        if applied.dropped:
            self._counts.add_dropped(applied.dropped)
        if not applied.effects and not applied.rehearsed:
            return applied.effects
        self._counts.add_rehearsed(applied.rehearsed)
        for effect in applied.effects:
            if isinstance(effect, Taught):
                if not self._models_are_given and self._trainer.learn(effect):
                    # Sums and the ends of days do not make a new snapshot by themselves.
                    self._has_news |= not isinstance(effect, (Tally, DayEnd))
            elif isinstance(effect, Erased):
                self._hindsight.forget(effect.customer)
        while self._trainer.learn_next():
            self._alarms.extend(self._trainer.alarms)
        return applied.effects

    def _adopt(self, partition: Partition, at_ms: int) -> None:
        snapshot = self._trainer.draw()
        partition.adopt(snapshot)
        self._hindsight.adopted(snapshot, at_ms)
        self._has_news = False

    def _outputs(self, effects: list[Effect]) -> list[Output]:
        if not effects:
            return []
        decisions = [e for e in effects if not isinstance(e, Taught) and isinstance(e, Decision)]
        for decided in decisions:
            self._counts.add_decision(decided)
        return list(decisions)

    def _refused(
        self, rejected: Rejected, raw: bytes, number: int, step: str = "ingest"
    ) -> DeadLetter:
        self._counts.add_refused(rejected)
        return dead_letter(rejected, raw, step=step, line=number)

    def _score(self, line: Line, number: int) -> Score:
        """Answer from the events that were applied so far and had happened by the line's time."""
        customer, _ = identity(line, self._parameters.identity.is_blocked)
        at_ms = timestamp_ms(line)
        horizon_days = line.horizon_days or self._parameters.churn.horizon_days[0]
        row, current = self._find(customer)
        while row is not None and is_elsewhere(row):
            customer = person_of(row)
            row, current = self._find(customer)
        snapshot = self._hindsight.snapshot(current, at_ms)
        earlier = self._hindsight.row(row, customer, at_ms, self._plan)
        self._counts.add_score()
        return answer(
            message_id=message_id_of(line, f"line-{number}"),
            customer=customer,
            at_ms=at_ms,
            horizon_days=horizon_days,
            row=earlier,
            context=self._plan.context(snapshot),
        )

    def _find(self, customer: str) -> tuple[Row | None, Snapshot]:
        """The customer's row, and the snapshot in use in their partition."""
        for partition, rows in self._lanes.values():
            row = rows.get(customer)
            if row is not None:
                return row, partition.snapshot
        first = next(iter(self._lanes.values()), None)
        return None, first.partition.snapshot if first is not None else self._prior

    def _lane(self, line: Line) -> _Lane:
        number = line.position.partition if line.position is not None else 0
        lane = self._lanes.get(number)
        if lane is None:
            rows = MemoryRows()
            state = rehearsing_state() if self._rehearses(line) else PartitionState()
            partition = Partition(
                number, rows, self._prior, self._plan, self._models, state, self._graves()
            )
            lane = self._lanes[number] = _Lane(partition, rows)
        return lane

    def _rehearses(self, line: Line) -> bool:
        """Whether the partition that starts with this line rehearses until it goes live."""
        if line.position is None:
            return self._is_rehearsed
        return not line.is_before_rehearsal

    def _offset(self, partition: Partition, line: Line) -> int:
        return line.position.offset if line.position is not None else partition.state.applied + 1


def is_live_line(raw: bytes) -> bool:
    """Whether this line of a plain log ends a rehearsal, which makes the lines before it one."""
    if b"live" not in raw:
        return False
    try:
        line = decode_log_line(raw)
    except Rejected:
        return False
    return line.type == "live" and line.position is None


def _stand_in_id(line: Line, number: int) -> str:
    """The message id for an event without one: its position in the live log if it is an export,
    else its number among the events (score lines are not counted).
    """
    position = line.position
    return f"event-{number}" if position is None else f"{position.partition}-{position.offset}"

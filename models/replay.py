"""The engine over a log, with no broker: lines in, what would have happened out.

The same log gives the same outputs, and a shorter log gives their beginning: every output of a
line depends on the lines up to it alone.
"""

from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

from msgspec import Struct

from config.parameters import Parameters
from models.answer import Score, answer
from models.context import Context
from models.customer.profile import Profile, profile
from models.customer.row import Row
from models.decisions.policy import compile_policy
from models.decisions.trigger import NextBestAction, Trigger
from models.engine import Effect, Fate
from models.events.admission import admit_line
from models.events.dead_letter import DeadLetter, dead_letter
from models.events.rejection import Reason, Rejected
from models.events.wire import Line, decode_line, identity, iso, timestamp_ms
from models.hindsight import Hindsight
from models.learning.drift import DriftAlarm, DriftMonitor
from models.learning.examples import Lesson, Observation
from models.learning.snapshot import Quality, Snapshot, SnapshotError, SpendQuality, prior_snapshot
from models.learning.trainer import Trainer
from models.partition import CONTROL_TYPES, Partition, SnapshotSource


class Summary(Struct, frozen=True, rename="camel"):
    """Events by fate (``read`` = the sum of the other four), triggers and actions by kind, what is
    left, how good the scores were, the latest alarms of drift, and what part of a year's net
    revenue the best fifth of customers brought.
    """

    events: dict[str, int]
    triggers: dict[str, int]
    scores: int
    customers: int
    model_version: int
    clock: str | None
    quality: tuple[Quality, ...] = ()
    drift: tuple[DriftAlarm, ...] = ()
    spend_quality: tuple[SpendQuality, ...] = ()
    revenue_share_top_fifth: float | None = None


Output = Trigger | NextBestAction | Score | DeadLetter


class _MemoryRows:
    """Rows as live objects."""

    def __init__(self) -> None:
        self.rows: dict[str, Row] = {}

    def get(self, customer: str) -> Row | None:
        return self.rows.get(customer)

    def put(self, customer: str, row: Row) -> None:
        self.rows[customer] = row

    def due(self) -> Iterator[tuple[int, str]]:
        return ((row.next_due_ms, key) for key, row in self.rows.items() if row.next_due_ms)


class _Lane(NamedTuple):
    partition: Partition
    rows: _MemoryRows


def _no_models(version: int, _sha256: str) -> Snapshot:
    raise SnapshotError(
        f"the log adopts model {version}: name the folder of its snapshots with --models"
    )


class Replay:
    """Feeds lines to the partitions they belong to (one, unless the log is an export)."""

    def __init__(
        self,
        parameters: Parameters,
        models: SnapshotSource = _no_models,
        trainer: Trainer | None = None,
    ) -> None:
        """``trainer``: who learns from the log, if not a new one; it must know nothing yet."""
        self._parameters = parameters
        self._models = models
        self._lanes: dict[int, _Lane] = {}
        self._trainer = trainer or Trainer(parameters)
        self._drift = DriftMonitor()
        self._has_news = False
        self._policy = compile_policy(parameters)
        self._prior = prior_snapshot(parameters)
        self._hindsight = Hindsight()
        self._hindsight.adopted(self._prior, 0)
        # An export brings its own clock and model records; a plain log gets them made from its
        # events, until a watermark line takes the clock over.
        self._clock_is_given = False
        self._models_are_given = False
        self._latest_ms = 0
        self._fates: Counter[str] = Counter()
        self._triggers: Counter[str] = Counter()
        self._scores = 0
        self._events_read = 0

    def feed(self, raw: bytes, number: int) -> list[Output]:
        """What line ``number`` (from 1) brings about."""
        try:
            line = decode_line(raw)
            if line.type == "score":
                return [self._score(line, number)]
            if line.type in CONTROL_TYPES:
                return self._outputs(self._control(line))
        except Rejected as rejected:
            return [self._refused(rejected, raw, number)]
        return self._event(line, raw, number)

    def profiles(self) -> Iterator[Profile]:
        """Every customer as of their partition's present, by id."""
        where = {key: lane for lane in self._lanes.values() for key in lane.rows.rows}
        for customer, (partition, rows) in sorted(where.items()):
            row, at_ms = rows.rows[customer], partition.as_of_ms
            yield profile(customer, row, at_ms, partition.snapshot, self._parameters)

    def rows(self) -> dict[str, Row]:
        """Every customer's row, for comparison with a live state."""
        return {key: row for lane in self._lanes.values() for key, row in lane.rows.rows.items()}

    def summary(self) -> Summary:
        fates = {fate: self._fates[fate] for fate in (*Fate, "deadLettered")}
        states = [lane.partition.state for lane in self._lanes.values()]
        clock_ms = max((state.clock_ms for state in states), default=0)
        return Summary(
            events={"read": sum(fates.values()), **fates},
            triggers=dict(sorted(self._triggers.items())),
            scores=self._scores,
            customers=sum(len(lane.rows.rows) for lane in self._lanes.values()),
            model_version=max((state.model_version for state in states), default=0),
            clock=iso(clock_ms) if clock_ms else None,
            quality=self._trainer.snapshot.quality,
            drift=tuple(self._drift.alarms),
            spend_quality=self._trainer.snapshot.spend_quality,
            revenue_share_top_fifth=self._trainer.snapshot.revenue_share_top_fifth,
        )

    def _event(self, line: Line, raw: bytes, number: int) -> list[Output]:
        self._events_read += 1
        stand_in = _stand_in_id(line, self._events_read)
        try:
            event = admit_line(line, self._parameters, message_id=stand_in)
        except Rejected as rejected:
            return [self._refused(rejected, raw, number)]
        partition = self._lane(line).partition
        effects: list[Effect] = []
        # A line with a position is an export's: there, clock records alone move the clock.
        if line.position is None and not self._clock_is_given:
            self._latest_ms = max(self._latest_ms, event.occurred_at_ms)
            clock_ms = self._latest_ms - self._parameters.time.disorder
            effects += self._moved(partition, partition.state.applied + 1, clock_ms)
        applied = partition.fold(self._offset(partition, line), event)
        outputs = self._outputs([*effects, *self._learnt(applied.effects)])
        if applied.fate is not None:
            self._fates[applied.fate] += 1
        if applied.fate is Fate.APPLIED:
            self._hindsight.record(event, partition.state.clock_ms)
        if applied.fate is Fate.LATE:
            late = Rejected(Reason.TOO_LATE, "$.timestamp", "older than time.lateness allows")
            outputs.append(dead_letter(late, raw, step="profile", line=number))
        return outputs

    def _control(self, line: Line) -> list[Effect]:
        lane = self._lane(line)
        offset = self._offset(lane.partition, line)
        effects = self._learnt(lane.partition.apply(offset, line).effects)
        if line.type == "model":
            self._models_are_given, self._has_news = True, False
            self._hindsight.adopted(lane.partition.snapshot, lane.partition.state.clock_ms)
            return effects
        self._clock_is_given = True
        if line.type == "watermark" and self._has_news and self._trainer.knows_enough:
            self._adopt(lane.partition, lane.partition.state.clock_ms)
        return effects

    def _moved(self, partition: Partition, offset: int, clock_ms: int) -> list[Effect]:
        """The clock moved by an event of a plain log, and the model that may be due with it."""
        if clock_ms <= partition.state.clock_ms:
            return []
        effects = self._learnt(partition.advance_clock(offset, clock_ms))
        partition.skip(offset)
        if self._has_news and self._trainer.is_due:
            self._adopt(partition, self._latest_ms)
        return effects

    def _learnt(self, effects: list[Effect]) -> list[Effect]:
        """Teach the trainer, unless the log brings its models; gives back what is left."""
        for effect in effects:
            if isinstance(effect, Lesson) and not self._models_are_given:
                if self._trainer.learn(effect):
                    self._has_news = True
                    if isinstance(effect, Observation):
                        self._drift.observe(effect)
        return effects

    def _adopt(self, partition: Partition, at_ms: int) -> None:
        snapshot = self._trainer.draw()
        partition.adopt(snapshot)
        self._hindsight.adopted(snapshot, at_ms)
        self._has_news = False

    def _outputs(self, effects: list[Effect]) -> list[Output]:
        decisions = [e for e in effects if isinstance(e, Trigger | NextBestAction)]
        self._triggers.update(decided.kind for decided in decisions)
        return list(decisions)

    def _refused(self, rejected: Rejected, raw: bytes, number: int) -> DeadLetter:
        self._fates["deadLettered"] += 1
        return dead_letter(rejected, raw, step="ingest", line=number)

    def _score(self, line: Line, number: int) -> Score:
        """Answer from what was applied so far and had happened by the line's time."""
        customer, _ = identity(line)
        at_ms = timestamp_ms(line)
        horizon_days = line.horizon_days or self._parameters.churn.horizon_days[0]
        row, current = self._find(customer)
        snapshot = self._hindsight.snapshot(current, at_ms)
        context = Context(customer, 0, snapshot, self._parameters, self._policy, 0)
        earlier = self._hindsight.row(row, at_ms, context)
        self._scores += 1
        return answer(
            message_id=line.message_id or f"line-{number}",
            customer=customer,
            at_ms=at_ms,
            horizon_days=horizon_days,
            row=earlier,
            snapshot=snapshot,
            parameters=self._parameters,
        )

    def _find(self, customer: str) -> tuple[Row | None, Snapshot]:
        """The customer's row and the snapshot their partition decides by."""
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
            rows = _MemoryRows()
            partition = Partition(
                number, rows, self._prior, self._parameters, self._models, policy=self._policy
            )
            lane = self._lanes[number] = _Lane(partition, rows)
        return lane

    def _offset(self, partition: Partition, line: Line) -> int:
        return line.position.offset if line.position is not None else partition.state.applied + 1


def _stand_in_id(line: Line, number: int) -> str:
    """The message id of an event that has none: its place in the live log if it came from it, else
    its number among the events, which score lines between them don't change.
    """
    position = line.position
    return f"event-{number}" if position is None else f"{position.partition}-{position.offset}"

"""The trainer: lessons in, snapshots out.

It is a function of the lessons in their order: folding the topic again gives every snapshot bit for
bit. The order within a day does not matter either, as long as partitions keep together: see
`WholeDays`.
"""

import msgspec
from msgspec import Struct

from config.parameters import Parameters
from models.learning.drift import DriftAlarm, DriftMonitor
from models.learning.lesson_order import lesson_of
from models.learning.lessons import Lesson, Tally
from models.learning.registry import LEARNERS, Learner
from models.learning.snapshot import Snapshot, prior_snapshot
from models.learning.tallies import Tallies, TallyLearner
from models.learning.whole_days import Day, WholeDays


class TrainerState(Struct, rename="camel"):
    """A trainer's state, part of every snapshot. It does not include lessons that wait for the end
    of their day, which are read again.

    ``latest_ms``: event time of the latest lesson for a model; ``heard_ms``: of any lesson.
    ``positions``: the (offset, index) of the last lesson of each partition of ``customer-events``;
    ``consumed``: where to continue reading the topic of lessons; ``learners``: the state of each
    learner. ``clocks_ms``: the time up to which each partition's lessons are learnt; ``began_ms``:
    the first end of a day that any partition reported; ``previous``: the hash of the previous
    snapshot, by which forged ones are recognized.
    """

    lessons: int = 0
    latest_ms: int = 0
    heard_ms: int = 0
    consumed: int = 0
    positions: dict[str, tuple[int, int]] = {}
    learners: dict[str, msgspec.Raw] = {}
    clocks_ms: dict[str, int] = {}
    began_ms: int = 0
    previous: str = ""


class Trainer:
    """Passes each lesson to its learners, and draws the next snapshot when one is due.

    ``alarms``: those that the last lesson raised.
    """

    def __init__(
        self, parameters: Parameters, snapshot: Snapshot | None = None, *, partitions: int = 0
    ) -> None:
        """``partitions``: how many partitions send lessons and the ends of their days, which are
        waited for; with 0, each lesson is learnt on arrival.
        """
        self._parameters = parameters
        self.snapshot = snapshot or prior_snapshot(parameters)
        restored = msgspec.json.decode(self.snapshot.trainer, type=TrainerState | None)
        self._state = state = restored or TrainerState()
        states = state.learners
        self.learners: dict[str, Learner] = {
            one.name: one.start(states.get(one.name), parameters) for one in LEARNERS
        }
        self._taught: dict[type, tuple[Learner, ...]] = {
            kind: tuple(self.learners[one.name] for one in LEARNERS if kind in one.learns)
            for kind in {kind for one in LEARNERS for kind in one.learns}
        }
        of_sums = [one for one in LEARNERS if Tally in one.learns]
        self._learn_all_sums = tuple(
            self.learners[one.name] for one in of_sums if one.sums_of is None
        )
        # The learners of a part's sums, for those parts that have learners of their own.
        self._learn_sums_of = {
            part: tuple(self.learners[one.name] for one in of_sums if one.sums_of in (None, part))
            for part in {one.sums_of for one in of_sums}
        }
        self.alarms: list[DriftAlarm] = []
        self._waits = partitions > 0
        self._days = WholeDays(partitions, state.positions, state.clocks_ms, state.began_ms)
        self._day: Day | None = None
        tallies = self.learners["tallies"]
        assert isinstance(tallies, TallyLearner)
        self._tallies = tallies
        self._heard_ms = state.heard_ms

    @property
    def lessons(self) -> int:
        """The number of lessons learnt."""
        return self._state.lessons

    def learn(self, lesson: Lesson, place: int = 0) -> bool:
        """Accept a lesson, at ``place`` in the topic of lessons; return False if it is a repeat.

        `learn_next` learns it once its day is complete.
        """
        if not self._days.hear(lesson, place):
            return False
        if lesson.timestamp_ms > self._heard_ms:
            self._heard_ms = lesson.timestamp_ms
        if not self._waits:
            self.learn_all()
        return True

    def learn_next(self) -> bool:
        """Learn the next lesson of a complete day; return False when there is none.

        After each call, check whether a snapshot is due. Raises ``ValueError`` for a lesson that
        cannot be learnt; the next call continues with the one after it.
        """
        self.alarms = []
        while self._day is None or not self._day.lessons:
            self._day = self._days.next_day()
            if self._day is None:
                return False
            self._learn_sums(self._day)
            # Reversed, because lessons are popped from the end.
            self._day.lessons.reverse()
            if not self._day.lessons:
                self._end_day(self._day)
        day = self._day
        lesson = lesson_of(day.lessons.pop())
        if not day.lessons:
            self._end_day(day)
        self._state.lessons += 1
        self._heard_of(lesson.timestamp_ms)
        for learner in self._taught[type(lesson)]:
            alarms = learner.learn(lesson)
            if alarms is not None and isinstance(alarms, list):
                self.alarms += alarms
        self._state.latest_ms = max(self._state.latest_ms, lesson.timestamp_ms)
        return True

    def _learn_sums(self, day: Day) -> None:
        """Learn the sums of a day. They teach no model, so they bring no snapshot closer."""
        for told in day.sums.told():
            self._state.lessons += told.tallies
            self._heard_of(told.timestamp_ms)
            for learner in self._learn_sums_of.get(told.part, self._learn_all_sums):
                learner.learn(told)

    def _heard_of(self, at_ms: int) -> None:
        if at_ms > self._state.heard_ms:
            self._state.heard_ms = at_ms

    def learn_all(self) -> list[DriftAlarm]:
        """Learn everything received, from complete days or not; return the alarms raised."""
        self._days.end()
        raised: list[DriftAlarm] = []
        while self.learn_next():
            raised += self.alarms
        self.alarms = raised
        return raised

    def _end_day(self, day: Day) -> None:
        self._state.positions.update(day.positions)
        self._state.clocks_ms.update(day.clocks_ms)

    def tallies(self, now_ms: int) -> Tallies:
        """The parts' sums over all customers as of ``now_ms``, including those not learnt yet."""
        return self._tallies.so_far(now_ms, self._days.waiting_sums().told())

    def drift_means(self) -> dict[str, float]:
        """The present mean of every stream that is watched for drift."""
        learner = self.learners["drift"]
        assert isinstance(learner, DriftMonitor)
        return learner.means()

    @property
    def latest_ms(self) -> int:
        """Event time of the latest lesson for a model."""
        return self._state.latest_ms

    @property
    def heard_ms(self) -> int:
        """Event time of the latest lesson received, as of which sums are read."""
        return self._heard_ms

    @property
    def knows_enough(self) -> bool:
        """Whether every learner knows enough for the first snapshot."""
        return all(learner.knows_enough for learner in self.learners.values())

    def clock_ms(self, partition: int) -> int:
        """The time up to which this partition has sent all its lessons and complete days are
        learnt; 0 before the first report.
        """
        is_learnt = self._day is None and self._days.is_clear
        clocks_ms = self._days.clocks_ms if is_learnt else self._state.clocks_ms
        return clocks_ms.get(str(partition), 0)

    @property
    def consumed(self) -> int:
        """Where to continue reading the topic of lessons after the last snapshot."""
        return self._state.consumed

    @property
    def is_due(self) -> bool:
        """Whether the next snapshot is due: enough is known, enough event time has passed, and no
        day is half learnt.
        """
        age_ms = self._state.latest_ms - self.snapshot.created_at_ms
        if age_ms < self._parameters.learning.snapshot_every or not self.knows_enough:
            return False
        return self._day is None or not self._day.lessons

    def draw(self, consumed: int = 0) -> Snapshot:
        """The next snapshot, of what is learnt so far; ``consumed``: the next position in the topic
        of lessons.
        """
        state = self._state
        state.consumed, state.began_ms = self._days.first_place(consumed), self._days.began_ms
        # Sorted, so that the order of arrival does not matter.
        state.positions = dict(sorted(state.positions.items()))
        state.clocks_ms = dict(sorted(state.clocks_ms.items()))
        state.previous = self.snapshot.sha256 if self.snapshot.version else ""
        found = {name: one.draw(state.latest_ms) for name, one in self.learners.items()}
        kept = {name: one.state() for name, one in self.learners.items()}
        state.learners = {
            name: msgspec.Raw(msgspec.json.encode(one))
            for name, one in kept.items()
            if one is not None
        }
        self.snapshot = Snapshot(
            version=self.snapshot.version + 1,
            created_at_ms=state.latest_ms,
            drawn={name: drawn for name, drawn in found.items() if drawn is not None},
            # Keys are not sorted: they stay in the order in which they were first seen.
            trainer=msgspec.json.encode(state),
        )
        return self.snapshot

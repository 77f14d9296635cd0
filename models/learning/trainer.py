"""The trainer: lessons in, snapshots out.

A function of the lessons in their order: folding the topic again gives every snapshot bit for bit.
"""

import msgspec
from msgspec import Struct

from config.duration import DAY_MS
from config.parameters import Parameters
from models.learning.day_ends import last_day_end_ms
from models.learning.drift import DriftAlarm, DriftMonitor
from models.learning.lessons import DayEnd, Lesson, Tally
from models.learning.registry import LEARNERS, Learner
from models.learning.snapshot import Snapshot, prior_snapshot
from models.learning.tallies import Tallies, TallyLearner


class TrainerState(Struct, rename="camel"):
    """A trainer's state, part of every snapshot.

    ``latest_ms``: event time of the latest lesson for a model; ``heard_ms``: of any lesson.
    ``positions``: the (offset, index) of the last lesson of each partition of ``customer-events``;
    ``consumed``: the next position of the topic of lessons; ``learners``: the state of each.
    ``clocks_ms``: up to which time each partition has told all its lessons. ``previous``: the hash
    of the snapshot before this one, by which forged ones are told.
    """

    lessons: int = 0
    latest_ms: int = 0
    heard_ms: int = 0
    consumed: int = 0
    positions: dict[str, tuple[int, int]] = {}
    learners: dict[str, msgspec.Raw] = {}
    clocks_ms: dict[str, int] = {}
    previous: str = ""


class Trainer:
    """Hands each lesson to its learners, and draws the next snapshot when one is due.

    ``alarms``: those that the last lesson raised.
    """

    def __init__(self, parameters: Parameters, snapshot: Snapshot | None = None) -> None:
        self._parameters = parameters
        self.snapshot = snapshot or prior_snapshot(parameters)
        restored = msgspec.json.decode(self.snapshot.trainer, type=TrainerState | None)
        self._state = restored or TrainerState()
        states = self._state.learners
        self.learners: dict[str, Learner] = {
            one.name: one.start(states.get(one.name), parameters) for one in LEARNERS
        }
        self._taught: dict[type, tuple[Learner, ...]] = {
            kind: tuple(self.learners[one.name] for one in LEARNERS if kind in one.learns)
            for kind in {kind for one in LEARNERS for kind in one.learns}
        }
        self.alarms: list[DriftAlarm] = []
        self._is_at_day_end = False

    @property
    def lessons(self) -> int:
        """The number of lessons learnt."""
        return self._state.lessons

    def learn(self, lesson: Lesson) -> bool:
        """Learn one lesson; False when it is a repeat."""
        state = self._state
        partition, position = str(lesson.partition), (lesson.offset, lesson.index)
        if position <= state.positions.get(partition, (-1, -1)):
            return False
        state.positions[partition] = position
        self.alarms = []
        self._is_at_day_end = isinstance(lesson, DayEnd)
        if isinstance(lesson, DayEnd):
            state.clocks_ms[partition] = lesson.timestamp_ms
            return True
        state.lessons += 1
        for learner in self._taught[type(lesson)]:
            alarms = learner.learn(lesson)
            if isinstance(alarms, list):
                self.alarms += alarms
        state.heard_ms = max(state.heard_ms, lesson.timestamp_ms)
        # A sum teaches no model, so it does not bring the next snapshot closer.
        if not isinstance(lesson, Tally):
            state.latest_ms = max(state.latest_ms, lesson.timestamp_ms)
        return True

    def tallies(self, now_ms: int) -> Tallies:
        """The parts' sums over all customers as of ``now_ms``, without waiting for a snapshot."""
        learner = self.learners["tallies"]
        assert isinstance(learner, TallyLearner)
        return learner.so_far(now_ms)

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
        """Event time of the latest lesson of any kind, the time at which sums are read."""
        return self._state.heard_ms

    @property
    def knows_enough(self) -> bool:
        """Whether every learner knows enough for the first snapshot."""
        return all(learner.knows_enough for learner in self.learners.values())

    def clock_ms(self, partition: int) -> int:
        """Up to which time this partition has told all its lessons; 0 if it never said."""
        return self._state.clocks_ms.get(str(partition), 0)

    @property
    def is_due(self) -> bool:
        """Whether enough is known, enough event time went by, and the last day's lessons are here,
        for the next snapshot.
        """
        age_ms = self._state.latest_ms - self.snapshot.created_at_ms
        if age_ms < self._parameters.learning.snapshot_every or not self.knows_enough:
            return False
        return self._is_day_complete()

    def _is_day_complete(self) -> bool:
        """Whether every partition has told its lessons up to the last end of a day.

        Who is more than a day behind the others is not waited for. Lessons of releases that did
        not tell ends of days count at once.
        """
        state = self._state
        if not state.clocks_ms:
            return True
        end_ms = last_day_end_ms(state.latest_ms)
        behind = [clock_ms for clock_ms in state.clocks_ms.values() if clock_ms < end_ms]
        return self._is_at_day_end and all(end_ms - one > 2 * DAY_MS for one in behind)

    def draw(self, consumed: int = 0) -> Snapshot:
        """The next snapshot; ``consumed`` is the next position of the topic of lessons."""
        state = self._state
        state.consumed = consumed
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
            # Not sorted: keys stay in the order in which they were first seen.
            trainer=msgspec.json.encode(state),
        )
        return self.snapshot

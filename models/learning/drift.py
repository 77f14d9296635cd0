"""Drift: whether customers still behave like those that the models learnt from.

ADWIN (A. Bifet and R. Gavaldà, 2007, "Learning from Time-Changing Data with Adaptive Windowing",
SIAM SDM) keeps the longest recent window with one mean, and detects when that mean changes. Only
a large change is an alarm: with enough customers any difference is statistically significant.
"""

from collections import deque
from math import log1p, sqrt
from typing import Any

from msgspec import Struct

from config.duration import DAY_MS
from config.parameters import Parameters
from models.events.times import iso
from models.learning.feature_names import NAMES
from models.learning.lessons import Observation

DELTA = 0.002
RESIDUAL_GAP = "residual_gap"
#: Without features that grow with a shop's age by themselves, or jump when a formula is refitted.
FEATURES = (
    "orders_7d",
    "orders_28d",
    "spend_7d",
    "spend_28d",
    "recency",
    "recency_over_gap",
    "overdue",
    "gap_variation",
    "days_28d",
    "intensity",
    "views",
    "unseen",
    "open_tickets",
    "unhappy",
)
STREAMS = (RESIDUAL_GAP, *FEATURES)
#: Features are watched for customers of at least this tenure: the share of new customers changes
#: as a shop grows.
SETTLED_DAYS = 56.0
#: A mean must move by this many standard deviations to raise an alarm.
EFFECT_MIN = 0.15
WARM_UP_COUNT = 500
#: Values that a new window needs before its mean is compared.
MOVED_COUNT = 256
WARM_UP_MS = 56 * DAY_MS
COOLDOWN_MS = 28 * DAY_MS
ALARMS_MAX = 100

_PLACES = tuple((name, NAMES.index(name)) for name in FEATURES)
_TENURE = NAMES.index("tenure")
_SETTLED = log1p(SETTLED_DAYS)


class DriftAlarm(Struct, frozen=True, rename="camel"):
    """The mean of a stream has moved from ``before`` to ``after``, as detected at ``timestamp``."""

    stream: str
    timestamp: str
    before: float
    after: float
    direction: str

    @property
    def words(self) -> str:
        name = self.stream.replace("_", " ")
        return (
            f"{name} drifted {self.direction}: its mean was {self.before:.3g}, now {self.after:.3g}"
        )


class _Stream:
    """One stream's detector, and the reference mean that it is compared with.

    Check-ins fall on the weekday of a customer's first purchase, and Saturday's customers differ
    from Monday's: each weekday's deviation from the mean during the warm-up is subtracted.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        # Importing it takes a second or two, which commands that learn nothing need not wait for.
        from river.drift import ADWIN  # noqa: PLC0415

        # River's methods have no types.
        adwin: Any = ADWIN
        self.detector = adwin(delta=DELTA)
        self.began_ms = 0
        self.quiet_until_ms = 0
        self.reference: float | None = None
        self.is_moving = False
        self.counts = [0] * 7
        self.means = [0.0] * 7

    def learn(self, value: float, at_ms: int) -> DriftAlarm | None:
        """Count one value; return an alarm if it shows that the mean has moved for good."""
        weekday = at_ms // DAY_MS % 7
        if self.reference is None:
            self._warm_up(value, weekday, at_ms)
            return None
        detector = self.detector
        detector.update(value - self.means[weekday])
        if detector.drift_detected:
            # ADWIN detects a change while its window still mixes values from before and after it,
            # then begins a new window: the mean of that one shows how far the stream moved.
            self.is_moving = True
            return self._moved(at_ms)
        if self.is_moving and detector.width >= MOVED_COUNT:
            self.is_moving = False
            return self._moved(at_ms)
        return None

    def _warm_up(self, value: float, weekday: int, at_ms: int) -> None:
        self.began_ms = self.began_ms or at_ms
        self.counts[weekday] += 1
        self.means[weekday] += (value - self.means[weekday]) / self.counts[weekday]
        count = sum(self.counts)
        if count >= WARM_UP_COUNT and at_ms >= self.began_ms + WARM_UP_MS:
            total = 0.0
            for mean, seen in zip(self.means, self.counts, strict=True):
                total += mean * seen
            self.reference = total / count
            # Relative to the mean, so that a weekday without customers has a deviation of 0.
            self.means = [
                mean - self.reference if seen else 0.0
                for mean, seen in zip(self.means, self.counts, strict=True)
            ]

    def _moved(self, at_ms: int) -> DriftAlarm | None:
        before, after = self.reference, float(self.detector.estimation)
        assert before is not None
        if at_ms < self.quiet_until_ms:
            # The rest of the movement that the last alarm reported is not a second alarm.
            self.reference = after
            return None
        # River's `variance` is the sum of squared deviations over the window.
        deviation = sqrt(max(self.detector.variance, 0.0) / self.detector.width)
        if abs(after - before) < max(EFFECT_MIN * deviation, 1e-9):
            # The reference stays, so that small steps in one direction add up to an alarm.
            return None
        self.reference, self.quiet_until_ms = after, at_ms + COOLDOWN_MS
        direction = "up" if after > before else "down"
        return DriftAlarm(self.name, iso(at_ms), before, after, direction)


class DriftMonitor:
    """Watches the lessons that a trainer learns, in their order.

    It is not part of a snapshot, because ADWIN's state cannot be serialized: after a restart it
    begins with an empty window and a new warm-up.
    """

    knows_enough = True

    def __init__(self, _state: Any = None, _parameters: Parameters | None = None) -> None:
        self._streams = {name: _Stream(name) for name in STREAMS}
        self.alarms: deque[DriftAlarm] = deque(maxlen=ALARMS_MAX)

    def learn(self, observation: Observation) -> list[DriftAlarm]:
        """Return the alarms that one check-in raises; the latest `ALARMS_MAX` are kept."""
        at_ms = observation.timestamp_ms
        residual = self._streams[RESIDUAL_GAP]
        told = [residual.learn(value, at_ms) for value in observation.gap_residuals]
        values = _settled(observation)
        if values is not None:
            told += [self._streams[name].learn(values[at], at_ms) for name, at in _PLACES]
        alarms = [alarm for alarm in told if alarm is not None]
        self.alarms.extend(alarms)
        return alarms

    def state(self) -> None:
        """None: a restored monitor starts over."""

    def draw(self, _now_ms: int) -> None:
        """None: drift is reported as it is detected."""

    def means(self) -> dict[str, float]:
        """The present mean of every stream that has one."""
        return {
            name: float(stream.detector.estimation)
            for name, stream in self._streams.items()
            if stream.reference is not None
        }


def _settled(observation: Observation) -> tuple[float, ...] | None:
    """The features of a settled customer; None for others, and for features of another release."""
    if not observation.features or observation.recency_days > SETTLED_DAYS:
        return None
    try:
        values = observation.values()
    except ValueError:
        return None
    return values if values[_TENURE] >= _SETTLED else None

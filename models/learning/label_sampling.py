"""How many decision points wait for their labels, when one trainer is to keep up with all of them.

Whoever decides asks the snapshot, whose hash is in the log: a replay keeps the same points. Each
that is kept stands for those that are not, by its weight, so that nothing is biased.
"""

from collections.abc import Iterator
from typing import Any

from msgspec import Struct

from config.parameters import Parameters
from models.learning.lessons import Observation
from models.measures import Measure, Sample

#: Fewer are left out only when the rate has fallen this far below the limit: rates vary by weekday.
_SPARE = 0.8


class LabelSampling(Struct, frozen=True, rename="camel"):
    """Of the decision points that a customer's bounds allow, one in ``one_in`` is kept, by a hash:
    1 or a higher power of two. ``labels_per_s``: how many labels there would be of all of them, in
    a second of event time; 0 while nobody asks.
    """

    one_in: int = 1
    labels_per_s: float = 0.0


_ONE_IN = Measure(
    "keepstream_labels_one_in",
    "One in this many decision points waits for its labels; more than 1 by learning.lessons_per_s",
)
MEASURES: tuple[Measure, ...] = (_ONE_IN,)


def samples(drawn: LabelSampling) -> Iterator[Sample]:
    """The share that is kept."""
    yield Sample(_ONE_IN, (), float(drawn.one_in))


class LabelSamplingState(Struct, rename="camel"):
    """``expected_thousandths``: labels to be expected of the customers observed since ``since_ms``,
    each a thousand; whole numbers, so that their sum is the same in any order.
    """

    since_ms: int = 0
    expected_thousandths: int = 0
    drawn: LabelSampling = LabelSampling()


class LabelSamplingLearner:
    """Measures the rate at decision points, a whole horizon before their labels are released."""

    knows_enough = True

    def __init__(self, state: Any, parameters: Parameters) -> None:
        self._state: LabelSamplingState = state or LabelSamplingState()
        self._most_per_s = parameters.learning.lessons_per_s

    def learn(self, observation: Observation) -> None:
        """Count the labels that are expected of one customer."""
        if not self._state.since_ms:
            self._state.since_ms = observation.timestamp_ms
        self._state.expected_thousandths += observation.labels_thousandths

    def state(self) -> LabelSamplingState:
        """The whole state, enough to restore the learner."""
        return self._state

    def draw(self, now_ms: int) -> LabelSampling:
        """What is to be kept from now on, by the rate since this was last asked."""
        state = self._state
        if not self._most_per_s:
            self._state = LabelSamplingState()
        elif state.since_ms and now_ms > state.since_ms:
            # Thousandths a millisecond are units a second.
            rate = state.expected_thousandths / (now_ms - state.since_ms)
            one_in = _one_in(rate / self._most_per_s, state.drawn.one_in)
            self._state = LabelSamplingState(now_ms, 0, LabelSampling(one_in, rate))
        return self._state.drawn


def _one_in(times_too_many: float, before: int) -> int:
    """The lowest power of two that brings the rate below its limit; but not lower than ``before``
    unless there is room to spare.
    """
    one_in = 1
    while one_in < times_too_many or (one_in < before and one_in * _SPARE < times_too_many):
        one_in *= 2
    return one_in

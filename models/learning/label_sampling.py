"""Limits how many decision points wait for their labels, so that one trainer can keep up.

Deciding uses the snapshot, whose hash is in the log, so a replay keeps the same points. Each kept
point stands for those left out, by its weight, so nothing is biased.
"""

from collections.abc import Iterator
from typing import Any

from msgspec import Struct

from config.parameters import Parameters
from models.learning.lessons import Observation
from models.measures import Measure, Sample

#: The sampling is relaxed only when the rate has fallen this far below the limit, because rates
#: vary by weekday.
_SPARE = 0.8


class LabelSampling(Struct, frozen=True, rename="camel"):
    """Of the decision points within a customer's bounds, one in ``one_in`` is kept, chosen by a
    hash; ``one_in`` is a power of two. ``labels_per_s``: the rate of labels if all were kept, per
    second of event time; 0 without a limit.
    """

    one_in: int = 1
    labels_per_s: float = 0.0


_ONE_IN = Measure(
    "keepstream_labels_one_in",
    "One in so many decision points waits for its labels; above 1 only with learning.lessons_per_s",
)
MEASURES: tuple[Measure, ...] = (_ONE_IN,)


def samples(drawn: LabelSampling) -> Iterator[Sample]:
    """The number of decision points of which one is kept."""
    yield Sample(_ONE_IN, (), float(drawn.one_in))


class LabelSamplingState(Struct, rename="camel"):
    """``expected_thousandths``: labels expected from the customers observed since ``since_ms``, in
    thousandths; integers, so that their sum is the same in any order.
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
        """Count the labels that are expected from one customer."""
        if not self._state.since_ms:
            self._state.since_ms = observation.timestamp_ms
        self._state.expected_thousandths += observation.labels_thousandths

    def state(self) -> LabelSamplingState:
        """The whole state, enough to restore the learner."""
        return self._state

    def draw(self, now_ms: int) -> LabelSampling:
        """The sampling from now on, by the rate since the last draw."""
        state = self._state
        if not self._most_per_s:
            self._state = LabelSamplingState()
        elif state.since_ms and now_ms > state.since_ms:
            # Thousandths per millisecond are units per second.
            rate = state.expected_thousandths / (now_ms - state.since_ms)
            one_in = _one_in(rate / self._most_per_s, state.drawn.one_in)
            self._state = LabelSamplingState(now_ms, 0, LabelSampling(one_in, rate))
        return self._state.drawn


def _one_in(times_too_many: float, before: int) -> int:
    """The lowest power of two that brings the rate below its limit, but not lower than ``before``
    unless there is room to spare.
    """
    one_in = 1
    while one_in < times_too_many or (one_in < before and one_in * _SPARE < times_too_many):
        one_in *= 2
    return one_in

"""Counts scores and their outcomes, each in a bin of its logit."""

from math import floor, log

from models.learning.log_odds import clipped
from models.learning.reliability import Bin, Reliability

BINS = 128
_LOGIT_MAX = 8.0
_EPSILON = 1e-6
_SURE = 1.0 - _EPSILON


class _Counts:
    """The mutable counts of a `Bin`."""

    __slots__ = ("count", "positives", "scores")

    def __init__(self, count: int = 0, positives: int = 0, scores: float = 0.0) -> None:
        self.count = count
        self.positives = positives
        self.scores = scores


class ScoreTable:
    """A `Reliability` that keeps counting."""

    __slots__ = (
        "_bins",
        "_count",
        "_examples",
        "_grown",
        "_log_loss_sum",
        "_positives",
        "_stored",
    )

    def __init__(self, state: Reliability | None = None) -> None:
        state = state or Reliability()
        self._bins = {
            index: _Counts(found.count, found.positives, found.scores)
            for index, found in state.bins.items()
        }
        # In the order in which they were first seen.
        self._stored = dict(state.bins)
        # The bins that differ from their stored version, in the order of their first change.
        self._grown: dict[int, _Counts] = {}
        self._count = state.count
        self._positives = state.positives
        self._log_loss_sum = state.log_loss_sum
        self._examples = state.examples

    def learn(self, score: float, came_true: bool, weight: int = 1) -> None:
        """Count one score ``weight`` times."""
        self.add(score, came_true, weight, bin_of(score), log_loss(score, came_true))

    def add(self, score: float, came_true: bool, weight: int, place: int, loss: float) -> None:
        """Like `learn`, with known bin and loss, because several tables count the same score."""
        found = self._bins.get(place)
        if found is None:
            found = self._bins[place] = _Counts()
        self._grown[place] = found
        found.count += weight
        found.scores += weight * score
        if came_true:
            found.positives += weight
            self._positives += weight
        self._count += weight
        self._log_loss_sum += weight * loss
        self._examples += 1

    def state(self) -> Reliability:
        """The counts so far. Read only: unchanged bins are shared with the next state."""
        for place, found in self._grown.items():
            self._stored[place] = Bin(found.count, found.positives, found.scores)
        self._grown.clear()
        return Reliability(
            dict(self._stored),
            self._count,
            self._positives,
            self._log_loss_sum,
            self._examples,
        )


def log_loss(score: float, came_true: bool) -> float:
    """Minus the logarithm of the probability given to the outcome; bounded."""
    # Compared inline, as below: this runs for every score, and a call takes longer.
    if score < _EPSILON:
        score = _EPSILON
    elif score > _SURE:
        score = _SURE
    return -log(score if came_true else 1.0 - score)


def bin_of(score: float) -> int:
    """The bin of a score in (0, 1)."""
    if not 0.0 < score < 1.0:
        return BINS - 1 if score >= 1.0 else 0
    logit = clipped(log(score / (1.0 - score)), _LOGIT_MAX)
    place = floor((logit + _LOGIT_MAX) / (2 * _LOGIT_MAX) * BINS)
    return place if place < BINS else BINS - 1

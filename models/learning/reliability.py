"""The quality of scores: log loss, AUC and calibration, from one mergeable histogram.

Each score is counted in a bin of its logit (`ScoreTable`), so that quality can be computed at any
time without keeping the scores. AUC and calibration are exact up to the width of a bin.
"""

from collections.abc import Sequence
from typing import NamedTuple

from msgspec import Struct

#: Calibration error is the mean over this many bins of equal count.
CALIBRATION_BINS = 15


class Bin(Struct, array_like=True):
    """Scores in one bin: their number, how many came true, and their sum."""

    count: int = 0
    positives: int = 0
    scores: float = 0.0


class Point(NamedTuple):
    """A point of the curve: the mean score, the share that came true, and the number of scores."""

    said: float
    came_true: float
    scores: float


class Reliability(Struct, rename="camel"):
    """Scores and outcomes. All fields but ``examples`` count each score by its weight."""

    bins: dict[int, Bin] = {}
    count: int = 0
    positives: int = 0
    log_loss_sum: float = 0.0
    examples: int = 0

    @property
    def mean_log_loss(self) -> float | None:
        """Mean log loss; None without scores."""
        return self.log_loss_sum / self.count if self.count else None

    @property
    def auc(self) -> float | None:
        """The probability that a score that came true is above one that didn't, ties counting half;
        None unless there are both.
        """
        return auc(self.in_order(), self.count, self.positives)

    @property
    def calibration_error(self) -> float | None:
        """Mean gap between mean score and share that came true, over bins of equal count."""
        return calibration_error(curve(self.in_order(), self.count), self.count)

    def in_order(self) -> list[Bin]:
        """The bins, lowest scores first."""
        bins = self.bins
        return [bins[index] for index in sorted(bins)]

    def merged(self, other: "Reliability") -> "Reliability":
        """The sum of both; it shares bins with them."""
        bins = dict(self.bins)
        for index, found in other.bins.items():
            if index in bins:
                before = bins[index]
                bins[index] = Bin(
                    before.count + found.count,
                    before.positives + found.positives,
                    before.scores + found.scores,
                )
            else:
                bins[index] = found
        return Reliability(
            dict(sorted(bins.items())),
            self.count + other.count,
            self.positives + other.positives,
            self.log_loss_sum + other.log_loss_sum,
            self.examples + other.examples,
        )

    def since(self, earlier: "Reliability") -> "Reliability | None":
        """What was counted since ``earlier``, an earlier state of this; None if it is not one."""
        bins: dict[int, Bin] = {}
        for index in sorted(self.bins.keys() | earlier.bins.keys()):
            found, before = self.bins.get(index, Bin()), earlier.bins.get(index, Bin())
            count, positives = found.count - before.count, found.positives - before.positives
            if not 0 <= positives <= count:
                return None
            if count:
                bins[index] = Bin(count, positives, found.scores - before.scores)
        return Reliability(
            bins,
            self.count - earlier.count,
            self.positives - earlier.positives,
            self.log_loss_sum - earlier.log_loss_sum,
            self.examples - earlier.examples,
        )


def auc(bins: Sequence[Bin], count: int, positives: int) -> float | None:
    """`Reliability.auc` of bins in order that hold ``count`` scores."""
    negatives = count - positives
    if not negatives or not positives:
        return None
    below, wins = 0, 0.0
    for found in bins:
        came_true = found.positives
        losers = found.count - came_true
        wins += came_true * (below + losers / 2)
        below += losers
    return wins / (positives * negatives)


def curve(bins: Sequence[Bin], count: int) -> list[Point]:
    """The reliability curve of bins in order: bins of equal count, lowest scores first."""
    size = count / CALIBRATION_BINS
    points: list[Point] = []
    said = true = held = 0.0
    room = size
    for found in bins:
        number, scores, positives = float(found.count), found.scores, found.positives
        left = number
        while left > 0.0:
            # A histogram bin that crosses the edge of an equal-count bin is divided between the
            # two.
            part = left if left <= room else room
            said += scores * part / number
            true += positives * part / number
            held += part
            left -= part
            room -= part
            if room <= 1e-9:
                points.append(Point(said / held, true / held, held))
                said = true = held = 0.0
                room = size
    return [*points, Point(said / held, true / held, held)] if held else points


def calibration_error(points: Sequence[Point], count: int) -> float | None:
    """`Reliability.calibration_error` from the curve of ``count`` scores."""
    if not count:
        return None
    gaps = 0.0
    for said, came_true, scores in points:
        gaps += abs(said - came_true) * scores
    return gaps / count

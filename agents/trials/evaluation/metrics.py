"""Exact measures of score quality, and their uncertainty over customers."""

from typing import NamedTuple

import numpy as np
from msgspec import Struct

from agents.trials.evaluation.decisions import Bools, Floats, Ints

CALIBRATION_BINS = 15
REPLICATES = 400
_INTERVAL = (2.5, 97.5)
_EPSILON = 1e-6


class Interval(Struct, frozen=True):
    """An estimate, and the 95 % percentile interval over bootstrap samples of the customers."""

    estimate: float
    low: float
    high: float


class Ranking:
    """Scores prepared for computing AUCs with many weightings of the same rows."""

    def __init__(self, scores: Floats, outcomes: Bools) -> None:
        self._order = np.argsort(scores, kind="stable")
        ordered = scores[self._order]
        self._positive = outcomes[self._order]
        # The start of each run of equal scores.
        self._starts = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))

    def auc(self, weights: Floats | None = None) -> float:
        """The probability that a positive row scores above a negative one, ties counting half; NaN
        if there is only one class. A row of weight 2 counts as two rows.
        """
        weight = np.ones(len(self._order)) if weights is None else weights[self._order]
        positives = np.add.reduceat(np.where(self._positive, weight, 0.0), self._starts)
        negatives = np.add.reduceat(np.where(self._positive, 0.0, weight), self._starts)
        pairs = positives.sum() * negatives.sum()
        if not pairs:
            return float("nan")
        below = np.cumsum(negatives) - negatives
        return float(np.sum(positives * (below + negatives / 2.0)) / pairs)


def auc(scores: Floats, outcomes: Bools) -> float:
    """See `Ranking.auc`."""
    return Ranking(scores, outcomes).auc()


def log_loss(scores: Floats, outcomes: Bools) -> float:
    """The mean of minus the logarithm of the probability given to what happened, in nats."""
    said = np.clip(scores, _EPSILON, 1.0 - _EPSILON)
    return float(-np.mean(np.log(np.where(outcomes, said, 1.0 - said))))


class CalibrationBin(NamedTuple):
    """Rows of similar scores: their number, their mean score, and the share that came true."""

    rows: int
    said: float
    true: float


def calibration(
    scores: Floats, outcomes: Bools, bins: int = CALIBRATION_BINS
) -> list[CalibrationBin]:
    """Bins of equal count; the first few have one row more if the rows don't divide evenly."""
    order = np.argsort(scores, kind="stable")
    parts = (part for part in np.array_split(order, bins) if len(part))
    return [
        CalibrationBin(len(part), float(scores[part].mean()), float(outcomes[part].mean()))
        for part in parts
    ]


def calibration_error(scores: Floats, outcomes: Bools) -> float:
    """The mean gap between mean score and observed share, over bins of equal count."""
    bins = calibration(scores, outcomes)
    return sum(b.rows * abs(b.said - b.true) for b in bins) / sum(b.rows for b in bins)


class Bootstrap:
    """Draws customers with replacement, each with all of their rows.

    Rows of one customer are correlated, so drawing rows would give intervals that are too narrow.
    All scorers use the same draws, so their differences are paired.
    """

    def __init__(self, customer: Ints, seed: int, replicates: int = REPLICATES) -> None:
        codes, self._code = np.unique(customer, return_inverse=True)
        self.customers = len(codes)
        chance = np.random.default_rng(seed)
        self._draws = [
            np.bincount(
                chance.integers(0, self.customers, self.customers), minlength=self.customers
            ).astype(np.float64)
            for _ in range(replicates)
        ]

    def aucs(self, ranking: Ranking) -> Floats:
        """The AUC of every draw."""
        return np.array([ranking.auc(draw[self._code]) for draw in self._draws])


def interval(estimate: float, replicates: Floats) -> Interval:
    """The estimate with the percentile interval of its replicates."""
    low, high = np.nanpercentile(replicates, _INTERVAL) if np.isfinite(estimate) else (np.nan,) * 2
    return Interval(estimate, float(low), float(high))

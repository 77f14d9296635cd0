"""The features of the batch models, computed from the purchases alone.

No code is shared with the engine, so an error there does not affect its competitors.
"""

from typing import NamedTuple

import numpy as np

from agents.trials.evaluation import bgnbd
from agents.trials.evaluation.buying import histories, most_likely, p_no_purchase
from agents.trials.evaluation.decisions import Decisions, Floats, Ints, Past, PurchaseTable, past
from agents.trials.evaluation.log import everybody

HALF_LIVES_DAYS = (7.0, 28.0, 84.0)
NAMES = (
    *(f"orders_{days:g}d" for days in HALF_LIVES_DAYS),
    *(f"spend_{days:g}d" for days in HALF_LIVES_DAYS),
    "recency",
    "recency_squared",
    "tenure",
    "frequency",
    "spend",
    "trend",
    "recency_over_gap",
    "overdue",
    "gap_variation",
    "one_timer",
    "bgnbd",
)
REFIT_DAYS = 28
#: The weight of the population's median, in numbers of own gaps.
_GAP_WEIGHT = 2.0
_OVERDUE_MAX = 10.0
_LOGIT_MAX = 6.0


class Fit(NamedTuple):
    """What was known of the population at the end of ``day``: the BG/NBD fit, and the usual gap."""

    day: int
    parameters: Floats
    gap_days: float


def fits(bought: PurchaseTable) -> list[Fit]:
    """One fit every `REFIT_DAYS`, from the purchases up to then; none before a customer bought
    twice.
    """
    found: list[Fit] = []
    gaps, ends = _gaps(bought)
    for day in range(REFIT_DAYS, bought.last_day + 1, REFIT_DAYS):
        earlier = gaps[ends <= day]
        if not len(earlier):
            continue
        seen = histories(past(bought, everybody(bought, day)))
        parameters = most_likely(bgnbd.log_likelihood, seen, bgnbd.BEGIN)
        found.append(Fit(day, parameters, float(np.median(earlier))))
    return found


def _gaps(bought: PurchaseTable) -> tuple[Floats, Ints]:
    """Every gap between two purchase days of a customer, and the day on which it ended."""
    is_same = bought.owner[1:] == bought.owner[:-1]
    gaps = np.diff(bought.days)[is_same].astype(np.float64)
    return gaps, bought.days[1:][is_same]


def bgnbd_scores(at: Decisions, seen: Past, made: list[Fit], horizon_days: float) -> Floats:
    """P0 by the latest fit of a decision's day or before; NaN before the first."""
    scores = np.full(len(at.day), np.nan)
    for fit, end in zip(made, [*(fit.day for fit in made[1:]), None], strict=True):
        rows = at.day >= fit.day if end is None else (at.day >= fit.day) & (at.day < end)
        scores[rows] = p_no_purchase(
            bgnbd.log_likelihood, fit.parameters, seen.only(rows), horizon_days
        )
    return scores


class Features:
    """One row for each decision, with columns in the order of `NAMES`, computed with any one fit of
    the population.

    A batch model recomputes its training rows with the fit that it will score with, because rows of
    the first weeks have no fit of their own.
    """

    def __init__(self, bought: PurchaseTable, at: Decisions, horizon_days: float) -> None:
        self.seen = past(bought, at)
        self._horizon_days = horizon_days
        seen = self.seen
        self._orders = _decayed(bought, seen, bought.orders)
        self._spend = _decayed(bought, seen, bought.spend)
        self._total = _total_spend(bought)[seen.place]
        self._gaps = [table[seen.place] for table in _gap_statistics(bought)]

    def table(self, fit: Fit) -> Floats:
        """All rows, computed with ``fit``."""
        seen, orders = self.seen, self._orders
        median, mean, deviation = self._gaps
        is_one_timer = seen.repeats == 0
        # Shrunk towards the population's gap while there are few.
        typical = (seen.repeats * median + _GAP_WEIGHT * fit.gap_days) / (
            seen.repeats + _GAP_WEIGHT
        )
        mean = np.where(is_one_timer, typical, mean)
        deviation = np.where(is_one_timer, typical, deviation)
        overdue = (seen.recency - mean) / np.sqrt(deviation**2 + 1.0)
        recency = np.log1p(seen.recency)
        silent = p_no_purchase(bgnbd.log_likelihood, fit.parameters, seen, self._horizon_days)
        columns = (
            *(np.log1p(level) for level in orders),
            *(np.log1p(level) for level in self._spend),
            recency,
            recency**2,
            np.log1p(seen.life),
            np.log1p(seen.repeats),
            np.log1p(self._total),
            np.log((orders[1] + 0.1) / (orders[2] + 0.3)),
            np.log((seen.recency + 1.0) / (typical + 1.0)),
            np.clip(overdue, -_OVERDUE_MAX, _OVERDUE_MAX),
            deviation / (mean + 1.0),
            is_one_timer.astype(np.float64),
            _logit(silent),
        )
        return np.column_stack(columns)


def _decayed(bought: PurchaseTable, seen: Past, amounts: Floats) -> list[Floats]:
    """The decayed sum of ``amounts`` at each decision, for each half-life."""
    found = []
    for half_life in HALF_LIVES_DAYS:
        grown = np.empty(len(bought.days))
        for start, end in zip(bought.starts[:-1], bought.starts[1:], strict=True):
            since = bought.days[start:end] - bought.days[start]
            # Weights grow instead of shrinking, so that one cumulative sum serves every later
            # moment.
            grown[start:end] = np.cumsum(amounts[start:end] * np.exp2(since / half_life))
        found.append(grown[seen.place] * np.exp2(-seen.life / half_life))
    return found


def _total_spend(bought: PurchaseTable) -> Floats:
    total = np.empty(len(bought.days))
    for start, end in zip(bought.starts[:-1], bought.starts[1:], strict=True):
        total[start:end] = np.cumsum(bought.spend[start:end])
    return total


def _gap_statistics(bought: PurchaseTable) -> tuple[Floats, Floats, Floats]:
    """Median, mean and standard deviation of a customer's gaps up to each purchase day."""
    median, mean, deviation = (np.zeros(len(bought.days)) for _ in range(3))
    for start, end in zip(bought.starts[:-1], bought.starts[1:], strict=True):
        gaps = np.diff(bought.days[start:end]).astype(np.float64)
        for count in range(1, len(gaps) + 1):
            median[start + count] = np.median(gaps[:count])
        counts = np.arange(1, len(gaps) + 1)
        means = np.cumsum(gaps) / counts
        mean[start + 1 : end] = means
        squares = np.cumsum(gaps**2) / counts
        deviation[start + 1 : end] = np.sqrt(np.maximum(squares - means**2, 0.0))
    return median, mean, deviation


def _logit(probability: Floats) -> Floats:
    bound = 1.0 / (1.0 + np.exp(_LOGIT_MAX))
    clipped = np.clip(probability, bound, 1.0 - bound)
    found: Floats = np.log(clipped / (1.0 - clipped))
    return found

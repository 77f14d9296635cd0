"""BG/NBD as a River classifier for customers who will not buy again within a horizon."""

from math import inf, isfinite
from typing import Any

from river import base
from river.base.typing import ClfTarget

from models.learning.bgnbd import BgNbd, Cell, cell_of, fit
from models.learning.purchases_ahead import p_no_purchase

NAMES = ("repeats", "last", "life")
_FIRST_FIT = 64


class BgNbdClassifier(base.Classifier):
    """P(no purchase within ``horizon_weeks``) from how often and how recently a customer bought.

    It reads three features and ignores all others: ``repeats``, the number of purchase days after
    the first; ``last`` and ``life``, the days from the first purchase to the last one and to now.
    An example without them is not counted and gets 0.5, as does every example before the first fit.

    Needs no label: `learn_one` counts one customer in the count table, whatever ``y`` is. Each
    example counts as another customer, so one that is seen twice has twice the weight. The
    parameters are refitted every ``refit_every`` examples, and before that whenever the number of
    examples has doubled, from 64 on.

    >>> model = BgNbdClassifier(horizon_weeks=4.0)
    >>> for day in range(640):
    ...     repeats = day % 8
    ...     model.learn_one({"repeats": repeats, "last": 7 * repeats, "life": 90 + day % 60}, True)
    >>> lately, long_ago = ({"repeats": 6, "last": last, "life": 100} for last in (95, 30))
    >>> model.predict_proba_one(lately)[True] < model.predict_proba_one(long_ago)[True]
    True
    """

    def __init__(self, horizon_weeks: float = 4.0, refit_every: int = 10_000) -> None:
        if not horizon_weeks > 0.0:
            raise ValueError(f"horizon_weeks must be above 0, not {horizon_weeks}")
        if refit_every < 1:
            raise ValueError(f"refit_every must be at least 1, not {refit_every}")
        self.horizon_weeks = horizon_weeks
        self.refit_every = refit_every
        self.counts: dict[Cell, int] = {}
        self.fitted: BgNbd | None = None
        self._counted = 0
        self._next_fit = min(_FIRST_FIT, refit_every)

    def learn_one(self, x: dict[Any, Any], y: ClfTarget) -> None:  # noqa: ARG002 - needs no label
        """Count one customer, and refit if that is due."""
        history = _history(x)
        if history is None:
            return
        cell = cell_of(*history)
        self.counts[cell] = self.counts.get(cell, 0) + 1
        self._counted += 1
        if self._counted == self._next_fit:
            self.fitted = fit(self.counts, self.fitted)
            self._next_fit += min(self._counted, self.refit_every)

    def predict_proba_one(self, x: dict[Any, Any], **_: Any) -> dict[ClfTarget, float]:
        """0.5 before the first fit, and without the features."""
        history = _history(x)
        if history is None or self.fitted is None:
            return {False: 0.5, True: 0.5}
        repeats, last, life = history
        quiet = p_no_purchase(self.fitted, repeats, last / 7.0, life / 7.0, self.horizon_weeks)
        return {False: 1.0 - quiet, True: quiet}


def _history(x: dict[Any, Any]) -> tuple[int, float, float] | None:
    """Repeats, last and life in days; None if one of them is missing."""
    if not all(name in x for name in NAMES):
        return None
    repeats, last, life = (float(x[name]) for name in NAMES)
    if not (0.0 <= repeats < inf and 0.0 <= last <= life and isfinite(life)):
        raise ValueError(f"expected repeats >= 0 and 0 <= last <= life, not {repeats, last, life}")
    return int(repeats), last, life

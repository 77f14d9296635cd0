"""Batch models, retrained every few weeks on the labels that had matured by then.

A label matures at the end of its horizon, as in the engine. A model of day R learns from the
decisions of day R - horizon and before, and scores those of day R and after, until the next model.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from agents.trials.evaluation.decisions import Bools, Decisions, Floats
from agents.trials.evaluation.failure import not_installed
from agents.trials.evaluation.features import Features, Fit

LOGISTIC_REFIT_DAYS = 28
BOOSTING_REFIT_DAYS = 56
#: Labels of each class that a model needs.
_LABELS_MIN = 50
#: scikit-learn's models have no types.
Model = Any


def one_thread() -> AbstractContextManager[Any]:
    """Limits scikit-learn and scipy to one thread: the figures are the same on any number of cores,
    and no threads wait for each other over small fits.

    Raises ``EvaluationFailed`` if it is not installed.
    """
    try:
        import sklearn.ensemble  # noqa: F401, PLC0415 - optional, and a second to import
        from threadpoolctl import threadpool_limits  # noqa: PLC0415
    except ImportError:
        raise not_installed("scikit-learn") from None
    limited: AbstractContextManager[Any] = threadpool_limits(limits=1)
    return limited


def logistic() -> Model:
    """Logistic regression on standardized features, with a penalty: in its first months a cohort is
    always older than all data there is to learn from.
    """
    from sklearn.linear_model import LogisticRegression  # noqa: PLC0415
    from sklearn.pipeline import make_pipeline  # noqa: PLC0415
    from sklearn.preprocessing import StandardScaler  # noqa: PLC0415

    return make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=1_000))


def boosting() -> Model:
    """Gradient boosting on histograms, with small steps, small trees and large leaves, because
    labels are noisy and features correlated.
    """
    from sklearn.ensemble import HistGradientBoostingClassifier  # noqa: PLC0415

    return HistGradientBoostingClassifier(
        learning_rate=0.05,
        max_iter=80,
        max_leaf_nodes=8,
        min_samples_leaf=200,
        max_features=0.3,
        early_stopping=False,
        random_state=0,
    )


class Lessons(NamedTuple):
    """What batch models learn from: decisions, their features, and their outcomes."""

    at: Decisions
    features: Features
    made: list[Fit]
    churned: Bools
    horizon_days: int

    def matured(self, day: int) -> Bools:
        """The decisions whose horizon had ended by the end of ``day``."""
        found: Bools = self.at.day + self.horizon_days <= day
        return found


def refit_scores(make: Callable[[], Model], lessons: Lessons, refit_days: int) -> Floats:
    """The churn probability by the latest model from the decision's day or before; NaN before the
    first model. A model sees only the outcomes of decisions that had matured by its day.
    """
    at = lessons.at
    scores = np.full(len(at.day), np.nan)
    for fit in lessons.made:
        if fit.day % refit_days:
            continue
        asked = (at.day >= fit.day) & (at.day < fit.day + refit_days)
        matured = lessons.matured(fit.day)
        labels = lessons.churned[matured]
        if min(labels.sum(), (~labels).sum()) < _LABELS_MIN or not asked.any():
            continue
        table = lessons.features.table(fit)
        model = make().fit(table[matured], labels)
        scores[asked] = _p_churned(model, table[asked])
    return scores


def _p_churned(model: Model, features: NDArray[np.float64]) -> Floats:
    found: Floats = model.predict_proba(features)[:, 1]
    return found

"""Batch models, trained anew every few weeks on the labels that had matured by then.

A label matures at the end of its horizon, here as in the engine: a model of day R learns from the
decisions of day R - horizon and before, and answers those of day R and after, until the next.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agents.evaluation.decisions import Bools, Decisions, Floats
from agents.evaluation.failure import not_installed

LOGISTIC_REFIT_DAYS = 28
BOOSTING_REFIT_DAYS = 56
#: Labels of either kind before a model is worth training.
_LABELS_MIN = 50
#: scikit-learn's models have no types.
Model = Any


def logistic() -> Model:
    """Standardized features, next to no penalty."""
    _require_sklearn()
    from sklearn.linear_model import LogisticRegression  # noqa: PLC0415
    from sklearn.pipeline import make_pipeline  # noqa: PLC0415
    from sklearn.preprocessing import StandardScaler  # noqa: PLC0415

    return make_pipeline(StandardScaler(), LogisticRegression(C=1.0, max_iter=1_000))


def boosting() -> Model:
    """Gradient boosted trees of histograms: small steps and large leaves, for labels are noisy."""
    _require_sklearn()
    from sklearn.ensemble import HistGradientBoostingClassifier  # noqa: PLC0415

    return HistGradientBoostingClassifier(
        learning_rate=0.05,
        max_iter=150,
        max_leaf_nodes=15,
        min_samples_leaf=100,
        l2_regularization=1.0,
        early_stopping=False,
        random_state=0,
    )


def refit_scores(
    make: Callable[[], Model],
    features: Floats,
    at: Decisions,
    churned: Bools,
    horizon_days: int,
    refit_days: int,
) -> Floats:
    """The probability of churn by the latest model of a decision's day or before; NaN before the
    first. ``churned`` is read at decisions whose horizon had ended by the day of a model alone.
    """
    scores = np.full(len(at.day), np.nan)
    last_day = int(at.day.max())
    for day in range(refit_days, last_day + 1, refit_days):
        asked = (at.day >= day) & (at.day < day + refit_days)
        matured = at.day + horizon_days <= day
        labels = churned[matured]
        if min(labels.sum(), (~labels).sum()) < _LABELS_MIN or not asked.any():
            continue
        model = make().fit(features[matured], labels)
        scores[asked] = _p_churned(model, features[asked])
    return scores


def _p_churned(model: Model, features: NDArray[np.float64]) -> Floats:
    found: Floats = model.predict_proba(features)[:, 1]
    return found


def _require_sklearn() -> None:
    try:
        import sklearn  # noqa: F401, PLC0415
    except ImportError:
        raise not_installed("scikit-learn") from None

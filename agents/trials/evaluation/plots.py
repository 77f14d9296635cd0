"""Three plots for each data set: calibration, quality over time, and the customers found."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from agents.trials.evaluation.comparison import BGNBD, BOOSTING, KEEPSTREAM, RECENCY
from agents.trials.evaluation.evaluation import EvaluationVerdict, Judged
from agents.trials.evaluation.failure import not_installed
from agents.trials.evaluation.metrics import auc, calibration

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PERIOD_DAYS = 28
#: Decisions of either outcome that a period needs for a meaningful AUC.
_OUTCOMES_MIN = 30
_PROBABILITIES = (KEEPSTREAM, BGNBD, BOOSTING)


def draw(verdict: EvaluationVerdict, judged: Judged, directory: Path) -> list[Path]:
    """Write the plots as PNG. Raises ``EvaluationFailed`` without matplotlib."""
    try:
        # Without pyplot: no window, no global state.
        from matplotlib.figure import Figure  # noqa: PLC0415 - optional, a second to import
    except ImportError:
        raise not_installed("matplotlib") from None
    directory.mkdir(parents=True, exist_ok=True)
    written = []
    pictures = {"reliability": _reliability, "auc-over-time": _over_time, "gains": _gains}
    for name, picture in pictures.items():
        figure = Figure(figsize=(7, 5), layout="constrained")
        axes = figure.subplots()
        picture(axes, judged)
        axes.set_title(f"{verdict.title}, {verdict.horizon_days} days")
        axes.grid(alpha=0.3)
        axes.legend()
        path = directory / f"{verdict.name}-{name}.png"
        figure.savefig(path, dpi=120)
        written.append(path)
    return written


def _reliability(axes: "Axes", judged: Judged) -> None:
    for name in _PROBABILITIES:
        bins = calibration(judged.scores[name], judged.churned)
        axes.plot([b.said for b in bins], [b.true for b in bins], marker="o", label=name)
    axes.plot([0, 1], [0, 1], color="grey", linestyle=":", label="what is said comes true")
    axes.set_xlabel("mean score, in bins of equal count")
    axes.set_ylabel("share without a purchase")


def _over_time(axes: "Axes", judged: Judged) -> None:
    period = judged.at.day // PERIOD_DAYS
    for name, said in judged.scores.items():
        days, aucs = [], []
        for number in np.unique(period):
            rows = period == number
            churned = judged.churned[rows]
            if min(churned.sum(), (~churned).sum()) >= _OUTCOMES_MIN:
                days.append(int(number) * PERIOD_DAYS)
                aucs.append(auc(said[rows], churned))
        axes.plot(days, aucs, marker="o", label=name)
    axes.set_xlabel(f"first day of {PERIOD_DAYS}")
    axes.set_ylabel("AUC of the period's decisions")


def _gains(axes: "Axes", judged: Judged) -> None:
    share = np.arange(1, len(judged.churned) + 1) / len(judged.churned)
    for name in (*_PROBABILITIES, RECENCY):
        order = np.argsort(-judged.scores[name], kind="stable")
        found = np.cumsum(judged.churned[order]) / judged.churned.sum()
        lift = found[len(found) // 10] / share[len(found) // 10]
        axes.plot(share, found, label=f"{name} (lift of the first tenth {lift:.2f})")
    axes.plot([0, 1], [0, 1], color="grey", linestyle=":", label="at random")
    axes.set_xlabel("share of decisions, the highest scores first")
    axes.set_ylabel("share of the silent ones found")

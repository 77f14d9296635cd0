"""All scorers on exactly the same rows, by kind of decision."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from msgspec import Struct

from agents.trials.evaluation.decisions import (
    ALL_KINDS,
    CHECK_IN,
    PURCHASE,
    Bools,
    Decisions,
    Floats,
    Outcomes,
)
from agents.trials.evaluation.failure import EvaluationFailed
from agents.trials.evaluation.metrics import (
    Bootstrap,
    Interval,
    Ranking,
    calibration_error,
    interval,
    log_loss,
)

KEEPSTREAM, RECENCY = "Keepstream", "recency"
BGNBD, PARETONBD = "BG/NBD", "Pareto/NBD"
LOGISTIC, BOOSTING = "batch logistic regression", "batch gradient boosting"
#: Scores that rank customers but are no probabilities.
_NO_PROBABILITY = frozenset({RECENCY})
#: Days after the first label; before that, models that learn from labels have hardly any.
WARM_UP_DAYS = 56


class ScorerFigures(Struct, frozen=True, rename="camel"):
    """The results of one scorer; without log loss and calibration error if its scores are no
    probabilities. ``lead``: Keepstream's AUC minus this scorer's, paired.
    """

    scorer: str
    auc: Interval
    lead: Interval
    log_loss: float | None
    calibration_error: float | None


class Comparison(Struct, frozen=True, rename="camel"):
    """All scorers on the decisions of one kind; ``ratio``: Keepstream's AUC divided by gradient
    boosting's, paired.
    """

    kind: str
    rows: int
    customers: int
    churned_share: float
    scorers: tuple[ScorerFigures, ...]
    ratio: Interval


class JudgedRows(NamedTuple):
    """The decisions that are judged, and why the others are not."""

    judged: Bools
    asked: int
    matured: int
    warm: int
    unanswered: int


def rows_to_judge(
    at: Decisions, outcome: Outcomes, scores: Mapping[str, Floats], horizon_days: int
) -> JudgedRows:
    """Decisions after the warm-up with a known outcome and a score from every scorer.

    Raises ``EvaluationFailed`` if there are none.
    """
    is_warm = at.day >= horizon_days + WARM_UP_DAYS
    answered = np.logical_and.reduce([np.isfinite(said) for said in scores.values()])
    eligible = outcome.is_known & is_warm
    judged = eligible & answered
    if not judged.any():
        raise EvaluationFailed("there is no decision that every scorer has an answer to")
    return JudgedRows(
        judged,
        asked=len(at.day),
        matured=int(outcome.is_known.sum()),
        warm=int(eligible.sum()),
        unanswered=int((eligible & ~answered).sum()),
    )


def compare(
    at: Decisions, churned: Bools, scores: Mapping[str, Floats], seed: int
) -> list[Comparison]:
    """The comparison by kind, all kinds together first; every row has a score from every scorer."""
    kinds = (ALL_KINDS, PURCHASE, CHECK_IN)
    return [_of_kind(kind, at, churned, scores, seed) for kind in kinds]


def _of_kind(
    kind: str, at: Decisions, churned: Bools, scores: Mapping[str, Floats], seed: int
) -> Comparison:
    rows = at.of_kind(kind)
    came_true = churned[rows]
    bootstrap = Bootstrap(at.customer[rows], seed)
    rankings = {name: Ranking(said[rows], came_true) for name, said in scores.items()}
    aucs = {name: ranking.auc() for name, ranking in rankings.items()}
    drawn = {name: bootstrap.aucs(ranking) for name, ranking in rankings.items()}
    told = []
    for name, said in scores.items():
        is_probability = name not in _NO_PROBABILITY
        told.append(
            ScorerFigures(
                name,
                interval(aucs[name], drawn[name]),
                interval(aucs[KEEPSTREAM] - aucs[name], drawn[KEEPSTREAM] - drawn[name]),
                log_loss(said[rows], came_true) if is_probability else None,
                calibration_error(said[rows], came_true) if is_probability else None,
            )
        )
    return Comparison(
        kind,
        rows=int(rows.sum()),
        customers=bootstrap.customers,
        churned_share=float(came_true.mean()),
        scorers=tuple(told),
        ratio=interval(aucs[KEEPSTREAM] / aucs[BOOSTING], drawn[KEEPSTREAM] / drawn[BOOSTING]),
    )

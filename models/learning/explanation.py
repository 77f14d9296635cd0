"""Why a score is what it is: what each group of features adds to its log odds, and in words.

Computed when a decision fires or a profile is read, never for a score by itself.
"""

from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import NamedTuple

from msgspec import Struct

from config.parameters import Parameters
from models.customer.row import Row
from models.learning.churn import Assessment, Churn
from models.learning.explanation_words import Group, Words
from models.learning.features import NAMES
from models.learning.scorers import SCORERS, Scorer, log_odds_of, shares
from models.learning.snapshot import Snapshot

_BASELINE = SCORERS.index(Scorer.BASELINE)
#: What rounding leaves of a sum; more than that was cut off.
_ROUNDING = 1e-9

#: Which group a feature is told with; every feature has one.
GROUP_OF: dict[str, Group] = {
    "orders_7d": Group.FREQUENCY,
    "orders_28d": Group.FREQUENCY,
    "orders_84d": Group.FREQUENCY,
    "spend_7d": Group.SPEND,
    "spend_28d": Group.SPEND,
    "spend_84d": Group.SPEND,
    "recency": Group.RHYTHM,
    "recency_squared": Group.RHYTHM,
    "tenure": Group.TENURE,
    "frequency": Group.FREQUENCY,
    "spend": Group.SPEND,
    "trend": Group.TREND,
    "recency_over_gap": Group.RHYTHM,
    "overdue": Group.RHYTHM,
    "gap_variation": Group.RHYTHM,
    "one_timer": Group.FREQUENCY,
    "bgnbd": Group.PATTERN,
    "days_28d": Group.FREQUENCY,
    "recency_by_orders": Group.RHYTHM,
    "bgnbd_by_orders": Group.PATTERN,
    "longer_gaps": Group.RHYTHM,
    "intensity": Group.ENGAGEMENT,
    "views": Group.ENGAGEMENT,
    "unseen": Group.ENGAGEMENT,
    "open_tickets": Group.SERVICE,
    "unhappy": Group.SERVICE,
}


class Direction(StrEnum):
    """What a part does to the probability of churn."""

    RAISES = "raises"
    LOWERS = "lowers"


class Parts(NamedTuple):
    """A score's ``log_odds``, as one number for everybody and what moves it.

    ``terms``: what each feature adds, in the order of `features.NAMES`; ``formula``: what BG/NBD
    adds by itself. They may add up to more: what a scorer says is limited.
    """

    base: float
    terms: Sequence[float]
    formula: float
    log_odds: float


class GroupContribution(Struct, frozen=True):
    """What one group of features adds to the log odds, and what the customer did to make it so."""

    group: Group
    contribution: float
    direction: Direction
    words: str


class Explanation(Struct, frozen=True, rename="camel"):
    """``base`` and the contributions add up to ``log_odds``, those of the score as served.

    ``groups``: those that move the score, the strongest first.
    """

    base: float
    groups: tuple[GroupContribution, ...]
    log_odds: float


def explanation(
    row: Row,
    at_ms: int,
    assessment: Assessment,
    churn: Churn,
    snapshot: Snapshot,
    parameters: Parameters,
) -> Explanation:
    """Why ``churn``, one of the assessment's scores, is what it is."""
    words = Words(row, assessment.history, at_ms, snapshot.gap_days, parameters)
    parts = parts_of(assessment.features, churn, snapshot, parameters)
    return explained(parts, lambda group: words.of(group, churn))


def explanations(
    row: Row, at_ms: int, assessment: Assessment, snapshot: Snapshot, parameters: Parameters
) -> tuple[Explanation, ...]:
    """Why the scores are what they are, in the order of ``assessment.churn``."""
    words = Words(row, assessment.history, at_ms, snapshot.gap_days, parameters)

    def told(churn: Churn) -> Explanation:
        parts = parts_of(assessment.features, churn, snapshot, parameters)
        return explained(parts, lambda group: words.of(group, churn))

    return tuple(told(churn) for churn in assessment.churn)


def explained(parts: Parts, words: Callable[[Group], str]) -> Explanation:
    """The parts by group, each added up in the order of the features, the groups in theirs.

    Where the log odds were limited, what was cut off is a group of its own: the sum still is the
    score's.
    """
    sums = dict.fromkeys(Group, 0.0)
    for name, term in zip(NAMES, parts.terms, strict=True):
        sums[GROUP_OF[name]] += term
    sums[Group.PATTERN] += parts.formula
    total = parts.base
    for contribution in sums.values():
        total += contribution
    cut = parts.log_odds - total
    sums[Group.LIMIT] = cut if abs(cut) > _ROUNDING else 0.0
    groups = [
        GroupContribution(
            group,
            contribution,
            Direction.RAISES if contribution > 0 else Direction.LOWERS,
            words(group),
        )
        for group, contribution in sums.items()
        if contribution
    ]
    # Of equals in the order of the groups: sorting keeps it.
    groups.sort(key=lambda found: -abs(found.contribution))
    return Explanation(parts.base, tuple(groups), parts.log_odds)


def parts_of(
    features: tuple[float, ...], churn: Churn, snapshot: Snapshot, parameters: Parameters
) -> Parts:
    """What the score's log odds are made of, by whoever's word it is.

    What was learnt starts from an average customer; the formula alone, and what is assumed, from
    ``churn.prior``, which is what is said of somebody about whom nothing is known.
    """
    models = snapshot.churn.get(f"{churn.horizon_days:g}")
    formula = churn.said.log_odds[_BASELINE]
    scorer = churn.scorer
    if scorer is None or scorer is Scorer.BASELINE or models is None:
        base, served = log_odds_of(parameters.churn.prior), log_odds_of(churn.probability)
        return Parts(base, (0.0,) * len(NAMES), served - base, served)
    served = log_odds_of(churn.probability)
    logistic, bayesian, by_formula = shares(scorer, has_formula=formula is not None)
    base = logistic * models.logistic.intercept + bayesian * models.bayesian.intercept
    if scorer is Scorer.RECALIBRATED:
        base += models.shift
    terms = tuple(
        (logistic * one + bayesian * other) * ((value - mean) / deviation) if deviation else 0.0
        for value, mean, deviation, one, other in zip(
            features,
            models.means,
            models.deviations,
            models.logistic.weights,
            models.bayesian.weights,
            strict=True,
        )
    )
    return Parts(base, terms, by_formula * (formula or 0.0), served)

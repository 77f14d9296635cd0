"""Why a score is what it is: what each group of features adds to its log odds, and in words.

Computed when a decision fires or a profile is read, never for a score by itself.
"""

from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import NamedTuple

from msgspec import Struct

from config.parameters import Parameters
from models.customer.row import Row
from models.learning.churn import LOG_ODDS_MAX, Assessment, Churn, Source, log_odds
from models.learning.explanation_words import Group, Words
from models.learning.features import NAMES
from models.learning.snapshot import LinearModel, Snapshot

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
    """A score's log odds, before they are limited, as one number for everybody and what moves it.

    ``terms``: what each feature adds, in the order of `features.NAMES`; ``formula``: what BG/NBD
    adds by itself.
    """

    base: float
    terms: Sequence[float]
    formula: float


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
    parts = parts_of(assessment.features, churn, snapshot, parameters)
    words = Words(row, assessment.history, at_ms, snapshot.gap_days, parameters)
    return explained(parts, lambda group: words.of(group, churn))


def explanations(
    row: Row, at_ms: int, assessment: Assessment, snapshot: Snapshot, parameters: Parameters
) -> tuple[Explanation, ...]:
    """Why the scores are what they are, in the order of ``assessment.churn``."""
    return tuple(
        explanation(row, at_ms, assessment, churn, snapshot, parameters)
        for churn in assessment.churn
    )


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
    limited = min(max(total, -LOG_ODDS_MAX), LOG_ODDS_MAX)
    sums[Group.LIMIT] = limited - total
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
    return Explanation(parts.base, tuple(groups), limited)


def parts_of(
    features: tuple[float, ...], churn: Churn, snapshot: Snapshot, parameters: Parameters
) -> Parts:
    """What the score's log odds are made of, by whoever's word it is.

    The learnt model starts from an average customer; the formula, and what is assumed, from
    ``churn.prior``, which is what is said of somebody about whom nothing is known.
    """
    model = snapshot.churn.get(f"{churn.horizon_days:g}")
    if churn.source is Source.CHAMPION and model is not None:
        return Parts(model.intercept, terms(model, features), 0.0)
    base = log_odds(parameters.churn.prior)
    return Parts(base, (0.0,) * len(NAMES), log_odds(churn.probability) - base)


def terms(model: LinearModel, features: tuple[float, ...]) -> tuple[float, ...]:
    """What each feature adds to the log odds, against an average customer."""
    return tuple(
        weight * ((value - mean) / deviation) if deviation else 0.0
        for value, mean, deviation, weight in zip(
            features, model.means, model.deviations, model.weights, strict=True
        )
    )

"""Explains a score: what each group of features adds to its log odds, in words.

Computed when a decision fires or a profile is read, never for a score alone.
"""

from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import NamedTuple

from msgspec import Struct

from config.parameters import Parameters
from models.learning.churn import Churn
from models.learning.churn_models import ChurnScoring
from models.learning.feature_names import NAMES, Features
from models.learning.horizons import name_of
from models.learning.scorers import SCORERS, Scorer, log_odds_of, shares
from models.learning.snapshot import Snapshot

_BASELINE = SCORERS.index(Scorer.BASELINE)
#: A larger difference than this is not rounding: the score was limited.
_ROUNDING = 1e-9


class Group(StrEnum):
    """Groups of features, in the order in which their contributions are added up."""

    RHYTHM = "rhythm"
    FREQUENCY = "frequency"
    SPEND = "spend"
    TREND = "trend"
    TENURE = "tenure"
    PATTERN = "pattern"
    ENGAGEMENT = "engagement"
    SERVICE = "service"
    LIMIT = "limit"


#: The group of every feature.
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


_GROUPS = tuple(Group)
#: The group of each feature, in the order of `feature_names.NAMES`.
_GROUP_OF_TERMS = tuple(GROUP_OF[name] for name in NAMES)


class Direction(StrEnum):
    """The sign of a contribution to the churn probability."""

    RAISES = "raises"
    LOWERS = "lowers"


class Parts(NamedTuple):
    """A score's ``log_odds`` as a sum; ``base`` is the same for every customer.

    ``terms``: what each feature adds, in the order of `feature_names.NAMES`; ``formula``: what
    BG/NBD adds. The sum may differ from ``log_odds``, which are limited to ±`LOG_ODDS_MAX` and by
    the scores of other horizons.
    """

    base: float
    terms: Sequence[float]
    formula: float
    log_odds: float


class GroupContribution(Struct, frozen=True):
    """What one group of features adds to the log odds, with the customer's facts in words."""

    group: Group
    contribution: float
    direction: Direction
    words: str


class Explanation(Struct, frozen=True, rename="camel"):
    """``base`` and the contributions add up to ``log_odds``, those of the served score.

    ``groups``: the groups with a contribution, strongest first.
    """

    base: float
    groups: tuple[GroupContribution, ...]
    log_odds: float


def explained(parts: Parts, words: Callable[[Group], str]) -> Explanation:
    """The contribution of each group, added up in a fixed order.

    If the score was limited, the cut-off part is a group of its own, so that the sum still equals
    the score.
    """
    sums = dict.fromkeys(_GROUPS, 0.0)
    for group, term in zip(_GROUP_OF_TERMS, parts.terms, strict=True):
        sums[group] += term
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
    # The sort is stable, so ties stay in the order of the groups.
    groups.sort(key=lambda found: -abs(found.contribution))
    return Explanation(parts.base, tuple(groups), parts.log_odds)


def parts_of(features: Features, churn: Churn, snapshot: Snapshot, parameters: Parameters) -> Parts:
    """The parts of the served score's log odds, whichever scorer served.

    ``base``: for the models, an average customer's log odds; for the formula and the prior, those
    of ``churn.prior``, the score of a customer without purchases.
    """
    models = snapshot.of(ChurnScoring).models.get(name_of(churn.horizon_days))
    formula = churn.said.log_odds[_BASELINE]
    scorer = churn.scorer
    served = log_odds_of(churn.probability)
    if scorer is None or scorer is Scorer.BASELINE or models is None:
        base = log_odds_of(parameters.churn.prior)
        by_pattern = 0.0 if scorer is None or formula is None else formula - base
        return Parts(base, (0.0,) * len(NAMES), by_pattern, served)
    logistic, bayesian, by_formula = shares(scorer, has_formula=formula is not None)
    base = logistic * models.logistic.intercept + bayesian * models.bayesian.intercept
    if scorer is Scorer.RECALIBRATED:
        base += models.shift
    terms = [
        (logistic * one + bayesian * other) * ((value - mean) / deviation) if deviation else 0.0
        for value, mean, deviation, one, other in zip(
            features,
            models.means,
            models.deviations,
            models.logistic.weights,
            models.bayesian.weights,
            strict=True,
        )
    ]
    return Parts(base, terms, by_formula * (formula or 0.0), served)

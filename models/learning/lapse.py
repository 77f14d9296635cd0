"""Whether a customer has lapsed by their own standards: no purchase within their own window.

A score predicts no purchase within a horizon of the shop. Where people buy seldom, it is high for
everybody, even right after a purchase, and says nothing about leaving. Here the horizon follows the
customer: twice their expected gap, but at least the shop's horizon.
"""

from typing import NamedTuple

from models.learning.bgnbd import BgNbd
from models.learning.churn import Churn
from models.learning.history import History
from models.learning.log_odds import sigmoid
from models.learning.purchases_ahead import baseline
from models.learning.scorers import log_odds_of

#: A customer's own window, in expected gaps.
WINDOW_GAPS = 2.0
#: How far the risk moves, by the formula, from the shop's horizon to the customer's window. Moving
#: all the way is calibrated, but moving a quarter of it ranks better: the formula knows less than
#: the score it moves.
_RISK_SHARE = 0.25


class Lapse(NamedTuple):
    """``probability``: of no purchase within ``window_days``; ``risk``: the same moved only a
    quarter of the way, and 0 before a purchase is expected at all.
    """

    window_days: float
    probability: float
    risk: float


def lapse(
    past: History, score: Churn, rhythm: BgNbd | None, expected_days: float, silent_days: float
) -> Lapse:
    """The served score, moved to the customer's own window by as much as BG/NBD's own score moves.

    ``expected_days``: the customer's expected time from the last purchase to the next. Until then
    the risk is 0, because a purchase is never a sign of leaving. Before BG/NBD is fitted, the score
    is not moved.
    """
    window_days = max(score.horizon_days, WINDOW_GAPS * expected_days)
    own = log_odds_of(score.probability)
    further = 0.0
    if rhythm is not None and window_days > score.horizon_days:
        within_window = log_odds_of(baseline(past, rhythm, window_days))
        further = within_window - log_odds_of(baseline(past, rhythm, score.horizon_days))
    risk = sigmoid(own + _RISK_SHARE * further) if silent_days >= expected_days else 0.0
    return Lapse(window_days, sigmoid(own + further), risk)

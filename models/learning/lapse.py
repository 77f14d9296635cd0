"""Whether a customer has lapsed, by what is usual for them: no purchase within their own window.

A score asks for no purchase within a horizon of the shop's. Where people buy seldom it is high for
everybody, most of all in the second of a purchase, and says nothing of leaving. Here the horizon
follows the customer: twice their expected gap, and never less than the shop's.
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
#: How far the risk follows the formula from the shop's horizon to the customer's window. All of the
#: way is calibrated, a quarter of it ranks better: the formula knows less than the score it moves.
_RISK_SHARE = 0.25


class Lapse(NamedTuple):
    """``probability``: of no purchase within ``window_days``; ``risk``: the same, a quarter of
    the way, and 0 before a purchase is expected at all.
    """

    window_days: float
    probability: float
    risk: float


def lapse(
    past: History, score: Churn, rhythm: BgNbd | None, expected_days: float, silent_days: float
) -> Lapse:
    """The served score, moved to the customer's own window as BG/NBD would move its own.

    ``expected_days``: from the last purchase to the next, by the customer's own clock. A purchase
    is never a sign of leaving: before that time has come there is no risk. Before BG/NBD is fitted
    the score stands for itself.
    """
    window_days = max(score.horizon_days, WINDOW_GAPS * expected_days)
    own = log_odds_of(score.probability)
    further = 0.0
    if rhythm is not None and window_days > score.horizon_days:
        within_window = log_odds_of(baseline(past, rhythm, window_days))
        further = within_window - log_odds_of(baseline(past, rhythm, score.horizon_days))
    risk = sigmoid(own + _RISK_SHARE * further) if silent_days >= expected_days else 0.0
    return Lapse(window_days, sigmoid(own + further), risk)

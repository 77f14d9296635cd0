"""The churn learner's state in a snapshot."""

from msgspec import Struct

from models.learning.online_state import OnlineState
from models.learning.reliability import Reliability


class ChurnState(Struct, rename="camel"):
    """``horizons``: the learnt state, by horizon in days; ``reliability``: of the scores given at
    decisions, by "horizon kind scorer", over the examples that every scorer had scored.
    """

    horizons: dict[str, OnlineState] = {}
    reliability: dict[str, Reliability] = {}

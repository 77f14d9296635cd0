"""The state of a churn learner in a snapshot, from which another one continues bit for bit."""

import msgspec
from msgspec import Struct

from models.learning.feature_names import NAMES
from models.learning.scorers import SCORERS, Scorer
from models.learning.shift import PRIOR_VARIANCE


class ContestState(Struct, rename="camel"):
    """A `Contest`."""

    judged: int = 0
    losses: tuple[float, ...] = (0.0,) * len(SCORERS)
    spreads: tuple[float, ...] = (0.0,) * len(SCORERS)
    champion: int = SCORERS.index(Scorer.BASELINE)


class ShiftState(Struct, rename="camel"):
    """A `Shift`."""

    mean: float = 0.0
    variance: float = PRIOR_VARIANCE


class OnlineState(Struct, rename="camel"):
    """An `OnlineLearner`.

    ``belief`` and ``covariance`` are the Bayesian model's, the intercept's first, as packed
    doubles, because as text they would make up most of a snapshot.
    """

    count: int = 0
    means: tuple[float, ...] = (0.0,) * len(NAMES)
    variances: tuple[float, ...] = (0.0,) * len(NAMES)
    weights: tuple[float, ...] = (0.0,) * len(NAMES)
    intercept: float = 0.0
    belief: bytes = b""
    covariance: bytes = b""
    shift: ShiftState = msgspec.field(default_factory=ShiftState)
    contest: ContestState = msgspec.field(default_factory=ContestState)

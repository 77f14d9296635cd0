"""The probability that a customer does not buy within a horizon, and where it comes from."""

from enum import StrEnum

from msgspec import Struct

from models.learning.feature_names import Features
from models.learning.history import History
from models.learning.log_odds import sigmoid
from models.learning.scorers import SCORERS, Said, Scorer


class Source(StrEnum):
    """Where a score comes from."""

    CHAMPION = "champion"
    BASELINE = "baseline"
    PRIOR = "prior"


class Churn(Struct, frozen=True):
    """P(no purchase in (t, t + horizon]), and each scorer's log odds.

    The probability is that of the serving scorer, made consistent with other horizons (`score`).
    """

    probability: float
    horizon_days: float
    source: Source
    model_version: int
    said: Said

    @property
    def scorer(self) -> Scorer | None:
        """The scorer that gave the probability; None for the prior."""
        return None if self.source is Source.PRIOR else SCORERS[self.said.served]

    def scores(self) -> dict[str, float]:
        """Probabilities by scorer, without scorers that have no model yet."""
        return {
            scorer: sigmoid(log_odds)
            for scorer, log_odds in zip(SCORERS, self.said.log_odds, strict=True)
            if log_odds is not None
        }


class Seen(Struct, frozen=True, gc=False):
    """What a model sees of a customer at a moment; ``packed``: the features as they are kept."""

    features: Features
    history: History
    packed: bytes


class Assessment(Struct, frozen=True):
    """A customer's features at a moment, and the scores of every horizon."""

    features: Features
    churn: tuple[Churn, ...]
    history: History

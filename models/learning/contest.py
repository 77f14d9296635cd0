"""Which scorer serves: the one with the lowest loss on matured decisions, by a clear lead."""

from collections.abc import Sequence
from math import sqrt

from msgspec import Struct

from models.learning.scorers import SCORERS, Scorer

#: Weight of the latest example in the running losses: about the last 1,000 examples count.
_LOSS_RATE = 0.001
_JUDGED_MIN = 100
#: A lead over the blend must be more than this many standard errors.
_LUCK = 2.0
_BLEND = SCORERS.index(Scorer.BLEND)


class Contest(Struct, rename="camel"):
    """Running mean log losses in the order of `SCORERS`, and the index of the one that serves.

    ``spreads``: the running mean square of each scorer's loss minus the blend's, per example.
    The formula serves first, and again whenever the models fall behind it.
    """

    judged: int = 0
    losses: tuple[float, ...] = (0.0,) * len(SCORERS)
    spreads: tuple[float, ...] = (0.0,) * len(SCORERS)
    champion: int = SCORERS.index(Scorer.BASELINE)

    @property
    def scorer(self) -> Scorer:
        """The one that serves."""
        return SCORERS[self.champion]

    def judge(self, losses: Sequence[float], margin: float) -> None:
        """Count one example. A scorer takes over when its mean loss is lower by ``margin``, so
        that nearly equal scorers don't alternate. Except for the blend, it must also beat the
        blend by more than chance.
        """
        self.judged += 1
        rate = max(_LOSS_RATE, 1.0 / self.judged)
        blend = losses[_BLEND]
        # Lists first: a tuple of a generator takes several times as long.
        means = [
            mean + rate * (loss - mean) for mean, loss in zip(self.losses, losses, strict=True)
        ]
        squares = [
            mean + rate * ((loss - blend) ** 2 - mean)
            for mean, loss in zip(self.spreads, losses, strict=True)
        ]
        self.losses, self.spreads = tuple(means), tuple(squares)
        if self.judged < _JUDGED_MIN:
            return
        # The standard error of an exponentially weighted mean.
        weight = _LUCK * sqrt(rate / (2.0 - rate))
        claims = [loss + weight * sqrt(spread) for loss, spread in zip(means, squares, strict=True)]
        best = claims.index(min(claims))
        if claims[self.champion] - claims[best] > margin:
            self.champion = best

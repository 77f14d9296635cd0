"""Which scorer serves: the one that did best on decisions that have matured, by a clear lead."""

from collections.abc import Sequence

from msgspec import Struct

from models.learning.scorers import SCORERS, Scorer

#: Weight of the latest example in the running losses: about the last thousand count.
_LOSS_RATE = 0.001
_JUDGED_MIN = 100


class Contest(Struct, rename="camel"):
    """Running mean log losses in the order of `SCORERS`, and the place of the one that serves.

    The formula serves first, and again whenever what was learnt falls behind it.
    """

    judged: int = 0
    losses: tuple[float, ...] = (0.0,) * len(SCORERS)
    champion: int = SCORERS.index(Scorer.BASELINE)

    @property
    def scorer(self) -> Scorer:
        """The one that serves."""
        return SCORERS[self.champion]

    def judge(self, losses: Sequence[float], margin: float) -> None:
        """Count one example. Who leads must do so by ``margin`` to take the place of who serves:
        scorers that are all but equal don't take turns.
        """
        self.judged += 1
        rate = max(_LOSS_RATE, 1.0 / self.judged)
        self.losses = tuple(
            mean + rate * (loss - mean) for mean, loss in zip(self.losses, losses, strict=True)
        )
        if self.judged < _JUDGED_MIN:
            return
        best = min(range(len(SCORERS)), key=self.losses.__getitem__)
        if self.losses[self.champion] - self.losses[best] > margin:
            self.champion = best

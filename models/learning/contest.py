"""Selects the serving scorer: the lowest loss on matured decisions wins, by a clear lead."""

from math import inf, sqrt

from models.learning.online_state import ContestState
from models.learning.scorers import SCORERS, Scorer

#: Weight of the latest example in the running losses: about the last 1,000 examples count.
_LOSS_RATE = 0.001
_JUDGED_MIN = 100
#: A lead over the blend must exceed this many standard errors.
_LUCK = 2.0
_BLEND = SCORERS.index(Scorer.BLEND)


class Contest:
    """Running mean log losses in the order of `SCORERS`, and the index of the serving scorer.

    ``spreads``: the running mean square of each scorer's loss minus the blend's, per example. The
    formula serves first, and again whenever the models fall behind it.
    """

    __slots__ = ("champion", "judged", "losses", "spreads")

    def __init__(self, state: ContestState | None = None) -> None:
        state = state or ContestState()
        self.judged = state.judged
        self.losses = list(state.losses)
        self.spreads = list(state.spreads)
        self.champion = state.champion

    def state(self) -> ContestState:
        """The whole state, enough to continue from."""
        return ContestState(self.judged, tuple(self.losses), tuple(self.spreads), self.champion)

    @property
    def scorer(self) -> Scorer:
        """The serving scorer."""
        return SCORERS[self.champion]

    def judge(self, losses: list[float], margin: float) -> None:
        """Count one example. A scorer takes over when its mean loss is lower by ``margin``, so that
        nearly equal scorers don't alternate. Except for the blend, it must also beat the blend
        significantly.
        """
        self.judged += 1
        rate = max(_LOSS_RATE, 1.0 / self.judged)
        # The standard error of an exponentially weighted mean.
        weight = _LUCK * sqrt(rate / (2.0 - rate))
        blend = losses[_BLEND]
        means, spreads = self.losses, self.spreads
        best, best_claim, claim_of_champion = 0, inf, inf
        for place, loss in enumerate(losses):
            mean = means[place]
            mean += rate * (loss - mean)
            spread = spreads[place]
            spread += rate * ((loss - blend) ** 2 - spread)
            means[place], spreads[place] = mean, spread
            claim = mean + weight * sqrt(spread)
            if claim < best_claim:
                best, best_claim = place, claim
            if place == self.champion:
                claim_of_champion = claim
        if self.judged >= _JUDGED_MIN and claim_of_champion - best_claim > margin:
            self.champion = best

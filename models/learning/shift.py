"""Online recalibration: what to add to a scorer's log odds so that they come true as often as said.

One number, on purpose. Labels are a horizon old, and meanwhile a population goes on buying more or
less: that moves everybody alike. A slope as well was better on no data we have, and unsettles the
order of customers over time.
"""

from math import exp

from msgspec import Struct

#: Of the shift before anything is learnt.
_PRIOR_VARIANCE = 0.1
#: Added with each example: about the last ten thousand count.
_DRIFT = 1e-7


class Shift(Struct, rename="camel"):
    """A Gaussian over the shift, conditioned on each example as an extended Kalman filter does."""

    mean: float = 0.0
    variance: float = _PRIOR_VARIANCE

    def apply(self, log_odds: float) -> float:
        return log_odds + self.mean

    def learn(self, log_odds: float, came_true: bool) -> None:
        """Learn from what was said (before any shift) and what came true."""
        probability = 1.0 / (1.0 + exp(-self.apply(log_odds)))
        variance = self.variance + _DRIFT
        self.variance = variance / (1.0 + variance * probability * (1.0 - probability))
        self.mean += self.variance * (came_true - probability)

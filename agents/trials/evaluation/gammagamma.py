"""Gamma-gamma: what somebody spends on a purchase day, drawn towards what everybody does.

P. Fader, B. Hardie, K. L. Lee (2005), "RFM and CLV: Using Iso-Value Curves for Customer Base
Analysis", Journal of Marketing Research 42(4). Parameters are (p, q, gamma).
"""

import numpy as np
from scipy.optimize import minimize
from scipy.special import gammaln

from agents.trials.evaluation.decisions import Floats

#: gamma in units of the mean spend.
_BEGIN = np.array([2.0, 3.0, 1.0])


def log_likelihood(parameters: Floats, count: Floats, mean: Floats) -> Floats:
    """Of a mean over ``count`` purchase days, up to what no parameter is in; both positive."""
    p, q, gamma = parameters
    px = p * count
    found: Floats = (
        gammaln(px + q)
        - gammaln(px)
        - gammaln(q)
        + q * np.log(gamma)
        + px * np.log(count)
        + (px - 1.0) * np.log(mean)
        - (px + q) * np.log(gamma + count * mean)
    )
    return found


def fit(count: Floats, mean: Floats) -> Floats:
    """The most likely parameters for those who bought again and paid for it."""
    rows = (count > 0) & (mean > 0)
    # Free of the currency: the search takes steps of one size.
    unit = float(np.mean(mean[rows]))
    counts, means = count[rows], mean[rows] / unit

    def cost(logs: Floats) -> float:
        return -float(np.mean(log_likelihood(np.exp(logs), counts, means)))

    found = minimize(cost, np.log(_BEGIN), method="L-BFGS-B", bounds=[(-9.0, 9.0)] * 3)
    fitted: Floats = np.exp(found.x) * np.array([1.0, 1.0, unit])
    return fitted


def expected_spend(parameters: Floats, count: Floats, mean: Floats) -> Floats:
    """Of one more purchase day; for who has no repeat purchase, everybody's mean."""
    p, q, gamma = parameters
    found: Floats = p * (gamma + count * mean) / (p * count + q - 1.0)
    return found

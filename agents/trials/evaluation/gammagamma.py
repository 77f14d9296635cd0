"""Gamma-gamma: a customer's spend per purchase day, shrunk towards everybody's mean.

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
    """The log likelihood of a mean over ``count`` purchase days, up to terms without parameters;
    both must be positive.
    """
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
    """The most likely parameters, from customers who bought again and paid for it."""
    rows = (count > 0) & (mean > 0)
    # In units of the mean, so that the search takes the same steps in any currency.
    unit = float(np.mean(mean[rows]))
    counts, means = count[rows], mean[rows] / unit

    def cost(logs: Floats) -> float:
        return -float(np.mean(log_likelihood(np.exp(logs), counts, means)))

    found = minimize(cost, np.log(_BEGIN), method="L-BFGS-B", bounds=[(-9.0, 9.0)] * 3)
    fitted: Floats = np.exp(found.x) * np.array([1.0, 1.0, unit])
    return fitted


def expected_spend(parameters: Floats, count: Floats, mean: Floats) -> Floats:
    """The expected spend on one more purchase day; for customers without a repeat purchase,
    everybody's mean.
    """
    p, q, gamma = parameters
    found: Floats = p * (gamma + count * mean) / (p * count + q - 1.0)
    return found

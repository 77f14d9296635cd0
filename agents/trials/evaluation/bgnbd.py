"""BG/NBD by exact maximum likelihood.

P. Fader, B. Hardie, K. L. Lee (2005), "Counting Your Customers the Easy Way: An Alternative to the
Pareto/NBD Model", Marketing Science 24(2). Parameters are (r, alpha, a, b).
"""

import numpy as np
from scipy.special import betaln, gammaln, hyp2f1

from agents.trials.evaluation.buying import DAYS_A_WEEK
from agents.trials.evaluation.decisions import Floats, Past

BEGIN = np.array([0.5, 5.0, 0.5, 2.0])


def log_likelihood(parameters: Floats, repeats: Floats, last: Floats, life: Floats) -> Floats:
    """Equation 6 of the paper, for each customer."""
    r, alpha, a, b = parameters
    rate = gammaln(r + repeats) - gammaln(r) + r * np.log(alpha)
    stays = betaln(a, b + repeats) - (r + repeats) * np.log(alpha + life)
    leaves = np.where(
        repeats > 0,
        betaln(a + 1.0, b + np.maximum(repeats, 1.0) - 1.0) - (r + repeats) * np.log(alpha + last),
        -np.inf,
    )
    found: Floats = rate - betaln(a, b) + np.logaddexp(stays, leaves)
    return found


def expected_purchases(parameters: Floats, seen: Past, horizon_days: float) -> Floats:
    """The expected number of purchase days within the horizon: equation 10 of the paper."""
    r, alpha, a, b = parameters
    x, last, life = seen.repeats, seen.last / DAYS_A_WEEK, seen.life / DAYS_A_WEEK
    weeks = horizon_days / DAYS_A_WEEK
    growth = 1.0 - ((alpha + life) / (alpha + life + weeks)) ** (r + x) * hyp2f1(
        r + x, b + x, a + b + x - 1.0, weeks / (alpha + life + weeks)
    )
    odds_gone = np.where(
        x > 0,
        a / (b + np.maximum(x, 1.0) - 1.0) * ((alpha + life) / (alpha + last)) ** (r + x),
        0.0,
    )
    found: Floats = (a + b + x - 1.0) / (a - 1.0) * growth / (1.0 + odds_gone)
    return found

"""Pareto/NBD by exact maximum likelihood.

D. Schmittlein, D. Morrison, R. Colombo (1987), "Counting Your Customers: Who Are They and What Will
They Do Next?", Management Science 33(1), with the likelihood as in P. Fader, B. Hardie (2005), "A
Note on Deriving the Pareto/NBD Model and Related Expressions". Parameters are (r, alpha, s, beta):
purchase rates are gamma(r, alpha), rates of dropping out gamma(s, beta).
"""

import numpy as np
from scipy.special import gammaln, hyp2f1

from agents.trials.evaluation.decisions import Floats

BEGIN = np.array([0.5, 5.0, 0.5, 5.0])


def log_likelihood(parameters: Floats, repeats: Floats, last: Floats, life: Floats) -> Floats:
    """The log likelihood for each customer.

    The Note's hypergeometric functions overflow for frequent buyers. After Euler's transformation,
    F(a, b; c; z) = (1 - z)^(c - a - b) F(c - a, c - b; c; z), the growing factor is a power, whose
    logarithm is taken, and the other factor is moderate.
    """
    r, alpha, s, beta = parameters
    common = gammaln(r + repeats) - gammaln(r) + r * np.log(alpha) + s * np.log(beta)
    alive = _power_log(parameters, repeats, life)
    gone_log = _power_log(parameters, repeats, last) + np.log(_integral(parameters, repeats, last))
    still_log = alive + np.log(_integral(parameters, repeats, life))
    # The integral over dropping out between the last purchase and the end of observation.
    share = -np.expm1(np.minimum(still_log - gone_log, 0.0))
    with np.errstate(divide="ignore"):
        left = np.log(s / (r + s + repeats)) + gone_log + np.log(share)
    found: Floats = common + np.logaddexp(alive, left)
    return found


def _power_log(parameters: Floats, repeats: Floats, at: Floats) -> Floats:
    r, alpha, s, beta = parameters
    found: Floats = -(r + repeats) * np.log(alpha + at) - s * np.log(beta + at)
    return found


def _integral(parameters: Floats, repeats: Floats, at: Floats) -> Floats:
    r, alpha, s, beta = parameters
    c = r + s + repeats + 1.0
    found: Floats
    if alpha >= beta:
        found = hyp2f1(1.0, r + repeats, c, (alpha - beta) / (alpha + at))
    else:
        found = (alpha + at) / (beta + at) * hyp2f1(1.0, s + 1.0, c, (beta - alpha) / (beta + at))
    return found

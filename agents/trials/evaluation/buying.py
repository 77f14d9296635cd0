"""What the buy-till-you-die models share: the data they are fitted to, and the fit.

Each is fitted to every customer's (x, t_x, T): the number of repeat purchase days, the time of the
last one and the end of observation, in weeks since the first purchase. Nothing here is shared with
the engine's own fit.

A model's likelihood of a history is that of its purchases at their times and of none until T. So
the probability of no purchase until T + H is a ratio of two likelihoods, for any model: P0(H) =
L(x, t_x, T + H) / L(x, t_x, T).
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy.optimize import minimize

from agents.trials.evaluation.decisions import Floats, Past

DAYS_A_WEEK = 7.0
#: The log likelihood from (parameters, x, t_x, T), for each customer.
LogLikelihood = Callable[[Floats, Floats, Floats, Floats], Floats]


class Histories(NamedTuple):
    """Customers as (x, t_x, T), times in weeks; ``weight``: how many have exactly this history."""

    repeats: Floats
    last: Floats
    life: Floats
    weight: Floats


def histories(seen: Past) -> Histories:
    """One row for all customers with the same history; nothing is rounded."""
    table = np.stack([seen.repeats, seen.last, seen.life], axis=1)
    rows, counts = np.unique(table, axis=0, return_counts=True)
    repeats, last, life = rows.T
    return Histories(repeats, last / DAYS_A_WEEK, life / DAYS_A_WEEK, counts.astype(np.float64))


def most_likely(likelihood: LogLikelihood, seen: Histories, begin: Floats) -> Floats:
    """The parameters, all positive, under which the histories are most likely.

    The search runs on the logarithms of the parameters, between e^-6 and e^5. The bounds stop a
    parameter that little data would drive to infinity, where it hardly makes a difference, and keep
    scipy's hypergeometric function within its range.
    """

    def cost(logs: Floats) -> float:
        found = likelihood(np.exp(logs), seen.repeats, seen.last, seen.life)
        return -float(np.sum(seen.weight * found)) / float(np.sum(seen.weight))

    found = minimize(
        cost,
        np.log(begin),
        method="L-BFGS-B",
        bounds=[(-6.0, 5.0)] * len(begin),
        options={"maxiter": 300, "ftol": 1e-10},
    )
    fitted: Floats = np.exp(found.x)
    return fitted


def p_no_purchase(
    likelihood: LogLikelihood, parameters: Floats, seen: Past, horizon_days: float
) -> Floats:
    """P0(H) of each history."""
    last, life = seen.last / DAYS_A_WEEK, seen.life / DAYS_A_WEEK
    later = likelihood(parameters, seen.repeats, last, life + horizon_days / DAYS_A_WEEK)
    ratio: Floats = np.exp(
        np.minimum(later - likelihood(parameters, seen.repeats, last, life), 0.0)
    )
    return ratio

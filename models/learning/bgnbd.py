"""BG/NBD: how likely a customer is to buy again, from how often and how recently they bought
(`purchases_ahead`), with parameters that are fitted to all customers.

P. Fader, B. Hardie, K. L. Lee (2005), "Counting Your Customers the Easy Way: An Alternative to the
Pareto/NBD Model", Marketing Science 24(2). Time is in weeks, purchases are counted by day: x repeat
purchase days, the last of them at t_x, after a life of T.
"""

from collections.abc import Mapping

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

#: (x, T - t_x, T), with times in days. x and T - t_x are exact below 16, and keep their four
#: leading bits above, so that a table stays small for any number of customers.
Cell = tuple[int, int, int]
_DAYS_MAX = 3_660
_BITS = 4


class BgNbd(Struct, frozen=True, cache_hash=True):
    """The four parameters: purchase rates are gamma(r, alpha), dropout is beta(a, b)."""

    r: float
    alpha: float
    a: float
    b: float


def cell_of(repeats: int, last_days: float, life_days: float) -> Cell:
    """The cell of the count table to which a customer belongs."""
    silence, life = round(life_days - last_days), round(life_days)
    silence = _DAYS_MAX if silence > _DAYS_MAX else silence if silence > 0 else 0
    return binned(repeats), binned(silence), life if life < _DAYS_MAX else _DAYS_MAX


def binned(number: int) -> int:
    """The lower end of the bin of ``number``: all but its leading bits cleared."""
    spare = number.bit_length() - _BITS
    return number >> spare << spare if spare > 0 else number


def middles(bins: "_Vector") -> "_Vector":
    """The middle of each bin, given the lower ends that `binned` returns."""
    _, bits = np.frexp(bins)
    found: _Vector = bins + (np.exp2(np.maximum(bits - _BITS, 0)) - 1.0) / 2.0
    return found


def fit(counts: Mapping[Cell, int], start: BgNbd | None = None) -> BgNbd | None:
    """The most likely parameters for a table of customers by cell; None for an empty table, and
    ``start`` if the search fails.

    Deterministic: cells are taken in order, and the search has no randomness.
    """
    cells = [(cell, count) for cell, count in sorted(counts.items()) if count > 0]
    if not cells:
        return None
    table = np.array([(*cell, count) for cell, count in cells], dtype=np.float64)
    repeats, silence, life, weight = table.T
    # A customer's life is at least a day.
    repeats, life = middles(repeats), np.maximum(life, 1.0) / 7.0
    last = np.where(repeats > 0, np.maximum(life - middles(silence) / 7.0, 0.0), 0.0)
    begin = start or BgNbd(0.5, 5.0, 0.5, 2.0)
    # Imported here, because only the trainer fits, and scipy takes as long to import as everything
    # else a command needs.
    from scipy.optimize import minimize  # noqa: PLC0415

    found = minimize(
        _cost,
        np.log([begin.r, begin.alpha, begin.a, begin.b]),
        args=(repeats, last, life, weight),
        method="L-BFGS-B",
        bounds=[(-6.0, 6.0)] * 4,
        options={"maxiter": 200},
    )
    if not np.isfinite(found.fun):
        return start
    r, alpha, a, b = (float(value) for value in np.exp(found.x))
    return BgNbd(r, alpha, a, b)


_Vector = NDArray[np.float64]


def _cost(
    parameters: _Vector, repeats: _Vector, last: _Vector, life: _Vector, weight: _Vector
) -> float:
    """Minus the mean log-likelihood, with a weak prior that keeps small tables from diverging."""
    from scipy.special import gammaln  # noqa: PLC0415 - as above

    r, alpha, a, b = np.exp(parameters)
    common = gammaln(r + repeats) - gammaln(r) + r * np.log(alpha)
    beta = gammaln(a + b) + gammaln(b + repeats) - gammaln(b) - gammaln(a + b + repeats)
    stayed = -(r + repeats) * np.log(alpha + life)
    left = np.where(
        repeats > 0,
        np.log(a)
        - np.log(b + np.maximum(repeats, 1.0) - 1.0)
        - (r + repeats) * np.log(alpha + last),
        -np.inf,
    )
    likelihood = common + beta + np.logaddexp(stayed, left)
    total = float(np.sum(weight * likelihood))
    penalty = 0.01 * float(np.sum(parameters**2))
    return (penalty - total) / float(np.sum(weight))

"""BG/NBD: how likely a customer is to buy again, from how often and how recently they bought
(`purchases_ahead`), with parameters that are fitted to all customers.

P. Fader, B. Hardie, K. L. Lee (2005), "Counting Your Customers the Easy Way: An Alternative to the
Pareto/NBD Model", Marketing Science 24(2). Time is in weeks, purchases are counted by day: x repeat
purchase days, the last of them at t_x, after a life of T.
"""

from collections.abc import Mapping
from typing import Final

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from models.learning.likeliest import lowest

#: (x, T - t_x, T), with times in days. x and T - t_x are exact below 16, and keep their four
#: leading bits above, so that a table stays small for any number of customers.
Cell = tuple[int, int, int]
_DAYS_MAX = 3_660
_BITS = 4
_LOG_BOUNDS: Final = ((-6.0, 6.0),) * 4


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
    found = lowest(
        _cost,
        np.log([begin.r, begin.alpha, begin.a, begin.b]),
        _LOG_BOUNDS,
        (repeats, last, life, weight),
    )
    if found is None:
        return start
    r, alpha, a, b = (float(value) for value in np.exp(found))
    return BgNbd(r, alpha, a, b)


_Vector = NDArray[np.float64]


def _cost(
    parameters: _Vector, repeats: _Vector, last: _Vector, life: _Vector, weight: _Vector
) -> tuple[float, _Vector]:
    """Minus the mean log-likelihood and its gradient, with a weak prior that keeps small tables
    from diverging.

    The gradient is worked out and not found by differences: those magnify the last digit of a
    logarithm, which differs from processor to processor, a hundred million times.
    """
    from scipy.special import gammaln, psi  # noqa: PLC0415 - only the trainer fits

    r, alpha, a, b = np.exp(parameters)
    bought = r + repeats
    before_dropout = b + np.maximum(repeats, 1.0) - 1.0
    log_life, log_last = np.log(alpha + life), np.log(alpha + last)
    stayed = -bought * log_life
    left = np.where(repeats > 0, np.log(a) - np.log(before_dropout) - bought * log_last, -np.inf)
    either = np.logaddexp(stayed, left)
    likelihood = (
        gammaln(bought)
        - gammaln(r)
        + r * np.log(alpha)
        + gammaln(a + b)
        + gammaln(b + repeats)
        - gammaln(b)
        - gammaln(a + b + repeats)
        + either
    )
    # How likely each customer left right after the last purchase.
    gone = np.exp(left - either)
    by_r = psi(bought) - psi(r) + np.log(alpha) - (1.0 - gone) * log_life - gone * log_last
    by_alpha = r / alpha - bought * ((1.0 - gone) / (alpha + life) + gone / (alpha + last))
    fewer = psi(a + b) - psi(a + b + repeats)
    by_a = fewer + gone / a
    by_b = fewer + psi(b + repeats) - psi(b) - gone / before_dropout
    slopes = np.array(
        [(weight * by).sum() for by in (r * by_r, alpha * by_alpha, a * by_a, b * by_b)]
    )
    cost = 0.01 * float((parameters**2).sum()) - float((weight * likelihood).sum())
    customers = float(weight.sum())
    return cost / customers, (0.02 * parameters - slopes) / customers

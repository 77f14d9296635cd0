"""Gamma-gamma: a customer's expected spend on a purchase day, from their spend so far.

P. Fader, B. Hardie (2013), "The Gamma-Gamma Model of Monetary Value", note 25 of brucehardie.com;
P. Fader, B. Hardie, K. L. Lee (2005), "RFM and CLV: Using Iso-Value Curves for Customer Base
Analysis", Journal of Marketing Research 42(4). Spend varies around a customer's own mean as
gamma(p, nu) does, and nu varies between customers as gamma(q, v).
"""

from collections.abc import Mapping
from math import log2
from typing import Final

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from models.learning.bgnbd import binned, middles
from models.learning.likeliest import lowest

#: (purchase days, mean net spend per day in minor units). Days are exact below 16 and keep their
#: four leading bits above; spend is in bins of 5 %.
SpendCell = tuple[int, int]
#: The bin of customers who spent nothing, which the fit leaves out.
NOTHING = -1
_BINS_PER_DOUBLING = 14
#: Below q = 1 the population's mean would be infinite.
_LOG_BOUNDS: Final = ((-4.0, 6.0), (0.05, 6.0), (-12.0, 12.0))

_Vector = NDArray[np.float64]


class GammaGamma(Struct, frozen=True):
    """The three parameters; ``v`` is in minor units."""

    p: float
    q: float
    v: float

    @property
    def mean_minor(self) -> float:
        """The population's mean spend on a purchase day."""
        return self.p * self.v / (self.q - 1.0)


def cell_of(days: int, net_minor: int) -> SpendCell:
    """The cell of the count table for a customer who spent ``net_minor`` on ``days`` days."""
    if net_minor <= 0:
        return binned(days), NOTHING
    return binned(days), max(round(log2(net_minor / days) * _BINS_PER_DOUBLING), 0)


def expected_spend_minor(model: GammaGamma, days: int, net_minor: int) -> float:
    """The expected net spend on one future purchase day, in minor units.

    A weighted mean of the customer's own mean and the population's: each purchase day adds weight
    to the customer's own.
    """
    return model.p * (model.v + max(net_minor, 0)) / (model.p * days + model.q - 1.0)


def fit(counts: Mapping[SpendCell, int], start: GammaGamma | None = None) -> GammaGamma | None:
    """The most likely parameters for a table of customers by cell; ``start`` if the table is empty
    or the search fails.

    Deterministic: cells are taken in order, and the search has no randomness.
    """
    cells = [(*cell, n) for cell, n in sorted(counts.items()) if n > 0 and cell[1] != NOTHING]
    if not cells:
        return start
    table = np.array(cells, dtype=np.float64)
    days, weight = middles(table[:, 0]), table[:, 2]
    spend = np.exp2(table[:, 1] / _BINS_PER_DOUBLING)
    # Spend relative to its geometric mean, so that the search is the same in every currency.
    unit = float(np.exp((weight * np.log(spend)).sum() / weight.sum()))
    begin = start or GammaGamma(4.0, 3.0, 0.75 * unit)
    found = lowest(
        _cost,
        np.log([begin.p, begin.q, begin.v / unit]),
        _LOG_BOUNDS,
        (days, spend / unit, weight),
    )
    if found is None:
        return start
    p, q, v = (float(value) for value in np.exp(found))
    return GammaGamma(p, q, v * unit)


def _cost(
    parameters: _Vector, days: _Vector, spend: _Vector, weight: _Vector
) -> tuple[float, _Vector]:
    """Minus the mean log-likelihood and its gradient, with a weak prior that keeps small tables
    from diverging.
    """
    from scipy.special import gammaln, psi  # noqa: PLC0415 - only the trainer fits

    p, q, v = np.exp(parameters)
    shape, total = p * days + q, days * spend + v
    likelihood = (
        gammaln(shape)
        - gammaln(p * days)
        - gammaln(q)
        + q * np.log(v)
        + (p * days - 1.0) * np.log(spend)
        + p * days * np.log(days)
        - shape * np.log(total)
    )
    by_p = days * (psi(shape) - psi(p * days) + np.log(days * spend / total))
    by_q = psi(shape) - psi(q) + np.log(v / total)
    by_v = q / v - shape / total
    slopes = np.array([(weight * by).sum() for by in (p * by_p, q * by_q, v * by_v)])
    cost = 0.01 * float((parameters**2).sum()) - float((weight * likelihood).sum())
    customers = float(weight.sum())
    return cost / customers, (0.02 * parameters - slopes) / customers

"""Differences between two groups, with 95 % confidence intervals."""

from math import sqrt
from typing import Final, NamedTuple

_Z: Final = 1.959963984540054


class Ahead(NamedTuple):
    """The first group's value minus the second's, with its interval."""

    estimate: float
    low: float
    high: float


def of_shares(count: int, size: int, other_count: int, other_size: int) -> Ahead:
    """The difference of two shares, for groups that are not empty: Newcombe's interval from
    Wilson's two (1998, method 10), which is valid for small groups and for shares of 0 and 1.
    """
    share, other = count / size, other_count / other_size
    low, high = _wilson(count, size)
    other_low, other_high = _wilson(other_count, other_size)
    estimate = share - other
    below = sqrt((share - low) ** 2 + (other_high - other) ** 2)
    above = sqrt((high - share) ** 2 + (other - other_low) ** 2)
    return Ahead(estimate, estimate - below, estimate + above)


def _wilson(count: int, size: int) -> tuple[float, float]:
    share, squared = count / size, _Z * _Z
    middle = share + squared / (2 * size)
    radius = _Z * sqrt(share * (1 - share) / size + squared / (4 * size * size))
    return (middle - radius) / (1 + squared / size), (middle + radius) / (1 + squared / size)


class Amounts(NamedTuple):
    """The number of amounts (at least two), their sum, and the sum of their squares."""

    size: int
    total: float
    squares: float

    @property
    def mean(self) -> float:
        return self.total / self.size

    @property
    def variance_of_mean(self) -> float:
        spread = max(self.squares - self.total * self.mean, 0.0)
        return spread / (self.size - 1) / self.size


def of_means(amounts: Amounts, others: Amounts) -> Ahead:
    """The difference of two means: Welch's interval, for groups with different variances."""
    estimate = amounts.mean - others.mean
    one, other = amounts.variance_of_mean, others.variance_of_mean
    if not one + other:
        return Ahead(estimate, estimate, estimate)
    freedom = (one + other) ** 2 / (
        one * one / (amounts.size - 1) + other * other / (others.size - 1)
    )
    radius = _quantile(freedom) * sqrt(one + other)
    return Ahead(estimate, estimate - radius, estimate + radius)


def _quantile(freedom: float) -> float:
    """The .975 quantile of Student's t, by the series of Fisher and Cornish; accurate to 1e-4 from
    20 degrees of freedom on.
    """
    z = _Z
    first = (z**3 + z) / 4
    second = (5 * z**5 + 16 * z**3 + 3 * z) / 96
    third = (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384
    return z + first / freedom + second / freedom**2 + third / freedom**3

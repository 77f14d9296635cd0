"""Histograms with log-spaced bins, which can be merged by addition, in any order."""

from math import exp2, floor, log2

#: Eight bins per doubling: an edge is within 9 % of any value in its bin.
BINS_PER_DOUBLING = 8
_JUST_BELOW = 1.0 - 1e-13

Histogram = dict[int, int]


def observe(histogram: Histogram, value: float) -> None:
    """Count ``value`` (≥ 0) in its bin."""
    index = bin_of(value)
    histogram[index] = histogram[index] + 1 if index in histogram else 1


def bin_of(value: float) -> int:
    """The bin of ``value``; bin 0 begins at 0."""
    return floor(log2(1.0 + (value if value > 0.0 else 0.0)) * BINS_PER_DOUBLING)


def middle_of(index: int) -> float:
    """The value in the (geometric) middle of a bin."""
    return exp2((index + 0.5) / BINS_PER_DOUBLING) - 1.0


def last_of(index: int) -> float:
    """The largest value in a bin, but for what rounding may put into the next."""
    return exp2((index + 1) / BINS_PER_DOUBLING) * _JUST_BELOW - 1.0


def quantiles(histogram: Histogram, shares: tuple[float, ...]) -> tuple[float, ...]:
    """The quantile at each share (ascending, in 0..1): the middle of its bin."""
    return tuple(map(middle_of, _bins_at(histogram, shares)))


def cut_points(histogram: Histogram, shares: tuple[float, ...]) -> tuple[float, ...]:
    """The value at each share (ascending, in 0..1) that separates what is up to it from what is
    above: the last one of its bin. So equal values are on one side, above all small whole numbers,
    which have a bin each.
    """
    return tuple(map(last_of, _bins_at(histogram, shares)))


def _bins_at(histogram: Histogram, shares: tuple[float, ...]) -> list[int]:
    """The bin in which each share is reached."""
    total = sum(histogram.values())
    found: list[int] = []
    reached = 0
    bins = iter(sorted(histogram.items()))
    index = 0
    for share in shares:
        while reached < share * total:
            index, count = next(bins)
            reached += count
        found.append(index)
    return found

"""Histograms with log-spaced bins, which can be merged by addition, in any order."""

from math import exp2, floor, log2

#: Eight bins per doubling: an edge is within 9 % of any value in its bin.
BINS_PER_DOUBLING = 8

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


def quantiles(histogram: Histogram, shares: tuple[float, ...]) -> tuple[float, ...]:
    """The quantile at each share (ascending, in 0..1): the middle of its bin."""
    total = sum(histogram.values())
    found: list[float] = []
    reached = 0
    bins = iter(sorted(histogram.items()))
    index = 0
    for share in shares:
        while reached < share * total:
            index, count = next(bins)
            reached += count
        found.append(middle_of(index))
    return tuple(found)

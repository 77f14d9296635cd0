"""Whether measurements over time stay flat, and a plot of them."""

from collections.abc import Mapping, Sequence
from statistics import fmean, linear_regression
from typing import NamedTuple

#: The share of the time in which caches fill and heaps reach their size.
WARM_UP = 0.4
#: How far a fitted line may rise over the rest of the time, as a share of the mean.
RISE_MAX = 0.15
WIDTH, HEIGHT, MARGIN = 640, 90, 24


class Series(NamedTuple):
    """One measurement over time."""

    name: str
    unit: str
    at_s: Sequence[float]
    values: Sequence[float]

    @property
    def settled(self) -> tuple[Sequence[float], Sequence[float]]:
        """Times and values after the warm-up."""
        begin_s = self.at_s[0] + WARM_UP * (self.at_s[-1] - self.at_s[0])
        first = next(number for number, at_s in enumerate(self.at_s) if at_s >= begin_s)
        return self.at_s[first:], self.values[first:]

    @property
    def rise(self) -> float:
        """The rise of the fitted line after the warm-up, as a share of the mean."""
        at_s, values = self.settled
        mean = fmean(values)
        if len(values) < 2 or not mean:
            return 0.0
        return linear_regression(at_s, values).slope * (at_s[-1] - at_s[0]) / mean

    @property
    def is_flat(self) -> bool:
        return self.rise <= RISE_MAX

    def __str__(self) -> str:
        _, values = self.settled
        return (
            f"{self.name}: {min(values):,.1f} to {max(values):,.1f} {self.unit}, "
            f"rises {self.rise:+.1%}{'' if self.is_flat else ', NOT FLAT'}"
        )


def plot(series: Sequence[Series], faults: Mapping[str, Sequence[float]]) -> str:
    """All series below each other as an SVG, with a mark for each fault."""
    end_s = max(one.at_s[-1] for one in series)
    height = len(series) * (HEIGHT + MARGIN) + MARGIN
    view = f'viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" font-size="11"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {view}>',
        f'<rect width="{WIDTH}" height="{height}" fill="white"/>',
    ]
    for number, one in enumerate(series):
        top = MARGIN + number * (HEIGHT + MARGIN)
        most = max(*one.values, 1e-9)
        points = " ".join(
            f"{at_s / end_s * WIDTH:.1f},{top + HEIGHT * (1 - value / most):.1f}"
            for at_s, value in zip(one.at_s, one.values, strict=True)
        )
        parts += [
            f'<text x="2" y="{top - 4}">{one}</text>',
            f'<path d="M0 {top + HEIGHT}H{WIDTH}" stroke="#999"/>',
            f'<polyline points="{points}" fill="none" stroke="#06c"/>',
        ]
    for name, times_s in faults.items():
        parts += [
            f'<path d="M{at_s / end_s * WIDTH:.1f} {MARGIN}V{height - MARGIN}" stroke="#c00" '
            f'stroke-opacity="0.25"><title>{name}</title></path>'
            for at_s in times_s
        ]
    return "\n".join([*parts, "</svg>\n"])

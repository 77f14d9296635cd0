"""The distribution of spend over customers: gamma-gamma's count table, and the top customers'
share.
"""

from msgspec import Struct

from models.learning.gamma_gamma import GammaGamma, SpendCell, fit
from models.learning.histogram import bin_of
from models.learning.lessons import Counted


class Level(Struct, array_like=True):
    """The customers in one bin of yearly net revenue, and their total revenue in minor units."""

    customers: int = 0
    net_minor: int = 0


class WorthTable(Struct, rename="camel"):
    """Every customer once, as of their latest check-in.

    ``cells``: customers by `SpendCell`, its numbers joined by a blank; ``levels``: customers by the
    bin of their net revenue within a year.
    """

    cells: dict[str, int] = {}
    levels: dict[int, Level] = {}
    fitted: GammaGamma | None = None

    def move(self, enters: Counted, leaves: Counted | None) -> None:
        """Move one customer from their old cell (None at the first check-in) to the new one."""
        self._count(enters, 1)
        if leaves is not None:
            self._count(leaves, -1)

    def refit(self) -> None:
        """Refit gamma-gamma, starting from the last fit."""
        counts: dict[SpendCell, int] = {}
        for key, count in self.cells.items():
            days, spend = map(int, key.split())
            counts[days, spend] = count
        self.fitted = fit(counts, self.fitted)

    def share_of_top(self, share: float) -> float | None:
        """The share of a year's net revenue that the best ``share`` of customers brought; None
        without revenue. Exact except for the last bin, whose customers count as equal.
        """
        total = sum(level.net_minor for level in self.levels.values())
        if total <= 0:
            return None
        left = share * sum(level.customers for level in self.levels.values())
        brought = 0.0
        for _, level in sorted(self.levels.items(), reverse=True):
            if left <= 0.0:
                break
            part = min(1.0, left / level.customers)
            brought += part * level.net_minor
            left -= level.customers
        return brought / total

    def _count(self, counted: Counted, change: int) -> None:
        days, spend, net_minor = counted
        key = f"{days} {spend}"
        count = self.cells.get(key, 0) + change
        if count:
            self.cells[key] = count
        else:
            self.cells.pop(key, None)
        place = bin_of(float(net_minor))
        level = self.levels.get(place)
        if level is None:
            level = self.levels[place] = Level()
        level.customers += change
        level.net_minor += change * net_minor
        if not level.customers:
            del self.levels[place]

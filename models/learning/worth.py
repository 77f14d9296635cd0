"""How spend is spread over customers: the count table of gamma-gamma, and who brings how much."""

from msgspec import Struct

from models.learning.examples import Counted
from models.learning.gamma_gamma import GammaGamma, SpendCell, fit
from models.learning.histogram import bin_of


class Level(Struct, array_like=True):
    """Customers whose last year is in one bin, and what they brought in it."""

    customers: int = 0
    net_minor: int = 0


class WorthTable(Struct, rename="camel"):
    """Every customer's latest check-in, with nobody in it twice.

    ``cells``: customers by `SpendCell`, its numbers joined by a blank; ``levels``: customers by
    the bin of what they brought within a year.
    """

    cells: dict[str, int] = {}
    levels: dict[int, Level] = {}
    fitted: GammaGamma | None = None

    def move(self, enters: Counted, leaves: Counted | None) -> None:
        """One customer, from where they were counted to where they are now."""
        self._count(enters, 1)
        if leaves is not None:
            self._count(leaves, -1)

    def refit(self) -> None:
        """Fit gamma-gamma anew, from where it was."""
        counts: dict[SpendCell, int] = {}
        for key, count in self.cells.items():
            days, spend = map(int, key.split())
            counts[days, spend] = count
        self.fitted = fit(counts, self.fitted)

    def share_of_top(self, share: float) -> float | None:
        """The part of a year's net revenue that the best ``share`` of customers brought; None when
        nobody brought any. Exact but for the bin in which the share ends, which is split evenly.
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
        level = self.levels.setdefault(place, Level())
        level.customers += change
        level.net_minor += change * net_minor
        if not level.customers:
            del self.levels[place]

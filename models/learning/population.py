"""What the population looks like: histograms at check-ins, and the count table of BG/NBD."""

import msgspec
from msgspec import Struct

from config.parameters import Parameters
from models.learning.acquisition import Acquisition
from models.learning.bgnbd import BgNbd, Cell, fit
from models.learning.examples import Observation
from models.learning.histogram import Histogram, observe, quantiles
from models.learning.snapshot import Cuts
from models.learning.worth import WorthTable

_QUINTILES = (0.2, 0.4, 0.6, 0.8)
MEASURES = ("recency_days", "frequency", "monetary_minor", "gap_days")


class Population(Struct, rename="camel"):
    """Sums over observations: exact in any order, so that partitions may interleave as they like.

    ``cells``: customers by the `Cell` of their latest check-in, its numbers joined by blanks.
    ``counted`` and ``fitted_on``: observations so far, and those at the last fit of BG/NBD.
    ``orders`` and ``net_minor``: totals over the windows that observations tell.
    """

    histograms: dict[str, Histogram] = {}
    cells: dict[str, int] = {}
    fitted: BgNbd | None = None
    fitted_at_ms: int = 0
    counted: int = 0
    fitted_on: int = 0
    orders: int = 0
    net_minor: int = 0
    worth: WorthTable = msgspec.field(default_factory=WorthTable)
    acquisition: Acquisition = msgspec.field(default_factory=Acquisition)

    def learn(self, observation: Observation) -> None:
        """Count one customer's check-in."""
        self.counted += 1
        self.orders += observation.frequency
        self.net_minor += observation.monetary_minor
        self._observe("recency_days", observation.recency_days)
        self._observe("frequency", float(observation.frequency))
        self._observe("monetary_minor", float(observation.monetary_minor))
        if observation.gap_days is not None:
            self._observe("gap_days", observation.gap_days)
        self._move(observation.enters, 1)
        if observation.leaves is not None:
            self._move(observation.leaves, -1)
        if observation.spend_enters is not None:
            self.worth.move(observation.spend_enters, observation.spend_leaves)
        if observation.acquired:
            self.acquisition.win(observation.acquired)

    def cuts(self, measure: str) -> Cuts | None:
        """The four cut points between quintiles; None while nothing was seen."""
        bins = self.histograms.get(measure)
        if not bins:
            return None
        first, second, third, fourth = quantiles(bins, _QUINTILES)
        return first, second, third, fourth

    def median_gap_days(self) -> float | None:
        bins = self.histograms.get("gap_days")
        return quantiles(bins, (0.5,))[0] if bins else None

    def order_minor(self) -> float | None:
        """What an order brings, in minor units; None while none brought anything."""
        return self.net_minor / self.orders if self.orders and self.net_minor else None

    def refit(self, now_ms: int, parameters: Parameters) -> None:
        """Fit BG/NBD anew if the last fit is old enough, or was made of half of what there is: the
        first weeks say little of silence.
        """
        is_old = now_ms >= self.fitted_at_ms + parameters.learning.refit_every
        if self.fitted is None or is_old or self.counted >= 2 * self.fitted_on:
            counts = {_cell(key): count for key, count in self.cells.items()}
            self.fitted = fit(counts, self.fitted)
            self.worth.refit()
            self.fitted_at_ms = now_ms
            self.fitted_on = self.counted

    def _observe(self, measure: str, value: float) -> None:
        observe(self.histograms.setdefault(measure, {}), value)

    def _move(self, cell: Cell, change: int) -> None:
        key = " ".join(map(str, cell))
        count = self.cells.get(key, 0) + change
        if count:
            self.cells[key] = count
        else:
            self.cells.pop(key, None)


def _cell(key: str) -> Cell:
    repeats, last, life = map(int, key.split())
    return repeats, last, life

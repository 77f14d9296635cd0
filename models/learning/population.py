"""Statistics of all customers: histograms at check-ins, and the count tables of the formulas."""

from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec import Struct

from config.duration import DAY_MS
from config.parameters import Parameters
from models.learning.bgnbd import BgNbd, Cell, fit
from models.learning.gamma_gamma import GammaGamma
from models.learning.histogram import Histogram, cut_points, observe, quantiles
from models.learning.lessons import Observation
from models.learning.worth import WorthTable
from models.measures import Measure, Sample
from models.money import minor_units

_QUINTILES = (0.2, 0.4, 0.6, 0.8)
#: The share of best customers whose share of revenue is reported: do 20 % of them bring 80 %?
TOP_SHARE = 0.2
Cuts = tuple[float, float, float, float]


class Population(Struct, frozen=True, rename="camel"):
    """Cut points, priors and formulas: what is usual among customers.

    ``order_minor``: the net revenue of a typical order in minor units. Amounts are scaled by it,
    so that scores do not depend on the currency. ``revenue_share_top_fifth``: the share of a
    year's net revenue that the best fifth of customers brought.
    """

    recency_days_cuts: Cuts
    frequency_cuts: Cuts
    monetary_minor_cuts: Cuts
    gap_days: float
    order_minor: float
    bgnbd: BgNbd | None = None
    gamma_gamma: GammaGamma | None = None
    revenue_share_top_fifth: float | None = None


_REVENUE_SHARE = Measure(
    "keepstream_revenue_share_top_fifth",
    "Share of a year's net revenue that the best fifth of customers brought",
)
MEASURES: tuple[Measure, ...] = (_REVENUE_SHARE,)


def samples(drawn: Population) -> Iterator[Sample]:
    """How revenue is spread over customers."""
    if drawn.revenue_share_top_fifth is not None:
        yield Sample(_REVENUE_SHARE, (), drawn.revenue_share_top_fifth)


def prior_population(parameters: Parameters) -> Population:
    """The operator's priors, used before anything is learnt."""
    rfm, currency = parameters.rfm, parameters.money.currency
    first, second, third, fourth = (float(minor_units(amount, currency)) for amount in rfm.monetary)
    order_minor = minor_units(parameters.value.typical_order, currency)
    return Population(
        recency_days_cuts=rfm.recency_days,
        frequency_cuts=rfm.frequency,
        monetary_minor_cuts=(first, second, third, fourth),
        gap_days=parameters.overdue.prior_gap / DAY_MS,
        order_minor=float(max(order_minor, 1)),
    )


class PopulationState(Struct, rename="camel"):
    """Sums over observations, exact in any order, so that partitions may interleave.

    ``cells``: customers by the `Cell` of their latest check-in, its numbers joined by blanks.
    ``counted`` and ``fitted_on``: observations so far, and at the last fit of the formulas.
    ``orders`` and ``net_minor``: totals over the windows of all observations.
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


class PopulationLearner:
    """Counts every customer's check-ins, and fits the formulas to the counts."""

    def __init__(self, state: Any, parameters: Parameters) -> None:
        self._state: PopulationState = state or PopulationState()
        self._parameters = parameters

    @property
    def knows_enough(self) -> bool:
        """Whether there were at least ``learning.minimum_examples`` check-ins."""
        return self._state.counted >= self._parameters.learning.minimum_examples

    def learn(self, observation: Observation) -> None:
        """Count one customer's check-in."""
        state = self._state
        state.counted += 1
        state.orders += observation.frequency
        state.net_minor += observation.monetary_minor
        self._observe("recency_days", observation.recency_days)
        self._observe("frequency", float(observation.frequency))
        self._observe("monetary_minor", float(observation.monetary_minor))
        if observation.gap_days is not None:
            self._observe("gap_days", observation.gap_days)
        self._move(observation.enters, 1)
        if observation.leaves is not None:
            self._move(observation.leaves, -1)
        if observation.spend_enters is not None:
            state.worth.move(observation.spend_enters, observation.spend_leaves)

    def state(self) -> PopulationState:
        """The whole state, enough to restore the learner."""
        return self._state

    def draw(self, now_ms: int) -> Population:
        """The statistics so far; the operator's priors where no customer was seen yet."""
        self._refit(now_ms)
        state, prior = self._state, prior_population(self._parameters)
        gaps = state.histograms.get("gap_days")
        taught = state.orders and state.net_minor
        return Population(
            recency_days_cuts=self._cuts("recency_days") or prior.recency_days_cuts,
            frequency_cuts=self._cuts("frequency") or prior.frequency_cuts,
            monetary_minor_cuts=self._cuts("monetary_minor") or prior.monetary_minor_cuts,
            gap_days=(quantiles(gaps, (0.5,))[0] if gaps else None) or prior.gap_days,
            order_minor=(state.net_minor / state.orders if taught else None) or prior.order_minor,
            bgnbd=state.fitted,
            gamma_gamma=state.worth.fitted,
            revenue_share_top_fifth=state.worth.share_of_top(TOP_SHARE),
        )

    def _cuts(self, measure: str) -> Cuts | None:
        """The four cut points between quintiles; None without values."""
        bins = self._state.histograms.get(measure)
        if not bins:
            return None
        first, second, third, fourth = cut_points(bins, _QUINTILES)
        return first, second, third, fourth

    def _refit(self, now_ms: int) -> None:
        """Refit the formulas if the last fit is old enough, or if observations have doubled since:
        the first weeks show little about long silences.
        """
        state = self._state
        is_old = now_ms >= state.fitted_at_ms + self._parameters.learning.refit_every
        if state.fitted is None or is_old or state.counted >= 2 * state.fitted_on:
            counts = {_cell(key): count for key, count in state.cells.items()}
            state.fitted = fit(counts, state.fitted)
            state.worth.refit()
            state.fitted_at_ms = now_ms
            state.fitted_on = state.counted

    def _observe(self, measure: str, value: float) -> None:
        observe(self._state.histograms.setdefault(measure, {}), value)

    def _move(self, cell: Cell, change: int) -> None:
        cells, key = self._state.cells, " ".join(map(str, cell))
        count = cells.get(key, 0) + change
        if count:
            cells[key] = count
        else:
            cells.pop(key, None)


def _cell(key: str) -> Cell:
    repeats, last, life = map(int, key.split())
    return repeats, last, life

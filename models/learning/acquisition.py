"""The cost of winning customers, and their return, by the channel through which they came."""

from collections.abc import Iterator
from datetime import date
from functools import lru_cache
from typing import Any, Final

from msgspec import Struct

from config.duration import DAY_MS
from config.parameters import Parameters
from models.learning.channel_days import CHANNELS_MAX, OTHER, ChannelDays, Days, KnownDays
from models.learning.lessons import AddedUp, Cost, Observation, Tally
from models.learning.tallies import ACQUISITION_NAME
from models.measures import Measure, Sample
from models.money import minor_per_unit

#: Windows in days: costs and won customers are compared over 28 days; people first seen within 90
#: days count for conversion, so that they had time to buy; the return is measured for customers won
#: within 365 days.
COST_DAYS: Final = 28
SEEN_DAYS: Final = 90
RETURN_DAYS: Final = 365
#: Customers are followed for so many weeks after the week in which they were won.
BROUGHT_WEEKS_MAX: Final = 52
#: The kinds of sums about customers, by channel: see `models.customer.winning`. ``SEEN`` and
#: ``CONVERTED`` are booked on the day on which the person was first seen, ``WON`` and ``MARGIN`` on
#: the day on which the customer was won, the others on the month of that day.
SEEN, CONVERTED, WON, MARGIN = "seen", "converted", "won", "margin"
VALUED, WORTH = "valued", "worth"
#: The kinds of sums about costs.
_COST, _RETENTION = "cost", "retention"
_NO_DAYS: Final[Days] = {}
_EPOCH: Final = date(1970, 1, 1).toordinal()


def brought_in(weeks: int) -> str:
    """The kind of the sum of margin ``weeks`` weeks after customers were won."""
    return f"brought{weeks}"


@lru_cache(maxsize=4_096)
def cohort_of(day: int) -> int:
    """The first day of the calendar month of a UTC day since 1970. Customers won in a month are a
    cohort.
    """
    return date.fromordinal(_EPOCH + day).replace(day=1).toordinal() - _EPOCH


@lru_cache(maxsize=4_096)
def cohort_name(first_day: int) -> str:
    """The name of a cohort: its month, such as 2026-01."""
    return f"{date.fromordinal(_EPOCH + first_day):%Y-%m}"


class Channel(Struct, array_like=True):
    """The total spent on a channel, in minor units, and the customers won through it: ``acquired``
    counts them at their first check-in; ``won`` leaves out those who got everything back.
    """

    cost_minor: int = 0
    acquired: int = 0
    won: int = 0

    @property
    def customers(self) -> int:
        """Customers won; without that count, those at their first check-in."""
        return self.won or self.acquired


class AcquisitionState(Struct, rename="camel"):
    """Sums by channel. The order of lessons does not matter below `CHANNELS_MAX` channels.

    ``days``: amounts by kind, channel and day, kept for as long as they are needed.
    """

    channels: dict[str, Channel] = {}
    days: dict[str, dict[str, Days]] = {}


class CohortView(Struct, frozen=True, rename="camel"):
    """The customers whom a channel won in a month, or in a year; null where a value is unknown.

    ``spent``: on the channel, in the shop's currency. ``payback_weeks``: the weeks after winning
    them until their margin reached ``spent`` and stayed there. ``returns``: (margin so far - spent)
    / spent. ``lifetime_value``: of one customer, including what is expected of them.
    ``value_to_cost``: lifetime value divided by the cost of one customer.
    """

    won: int
    spent: float
    payback_weeks: int | None
    returns: float | None
    lifetime_value: float | None
    value_to_cost: float | None


class ChannelView(Struct, frozen=True, rename="camel"):
    """A channel in recent weeks; null where the divisor is 0.

    ``cost``: ``spent`` divided by the ``won`` customers, in the shop's currency. ``conversion``:
    the share of those first ``seen`` who bought. ``year``: all customers won within a year as one
    cohort; ``cohorts``: those of each month, such as 2026-01.
    """

    spent: float
    won: int
    seen: int
    cost: float | None
    conversion: float | None
    year: CohortView
    cohorts: dict[str, CohortView] = {}


class AcquisitionCosts(Struct, frozen=True, rename="camel"):
    """The cost of one customer in minor units, by channel, where both costs and customers are
    known. ``lately``: each channel with recent data. ``retention_ratio``: spending to keep
    customers divided by spending to win them.
    """

    by_channel_minor: dict[str, float] = {}
    lately: dict[str, ChannelView] = {}
    retention_ratio: float | None = None


class AcquisitionLearner:
    """Adds up costs, and counts customers at their first check-in."""

    knows_enough = True

    def __init__(self, state: Any, parameters: Parameters) -> None:
        self._state: AcquisitionState = state or AcquisitionState()
        self._days = ChannelDays(self._state.days)
        # Minor units per unit of the shop's currency.
        self._unit = minor_per_unit(parameters.money.currency)
        # A cache by channel and month; new data about a channel clears its entries.
        self._cohorts: dict[str, dict[int, CohortView]] = {}

    def learn(self, lesson: Observation | Cost | Tally | AddedUp) -> None:
        """Add a cost, or count a customer under the channel of the first event."""
        if isinstance(lesson, Observation):
            if lesson.acquired:
                self._of(lesson.acquired).acquired += 1
        elif isinstance(lesson, Cost):
            self._spend(lesson)
        else:
            self._count(lesson)

    def _spend(self, cost: Cost) -> None:
        what = _RETENTION if cost.is_retention else _COST
        if not cost.is_retention:
            self._of(cost.channel).cost_minor += cost.amount_minor
        first_day, left_minor = cost.timestamp_ms // DAY_MS, cost.amount_minor
        for number in range(cost.period_days):
            # Each day gets its share of what is left, so that rounding loses nothing.
            share_minor = left_minor // (cost.period_days - number)
            self._add(what, cost.channel, first_day + number, share_minor)
            left_minor -= share_minor

    def _count(self, tally: Tally | AddedUp) -> None:
        if tally.part != ACQUISITION_NAME:
            return
        for key, day, amount in tally.sums:
            what, _, channel = key.partition(":")
            self._add(what, channel, day, amount)
            if what == WON:
                self._of(channel).won += amount

    def _add(self, what: str, channel: str, day: int, amount: int) -> None:
        counted = self._days.add(what, channel, day, amount)
        self._cohorts.pop(counted, None)

    def state(self) -> AcquisitionState:
        """The whole state, enough to restore the learner."""
        return self._state

    def draw(self, now_ms: int) -> AcquisitionCosts:
        """Costs divided by customers won, and each channel in recent weeks."""
        today = now_ms // DAY_MS
        self._days.forget(today - RETURN_DAYS)
        known = self._days.by_channel
        spent = kept = 0
        for days in known.values():
            if _COST in days:
                spent += _between(days, _COST, today - COST_DAYS + 1, today)
            if _RETENTION in days:
                kept += _between(days, _RETENTION, today - COST_DAYS + 1, today)
        return AcquisitionCosts(
            {
                name: channel.cost_minor / channel.customers
                for name, channel in self._state.channels.items()
                if channel.cost_minor and channel.customers > 0
            },
            {name: self._lately(name, known[name], today) for name in sorted(known)},
            kept / spent if spent else None,
        )

    def _lately(self, name: str, known: KnownDays, today: int) -> ChannelView:
        cost_minor = _between(known, _COST, today - COST_DAYS + 1, today) if _COST in known else 0
        spent = cost_minor / self._unit
        won = _between(known, WON, today - COST_DAYS + 1, today)
        seen = _between(known, SEEN, today - SEEN_DAYS + 1, today)
        converted = _between(known, CONVERTED, today - SEEN_DAYS + 1, today)
        months = _months(known, today)
        cohorts = {month: self._month(name, known, month, today) for month in months}
        return ChannelView(
            spent=spent,
            won=won,
            seen=seen,
            cost=spent / won if spent and won > 0 else None,
            conversion=converted / seen if seen > 0 else None,
            year=self._cohort(known, min(months, default=today), today, months),
            cohorts={cohort_name(month): cohorts[month] for month in months},
        )

    def _month(self, name: str, known: KnownDays, month: int, today: int) -> CohortView:
        cohorts, end = self._cohorts.setdefault(name, {}), cohort_of(month + 31) - 1
        found = cohorts.get(month)
        if found is None:
            # What a cost of a period spends in the days to come is not spent yet.
            found = self._cohort(known, month, min(end, today), [month])
            if end <= today:
                cohorts[month] = found
        return found

    def _cohort(self, known: KnownDays, begin: int, end: int, months: list[int]) -> CohortView:
        """The customers won from ``begin`` to ``end``; ``months``: the cohorts whose monthly sums
        count.
        """
        spent_minor = _between(known, _COST, begin, end) if _COST in known else 0
        won = _between(known, WON, begin, end)
        valued, worth_minor = _of_months(known, VALUED, months), _of_months(known, WORTH, months)
        value_minor = worth_minor / valued if valued > 0 else None
        cost_minor = spent_minor / won if spent_minor and won > 0 else None
        returns = None
        if spent_minor:
            returns = (_between(known, MARGIN, begin, end) - spent_minor) / spent_minor
        return CohortView(
            won=won,
            spent=spent_minor / self._unit,
            payback_weeks=_payback_weeks(known, spent_minor, months) if spent_minor > 0 else None,
            returns=returns,
            lifetime_value=None if value_minor is None else value_minor / self._unit,
            value_to_cost=value_minor / cost_minor if value_minor and cost_minor else None,
        )

    def _of(self, name: str) -> Channel:
        channels = self._state.channels
        known = name in channels or len(channels) < CHANNELS_MAX
        return channels.setdefault(name if known else OTHER, Channel())


def _between(known: KnownDays, what: str, begin: int, end: int) -> int:
    total, days = 0, known.get(what, _NO_DAYS)
    for day in days:
        total += days[day] if begin <= day <= end else 0
    return total


def _of_months(known: KnownDays, what: str, months: list[int]) -> int:
    total, days = 0, known.get(what, _NO_DAYS)
    for month in months:
        if month in days:
            total += days[month]
    return total


def _months(known: KnownDays, today: int) -> list[int]:
    """The first days of the months within the last year with costs or won customers."""
    days = {*known.get(_COST, _NO_DAYS), *known.get(WON, _NO_DAYS)}
    firsts = {cohort_of(day) for day in days if day <= today}
    return sorted(first for first in firsts if first > today - RETURN_DAYS)


def _payback_weeks(known: KnownDays, spent_minor: int, months: list[int]) -> int | None:
    """The week in which the total margin reached what was spent and stayed there; None before."""
    total, paid_back = 0, None
    for week in range(BROUGHT_WEEKS_MAX + 1):
        total += _of_months(known, brought_in(week), months)
        if total < spent_minor:
            paid_back = None
        elif paid_back is None:
            paid_back = week
    return paid_back


_SPENT = Measure(
    "keepstream_acquisition_spent",
    "Spent on winning customers in 28 days, in the shop's currency",
    ("channel",),
)
_NEW = Measure(
    "keepstream_acquisition_customers",
    "Customers won in 28 days, less those who got everything back",
    ("channel",),
)
_CAC = Measure(
    "keepstream_acquisition_cost",
    "Cost of a customer in the shop's currency: spending in 28 days divided by customers won",
    ("channel",),
)
_SEEN = Measure("keepstream_acquisition_seen", "People first seen in 90 days", ("channel",))
_CONVERSION = Measure(
    "keepstream_acquisition_conversion_ratio",
    "Share of people first seen in 90 days who became customers",
    ("channel",),
)
_RETURNS = Measure(
    "keepstream_acquisition_returns_ratio",
    "Margin of customers won in a year minus spending, divided by spending",
    ("channel",),
)
_PAYBACK = Measure(
    "keepstream_acquisition_payback_weeks",
    "Weeks after winning customers of a year until their margin reached the spending",
    ("channel",),
)
_VALUE = Measure(
    "keepstream_acquisition_value_to_cost_ratio",
    "Lifetime value of a customer won in a year, so far and expected, divided by the cost of one",
    ("channel",),
)
_COHORT_WON = Measure(
    "keepstream_cohort_customers",
    "Customers won in a month, less those who got everything back",
    ("channel", "cohort"),
)
_COHORT_PAYBACK = Measure(
    "keepstream_cohort_payback_weeks",
    "Weeks after winning customers of a month until their margin reached the spending",
    ("channel", "cohort"),
)
_COHORT_RETURNS = Measure(
    "keepstream_cohort_returns_ratio",
    "Margin of customers won in a month minus spending in it, divided by spending",
    ("channel", "cohort"),
)
_COHORT_VALUE = Measure(
    "keepstream_cohort_lifetime_value",
    "Lifetime value of a customer won in a month, so far and expected, in the shop's currency",
    ("channel", "cohort"),
)
_COHORT_VALUE_TO_COST = Measure(
    "keepstream_cohort_value_to_cost_ratio",
    "Lifetime value of a customer won in a month, divided by the cost of one",
    ("channel", "cohort"),
)
_KEEPING = Measure(
    "keepstream_retention_spend_ratio",
    "Spending in 28 days to keep customers, divided by spending to win them",
)
_OF_CHANNEL = (_SPENT, _NEW, _CAC, _SEEN, _CONVERSION, _RETURNS, _PAYBACK, _VALUE)
_OF_COHORT = (
    _COHORT_WON,
    _COHORT_PAYBACK,
    _COHORT_RETURNS,
    _COHORT_VALUE,
    _COHORT_VALUE_TO_COST,
)
MEASURES = (*_OF_CHANNEL, *_OF_COHORT, _KEEPING)


def samples(drawn: AcquisitionCosts) -> Iterator[Sample]:
    """Each channel in recent weeks, and its cohorts, without unknown values."""
    for name, view in drawn.lately.items():
        year = view.year
        lately = (view.spent, view.won, view.cost, view.seen, view.conversion)
        of_year = (year.returns, year.payback_weeks, year.value_to_cost)
        yield from _told(_OF_CHANNEL, (name,), (*lately, *of_year))
        for month, cohort in view.cohorts.items():
            values = (
                cohort.won,
                cohort.payback_weeks,
                cohort.returns,
                cohort.lifetime_value,
                cohort.value_to_cost,
            )
            yield from _told(_OF_COHORT, (name, month), values)
    if drawn.retention_ratio is not None:
        yield Sample(_KEEPING, (), drawn.retention_ratio)


def _told(
    measures: tuple[Measure, ...], labels: tuple[str, ...], values: tuple[float | None, ...]
) -> Iterator[Sample]:
    for measure, value in zip(measures, values, strict=True):
        if value is not None:
            yield Sample(measure, labels, value)

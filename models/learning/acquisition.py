"""What it costs to win a customer, and what comes of it, by the channel they came through."""

from collections.abc import Iterator
from typing import Any, Final

from msgspec import Struct

from config.duration import DAY_MS
from config.parameters import Parameters
from models.learning.lessons import Cost, Observation, Tally
from models.learning.tallies import ACQUISITION_NAME
from models.measures import Measure, Sample
from models.money import minor_per_unit

#: Channels beyond this number are counted together as `OTHER`.
CHANNELS_MAX = 64
OTHER = "other"
#: Costs and customers of so many days are compared; whoever was first seen within these has had
#: time to buy; and of whoever was won within a year it is asked what they brought.
COST_DAYS: Final = 28
SEEN_DAYS: Final = 90
RETURN_DAYS: Final = 365
#: What is told of customers, by the channel of their first event: see `models.customer.lifecycle`.
SEEN, CONVERTED, WON, NET = "seen", "converted", "won", "net"
#: What is told of costs.
_COST, _RETENTION = "cost", "retention"
#: Sums by UTC day.
_Days = dict[int, int]


class Channel(Struct, array_like=True):
    """What was ever spent on a channel, in minor units, and the customers won through it."""

    cost_minor: int = 0
    acquired: int = 0


class AcquisitionState(Struct, rename="camel"):
    """Sums by channel. The order of lessons does not matter below `CHANNELS_MAX` channels.

    ``days``: what was spent and who came, by what, channel and day, for as long as it is asked.
    """

    channels: dict[str, Channel] = {}
    days: dict[str, dict[str, _Days]] = {}


class ChannelView(Struct, frozen=True, rename="camel"):
    """A channel lately; null where there is nothing to divide by.

    ``cost`` of one of the ``won`` customers, with what was ``spent``, in the shop's currency;
    ``conversion`` of those first ``seen``; ``returns``: margin of those won within a year less what
    was spent on it, over what was spent.
    """

    spent: float
    won: int
    seen: int
    cost: float | None
    conversion: float | None
    returns: float | None


class AcquisitionCosts(Struct, frozen=True, rename="camel"):
    """The cost of one customer in minor units, by channel, where both costs and customers are
    known; ``lately``: each channel of which anything is known lately; ``retention_ratio``: what was
    spent to keep customers over what was spent to win them.
    """

    by_channel_minor: dict[str, float] = {}
    lately: dict[str, ChannelView] = {}
    retention_ratio: float | None = None


class AcquisitionLearner:
    """Adds up costs, and counts customers at their first check-in."""

    knows_enough = True

    def __init__(self, state: Any, parameters: Parameters) -> None:
        self._state: AcquisitionState = state or AcquisitionState()
        self._parameters = parameters

    def learn(self, lesson: Observation | Cost | Tally) -> None:
        """Add a cost, or count somebody under the channel of their first event."""
        if isinstance(lesson, Cost):
            self._spend(lesson)
        elif isinstance(lesson, Tally):
            self._count(lesson)
        elif lesson.acquired:
            self._of(lesson.acquired).acquired += 1

    def _spend(self, cost: Cost) -> None:
        what = _RETENTION if cost.is_retention else _COST
        if not cost.is_retention:
            self._of(cost.channel).cost_minor += cost.amount_minor
        first_day, left_minor = cost.timestamp_ms // DAY_MS, cost.amount_minor
        for number in range(cost.period_days):
            # The rest is spread over the days that are left, so that nothing is lost in rounding.
            share_minor = left_minor // (cost.period_days - number)
            self._add(what, cost.channel, first_day + number, share_minor)
            left_minor -= share_minor

    def _count(self, tally: Tally) -> None:
        if tally.part != ACQUISITION_NAME:
            return
        for key, day, amount in tally.sums:
            what, _, channel = key.partition(":")
            self._add(what, channel, day, amount)

    def _add(self, what: str, channel: str, day: int, amount: int) -> None:
        channels = self._state.days.setdefault(what, {})
        if channel not in channels:
            known = len(channels) < CHANNELS_MAX
            days = channels.setdefault(channel if known else OTHER, {})
        else:
            days = channels[channel]
        days[day] = days[day] + amount if day in days else amount

    def state(self) -> AcquisitionState:
        """The whole state, enough to restore the learner."""
        return self._state

    def draw(self, now_ms: int) -> AcquisitionCosts:
        """Costs divided by customers won, and each channel as it did lately."""
        today = now_ms // DAY_MS
        self._forget(today - RETURN_DAYS)
        names = {channel for channels in self._state.days.values() for channel in channels}
        spent = kept = 0
        for name in names:
            spent += self._within(_COST, name, today, COST_DAYS)
            kept += self._within(_RETENTION, name, today, COST_DAYS)
        return AcquisitionCosts(
            {
                name: channel.cost_minor / channel.acquired
                for name, channel in self._state.channels.items()
                if channel.cost_minor and channel.acquired
            },
            {name: self._lately(name, today) for name in sorted(names)},
            kept / spent if spent else None,
        )

    def _lately(self, name: str, today: int) -> ChannelView:
        unit = minor_per_unit(self._parameters.money.currency)
        spent = self._within(_COST, name, today, COST_DAYS) / unit
        won = self._within(WON, name, today, COST_DAYS)
        seen = self._within(SEEN, name, today, SEEN_DAYS)
        converted = self._within(CONVERTED, name, today, SEEN_DAYS)
        spent_in_year = self._within(_COST, name, today, RETURN_DAYS) / unit
        net = self._within(NET, name, today, RETURN_DAYS) / unit
        margin = self._parameters.value.gross_margin * net
        return ChannelView(
            spent=spent,
            won=won,
            seen=seen,
            cost=spent / won if spent and won else None,
            conversion=converted / seen if seen else None,
            returns=(margin - spent_in_year) / spent_in_year if spent_in_year else None,
        )

    def _within(self, what: str, name: str, today: int, window_days: int) -> int:
        channels = self._state.days.get(what)
        if channels is None or name not in channels:
            return 0
        total, days = 0, channels[name]
        for day in days:
            total += days[day] if today - window_days < day <= today else 0
        return total

    def _forget(self, until_day: int) -> None:
        for channels in self._state.days.values():
            for name, days in list(channels.items()):
                for day in [day for day, amount in days.items() if day <= until_day or not amount]:
                    del days[day]
                if not days:
                    del channels[name]

    def _of(self, name: str) -> Channel:
        channels = self._state.channels
        known = name in channels or len(channels) < CHANNELS_MAX
        return channels.setdefault(name if known else OTHER, Channel())


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
    "Cost of a customer in the shop's currency: what was spent in 28 days over customers won",
    ("channel",),
)
_SEEN = Measure("keepstream_acquisition_seen", "People first seen in 90 days", ("channel",))
_CONVERSION = Measure(
    "keepstream_acquisition_conversion_ratio",
    "Of people first seen in 90 days, how many are customers",
    ("channel",),
)
_RETURNS = Measure(
    "keepstream_acquisition_returns_ratio",
    "Margin of customers won in a year less what was spent on it, over what was spent",
    ("channel",),
)
_KEEPING = Measure(
    "keepstream_retention_spend_ratio",
    "What was spent in 28 days to keep customers, over what was spent to win them",
)
MEASURES = (_SPENT, _NEW, _CAC, _SEEN, _CONVERSION, _RETURNS, _KEEPING)


def samples(drawn: AcquisitionCosts) -> Iterator[Sample]:
    """Each channel as it did lately; nothing where there is nothing to divide by."""
    for name, view in drawn.lately.items():
        values = (
            (_SPENT, view.spent),
            (_NEW, view.won),
            (_CAC, view.cost),
            (_SEEN, view.seen),
            (_CONVERSION, view.conversion),
            (_RETURNS, view.returns),
        )
        for measure, value in values:
            if value is not None:
                yield Sample(measure, (name,), value)
    if drawn.retention_ratio is not None:
        yield Sample(_KEEPING, (), drawn.retention_ratio)

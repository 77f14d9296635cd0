"""The hours in which a customer came, and by which channel: what channels and hours they prefer is
worked out of.

An hour counts once, however many pages were looked at in it, and a day once a channel: one evening
of browsing must not weigh as much as a year of visits to the store.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Final, NamedTuple

from config.duration import DAY_MS, HOUR_MS
from config.limits import NotNegative, Positive, PositiveInt, PositiveMs, Share
from config.parameters import Section
from config.topics import CLICKSTREAM, FEEDBACK
from models.customer.decay import decayed
from models.customer.orders import COMPLETED
from models.events.event import Event

#: The latest hours of all channels together; older ones weigh little.
TOUCHES_MAX: Final = 48
_DAY_HOURS: Final = 24
#: A touch is its hour since 1970, shifted, and these two bits.
_SHIFT: Final = 2
_BOUGHT, TIMED = 1, 2
#: Answers to what we sent say when somebody reads, and not which channel they like: else we would
#: prefer the one that we write to most.
_CLICKS: Final = frozenset({"Email Link Clicked", "Action Clicked", "Action Accepted"})
_ANSWERS: Final = frozenset({"Survey Responded", "Survey Dismissed"})


class ChannelParameters(Section, frozen=True):
    section = "channels"
    enabled: bool
    half_life: PositiveMs
    purchase_weight: Positive
    least: Positive
    lead: Share
    lead_for: PositiveMs
    hour_half_life: PositiveMs
    hours_min: PositiveInt
    usual_weight: NotNegative

    def problems(self) -> Iterator[str]:
        """More hours than are kept would never be there."""
        if self.hours_min > TOUCHES_MAX:
            yield f"channels.hours_min is {TOUCHES_MAX} at most: no more hours are kept"


#: By channel, "" for none, ascending: hours in which a customer came, each once.
Touches = dict[str, list[int]]


def is_known(touches: list[int], at_ms: int) -> bool:
    """Whether the latest of these is of the same hour, and says all that a visit could."""
    return touches[-1] | _BOUGHT == at_ms // HOUR_MS << _SHIFT | TIMED | _BOUGHT


def touch(touches: Touches, channel: str, event: Event) -> None:
    """Note what an event says of channel and hour; arrival order doesn't matter."""
    topic = event.kind.topic
    if topic != CLICKSTREAM and (topic == FEEDBACK or event.name in _ANSWERS):
        if event.name not in _CLICKS:
            # It may be a machine that opened a message.
            return
        channel = ""
    at_ms = event.occurred_at_ms
    # What comes in batches, or has a date and no time, says nothing of the hour.
    is_timed = not event.batched and at_ms % DAY_MS != 0
    if not channel and not is_timed:
        return
    new = at_ms // HOUR_MS << _SHIFT | (TIMED if is_timed else 0)
    _add(touches, channel, new | (event.name == COMPLETED and channel != ""))
    _limit(touches)


def _add(touches: Touches, channel: str, new: int) -> None:
    known = touches.get(channel)
    if known is None:
        touches[channel] = [new]
        return
    place = len(known)
    while place and known[place - 1] >> _SHIFT > new >> _SHIFT:
        place -= 1
    if place and known[place - 1] >> _SHIFT == new >> _SHIFT:
        known[place - 1] |= new
    else:
        known.insert(place, new)


def _limit(touches: Touches) -> None:
    """Let go of the oldest hours beyond the bound, of one hour the first channel by name."""
    count = 0
    for known in touches.values():
        count += len(known)
    for _ in range(count - TOUCHES_MAX):
        oldest = min(touches, key=lambda name: (touches[name][0] >> _SHIFT, name))
        del touches[oldest][0]
        if not touches[oldest]:
            del touches[oldest]


def united_touches(all_touches: Iterable[Touches]) -> Touches:
    """One person's: an hour under two ids is one."""
    one: Touches = {}
    for touches in all_touches:
        for channel, known in touches.items():
            for each in known:
                _add(one, channel, each)
    _limit(one)
    return one


def latest_touch_ms(touches: Touches) -> int:
    """The latest hour; 0 for none."""
    return max((known[-1] >> _SHIFT for known in touches.values()), default=0) * HOUR_MS


class ChannelUse(NamedTuple):
    """How much a customer uses each channel, as of the latest day that they came.

    ``levels``: the days of each channel, decayed, one with a purchase for several. ``shares`` add
    up to 1. ``leader``: the channel of the highest share, "" for none, ``lead`` before the next
    one, and ``since_ms``: when that lead became as large as it must be, 0 while it is not;
    ``is_cut``: it may have been so before the first hour that is kept.
    """

    levels: dict[str, float]
    shares: dict[str, float]
    leader: str = ""
    lead: float = 0.0
    since_ms: int = 0
    is_cut: bool = False
    first: str = ""


_UNUSED: Final = ChannelUse({}, {})


def channel_use(touches: Touches, section: ChannelParameters) -> ChannelUse:
    """The use of each channel. Time alone does not change it: all days fade alike."""
    levels: dict[str, float] = {}
    before, first = -1, ""
    leader, lead, since_hour, first_hour = "", 0.0, 0, -1
    for day, hours, came in _by_day(touches, section.purchase_weight):
        if before >= 0:
            lag_ms = (day - before) * DAY_MS
            for channel, level in levels.items():
                levels[channel] = decayed(level, lag_ms, section.half_life)
        before = day
        for channel, weight in came.items():
            levels[channel] = levels.get(channel, 0.0) + weight
        ahead, lead = _leader(levels)
        if not first and levels[ahead] >= section.least:
            first = ahead
        first_hour = hours[ahead] if first_hour < 0 else first_hour
        if lead < section.lead:
            since_hour = 0
        elif ahead != leader or not since_hour:
            since_hour = hours.get(ahead, day * _DAY_HOURS)
        leader = ahead
    if not leader:
        return _UNUSED
    total = _total(levels)
    shares = {channel: level / total for channel, level in levels.items()}
    is_cut = since_hour == first_hour
    return ChannelUse(levels, shares, leader, lead, since_hour * HOUR_MS, is_cut, first)


def _by_day(
    touches: Touches, purchase_weight: float
) -> list[tuple[int, dict[str, int], dict[str, float]]]:
    """Each day on which they came by some channel: the first hour of each, and its weight."""
    days: dict[int, tuple[dict[str, int], dict[str, float]]] = {}
    for channel, known in sorted(touches.items()):
        if not channel:
            continue
        for each in known:
            hour = each >> _SHIFT
            hours, came = days.setdefault(hour // _DAY_HOURS, ({}, {}))
            hours.setdefault(channel, hour)
            weight = purchase_weight if each & _BOUGHT else 1.0
            came[channel] = max(weight, came.get(channel, 0.0))
    return [(day, *days[day]) for day in sorted(days)]


def _leader(levels: dict[str, float]) -> tuple[str, float]:
    """The channel with the highest level, the first by name of equal ones, and how much larger its
    share is than the next.
    """
    first, *others = sorted(levels, key=lambda channel: (-levels[channel], channel))
    next_level = levels[others[0]] if others else 0.0
    return first, (levels[first] - next_level) / _total(levels)


def _total(levels: dict[str, float]) -> float:
    total = 0.0
    for channel in sorted(levels):
        total += levels[channel]
    return total


def hour_levels(
    touches: Touches, hour_shown: Callable[[int], int], half_life_ms: int
) -> tuple[list[float], int]:
    """How often they came in each hour of their day, decayed as of the latest, and how many hours
    of whole days that is. ``hour_shown``: the hour that clocks show there, by that since 1970.
    """
    hours = sorted({each >> _SHIFT for known in touches.values() for each in known if each & TIMED})
    levels = [0.0] * _DAY_HOURS
    for hour in hours:
        lag_ms = (hours[-1] - hour) * HOUR_MS
        levels[hour_shown(hour)] += decayed(1.0, lag_ms, half_life_ms)
    return levels, len(hours)

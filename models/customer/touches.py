"""The hours in which a customer came, and by which channel: what channels and hours they prefer is
worked out of.

An hour counts once, however many pages were looked at in it, and a day once a channel: one evening
of browsing must not weigh as much as a year of visits to the store.
"""

from collections.abc import Iterable, Iterator
from datetime import datetime
from functools import lru_cache
from typing import Final, NamedTuple

from config.duration import DAY_MS, HOUR_MS
from config.limits import NotNegative, Positive, PositiveInt, PositiveMs, Share
from config.parameters import Section
from config.topics import CLICKSTREAM, FEEDBACK
from config.zones import zone
from models.customer.order_news import COMPLETED
from models.events.event import Event

#: The latest hours of all channels together; older ones weigh little.
TOUCHES_MAX: Final = 32
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
    """The use of each channel. Time alone does not change it: all days fade alike.

    Written without calls where it counts: most check-ins come by here.
    """
    levels: dict[str, float] = {}
    before, first = 0, ""
    leader, lead, since_hour, first_hour = "", 0.0, 0, -1
    days = _by_day(touches, section.purchase_weight)
    several = len(touches) - ("" in touches) > 1
    for day in sorted(days):
        left = 0.5 ** ((day - before) * DAY_MS / section.half_life)
        before = day
        for channel in levels:
            levels[channel] *= left
        for channel, _, weight in days[day]:
            levels[channel] = levels[channel] + weight if channel in levels else weight
        ahead, lead = _leader(levels) if several else (days[day][0][0], 1.0)
        hour = day * _DAY_HOURS
        for channel, came_hour, _ in days[day]:
            hour = came_hour if channel == ahead else hour
        if first_hour < 0:
            first_hour = hour
        if not first and levels[ahead] >= section.least:
            first = ahead
        if lead < section.lead:
            since_hour = 0
        elif ahead != leader or not since_hour:
            since_hour = hour
        leader = ahead
    if not leader:
        return _UNUSED
    total = _total(levels)
    shares = {channel: level / total for channel, level in levels.items()}
    is_cut = since_hour == first_hour
    return ChannelUse(levels, shares, leader, lead, since_hour * HOUR_MS, is_cut, first)


def _by_day(touches: Touches, purchase_weight: float) -> dict[int, list[tuple[str, int, float]]]:
    """By day, the channels by which they came, each with its first hour and its weight."""
    days: dict[int, list[tuple[str, int, float]]] = {}
    for channel, known in sorted(touches.items()):
        before, first_hour, heaviest = -1, 0, 0.0
        for each in known if channel else ():
            hour = each >> _SHIFT
            day = hour // _DAY_HOURS
            weight = purchase_weight if each & _BOUGHT else 1.0
            if day != before:
                before, first_hour, heaviest = day, hour, 0.0
            elif weight <= heaviest:
                continue
            else:
                # The same day once more, with a purchase.
                days[day] = [one for one in days[day] if one[0] != channel]
            heaviest = weight
            days[day] = (
                [*days[day], (channel, first_hour, weight)]
                if day in days
                else [(channel, first_hour, weight)]
            )
    return days


def _leader(levels: dict[str, float]) -> tuple[str, float]:
    """The channel with the highest level, the first by name of equal ones, and how much larger its
    share is than the next.
    """
    first, first_level, next_level, total = "", -1.0, 0.0, 0.0
    for channel, level in levels.items():
        total += level
        if level > first_level or (level == first_level and channel < first):
            next_level = max(next_level, first_level)
            first, first_level = channel, level
        elif level > next_level:
            next_level = level
    return first, (first_level - next_level) / total


def _total(levels: dict[str, float]) -> float:
    total = 0.0
    for channel in sorted(levels):
        total += levels[channel]
    return total


def hour_levels(touches: Touches, zone_name: str, half_life_ms: int) -> tuple[list[float], int]:
    """How often they came in each hour of their day, decayed as of the latest, and how many hours
    that is.
    """
    hours = sorted({each >> _SHIFT for known in touches.values() for each in known if each & TIMED})
    levels, half_life_hours = [0.0] * _DAY_HOURS, half_life_ms / HOUR_MS
    for hour in hours:
        levels[_hour_shown(hour, zone_name)] += 0.5 ** ((hours[-1] - hour) / half_life_hours)
    return levels, len(hours)


@lru_cache(maxsize=65_536)
def _hour_shown(hour: int, zone_name: str) -> int:
    """The hour that clocks there show in the middle of an hour since 1970: some zones are half an
    hour off.
    """
    return datetime.fromtimestamp(hour * 3_600 + 1_800, zone(zone_name)).hour

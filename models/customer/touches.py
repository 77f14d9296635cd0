"""The hours in which a customer came, and by which channel: preferred channels and hours are
computed from them.

An hour counts once, however many pages were viewed in it, and a day once a channel: one evening of
browsing must not weigh as much as a year of visits to the store.
"""

from collections.abc import Iterable, Iterator
from datetime import datetime
from functools import lru_cache
from typing import Final, NamedTuple

from config.duration import DAY_MS, HOUR_MS
from config.limits import NotNegative, Positive, PositiveInt, PositiveMs, Share
from config.parameters import Section
from config.topics import CLICKSTREAM, FEEDBACK
from config.zones import UTC, zone
from models.customer.order_news import COMPLETED
from models.events.event import Event

#: The latest hours of all channels together; older ones weigh little.
TOUCHES_MAX: Final = 32
_DAY_HOURS: Final = 24
#: A touch is its hour since 1970, shifted, and these two bits.
_SHIFT: Final = 2
_BOUGHT, TIMED = 1, 2
#: Touches are divided by this to get their day since 1970.
_DAY: Final = _DAY_HOURS << _SHIFT
#: Days within which levels are looked up, and by which share a clear leader is ahead.
_DAYS_LEFT, _CLEAR = 512, 1e-9
#: Responses to our messages show when somebody reads, but not which channel they like: else the
#: channel that we write to most would be preferred.
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
        """More hours than are kept could never be reached."""
        if self.hours_min > TOUCHES_MAX:
            yield f"channels.hours_min is {TOUCHES_MAX} at most: no more hours are kept"


#: By channel, "" for none, ascending: hours in which a customer came, each once.
Touches = dict[str, list[int]]


def is_known(touches: list[int], at_ms: int) -> bool:
    """Whether the latest of these is in the same hour, and has all that a visit could add."""
    return touches[-1] | _BOUGHT == at_ms // HOUR_MS << _SHIFT | TIMED | _BOUGHT


def touch(touches: Touches, channel: str, event: Event) -> None:
    """Note the channel and hour of an event; arrival order doesn't matter."""
    topic = event.kind.topic
    if topic != CLICKSTREAM and (topic == FEEDBACK or event.name in _ANSWERS):
        if event.name not in _CLICKS:
            # A machine may have opened the message.
            return
        channel = ""
    at_ms = event.occurred_at_ms
    # An event from a batch, or with a date and no time, does not show the hour.
    is_timed = not event.batched and at_ms % DAY_MS != 0
    if not channel and not is_timed:
        return
    new = at_ms // HOUR_MS << _SHIFT | (TIMED if is_timed else 0)
    if _add(touches, channel, new | (event.name == COMPLETED and channel != "")):
        _limit(touches)


def _add(touches: Touches, channel: str, new: int) -> bool:
    """Add an hour, or the bits of a known one; return whether it is a new hour."""
    known = touches.get(channel)
    if known is None:
        touches[channel] = [new]
        return True
    place, hour = len(known), new >> _SHIFT
    while place and known[place - 1] >> _SHIFT > hour:
        place -= 1
    if place and known[place - 1] >> _SHIFT == hour:
        known[place - 1] |= new
        return False
    known.insert(place, new)
    return True


def _limit(touches: Touches) -> None:
    """Drop the oldest hours beyond the bound; of one hour, the first channel by name."""
    count = 0
    for known in touches.values():
        count += len(known)
    for _ in range(count - TOUCHES_MAX):
        oldest = min(touches, key=lambda name: (touches[name][0] >> _SHIFT, name))
        del touches[oldest][0]
        if not touches[oldest]:
            del touches[oldest]


def united_touches(all_touches: Iterable[Touches]) -> Touches:
    """One person's hours: an hour under two ids is one."""
    one: Touches = {}
    for touches in all_touches:
        for channel, known in touches.items():
            for each in known:
                _add(one, channel, each)
    _limit(one)
    return one


def has_bought(touches: Touches) -> bool:
    """Whether one of these hours has a purchase with a channel."""
    return any(each & _BOUGHT for known in touches.values() for each in known)


def latest_touch_ms(touches: Touches) -> int:
    """The latest hour; 0 for none."""
    latest = 0
    for known in touches.values():
        if known[-1] > latest:
            latest = known[-1]
    return (latest >> _SHIFT) * HOUR_MS


class ChannelUse(NamedTuple):
    """How much a customer uses each channel, as of the latest day on which they came.

    ``levels``: the days of each channel, decayed; a day with a purchase counts as several.
    ``shares`` add up to 1. ``leader``: the channel with the highest share, "" for none; ``lead``:
    how far its share is ahead of the next; ``since_ms``: since when that lead has been large
    enough, 0 if it is not; ``is_cut``: it may have been so before the first hour that is kept.
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
    before, first = 0, ""
    leader, lead, since_hour, first_hour = "", 0.0, 0, -1
    came = _days_they_came(touches, section.purchase_weight)
    is_one = len(touches) - ("" in touches) == 1
    place, count = 0, len(came)
    while place < count:
        begin, day = place, came[place][0]
        if levels:
            left = 0.5 ** ((day - before) * DAY_MS / section.half_life)
            for channel in levels:
                levels[channel] *= left
        before = day
        while place < count and came[place][0] == day:
            _, channel, _, weight = came[place]
            levels[channel] = levels[channel] + weight if channel in levels else weight
            place += 1
        ahead, lead = (came[begin][1], 1.0) if is_one else _leader(levels)
        is_leading = lead >= section.lead
        if first_hour < 0 or (is_leading and (ahead != leader or not since_hour)):
            hour = day * _DAY_HOURS
            for _, channel, came_hour, _ in came[begin:place]:
                hour = came_hour if channel == ahead else hour
            first_hour = hour if first_hour < 0 else first_hour
            since_hour = hour if is_leading else 0
        elif not is_leading:
            since_hour = 0
        if not first and levels[ahead] >= section.least:
            first = ahead
        leader = ahead
    if not leader:
        return _UNUSED
    total = _total(levels)
    shares = {channel: level / total for channel, level in levels.items()}
    is_cut = since_hour == first_hour
    return ChannelUse(levels, shares, leader, lead, since_hour * HOUR_MS, is_cut, first)


def leading_channel(touches: Touches, section: ChannelParameters) -> str:
    """The ``leader`` of the `channel_use`, at a third of the cost. Sums in another order differ
    from its levels in their last digits only, so a clear lead is the same by both.

    Written without calls where it counts: most check-ins run it.
    """
    if len(touches) - ("" in touches) == 1:
        return max(touches)
    left, purchase_weight = _left_by_days(section.half_life), section.purchase_weight
    today = max([known[-1] for channel, known in touches.items() if channel], default=0) // _DAY
    leader, most, second = "", 0.0, 0.0
    for channel, known in touches.items():
        if not channel:
            continue
        if today - known[0] // _DAY >= _DAYS_LEFT:
            return _leader_exactly(touches, section)
        level, day, counted = 0.0, -1, 0.0
        for each in known:
            weight = purchase_weight if each & _BOUGHT else 1.0
            if each // _DAY != day:
                day, counted = each // _DAY, weight
                level += left[today - day] * weight
            elif weight > counted:
                # The same day again, with a purchase.
                level += left[today - day] * (weight - counted)
                counted = weight
        if level > most:
            leader, most, second = channel, level, most
        elif level > second:
            second = level
    return leader if most - second > _CLEAR * most else _leader_exactly(touches, section)


@lru_cache(maxsize=8)
def _left_by_days(half_life_ms: int) -> tuple[float, ...]:
    """What is left of a day after so many days."""
    return tuple(0.5 ** (days * DAY_MS / half_life_ms) for days in range(_DAYS_LEFT))


def _leader_exactly(touches: Touches, section: ChannelParameters) -> str:
    """The same by the very levels of the `channel_use`."""
    levels: dict[str, float] = {}
    before = 0
    for day, channel, _, weight in _days_they_came(touches, section.purchase_weight):
        if day != before:
            left = 0.5 ** ((day - before) * DAY_MS / section.half_life)
            for known in levels:
                levels[known] *= left
            before = day
        levels[channel] = levels[channel] + weight if channel in levels else weight
    return _leader(levels)[0] if levels else ""


def _days_they_came(touches: Touches, purchase_weight: float) -> list[tuple[int, str, int, float]]:
    """The days on which the customer came by each channel, each with its first hour and its weight,
    sorted by day and channel.
    """
    came: list[tuple[int, str, int, float]] = []
    for channel, known in touches.items():
        before, first_hour, heaviest = -1, 0, 0.0
        for each in known if channel else ():
            hour = each >> _SHIFT
            day = hour // _DAY_HOURS
            weight = purchase_weight if each & _BOUGHT else 1.0
            if day != before:
                before, first_hour, heaviest = day, hour, weight
                came.append((day, channel, hour, weight))
            elif weight > heaviest:
                # The same day again, with a purchase.
                heaviest = weight
                came[-1] = day, channel, first_hour, weight
    came.sort()
    return came


def _leader(levels: dict[str, float]) -> tuple[str, float]:
    """The channel with the highest level (of equal ones, the first by name), and how far its share
    is ahead of the next.
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


def timed_hours(touches: Touches) -> list[int]:
    """The hours since 1970 in which the customer came, each once, ascending."""
    timed = [each >> _SHIFT for known in touches.values() for each in known if each & TIMED]
    return timed if len(touches) == 1 else sorted(set(timed))


def hour_levels(hours: list[int], zone_name: str, half_life_ms: int) -> list[float]:
    """How often the customer came in each hour of their day, decayed as of the latest of these."""
    levels, half_life_hours = [0.0] * _DAY_HOURS, half_life_ms / HOUR_MS
    latest = hours[-1]
    if zone_name == UTC:
        for hour in hours:
            levels[hour % _DAY_HOURS] += 0.5 ** ((latest - hour) / half_life_hours)
    else:
        for hour in hours:
            levels[_hour_shown(hour, zone_name)] += 0.5 ** ((latest - hour) / half_life_hours)
    return levels


@lru_cache(maxsize=65_536)
def _hour_shown(hour: int, zone_name: str) -> int:
    """The hour of the day there, in the middle of an hour since 1970: some zones are off by half an
    hour.
    """
    return datetime.fromtimestamp(hour * 3_600 + 1_800, zone(zone_name)).hour

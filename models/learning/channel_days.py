"""Sums by kind, channel and UTC day: the data of acquisition about customers and costs.

A snapshot is drawn each day, and most sums have not changed since the previous one. So an index
beside the sums holds what a snapshot needs: the sums of each channel, and which sums may have days
to forget.
"""

from collections.abc import Mapping
from typing import Final

#: Channels beyond this number are counted together as `OTHER`.
CHANNELS_MAX: Final = 64
OTHER: Final = "other"
#: After every possible day.
_NEVER: Final = 1 << 62
#: Sums by UTC day.
Days = dict[int, int]
#: Sums of one channel, by kind.
KnownDays = dict[str, Days]


class ChannelDays:
    """Adds to sums, which are part of a learner's state and are changed in place."""

    def __init__(self, sums: dict[str, dict[str, Days]]) -> None:
        """``sums``: by kind and channel."""
        self._sums = sums
        self._by_channel: dict[str, KnownDays] = {}
        # Lower bounds of the first day of each sum and of all, and the sums that were added to
        # since days were last forgotten: only those can have become 0.
        self._first_day: dict[tuple[str, str], int] = {}
        self._earliest_day = _NEVER
        self._added: set[tuple[str, str]] = set()
        for what, channels in sums.items():
            for channel, days in channels.items():
                self._by_channel.setdefault(channel, {})[what] = days
                self._first_day[what, channel] = min(days, default=0)
                self._added.add((what, channel))
        self._earliest_day = min(self._first_day.values(), default=_NEVER)

    @property
    def by_channel(self) -> Mapping[str, KnownDays]:
        """Every channel with a sum; read only."""
        return self._by_channel

    def add(self, what: str, channel: str, day: int, amount: int) -> str:
        """Add to a sum; return the channel that it is counted under."""
        channels = self._sums.setdefault(what, {})
        if channel not in channels:
            channel = channel if len(channels) < CHANNELS_MAX else OTHER
            self._by_channel.setdefault(channel, {})[what] = channels.setdefault(channel, {})
        days, place = channels[channel], (what, channel)
        self._added.add(place)
        if day in days:
            days[day] += amount
        else:
            days[day] = amount
            self._first_day[place] = min(day, self._first_day.get(place, day))
            self._earliest_day = min(day, self._earliest_day)
        return channel

    def forget(self, until_day: int) -> None:
        """Drop days up to this one, and sums that are empty then."""
        old: set[tuple[str, str]] = set()
        if self._earliest_day <= until_day:
            old = {place for place, first_day in self._first_day.items() if first_day <= until_day}
        for what, channel in old | self._added:
            days = self._sums[what][channel]
            kept = {day: amount for day, amount in days.items() if day > until_day and amount}
            if not kept:
                self._drop(what, channel)
            elif len(kept) < len(days):
                self._sums[what][channel] = self._by_channel[channel][what] = kept
                self._first_day[what, channel] = min(kept)
        if old:
            self._earliest_day = min(self._first_day.values(), default=_NEVER)
        self._added.clear()

    def _drop(self, what: str, channel: str) -> None:
        channels, known = self._sums[what], self._by_channel[channel]
        del channels[channel], known[what], self._first_day[what, channel]
        if not channels:
            del self._sums[what]
        if not known:
            del self._by_channel[channel]

"""Sums over all customers, by part, key and day."""

from collections.abc import Iterable
from typing import Any

from msgspec import Struct

from config.duration import DAY_MS
from config.parameters import Parameters
from models.learning.lessons import AddedUp, Tally

#: The day of sums without a day, which count whatever the window is.
NO_DAY = 0
#: Before and after every possible day of a sum.
_LONG_AGO, _NEVER = -(1 << 62), 1 << 62


#: The part of the sums about channels: people first seen, customers won.
ACQUISITION_NAME = "acquisition"


class Tallied(Struct, rename="camel"):
    """One part's integer sums by key and UTC day; only the last ``window_days`` are kept, all if it
    is 0.
    """

    window_days: int = 0
    sums: dict[str, dict[int, int]] = {}


class TallyState(Struct, rename="camel"):
    """Sums by part; the order of lessons does not matter."""

    parts: dict[str, Tallied] = {}


class Tallies(Struct, frozen=True, rename="camel"):
    """Each part's sums within its window, by key."""

    parts: dict[str, dict[str, int]] = {}


class _Known:
    """An index of one part's sums, needed for every snapshot: ``totals``, the sum of each key over
    all days; the keys of each day; and bounds: no day is before ``first_day`` or after
    ``last_day``.
    """

    __slots__ = ("first_day", "keys_of", "last_day", "totals")

    def __init__(self, tallied: Tallied) -> None:
        self.totals: dict[str, int] = {}
        self.keys_of: dict[int, set[str]] = {}
        self.first_day, self.last_day = _NEVER, _LONG_AGO
        for key, days in tallied.sums.items():
            self.totals[key] = 0
            for day, amount in days.items():
                self.totals[key] += amount
                if day != NO_DAY:
                    self.note(key, day)

    def note(self, key: str, day: int) -> None:
        """Note that the key has a sum for this day."""
        if day in self.keys_of:
            self.keys_of[day].add(key)
            return
        self.keys_of[day] = {key}
        self.first_day, self.last_day = min(day, self.first_day), max(day, self.last_day)

    def forget(self, until_day: int) -> list[tuple[int, set[str]]]:
        """Drop days up to this one; return them, each with its keys."""
        if self.first_day > until_day:
            return []
        old = [day for day in self.keys_of if day <= until_day]
        gone = [(day, self.keys_of.pop(day)) for day in old]
        self.first_day = min(self.keys_of, default=_NEVER)
        return gone

    def is_within(self, first_day: int, today: int) -> bool:
        """Whether all days are between these two."""
        return self.first_day >= first_day and self.last_day <= today


class TallyLearner:
    """Adds up tallies, and drops days outside the window."""

    knows_enough = True

    def __init__(self, state: Any, _parameters: Parameters) -> None:
        self._state: TallyState = state or TallyState()
        self._known = {name: _Known(found) for name, found in self._state.parts.items()}

    def learn(self, tally: Tally | AddedUp) -> None:
        """Add a tally's amounts to the sums of their keys and days. Tallies about channels are
        ignored: channels may have any names, and the acquisition learner keeps them within a limit.
        """
        if tally.part == ACQUISITION_NAME:
            return
        tallied = self._state.parts.get(tally.part)
        if tallied is None:
            tallied = self._state.parts[tally.part] = Tallied()
            self._known[tally.part] = _Known(tallied)
        tallied.window_days = tally.window_days
        sums, known = tallied.sums, self._known[tally.part]
        totals = known.totals
        for key, day, amount in tally.sums:
            if key in sums:
                days = sums[key]
                totals[key] += amount
            else:
                days, totals[key] = {}, amount
                sums[key] = days
            if day in days:
                left = days[day] + amount
                if left:
                    days[day] = left
                else:
                    del days[day]
            elif amount:
                days[day] = amount
                if day != NO_DAY:
                    known.note(key, day)

    def state(self) -> TallyState:
        """The whole state, enough to restore the learner."""
        return self._state

    def so_far(self, now_ms: int, waiting: Iterable[Tally | AddedUp] = ()) -> Tallies:
        """The sums over (now - window, now] by event day, including tallies that are ``waiting`` to
        be learnt; later days do not count yet.
        """
        today = now_ms // DAY_MS
        found = {name: self._within(name, today) for name in self._state.parts}
        for told in waiting:
            if told.part == ACQUISITION_NAME:
                continue
            totals, last_day = found.setdefault(told.part, {}), _last_day(told.window_days, today)
            for key, day, amount in told.sums:
                counts = day == NO_DAY or last_day < day <= today
                totals[key] = totals.get(key, 0) + (amount if counts else 0)
        return Tallies(found)

    def draw(self, now_ms: int) -> Tallies:
        """Return `so_far`, after dropping days outside the window."""
        self.forget(now_ms)
        return self.so_far(now_ms)

    def forget(self, now_ms: int) -> None:
        """Drop days outside the window."""
        today = now_ms // DAY_MS
        for name, tallied in self._state.parts.items():
            if tallied.window_days <= 0:
                continue
            known = self._known[name]
            for day, keys in known.forget(today - tallied.window_days):
                for key in keys:
                    known.totals[key] -= tallied.sums[key].pop(day, 0)

    def _within(self, name: str, today: int) -> dict[str, int]:
        tallied, known = self._state.parts[name], self._known[name]
        last_day = _last_day(tallied.window_days, today)
        totals = dict(known.totals)
        if not known.is_within(last_day + 1, today):
            sums = tallied.sums
            for day, keys in known.keys_of.items():
                if day <= last_day or day > today:
                    for key in keys:
                        totals[key] -= sums[key].get(day, 0)
        return totals


def _last_day(window_days: int, today: int) -> int:
    """The last day before the window."""
    return today - window_days if window_days > 0 else _LONG_AGO

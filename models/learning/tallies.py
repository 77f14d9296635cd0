"""Sums over all customers, by part, key and day."""

from typing import Any

from msgspec import Struct

from config.duration import DAY_MS
from config.parameters import Parameters
from models.learning.lessons import Tally

#: The day of sums without a day: they count whatever the window is.
NO_DAY = 0
#: Before every day that a sum may be of.
_LONG_AGO = -(1 << 62)


#: Of channels: how many people were first seen, and how many customers were won.
ACQUISITION_NAME = "acquisition"


class Tallied(Struct, rename="camel"):
    """One part's sums of whole numbers by key and UTC day; only ``window_days`` are kept, 0 for
    all.
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
    """What follows from one part's sums and is asked with every snapshot: the ``totals`` of each
    key over all days, and the keys that there are of a day.
    """

    __slots__ = ("keys_of", "totals")

    def __init__(self, tallied: Tallied) -> None:
        self.totals: dict[str, int] = {}
        self.keys_of: dict[int, set[str]] = {}
        for key, days in tallied.sums.items():
            self.totals[key] = 0
            for day, amount in days.items():
                self.totals[key] += amount
                if day != NO_DAY:
                    self.note(key, day)

    def note(self, key: str, day: int) -> None:
        """Note that the key has a sum of this day."""
        if day in self.keys_of:
            self.keys_of[day].add(key)
        else:
            self.keys_of[day] = {key}

    def is_within(self, first_day: int, today: int) -> bool:
        """Whether all days are within these two."""
        keys_of = self.keys_of
        return not keys_of or (min(keys_of) >= first_day and max(keys_of) <= today)


class TallyLearner:
    """Adds up tallies, and drops days outside the window."""

    knows_enough = True

    def __init__(self, state: Any, _parameters: Parameters) -> None:
        self._state: TallyState = state or TallyState()
        self._known = {name: _Known(found) for name, found in self._state.parts.items()}

    def learn(self, tally: Tally) -> None:
        """Add a tally's amounts to the sums of their keys and days; channels have any names, and
        are kept by the learner of acquisition, which has a bound for them.
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
            if key not in sums:
                sums[key], totals[key] = {}, 0
            days = sums[key]
            changed = days[day] + amount if day in days else amount
            if changed:
                days[day] = changed
            else:
                days.pop(day, None)
            totals[key] += amount
            if day != NO_DAY:
                known.note(key, day)

    def state(self) -> TallyState:
        """The whole state, enough to restore the learner."""
        return self._state

    def so_far(self, now_ms: int) -> Tallies:
        """The sums over (now - window, now] by event day; later days do not count yet."""
        today = now_ms // DAY_MS
        return Tallies({name: self._within(name, today) for name in self._state.parts})

    def draw(self, now_ms: int) -> Tallies:
        """Return `so_far`, and drop days outside the window."""
        self.forget(now_ms)
        return self.so_far(now_ms)

    def forget(self, now_ms: int) -> None:
        """Drop days outside the window."""
        today = now_ms // DAY_MS
        for name, tallied in self._state.parts.items():
            if tallied.window_days <= 0:
                continue
            known, last_day = self._known[name], today - tallied.window_days
            for day in [day for day in known.keys_of if day <= last_day]:
                for key in known.keys_of.pop(day):
                    known.totals[key] -= tallied.sums[key].pop(day, 0)

    def _within(self, name: str, today: int) -> dict[str, int]:
        tallied, known = self._state.parts[name], self._known[name]
        last_day = today - tallied.window_days if tallied.window_days > 0 else _LONG_AGO
        if known.is_within(last_day + 1, today):
            return dict(known.totals)
        sums: dict[str, int] = {}
        for key, days in tallied.sums.items():
            total = 0
            for day in days:
                if day == NO_DAY or last_day < day <= today:
                    total += days[day]
            sums[key] = total
        return sums

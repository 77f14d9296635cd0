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


class TallyLearner:
    """Adds up tallies, and drops days outside the window."""

    knows_enough = True

    def __init__(self, state: Any, _parameters: Parameters) -> None:
        self._state: TallyState = state or TallyState()

    def learn(self, tally: Tally) -> None:
        """Add a tally's amounts to the sums of their keys and days; channels have any names, and
        are kept by the learner of acquisition, which has a bound for them.
        """
        if tally.part == ACQUISITION_NAME:
            return
        tallied = self._state.parts.get(tally.part)
        if tallied is None:
            tallied = self._state.parts[tally.part] = Tallied()
        tallied.window_days = tally.window_days
        sums = tallied.sums
        for key, day, amount in tally.sums:
            if key not in sums:
                sums[key] = {}
            days = sums[key]
            changed = days[day] + amount if day in days else amount
            if changed:
                days[day] = changed
            else:
                days.pop(day, None)

    def state(self) -> TallyState:
        """The whole state, enough to restore the learner."""
        return self._state

    def so_far(self, now_ms: int) -> Tallies:
        """The sums over (now - window, now] by event day; later days do not count yet."""
        today = now_ms // DAY_MS
        return Tallies({name: _within(found, today) for name, found in self._state.parts.items()})

    def draw(self, now_ms: int) -> Tallies:
        """Return `so_far`, and drop days outside the window."""
        self.forget(now_ms)
        return self.so_far(now_ms)

    def forget(self, now_ms: int) -> None:
        """Drop days outside the window."""
        today = now_ms // DAY_MS
        for tallied in self._state.parts.values():
            if tallied.window_days <= 0:
                continue
            last_day = today - tallied.window_days
            old = [
                (days, day)
                for days in tallied.sums.values()
                for day in days
                if NO_DAY != day <= last_day
            ]
            for days, day in old:
                del days[day]


def _within(tallied: Tallied, today: int) -> dict[str, int]:
    last_day = today - tallied.window_days if tallied.window_days > 0 else _LONG_AGO
    sums: dict[str, int] = {}
    for key, days in tallied.sums.items():
        total = 0
        for day in days:
            if day == NO_DAY or last_day < day <= today:
                total += days[day]
        sums[key] = total
    return sums

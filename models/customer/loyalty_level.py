"""The levels of a loyalty programme: the points they require, and which one a customer holds."""

from bisect import bisect_right
from collections.abc import Iterator
from itertools import pairwise
from math import ceil
from typing import Annotated, Final

from config.duration import DurationMs
from config.limits import NOT_EMPTY, NotNegative, PositiveInt, PositiveMs, Share
from config.parameters import Section

_RATE_MAX: Final = 1_000
NEVER_MS: Final = 1 << 62


class LoyaltyParameters(Section, frozen=True):
    """The rate at which points are earned, how long they last, and the levels, lowest first."""

    section = "loyalty"

    enabled: bool
    rate: NotNegative
    pending: DurationMs
    expiry: PositiveMs
    returned: PositiveMs
    expiring: PositiveMs
    expiring_least: PositiveInt
    levels: Annotated[tuple[str, ...], NOT_EMPTY]
    level_points: tuple[int, ...]
    level_multipliers: tuple[NotNegative, ...]
    level_window: PositiveMs
    level_grace: DurationMs
    level_near: Share
    point_value: NotNegative
    lots: PositiveInt
    debits: PositiveInt

    def problems(self) -> Iterator[str]:
        """The lowest level must require 0 points, and each one more than the one before."""
        points = self.level_points
        if points[:1] != (0,) or tuple(sorted(set(points))) != points:
            yield "loyalty.level_points must ascend, from 0"
        if not len(self.levels) == len(points) == len(self.level_multipliers):
            yield "loyalty.levels, level_points and level_multipliers are lists of one length"
        if any(self.rate * multiplier > _RATE_MAX for multiplier in self.level_multipliers):
            yield f"loyalty.rate times a multiplier is {_RATE_MAX} at most"


class Standing:
    """The level by points earned within the window, followed through time.

    A level is held until the grace period has passed since the customer last had its points.
    ``earned`` are the points that count, ``reached`` is the place of the level that they are enough
    for, and ``near_ms`` is when they last came near the next level.
    """

    __slots__ = (
        "_bounds",
        "_ceiling",
        "_ended_ms",
        "_entered",
        "_floor",
        "_grace_ms",
        "_left",
        "_marks",
        "_steps",
        "_times",
        "_totals",
        "_window_ms",
        "earned",
        "near_ms",
        "reached",
    )

    def __init__(self, loyalty: LoyaltyParameters) -> None:
        self._window_ms, self._grace_ms = loyalty.level_window, loyalty.level_grace
        self._steps = steps = loyalty.level_points
        share = loyalty.level_near
        #: The points from which on each level is near, seen from the one below.
        self._marks = [0]
        self._marks += [ceil(up - share * (up - low)) for low, up in pairwise(steps)]
        #: Between two of these bounds, more or fewer points change nothing.
        self._bounds = sorted({*steps, *self._marks})
        self._floor, self._ceiling = 0, [*self._bounds, NEVER_MS][1]
        #: When points begin to count, and how many came before each.
        self._times: list[int] = []
        self._totals = [0]
        self._entered = self._left = 0
        self._ended_ms = [-NEVER_MS] * len(steps)
        self.earned = self.reached = self.near_ms = 0

    def add(self, active_ms: int, points: int) -> None:
        """Add points that count from ``active_ms`` on, which must not be before that of earlier
        calls.
        """
        self._times.append(active_ms)
        self._totals.append(self._totals[-1] + points)

    def advance(self, at_ms: int) -> None:
        """Count the points that are within the window at ``at_ms``."""
        times, totals, window_ms = self._times, self._totals, self._window_ms
        entered, left, before = self._entered, self._left, self.earned
        while True:
            enter_ms = times[entered] if entered < len(times) else NEVER_MS
            leave_ms = times[left] + window_ms if left < entered else NEVER_MS
            next_ms = min(enter_ms, leave_ms)
            if next_ms > at_ms:
                break
            if enter_ms <= leave_ms:
                entered += 1
            else:
                left += 1
            self.earned = earned = totals[entered] - totals[left]
            if not self._floor <= earned < self._ceiling:
                self._cross(next_ms, before)
            before = earned
        self._entered, self._left = entered, left

    def _cross(self, at_ms: int, before: int) -> None:
        """The points have risen to a bound, or fallen below one."""
        earned, steps = self.earned, self._steps
        reached = bisect_right(steps, earned) - 1
        for level in range(reached + 1, self.reached + 1):
            self._ended_ms[level] = at_ms
        self.reached = reached
        above = self.held(at_ms) + 1
        if above < len(steps) and before < self._marks[above] <= earned:
            self.near_ms = at_ms
        place = bisect_right(self._bounds, earned)
        self._floor = self._bounds[place - 1]
        self._ceiling = self._bounds[place] if place < len(self._bounds) else NEVER_MS

    def held(self, at_ms: int) -> int:
        """The place of the level that is held at ``at_ms``, as far as the level was followed."""
        for level in range(len(self._steps) - 1, self.reached, -1):
            if at_ms < self._ended_ms[level] + self._grace_ms:
                return level
        return self.reached

    def gap(self, at_ms: int) -> int:
        """Points missing to the level above the one that is held; 0 for the highest."""
        above = self.held(at_ms) + 1
        return self._steps[above] - self.earned if above < len(self._steps) else 0

    def moves_at_ms(self) -> int:
        """When the number of points that count next changes; `NEVER_MS` for never."""
        times, entered, left = self._times, self._entered, self._left
        enter_ms = times[entered] if entered < len(times) else NEVER_MS
        return min(enter_ms, times[left] + self._window_ms if left < entered else NEVER_MS)

    def falls_at_ms(self, at_ms: int) -> int:
        """When the level that is held falls if no more points come; `NEVER_MS` for the lowest."""
        held = self.held(at_ms)
        if held > self.reached:
            return self._ended_ms[held] + self._grace_ms
        if not held:
            return NEVER_MS
        # The first points after whose end too few are left.
        too_many = self._totals[self._entered] - self._steps[held]
        last = bisect_right(self._totals, too_many, self._left) - 1
        return self._times[last] + self._window_ms + self._grace_ms

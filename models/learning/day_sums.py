"""Sums over all customers that wait for the end of their day, added up on arrival.

Half of all lessons are sums, and in a large shop many have the same keys. Adding them up does not
depend on their order, so the sums of a day are learnt once for each part.
"""

from collections.abc import Iterator, Sequence
from typing import Final

from models.learning.improvements import IMPROVEMENTS_NAME
from models.learning.lessons import AddedUp, Tally

#: The times of these tallies matter as well, so each is kept by itself. They are rare.
_NOT_ADDED_UP: Final = frozenset({IMPROVEMENTS_NAME})


class _PartSums:
    """A part's sums by key and day. ``latest``: the time and the window of the latest tally."""

    __slots__ = ("amounts", "latest", "tallies")

    def __init__(self) -> None:
        self.amounts: dict[tuple[str, int], int] = {}
        self.latest = (0, 0)
        self.tallies = 0


class DaySums:
    """The sums that partitions reported between two ends of days, independent of the order of
    arrival.
    """

    __slots__ = ("_by_part", "_single")

    def __init__(self) -> None:
        self._by_part: dict[str, _PartSums] = {}
        self._single: list[Tally] = []

    def add(self, tally: Tally) -> None:
        """Add a tally's amounts."""
        part = tally.part
        if part in _NOT_ADDED_UP:
            self._single.append(tally)
            return
        known = self._by_part.get(part)
        if known is None:
            known = self._by_part[part] = _PartSums()
        amounts = known.amounts
        for key, day, amount in tally.sums:
            place = key, day
            amounts[place] = amounts[place] + amount if place in amounts else amount
        latest = tally.timestamp_ms, tally.window_days
        if latest > known.latest:
            known.latest = latest
        known.tallies += 1

    def add_all(self, other: "DaySums") -> None:
        """Add the sums of another partition for the same day."""
        for part, sums in other._by_part.items():
            known = self._by_part.setdefault(part, _PartSums())
            for place, amount in sums.amounts.items():
                known.amounts[place] = known.amounts.get(place, 0) + amount
            known.latest = max(known.latest, sums.latest)
            known.tallies += sums.tallies
        self._single += other._single

    def told(self) -> Iterator[AddedUp]:
        """The sums to learn, in an order that does not depend on the order of arrival."""
        for part, known in sorted(self._by_part.items()):
            sums = tuple([(key, day, by) for (key, day), by in sorted(known.amounts.items())])
            yield AddedUp(known.latest[0], part, known.latest[1], sums, known.tallies)
        for one in sorted(self._single, key=_when):
            yield AddedUp(one.timestamp_ms, one.part, one.window_days, one.sums, 1)


def _when(tally: Tally) -> tuple[int, str, tuple[tuple[str, int, int], ...]]:
    return tally.timestamp_ms, tally.part, tally.sums


def joined(several: Sequence[DaySums]) -> DaySums:
    """The sums of several partitions, read only; for a single one, its own object."""
    if len(several) == 1:
        return several[0]
    found = DaySums()
    for one in several:
        found.add_all(one)
    return found

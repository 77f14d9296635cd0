"""The members of each segment, and how many of them entered it lately."""

from collections.abc import Iterable, Mapping

from msgspec import Struct

from config.duration import DAY_MS
from models.customer.scene import Scene
from models.customer.segments import SEGMENTS, declared, member_of


class SegmentCount(Struct, rename="camel"):
    """The members of a segment, and how many of them entered it within the last 1, 7 and 28 days
    and have stayed. For members since a file that is newer than the last look at them, no time of
    entry is known.
    """

    members: int = 0
    entered_day: int = 0
    entered_week: int = 0
    entered_four_weeks: int = 0

    def count(self, in_for_ms: int | None) -> None:
        """Count a member, and how long they have been one; None if unknown."""
        self.members += 1
        if in_for_ms is not None:
            self.entered_day += in_for_ms < DAY_MS
            self.entered_week += in_for_ms < 7 * DAY_MS
            self.entered_four_weeks += in_for_ms < 28 * DAY_MS

    def add(self, other: "SegmentCount") -> None:
        """Add the counts of ``other``."""
        self.members += other.members
        self.entered_day += other.entered_day
        self.entered_week += other.entered_week
        self.entered_four_weeks += other.entered_four_weeks


class SegmentCounts(dict[str, SegmentCount]):
    """Counts by segment; only segments with members are here."""

    def look(self, scene: Scene) -> None:
        """Count one customer in each of their segments."""
        standings = scene.row.read(SEGMENTS).standings
        for name in declared(member_of(scene)):
            standing = standings.get(name)
            since_ms = standing.since_ms if standing is not None else 0
            counted = self.setdefault(name, SegmentCount())
            counted.count(scene.at_ms - since_ms if since_ms else None)

    def add(self, others: Iterable[Mapping[str, SegmentCount]]) -> "SegmentCounts":
        """Add the counts of ``others``; returns itself."""
        for other in others:
            for name, count in other.items():
                self.setdefault(name, SegmentCount()).add(count)
        return self

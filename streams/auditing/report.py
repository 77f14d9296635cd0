"""The report of an audit: what was compared, what differs, and what could not be compared."""

from collections import Counter
from collections.abc import Mapping

from msgspec import Struct, field

from models.events.times import iso

#: Examples kept of each kind of difference.
EXAMPLES_MAX = 10


class Difference(Struct, rename="camel"):
    """One kind of difference: ``count`` of them, the first few as ``examples``."""

    check: str
    words: str
    count: int = 0
    examples: list[str] = []


class Incomplete(Struct, rename="camel"):
    """``rows`` whose ``parts`` lack the customer's beginning: they know only what came from
    ``since`` on, or from later. ISO 8601.
    """

    parts: list[str]
    since: str
    rows: int = 0

    def __str__(self) -> str:
        parts = " and ".join(filter(None, [", ".join(self.parts[:-1]), self.parts[-1]]))
        return (
            f"{self.rows:,} rows have {parts} since {self.since}, when the release or a switch "
            f"brought them; `keepstream rebuild --all` completes them"
        )


class Audit(Struct, rename="camel"):
    """``checked``: how many of each kind were compared. ``differences``: what is not as the log
    says. ``broken``: what is kept for ever and still could not be compared, which is a fault.
    ``unchecked``: what could not be compared, and why that is no fault. ``incomplete``: rows that
    lack the time before some parts were in force.
    """

    checked: Counter[str] = field(default_factory=Counter)
    differences: list[Difference] = []
    broken: list[str] = []
    unchecked: list[str] = []
    incomplete: list[Incomplete] = []

    @property
    def is_exact(self) -> bool:
        """Whether everything that must exist was compared, and nothing differs."""
        return not self.differences and not self.broken

    def lacks(self, begun: Mapping[str, int]) -> None:
        """Count a row that has parts only since a time, in ms, and not from the beginning."""
        names, since = sorted(begun), iso(min(begun.values()))
        for known in self.incomplete:
            if known.parts == names:
                known.since = min(known.since, since)
                break
        else:
            known = Incomplete(names, since)
            self.incomplete.append(known)
        known.rows += 1

    def differs(self, check: str, words: str, example: str, count: int = 1) -> None:
        """Count a difference of the kind that ``check`` and ``words`` name."""
        for known in self.differences:
            if (known.check, known.words) == (check, words):
                break
        else:
            known = Difference(check, words)
            self.differences.append(known)
        known.count += count
        if len(known.examples) < EXAMPLES_MAX:
            known.examples.append(example)

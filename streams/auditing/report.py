"""What an audit found: what was compared, what differs, and what could not be compared."""

from collections import Counter

from msgspec import Struct, field

#: Examples kept of each kind of difference: enough to look into, however many there are.
EXAMPLES_MAX = 10


class Difference(Struct, rename="camel"):
    """One kind of difference: ``count`` of them, the first few as ``examples``."""

    check: str
    words: str
    count: int = 0
    examples: list[str] = []


class Audit(Struct, rename="camel"):
    """``checked``: how many of each kind were compared. ``differences``: what is not as the log
    says. ``broken``: what could not be compared although it is to be kept for ever, so that it
    counts as a fault. ``unchecked``: what could not be compared, and why that is no fault.
    """

    checked: Counter[str] = field(default_factory=Counter)
    differences: list[Difference] = []
    broken: list[str] = []
    unchecked: list[str] = []

    @property
    def is_exact(self) -> bool:
        """Whether all that must be there was compared, and nothing differs."""
        return not self.differences and not self.broken

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

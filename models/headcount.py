"""How a row is counted among all customers for what it is now, and not for what happened."""

from typing import NamedTuple

from models.customer.contacts import CONTACTS
from models.customer.holdout import CONTAMINATED
from models.customer.identities import IDENTITIES, SHARED
from models.customer.row import Row
from models.learning.lessons import Tally
from models.learning.tallies import NO_DAY


class Headcount(NamedTuple):
    """Whether it is an id that several share, and whether it is a person in both groups."""

    is_shared: bool = False
    is_contaminated: bool = False

    @classmethod
    def of(cls, row: Row | None) -> "Headcount":
        """Of an id that is another person's, that person is counted; no row counts for nothing."""
        if row is None:
            return cls()
        state, contacts = row.read(IDENTITIES), row.read(CONTACTS)
        return cls(state.is_apart, bool(contacts.contaminated_ms) and not state.is_mirror)

    def changed_to(self, after: "Headcount", at_ms: int) -> list[Tally]:
        """What the sums of all customers change by."""
        told = (
            (IDENTITIES.name, SHARED, after.is_shared - self.is_shared),
            (CONTACTS.name, CONTAMINATED, after.is_contaminated - self.is_contaminated),
        )
        return [Tally(at_ms, part, 0, ((key, NO_DAY, by),)) for part, key, by in told if by]


def recounted(row: Row, was_shared: bool, was_mirror: bool, at_ms: int) -> list[Tally]:
    """What an event changes, which puts nobody in both groups: nearly always nothing, for which the
    row's contacts need not be unpacked.
    """
    state = row.read(IDENTITIES)
    if (was_shared, was_mirror) == (state.is_apart, state.is_mirror):
        return []
    is_marked = bool(row.read(CONTACTS).contaminated_ms)
    before = Headcount(was_shared, is_marked and not was_mirror)
    return before.changed_to(Headcount.of(row), at_ms)

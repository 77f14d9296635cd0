"""How a row counts in the sums over all customers by its present state, not by its events."""

from typing import NamedTuple

from models.customer.contacts import CONTACTS
from models.customer.holdout import CONTAMINATED
from models.customer.identities import IDENTITIES, SHARED
from models.customer.row import Row
from models.learning.lessons import Tally
from models.learning.tallies import NO_DAY


class Headcount(NamedTuple):
    """Whether the row is an id that several share, and a person with decisions of both groups."""

    is_shared: bool = False
    is_contaminated: bool = False

    @classmethod
    def of(cls, row: Row | None) -> "Headcount":
        """The headcount of a row. A mirror does not count, because its person does; neither does
        None.
        """
        if row is None:
            return cls()
        state, contacts = row.read(IDENTITIES), row.read(CONTACTS)
        return cls(state.is_apart, bool(contacts.contaminated_ms) and not state.is_mirror)

    def changed_to(self, after: "Headcount", at_ms: int) -> list[Tally]:
        """The changes to the sums over all customers."""
        told = (
            (IDENTITIES.name, SHARED, after.is_shared - self.is_shared),
            (CONTACTS.name, CONTAMINATED, after.is_contaminated - self.is_contaminated),
        )
        return [Tally(at_ms, part, 0, ((key, NO_DAY, by),)) for part, key, by in told if by]


def recounted(row: Row, was_shared: bool, was_mirror: bool, at_ms: int) -> list[Tally]:
    """The changes by an event, which never puts a customer in both groups. Nearly always there are
    none, and the row's contacts need not be unpacked.
    """
    state = row.read(IDENTITIES)
    if (was_shared, was_mirror) == (state.is_apart, state.is_mirror):
        return []
    is_marked = bool(row.read(CONTACTS).contaminated_ms)
    before = Headcount(was_shared, is_marked and not was_mirror)
    return before.changed_to(Headcount.of(row), at_ms)

"""The customers of a partition: their rows, the graves of the erased, and who is due next.

The offset of the record that changed a row or a grave is noted in it, so that a record which is
read again after a crash is known.
"""

from collections.abc import Iterable
from typing import Protocol

from msgspec.structs import replace

from models import erasure, inactivity
from models.customer.row import NO_IDS, Row, decode_row
from models.customer.row_formats import RowError
from models.deadlines import Deadlines
from models.engine import Effect
from models.events.gone import left_by
from models.events.line import Line
from models.events.rejection import Reason, Rejected
from models.graves import BuriedByFingerprint, Grave, Graves
from models.partition_state import GRAVES_FORMAT, PartitionState


class Rows(Protocol):
    """The store of a partition's rows. Rows are changed in place: ``put`` marks one as changed, and
    ``forget`` discards the one in memory, so that the stored row is used again.
    """

    def get(self, customer: str) -> Row | None: ...

    def put(self, customer: str, row: Row) -> None: ...

    def forget(self, customer: str) -> None: ...

    def remove(self, customer: str, offset: int, /) -> None:
        """Remove the customer's row, because of the record at ``offset``."""
        ...

    def due(self) -> Iterable[tuple[int, str]]:
        """(earliest timer, customer) of every row with a timer."""
        ...

    def applied(self) -> Iterable[tuple[int, str]]:
        """(offset of the last change, customer) of every row."""
        ...


class PartitionCustomers:
    """``inactive_ms``: customers without an event for so long are expired; 0 if none are."""

    def __init__(self, rows: Rows, graves: Graves | None, state: PartitionState) -> None:
        self.rows = rows
        self.graves: Graves = dict[str, Grave]() if graves is None else graves
        self.inactive_ms = 0
        self._state = state
        if len(self.graves):
            # Some graves may have been written before the state that they belong to.
            state.format = GRAVES_FORMAT
        self.deadlines = Deadlines(rows.due(), state.clock_ms)

    def put(self, offset: int, customer: str, row: Row) -> None:
        """Store the row as the record at ``offset`` left it."""
        row.applied = offset
        if self.inactive_ms:
            inactivity.watch(row, self._state.clock_ms, self.inactive_ms)
        self.rows.put(customer, row)
        wakes_ms = row.next_due_ms if row.ids is NO_IDS else row.wakes_ms
        if wakes_ms:
            self.deadlines.set(customer, wakes_ms)

    def has_applied(self, offset: int, customer: str) -> bool:
        """Whether the customer already includes the record at ``offset``."""
        return knows(self.rows.get(customer), self.graves.get(customer), offset)

    def grave_before(self, offset: int, customer: str) -> Grave | None:
        """The customer's grave as the record at ``offset`` meets it, also if it is read again."""
        grave = self.graves.get(customer)
        return None if grave is None else grave.before(offset)

    def leave(self, offset: int, customer: str, left: erasure.Left) -> list[Effect]:
        """Store what an erasure left of the customer; return its effects."""
        if left.grave is not None:
            grave = replace(left.grave, applied=offset)
            before = self.grave_before(offset, customer)
            if left.is_erased:
                grave = replace(grave, erased=offset)
            elif before is not None and before.is_suppressed and not grave.is_suppressed:
                grave = replace(grave, lifted=offset, lifted_said_ms=before.said_ms)
            self.graves[customer] = grave
            self._state.format = GRAVES_FORMAT
        if left.row is not None:
            self.put(offset, customer, left.row)
        elif self.rows.get(customer) is not None:
            self.rows.remove(customer, offset)
            self.deadlines.remove(customer)
        return left.effects

    def bury(self, offset: int, line: Line) -> None:
        """Restore the grave and the row that what is left of a record contains. Raises
        ``Rejected``.
        """
        fingerprint, grave, packed = left_by(line)
        try:
            row = decode_row(packed) if packed else None
            if grave and isinstance(self.graves, BuriedByFingerprint):
                self.graves.restore(fingerprint, grave)
        except RowError:
            raise Rejected(Reason.WRONG_TYPE, "$.properties", "no grave, or no row") from None
        if grave:
            self._state.format = GRAVES_FORMAT
        if row is not None:
            self.put(offset, line.user_id, row)


def knows(row: Row | None, grave: Grave | None, offset: int) -> bool:
    """Whether a customer's row, or its erasure, already includes the record at ``offset``. A grave
    that changed without an erasure proves nothing about the row, which is written after it.
    """
    if row is not None:
        return row.applied >= offset
    return grave is not None and grave.erased >= offset

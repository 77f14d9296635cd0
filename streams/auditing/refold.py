"""Folds a partition's log again as workers did, with the parts that were in force at the time."""

from collections import deque
from collections.abc import Sequence
from math import inf

from models.applied import Applied
from models.customer.registry import PARTS
from models.events.line import Line
from models.events.rejection import Rejected
from models.partition import Partition
from models.partition_state import PartitionState, rehearsing_state
from models.parts_in_force import InForce, known
from models.plan import Plan, plan_with
from streams.customers_table import CustomerRows
from streams.graves import CustomerGraves
from streams.snapshot_store import SnapshotStore

_CODES = frozenset(part.code for part in PARTS)


class Refold:
    """One fold. ``in_force``: the parts its rows were folded with, empty for those of ``plan``.
    ``until``: the offset of the first record that was folded with other rows, after a rebuild.
    """

    def __init__(
        self,
        number: int,
        in_force: Sequence[InForce],
        plan: Plan,
        snapshots: SnapshotStore,
        salt: str,
        until: float = inf,
    ) -> None:
        self.until = until
        self.rows, self.graves = CustomerRows(), CustomerGraves(salt)
        self._plan = plan
        self._switches = deque(in_force[1:])
        state = rehearsing_state()
        self.fold = Partition(
            number,
            self.rows,
            snapshots.prior,
            plan_with(plan, in_force[0].parts) if in_force else plan,
            snapshots.get,
            state,
            self.graves,
        )
        if in_force:
            # Unless it was the first, nothing is known of the time before it.
            state.in_force = (in_force[0],)

    def apply(self, offset: int, line: Line | None) -> Applied | Rejected:
        """Fold the record at ``offset``; return what it did, or why it was refused and changed
        nothing. ``line`` is None if it is not a record of the log.
        """
        while self._switches and self._switches[0].since <= offset:
            begun = self._switches.popleft()
            plan = plan_with(self._plan, begun.parts)
            self.fold.switch_parts(plan, begun.since, is_taken_up=begun.is_taken_up)
        try:
            if line is not None:
                return self.fold.apply(offset, line)
        except Rejected as rejected:
            self.fold.skip(offset)
            return rejected
        self.fold.skip(offset)
        return _NOTHING

    def pack(self) -> None:
        """Pack the rows that have changed."""
        for _ in self.rows.drain():
            pass


_NOTHING = Applied([])


def refolds(
    number: int, stored: PartitionState, plan: Plan, snapshots: SnapshotStore, salt: str
) -> list[Refold]:
    """The folds that gave what a partition has stored and what it decided and taught: one for the
    rows before each rebuild, and last one for the present rows.
    """
    former = [
        Refold(number, one.in_force, plan, snapshots, salt, one.until) for one in stored.replaced
    ]
    now = known(stored.in_force, stored.applied)
    return [*former, Refold(number, now, plan, snapshots, salt)]


def parts_of_others(stored: PartitionState) -> list[str]:
    """The codes of parts that were in force and that this release doesn't know."""
    noted = [*stored.in_force, *(one for past in stored.replaced for one in past.in_force)]
    return sorted({code for one in noted for code in one.parts} - _CODES)

"""What a worker knows about the customers in its partitions, read from its rows."""

from models.customer.profile import encode_profile, profile
from models.customer.row import Row
from models.customer.scene import Scene
from models.customer.segments import member_of
from models.links import is_elsewhere, is_told, person_of
from streams.kafka_clients import partition_for
from streams.owned_partitions import OwnedPartition, OwnedPartitions
from streams.profile_views import NOBODY


class OwnCustomers:
    """Reads rows without keeping them in memory."""

    def __init__(self, partitions: OwnedPartitions, partition_count: int) -> None:
        self._partitions = partitions
        self._partition_count = partition_count

    def profile(self, customer: str) -> bytes | None:
        """The profile of a customer of this worker, as JSON; `NOBODY` for an id that has no profile
        of its own, or that was erased; None if another worker has the partition.
        """
        owned = self._owned(customer)
        if owned is None:
            return None
        row = owned.rows.peek(customer)
        if row is None or not is_told(row):
            return NOBODY
        return encode_profile(profile(customer, row, owned.fold.as_of_ms, owned.fold.context))

    def segments(self, customer: str) -> list[str]:
        """The segments of a customer of this worker; none for an id without a profile."""
        owned = self._owned(customer)
        row = owned.rows.peek(customer) if owned is not None else None
        if owned is None or row is None or not is_told(row):
            return []
        return member_of(Scene(row, customer, owned.fold.as_of_ms, owned.fold.context))

    def person(self, customer: str) -> str | None:
        """The customer to whom this id belongs, if it is an id of another customer and its
        partition is on this worker.
        """
        row = self._row(customer)
        return person_of(row) if row is not None and is_elsewhere(row) else None

    def number(self, customer: str) -> int:
        """The number of the customer's partition."""
        return partition_for(customer.encode(), self._partition_count)

    def is_here(self, customer: str) -> bool:
        """Whether this worker has the rows of the customer's partition."""
        return self._owned(customer) is not None

    def _row(self, customer: str) -> Row | None:
        owned = self._owned(customer)
        return owned.rows.peek(customer) if owned is not None else None

    def _owned(self, customer: str) -> OwnedPartition | None:
        return self._partitions.get(self.number(customer))

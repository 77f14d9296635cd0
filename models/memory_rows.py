"""Rows in memory, for folds whose state is not kept: a replay, and a dry run of an event."""

from collections.abc import Iterator

from models.customer.row import Row


class MemoryRows:
    """The rows of a partition as live objects; nothing is stored."""

    def __init__(self) -> None:
        self.rows: dict[str, Row] = {}

    def get(self, customer: str) -> Row | None:
        return self.rows.get(customer)

    def put(self, customer: str, row: Row) -> None:
        self.rows[customer] = row

    def forget(self, customer: str) -> None:
        """There is no stored row to return to: the fold ends with the error that caused this."""
        self.rows.pop(customer, None)

    def remove(self, customer: str, _offset: int) -> None:
        self.rows.pop(customer, None)

    def due(self) -> Iterator[tuple[int, str]]:
        return ((row.wakes_ms, key) for key, row in self.rows.items() if row.wakes_ms)

    def applied(self) -> Iterator[tuple[int, str]]:
        return ((row.applied, key) for key, row in self.rows.items())

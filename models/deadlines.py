"""The earliest deadline of each customer of a partition, in the order in which they fall due."""

from collections.abc import Iterable
from heapq import heapify, heappop, heappush

from config.duration import DAY_MS

#: How far ahead of the clock deadlines are put in the heap.
_NEAR_MS = DAY_MS


class Deadlines:
    """Customers by their earliest deadline.

    Only the deadlines of the next day are in a heap: few of a million customers are due by then.
    An entry of the heap may be outdated, so each is compared with the customer's deadline.
    """

    __slots__ = ("_by_customer", "_heap", "_near_ms")

    def __init__(self, due: Iterable[tuple[int, str]], clock_ms: int) -> None:
        """``due``: (deadline, customer), one for each customer at most."""
        self._by_customer = {customer: due_ms for due_ms, customer in due}
        self._look_ahead(clock_ms)

    def set(self, customer: str, due_ms: int) -> None:
        """Let the customer be due by ``due_ms``, unless they are due earlier; 0 is no deadline."""
        if not due_ms:
            return
        known_ms = self._by_customer.get(customer)
        if known_ms is None or due_ms < known_ms:
            self._by_customer[customer] = due_ms
            if due_ms < self._near_ms:
                heappush(self._heap, (due_ms, customer))

    def remove(self, customer: str) -> None:
        """Let the customer have no deadline."""
        self._by_customer.pop(customer, None)

    def is_none_by(self, clock_ms: int) -> bool:
        """Whether certainly nobody is due by ``clock_ms``. Call it with a new time before `pop_by`:
        it looks further ahead if need be.
        """
        if clock_ms >= self._near_ms:
            self._look_ahead(clock_ms)
        return not self._heap or self._heap[0][0] > clock_ms

    def pop_by(self, clock_ms: int) -> tuple[int, str] | None:
        """Take the first deadline up to ``clock_ms`` out, in the order of (time, customer); None if
        there is none.
        """
        heap, by_customer = self._heap, self._by_customer
        while heap and heap[0][0] <= clock_ms:
            first = heappop(heap)
            due_ms, customer = first
            if by_customer.get(customer) == due_ms:
                del by_customer[customer]
                return first
        return None

    def _look_ahead(self, clock_ms: int) -> None:
        near_ms = self._near_ms = clock_ms + _NEAR_MS
        self._heap = [(due, one) for one, due in self._by_customer.items() if due < near_ms]
        heapify(self._heap)

"""The messages that an endpoint has yet to take, in the order in which they may be tried.

A customer's deliveries are a lane: one at a time, in the order of the log. A delivery that waits
for the end of quiet hours waits apart, and holds up nothing else of the customer. No I/O and no
clock.
"""

from collections import deque
from collections.abc import Callable, Iterator
from heapq import heapify, heappop, heappush
from typing import Any, NamedTuple

from streams.outbox import Headers
from streams.trace_headers import trace_id_in
from streams.webhooks.messages import Message


class LogPlace(NamedTuple):
    """Where a delivery stands in the log."""

    topic: str
    partition: int
    offset: int


class Delivery:
    """One message for one endpoint. ``failures``: how often it failed while others did not.
    ``void``: why it must not be tried again, if it is in flight. ``headers``: those of its record,
    which may carry a trace.
    """

    __slots__ = ("failures", "headers", "message", "place", "stored_at_ms", "tries", "void")

    def __init__(
        self, message: Message, place: LogPlace, stored_at_ms: int, headers: Headers = ()
    ) -> None:
        self.message = message
        self.headers = headers
        self.place = place
        self.stored_at_ms = stored_at_ms
        self.failures = 0
        self.tries = 0
        self.void = ""

    @property
    def log_fields(self) -> dict[str, Any]:
        """The fields of a log line about it."""
        trace_id = trace_id_in(self.headers)
        traced = {} if trace_id is None else {"traceId": trace_id}
        return {"decisionId": self.message.id, **self.place._asdict(), **traced}


class DeliveryQueue:
    """The deliveries of one endpoint. What `take` returns must go to `finish` or `put_back`."""

    def __init__(self) -> None:
        self._lanes: dict[bytes, deque[Delivery]] = {}
        #: Lanes whose first delivery may be tried, by due time; the number keeps the order.
        self._ready: list[tuple[int, int, bytes]] = []
        self._later: list[tuple[int, int, Delivery]] = []
        self._busy: dict[bytes, Delivery] = {}
        self._number = 0
        self._count = 0

    def __len__(self) -> int:
        """The number of deliveries, including those in flight."""
        return self._count

    def __iter__(self) -> Iterator[Delivery]:
        yield from self._busy.values()
        for lane in self._lanes.values():
            yield from lane
        for _, _, delivery in self._later:
            yield delivery

    @property
    def busy(self) -> int:
        return len(self._busy)

    def add(self, delivery: Delivery, now_ms: int) -> None:
        """Add the next delivery in the log."""
        self._count += 1
        not_before_ms = delivery.message.not_before_ms
        if not_before_ms > now_ms:
            heappush(self._later, (not_before_ms, self._next(), delivery))
        else:
            self._enqueue(delivery, 0)

    def _enqueue(self, delivery: Delivery, at_ms: int) -> None:
        whose = delivery.message.whose
        lane = self._lanes.get(whose)
        if lane is None:
            lane = self._lanes[whose] = deque()
        lane.append(delivery)
        if len(lane) == 1 and whose not in self._busy:
            heappush(self._ready, (at_ms, self._next(), whose))

    def take(self, now_ms: int) -> Delivery | None:
        """The next delivery to try; None if nothing is due."""
        while self._later and self._later[0][0] <= now_ms:
            self._enqueue(heappop(self._later)[2], 0)
        while self._ready and self._ready[0][0] <= now_ms:
            _, _, whose = heappop(self._ready)
            lane = self._lanes.get(whose)
            # An outdated entry: the lane was emptied, or has a newer entry.
            if not lane or whose in self._busy:
                continue
            delivery = lane.popleft()
            self._busy[whose] = delivery
            return delivery
        return None

    def next_due_ms(self) -> int | None:
        """When the next delivery is due; None if none waits for a time."""
        due = [heap[0][0] for heap in (self._ready, self._later) if heap]
        return min(due, default=None)

    def finish(self, delivery: Delivery) -> None:
        """Remove the delivery, and make the customer's next one available."""
        self._count -= 1
        self._release(delivery, 0)

    def put_back(self, delivery: Delivery, at_ms: int) -> None:
        """Retry it at ``at_ms``, before the customer's other deliveries."""
        whose = delivery.message.whose
        self._lanes.setdefault(whose, deque()).appendleft(delivery)
        self._release(delivery, at_ms)

    def _release(self, delivery: Delivery, at_ms: int) -> None:
        whose = delivery.message.whose
        if self._busy.get(whose) is delivery:
            del self._busy[whose]
        if self._lanes.get(whose):
            heappush(self._ready, (at_ms, self._next(), whose))
        else:
            self._lanes.pop(whose, None)

    def remove(self, is_gone: Callable[[Delivery], bool]) -> list[Delivery]:
        """Remove waiting deliveries that are gone; those in flight stay."""
        removed: list[Delivery] = []
        for whose, lane in list(self._lanes.items()):
            kept = deque[Delivery]()
            for delivery in lane:
                (removed if is_gone(delivery) else kept).append(delivery)
            if kept:
                self._lanes[whose] = kept
            else:
                del self._lanes[whose]
        later = []
        for entry in self._later:
            if is_gone(entry[2]):
                removed.append(entry[2])
            else:
                later.append(entry)
        heapify(later)
        self._later = later
        self._count -= len(removed)
        return removed

    def _next(self) -> int:
        self._number += 1
        return self._number

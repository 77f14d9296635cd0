"""The simulated shop's planned steps in event-time order, and how its events are written."""

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from heapq import heappop, heappush
from itertools import count
from random import Random
from typing import NamedTuple

import orjson

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Properties = Mapping[str, object]
Step = Callable[[int], None]


class ShopRecord(NamedTuple):
    """One record for a raw topic. The time is the event's own, even if the bytes lack it."""

    topic: str
    key: bytes | None
    value: bytes
    occurred_at_ms: int


class Agenda:
    """Records to send and steps to take, for all customers together.

    A step plans nothing earlier than itself, so records leave in event-time order. Records and
    steps at ``end_ms`` or later are dropped.
    """

    def __init__(self, rng: Random, end_ms: int) -> None:
        self.rng = rng
        self._end_ms = end_ms
        self._due: list[tuple[int, int, ShopRecord | Step]] = []
        self._turns = count()
        self._numbers = count(1)

    def records(self) -> Iterator[ShopRecord]:
        """Take every step and yield every record when it is due."""
        while self._due:
            at_ms, _, due = heappop(self._due)
            if isinstance(due, ShopRecord):
                yield due
            else:
                due(at_ms)

    def plan(self, at_ms: int, due: ShopRecord | Step) -> None:
        if at_ms < self._end_ms:
            # The turn breaks ties, so that records with equal times keep the order in which they
            # were planned.
            heappush(self._due, (at_ms, next(self._turns), due))

    def number(self, prefix: str) -> str:
        """A new id, such as an order's."""
        return f"{prefix}-{next(self._numbers):06d}"

    def send(
        self,
        topic: str,
        customer_id: str,
        at_ms: int,
        what: Properties,
        *,
        channel: str,
    ) -> None:
        """Plan an event; ``what`` is the part that depends on the type of event."""
        if at_ms >= self._end_ms:
            return
        event = {
            **what,
            "messageId": message_id(self.rng),
            "userId": customer_id,
            "timestamp": iso_timestamp(at_ms),
            "context": {"channel": channel},
        }
        self.plan(at_ms, ShopRecord(topic, customer_id.encode(), orjson.dumps(event), at_ms))


def message_id(rng: Random) -> str:
    """A version 4 UUID; ``uuid.uuid4`` would take its bits from the system."""
    bits = f"{rng.getrandbits(128):032x}"
    return f"{bits[:8]}-{bits[8:12]}-4{bits[13:16]}-a{bits[17:20]}-{bits[20:]}"


def iso_timestamp(at_ms: int) -> str:
    moment = _EPOCH + timedelta(milliseconds=at_ms)
    return moment.isoformat(timespec="milliseconds")[:-6] + "Z"

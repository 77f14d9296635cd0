"""A shop in which some customers visit before they log in, on their own or on shared devices."""

from collections.abc import Iterable, Iterator
from typing import Any
from zlib import crc32

import msgspec

from agents.trials.demo.agenda import ShopRecord
from config.topics import CLICKSTREAM
from models.events.erasure_record import ERASE_REQUESTED, MODES
from models.events.times import iso

#: One customer in so many has visitors; one event in so many of theirs only has a visitor's id.
_OF_CUSTOMERS, _OF_EVENTS = 3, 2
_ACTS_EVERY = 150


def with_visitors(records: Iterable[ShopRecord]) -> Iterator[ShopRecord]:
    """The same records, in which a third of the customers' clicks also name an anonymous id, or
    only that. Now and then two customers are merged, a visitor's id is split off, or a customer is
    erased.
    """
    acts, other = 0, "nobody"
    for number, record in enumerate(records):
        event = _event_of(record)
        customer = event.get("userId") if event is not None else None
        if (
            event is None
            or not isinstance(customer, str)
            or crc32(customer.encode()) % _OF_CUSTOMERS
        ):
            yield record
            continue
        # Some devices are shared by a family.
        visitor = f"v-{crc32(customer.encode()) // _OF_CUSTOMERS % 40}"
        if crc32(record.value) % _OF_EVENTS:
            del event["userId"]
        event["anonymousId"] = visitor
        yield record._replace(
            key=(event.get("userId") or visitor).encode(), value=msgspec.json.encode(event)
        )
        if not number % _ACTS_EVERY:
            acts += 1
            acts_of = (
                ("Customer Merged", {"from_user_id": other}),
                ("Customer Split", {"id": visitor}),
                (ERASE_REQUESTED, {"mode": MODES[acts // 3 % len(MODES)]}),
            )
            yield _act(customer, record.occurred_at_ms, *acts_of[acts % 3])
        other = customer


def _event_of(record: ShopRecord) -> dict[str, Any] | None:
    """A click that can be decoded; None for anything else."""
    if record.topic != CLICKSTREAM:
        return None
    try:
        event = msgspec.json.decode(record.value)
    except ValueError:
        return None
    return event if isinstance(event, dict) and "messageId" in event else None


def _act(customer: str, at_ms: int, name: str, said: dict[str, str]) -> ShopRecord:
    event = {
        "type": "track",
        "event": name,
        "messageId": f"{name} {at_ms}",
        "userId": customer,
        "timestamp": iso(at_ms),
        "properties": said,
    }
    return ShopRecord(CLICKSTREAM, customer.encode(), msgspec.json.encode(event), at_ms)

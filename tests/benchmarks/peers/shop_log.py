"""The events that every program gets, and the triggers that must follow from them."""

from collections.abc import Iterable, Sequence
from itertools import count
from typing import NamedTuple

import orjson

from agents.trials.demo.shop import ShopConfig, ShopRecord, simulate
from config.duration import DAY_MS, HOUR_MS
from models.events.times import iso
from streams.kafka_clients import partition_for
from tests.benchmarks.peers.job import State, Trigger, advance, customer_of, decode, new_state

PARTITIONS = 4
START_MS = 1_700_000_000_000
DAYS = 200
#: Event time between two events of a log in which no days pass.
DENSE_STEP_MS = 20


class Keyed(NamedTuple):
    """An event as it is in the log."""

    key: bytes
    value: bytes


def shop_records(customers: int, *, dense: bool = False, seed: int = 1) -> list[ShopRecord]:
    """A shop's events, each once and ordered by time. ``dense``: fifty per second of event time, so
    that no days pass.
    """
    shop = ShopConfig(
        seed=seed,
        customers=customers,
        start_ms=START_MS,
        days=DAYS,
        shuffled=0,
        duplicates=0,
        late=0,
        malformed=0,
    )
    records = list(simulate(shop))
    if not dense:
        return records
    return [_at(record, START_MS + n * DENSE_STEP_MS) for n, record in enumerate(records)]


def _at(record: ShopRecord, at_ms: int) -> ShopRecord:
    value = orjson.dumps({**orjson.loads(record.value), "timestamp": iso(at_ms)})
    return record._replace(value=value, occurred_at_ms=at_ms)


class Log(NamedTuple):
    """``first``: in each partition a customer returns after a long absence, which is a trigger. A
    program that has written these triggers is ready for the ``rest``, which ends in the same way.
    """

    first: list[Keyed]
    rest: list[Keyed]


def log_of(records: Sequence[ShopRecord]) -> Log:
    """The same events as one log, keyed by customer."""
    begin_ms = records[0].occurred_at_ms - HOUR_MS
    end_ms = records[-1].occurred_at_ms + HOUR_MS
    rest = [Keyed(record.key or b"", record.value) for record in records]
    return Log(_returning("first", begin_ms), rest + _returning("last", end_ms))


def _returning(who: str, at_ms: int) -> list[Keyed]:
    """In each partition a customer who ordered once, and views a page most of a year later."""
    return [one for partition in range(PARTITIONS) for one in _one_returning(who, partition, at_ms)]


def _one_returning(who: str, partition: int, at_ms: int) -> list[Keyed]:
    names = (f"{who}-{number}" for number in count())
    name = next(n for n in names if partition_for(n.encode(), PARTITIONS) == partition)
    order: dict[str, object] = {"type": "track", "event": "Order Completed"}
    order |= {"properties": {"order_id": f"o-{name}", "revenue": 20.0}}
    view: dict[str, object] = {"type": "page"}
    return [
        Keyed(
            name.encode(),
            orjson.dumps(
                {**event, "messageId": f"{name}-{number}", "userId": name, "timestamp": iso(when)}
            ),
        )
        for number, (event, when) in enumerate(((order, at_ms - 300 * DAY_MS), (view, at_ms)))
    ]


def expected_triggers(events: Iterable[Keyed]) -> list[Trigger]:
    """The triggers of the job, computed without any engine."""
    states: dict[str, State] = {}
    found = []
    for one in events:
        event = decode(one.value)
        state = states.setdefault(customer_of(event), new_state())
        if (trigger := advance(state, event)) is not None:
            found.append(trigger)
    return found

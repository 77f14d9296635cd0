"""How much CPU it takes to erase one of a hundred thousand customers, and what it costs others.

    python -m tests.benchmarks.erasure [--customers 100000] [--entries 100000]

Rows are in memory, and profiles and a stream of decisions in a store, as in a worker. Reported are
the CPU of this process for the row with its grave, and for the store; and how much more an event
costs the fold once a customer was erased.
"""

import argparse
import asyncio
import sys
from collections.abc import Callable
from time import process_time
from types import SimpleNamespace
from typing import Any

import orjson
import redis

from config.settings import Settings, load_settings
from config.topics import RETENTION_TRIGGERS
from models.customer.row import encode_row
from models.events.wire import decode_log_line
from models.partition import Partition
from models.plan import plan_for
from streams.customers_table import CustomerRows
from streams.embedded.valkey import EmbeddedValkey
from streams.graves import CustomerGraves, Fingerprints
from streams.store_keys import customer_key, trigger_stream
from streams.store_writes import connect
from streams.trigger_streams import TriggerStreams
from tests.models.lines import PARAMETERS, PRIOR, at, happened, line, lived

_EVENTS = 5_000


def row_s(customers: int) -> float:
    """The CPU of a request, from its record to the grave and the tombstone in the changelog."""
    packed = encode_row(lived([happened("Order Completed", at(), order_id="o", revenue=40)]))
    rows, graves = CustomerRows({f"c-{n}": packed for n in range(customers)}), CustomerGraves()
    plan = plan_for(PARAMETERS)
    fold = Partition(0, rows, PRIOR, plan, lambda *_: PRIOR, graves=graves)
    asked = decode_log_line(line("User Erase Requested", at(days=1), customer="c-7"))
    begun_s = process_time()
    fold.apply(1_000_000, asked)
    written = [*graves.drain(), *rows.drain()]
    took_s = process_time() - begun_s
    assert len(written) == 2
    return took_s


async def store_s(settings: Settings, customers: int, entries: int) -> float:
    """The CPU of deleting one customer's deliveries from a stream of this many entries."""
    decided = orjson.dumps({"userId": "c-0", "words": "x" * 1_500})
    with redis.Redis.from_url(settings.redis_url) as store:
        pipeline = store.pipeline(transaction=False)
        for number in range(max(customers, entries)):
            if number < customers:
                pipeline.set(customer_key(settings, f"c-{number}"), b"{}")
            if number < entries:
                trigger = decided.replace(b"c-0", b"c-%d" % (number % customers))
                pipeline.xadd(trigger_stream(settings, "churn-risk"), {"trigger": trigger})
            if not number % 10_000:
                pipeline.execute()
        pipeline.execute()
    metrics: Any = SimpleNamespace(redis_up=SimpleNamespace(set=lambda _: None))
    fingerprints = Fingerprints()
    async with connect(settings) as client:
        streams = TriggerStreams(client, settings, metrics)
        begun_s = process_time()
        assert await streams.erase({fingerprints.of("c-7"): 1}, RETENTION_TRIGGERS)
        return process_time() - begun_s


def events_s(*, with_grave: bool) -> float:
    """The CPU of folding an event."""
    rows, graves = CustomerRows(), CustomerGraves()
    fold = Partition(0, rows, PRIOR, plan_for(PARAMETERS), lambda *_: PRIOR, graves=graves)
    if with_grave:
        fold.apply(0, decode_log_line(line("User Erase Requested", at(), customer="nobody")))
    lines = [
        decode_log_line(line("page", at() + n, customer=f"c-{n % 40}", message=f"m{n}"))
        for n in range(_EVENTS)
    ]
    begun_s = process_time()
    for offset, event in enumerate(lines, 1):
        fold.apply(offset, event)
    return (process_time() - begun_s) / _EVENTS


def _best(measured: Callable[[], float]) -> float:
    return min(measured() for _ in range(5))


def main() -> None:
    """Print what it costs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--customers", type=int, default=100_000)
    parser.add_argument("--entries", type=int, default=100_000)
    asked = parser.parse_args()
    without, with_one = (_best(lambda on=on: events_s(with_grave=on)) for on in (False, True))
    with EmbeddedValkey() as valkey:
        settings = load_settings({}, redis_url=valkey.url)
        of_store_s = asyncio.run(store_s(settings, asked.customers, asked.entries))
    sys.stdout.write(
        f"one of {asked.customers:,} customers: row {row_s(asked.customers) * 1e3:.2f} ms of CPU, "
        f"store with {asked.entries:,} decisions {of_store_s:.2f} s\n"
        f"an event {without * 1e6:.1f} us, once somebody was erased {with_one * 1e6:.1f} us\n"
    )


if __name__ == "__main__":
    main()

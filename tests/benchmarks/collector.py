"""What the collector can take: events per second of its CPU, and how long requests wait.

``python -m tests.benchmarks.collector`` starts a broker and a collector, and sends batches of 50:
first over a few connections as fast as they are answered, then at a steady rate of half the load
that one core is to take. CPU time does not depend on what else the machine does, but waiting does.
So every other second the same events go straight to the broker instead, at the same rate: the
difference is what the collector adds.
"""

import asyncio
import os
import sys
import tempfile
from collections.abc import Awaitable, Callable, Mapping
from itertools import cycle
from pathlib import Path
from time import monotonic
from uuid import uuid4

import aiohttp
import orjson

from config.settings import load_settings
from config.sources import hash_of
from config.topics import CLICKSTREAM
from streams.collector.shared_outbox import shared_outbox
from streams.embedded.kafka import EmbeddedKafka
from streams.raw_records import Outgoing
from streams.topics import partitions_there
from tests.kafka.collector import KEY, CollectorProcess, collecting

BATCH = 50
CONNECTIONS = 8
REQUESTS = 1_000
#: Half of them go through the collector.
STEADY_WINDOWS, WINDOW_S = 30, 1.0
#: Half of the 8,000 events a second that a core must take at least.
STEADY_EVENTS_PER_S = 4_000.0


def body() -> bytes:
    """A request as a client library on a shop's server sends it, some 400 bytes per event."""
    now = "2026-03-01T10:00:00.000Z"
    events = [
        {
            "type": "track",
            "event": "Product Viewed",
            "userId": f"user-{number}",
            "messageId": str(uuid4()),
            "timestamp": now,
            "properties": {
                "product_id": f"p-{number}",
                "category": "coffee",
                "name": "A pound of beans",
                "price": 12.5,
                "currency": "EUR",
                "url": f"https://shop.example/products/p-{number}",
            },
            "context": {"channel": "web", "library": {"name": "analytics-node", "version": "3.1"}},
        }
        for number in range(BATCH)
    ]
    return orjson.dumps({"batch": events, "sentAt": now})


def cpu_s(pid: int) -> float:
    """The CPU time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Client:
    """Sends batches to the collector."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session = session
        self._url = f"{url}/v1/batch"

    async def send(self, content: bytes) -> None:
        async with self._session.post(self._url, data=content) as answer:
            await answer.read()
            if answer.status != 200:
                raise SystemExit(f"answered {answer.status}")


async def measure(kafka: EmbeddedKafka, collector: CollectorProcess) -> None:
    pid = collector.process.pid
    assert pid is not None
    headers = {"Authorization": aiohttp.encode_basic_auth(KEY, "")}
    async with aiohttp.ClientSession(headers=headers) as session:
        client = Client(session, collector.url)
        for _ in range(50):
            await client.send(body())
        await _at_once(client, pid)
        settings = load_settings({"KEEPSTREAM_BOOTSTRAP_SERVERS": kafka.bootstrap_servers})
        async with shared_outbox(settings) as outbox:
            partitions = partitions_there(settings, (CLICKSTREAM,))[CLICKSTREAM]

            async def send_past_it(content: bytes) -> None:
                events = [orjson.dumps(event) for event in orjson.loads(content)["batch"]]
                await outbox.write(
                    [
                        Outgoing(CLICKSTREAM, number % partitions, b"%d" % number, event)
                        for number, event in enumerate(events)
                    ]
                )

            await _steadily({"the collector": client.send, "the broker alone": send_past_it})


async def _at_once(client: Client, pid: int) -> None:
    bodies = [body() for _ in range(REQUESTS)]
    started_s, before_s = monotonic(), cpu_s(pid)

    async def drain() -> None:
        while bodies:
            await client.send(bodies.pop())

    await asyncio.gather(*(drain() for _ in range(CONNECTIONS)))
    events, spent_s = REQUESTS * BATCH, cpu_s(pid) - before_s
    print(
        f"{events / spent_s:,.0f} events for a second of CPU, {spent_s / events * 1e6:.0f} µs each"
    )
    print(
        f"{events / (monotonic() - started_s):,.0f} events a second by the clock, on this machine"
    )


Send = Callable[[bytes], Awaitable[None]]


async def _steadily(ways: Mapping[str, Send]) -> None:
    """Sends on schedule, whether or not earlier requests are answered: clients do not wait for each
    other.
    """
    pause_s = BATCH / STEADY_EVENTS_PER_S
    took_s: dict[str, list[float]] = {name: [] for name in ways}

    async def time(name: str, content: bytes) -> None:
        started_s = monotonic()
        await ways[name](content)
        took_s[name].append(monotonic() - started_s)

    turns = cycle(ways)
    for _ in range(STEADY_WINDOWS):
        name = next(turns)
        bodies = [body() for _ in range(int(WINDOW_S / pause_s))]
        due_s, tasks = monotonic(), []
        for content in bodies:
            due_s += pause_s
            await asyncio.sleep(max(0.0, due_s - monotonic()))
            tasks.append(asyncio.create_task(time(name, content)))
        await asyncio.gather(*tasks)
    for name, took in took_s.items():
        ranked = sorted(took)
        p50, p99 = (ranked[int(share * (len(ranked) - 1))] * 1_000 for share in (0.5, 0.99))
        print(f"at {STEADY_EVENTS_PER_S:,.0f} events a second, {name}: ", end="")
        print(f"p50 {p50:.1f} ms, p99 {p99:.1f} ms")


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        directory = Path(folder)
        # Measure what it can take, not what it is allowed to.
        sources = directory / "sources.toml"
        keys = f'keys = ["{hash_of(KEY)}"]'
        sources.write_text(f"[sources.shop]\n{keys}\nevents_per_second = 1e6\nburst = 1e7\n")
        variables = {"KEEPSTREAM_COLLECTOR_SOURCES": str(sources), "KEEPSTREAM_COLLECTOR_KEYS": ""}
        with (
            EmbeddedKafka(directory / "kafka") as kafka,
            collecting(kafka.bootstrap_servers, "", directory, variables) as collector,
        ):
            asyncio.run(measure(kafka, collector))


if __name__ == "__main__":
    sys.exit(main())

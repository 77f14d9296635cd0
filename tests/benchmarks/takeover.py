"""How long a million customers are unavailable when their worker dies, and what a worker needs for
them.

    python -m tests.benchmarks.takeover [--customers 100000] [--rounds 1] [--refill]
                                        [--rows-dir DIR] [--source DIR] [--archive]

The engine makes rows from 200 days of a shop; they are written to the changelog under any number of
customers. One worker reads them all: rows per second, and its memory. A second one joins and takes
half. Then the first is killed, and what counts is the time until the second has the last row of the
other half. ``--refill``: how fast profiles come back after the store was emptied.

``--rows-dir`` also runs them with rows in scratch files there, ``--archive`` with the archive on,
where rows contain their customers' keys, and ``--source`` from another tree. All take turns: the
machine has other things to do, so only figures side by side can be compared.
"""

import argparse
import asyncio
import re
import signal
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from time import monotonic, sleep
from types import MappingProxyType
from typing import NamedTuple

import psutil
import redis

from config.topics import CUSTOMER_EVENTS, CUSTOMERS
from models.customer.row import Row, encode_row
from models.parameters import load_parameters
from models.partition_state import PartitionState, encode_state
from models.replay import Replay
from streams.changelog import UNKNOWN_ORIGIN, row_record, state_record
from streams.customer_keys import Secrets
from streams.embedded.kafka import EmbeddedKafka
from streams.embedded.valkey import EmbeddedValkey
from streams.kafka_clients import partition_for, running
from streams.log_records import clock_record
from streams.outbox import Outbox, new_outbox_producer
from tests.kafka.deployment import START_MS, Deployment, orderly_shop
from tests.kafka.worker import PRESENT, Program, Worker

#: Shapes of rows: each is written under many ids.
SHOPPERS = 150
ROWS_PER_FLUSH = 10_000
#: How long to watch the refill of the store.
REFILL_S = 20.0
LOOK_S = 0.05
#: A time-out for what hangs.
PATIENCE_S = 900.0
_READ = re.compile(r"partition \d+: (\d+) customers from (\d+) records in ([\d.]+) s")


class Shapes(NamedTuple):
    """Rows as the engine packs them, and the clock at that time."""

    packed: list[bytes]
    clock_ms: int

    @property
    def mean_bytes(self) -> float:
        return sum(map(len, self.packed)) / len(self.packed)


def shapes() -> Shapes:
    """The rows of a shop after 200 days, as if one record had made each."""
    replay = Replay(load_parameters())
    records = sorted(orderly_shop(SHOPPERS), key=lambda record: record.occurred_at_ms)
    for number, record in enumerate(records, 1):
        replay.feed(record.value, number)
    return Shapes([_of_first(row) for row in replay.rows().values()], records[-1].occurred_at_ms)


def _of_first(row: Row) -> bytes:
    row.applied = 0
    return encode_row(row)


async def fill(deployment: Deployment, made: Shapes, customers: int) -> None:
    """Write a log of one record per partition, and the matching rows and partition states."""
    settings = deployment.settings
    secrets = Secrets.drawn() if settings.has_archive else None
    async with running(new_outbox_producer(settings), settings) as producer:
        outbox = Outbox(producer, settings)
        for number in range(settings.partitions):
            outbox.add(CUSTOMER_EVENTS, number, key=None, value=clock_record(START_MS))
        await outbox.flush()
        for index in range(customers):
            name = f"c-{index:07d}"
            kept = secrets.key_of(name.encode(), 0).kept(name.encode()) if secrets else None
            written = row_record(name, made.packed[index % len(made.packed)], key=kept)
            number = partition_for(written.key, settings.partitions)
            key, value, headers = written
            outbox.add(CUSTOMERS, number, key=key, value=value, headers=headers)
            if not (index + 1) % ROWS_PER_FLUSH:
                await outbox.flush()
        state = PartitionState(applied=0, clock_ms=made.clock_ms, latest_ms=made.clock_ms)
        for number in range(settings.partitions):
            key, value, headers = state_record(
                encode_state(state), UNKNOWN_ORIGIN, 0, secrets.kept() if secrets else b""
            )
            outbox.add(CUSTOMERS, number, key=key, value=value, headers=headers)
        await outbox.flush()


def customers_of(worker: Worker) -> int:
    """Customers in its table, by its metrics."""
    worker.process.require_alive()
    return int(worker.metric("keepstream_table_customers"))


def await_customers(worker: Worker, least: int) -> None:
    """Return when the worker has at least this many customers in its table."""
    started_s = monotonic()
    while customers_of(worker) < least:
        if monotonic() - started_s > PATIENCE_S:
            raise TimeoutError(f"{least} customers, and there are {customers_of(worker)}")
        sleep(LOOK_S)


def read_by(worker: Worker) -> tuple[int, float]:
    """Records of the changelog that it has read, and the seconds that it reports for that."""
    found = _READ.findall(worker.log_text())
    return sum(int(records) for _, records, _ in found), sum(float(took) for *_, took in found)


def memory_mb(worker: Worker) -> str:
    process = psutil.Process(worker.process.pid)
    status = Path(f"/proc/{process.pid}/status").read_text(encoding="utf-8")
    (peak_kb,) = re.findall(r"VmHWM:\s+(\d+) kB", status)
    return f"{process.memory_info().rss / 1e6:,.0f} MB (at most {int(peak_kb) * 1_024 / 1e6:,.0f})"


def cpu_s(worker: Worker) -> float:
    times = psutil.Process(worker.process.pid).cpu_times()
    return times.user + times.system


class Way(NamedTuple):
    """One way to run workers."""

    name: str
    program: Program = PRESENT
    environment: Mapping[str, str] = MappingProxyType({})
    has_archive: bool = False

    def start(self, deployment: Deployment) -> Worker:
        return deployment.start_worker(program=self.program, **self.environment)


def measure(way: Way, deployment: Deployment, customers: int) -> Worker:
    """Start, join, kill, take over; print the times, and return the survivor."""
    name, first = way.name, way.start(deployment)
    await_customers(first, customers)
    records, took_s = read_by(first)
    print(
        f"{name}: one worker read {records:,} records at {records / took_s:,.0f} a second, "
        f"has {memory_mb(first)}",
        flush=True,
    )
    second = way.start(deployment)
    await_customers(second, int(customers * 0.4))
    deployment.wait("both have their share", lambda: customers_of(first) < 0.6 * customers)
    before, before_s, before_cpu_s = *read_by(second), cpu_s(second)
    killed_s = monotonic()
    first.stop(signal.SIGKILL)
    partitions = deployment.settings.partitions
    deployment.wait("they are assigned", lambda: len(second.lag(CUSTOMER_EVENTS)) == partitions)
    assigned_s = monotonic() - killed_s
    await_customers(second, customers)
    back_s, spent_s = monotonic() - killed_s, cpu_s(second) - before_cpu_s
    records, took_s = read_by(second)
    records, took_s = records - before, took_s - before_s
    print(
        f"{name}: takeover: assigned {assigned_s:.1f} s after the kill, the last row back after "
        f"{back_s:.1f} s; {records:,} records at {records / took_s:,.0f} a second, "
        f"{spent_s:.1f} s of CPU in all; has {memory_mb(second)}",
        flush=True,
    )
    return second


def refill(name: str, worker: Worker, url: str) -> None:
    """Empty the store, and see how fast it is filled again."""
    with redis.Redis.from_url(url) as store:
        while store.dbsize() < 2:
            sleep(LOOK_S)
        store.flushall()
        while store.dbsize() < 2:
            sleep(LOOK_S)
        started_s, before_cpu_s = monotonic(), cpu_s(worker)
        begun = store.dbsize()
        sleep(REFILL_S)
        took_s, profiles = monotonic() - started_s, store.dbsize() - begun
        used = (cpu_s(worker) - before_cpu_s) / took_s
    print(
        f"{name}: refill: {profiles / took_s:,.0f} profiles a second with {used:.0%} of a core; "
        f"has {memory_mb(worker)}",
        flush=True,
    )


def ways_of(rows_dir: Path | None, source: Path | None, *, archive: bool) -> Iterator[Way]:
    if source is not None:
        yield Way("the other", Program(source.resolve(), Path(sys.executable)))
    yield Way("this tree")
    if rows_dir is not None:
        yield Way("in files", environment={"KEEPSTREAM_ROWS_DIR": str(rows_dir)})
    if archive:
        yield Way("with the archive", has_archive=True)


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--customers", type=int, default=100_000)
    options.add_argument("--rounds", type=int, default=1)
    options.add_argument("--refill", action="store_true")
    options.add_argument("--rows-dir", type=Path)
    options.add_argument("--source", type=Path)
    options.add_argument("--archive", action="store_true")
    chosen = options.parse_args()
    made = shapes()
    print(f"{chosen.customers:,} customers, rows of {made.mean_bytes:,.0f} bytes", flush=True)
    with (
        tempfile.TemporaryDirectory() as directory,
        EmbeddedKafka(Path(directory) / "kafka") as kafka,
        EmbeddedValkey() as valkey,
    ):
        ways = list(ways_of(chosen.rows_dir, chosen.source, archive=chosen.archive))
        with ExitStack() as stack:
            deployments: dict[bool, Deployment] = {}
            for has_archive in sorted({way.has_archive for way in ways}):
                deployment = deployments[has_archive] = stack.enter_context(
                    Deployment(
                        kafka.bootstrap_servers,
                        valkey.url,
                        "takeover-with." if has_archive else "takeover.",
                        Path(directory),
                        archive="on" if has_archive else "off",
                    )
                )
                asyncio.run(fill(deployment, made, chosen.customers))
            for _ in range(chosen.rounds):
                for way in ways:
                    worker = measure(way, deployments[way.has_archive], chosen.customers)
                    if chosen.refill:
                        refill(way.name, worker, valkey.url)
                    worker.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""How long a list over a hundred thousand customers takes, and how long other requests wait.

    python -m tests.benchmarks.lists [--customers 100000] [--workers 1 2] [--rounds 3]

Rows are made as for `tests.benchmarks.takeover`, for any number of customers. For each number of
workers, each list is requested over HTTP. Reported are the seconds until the answer, the CPU of all
workers, and the longest time for which a worker let another request wait.
"""

import argparse
import asyncio
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from time import monotonic
from urllib.parse import urlencode

import orjson
import redis

from models.customer_list import ANSWER
from streams.embedded.kafka import EmbeddedKafka
from streams.embedded.valkey import EmbeddedValkey
from tests.benchmarks.takeover import await_customers, cpu_s, customers_of, fill, shapes
from tests.kafka.deployment import Deployment
from tests.kafka.worker import Worker

#: No model has learnt from these rows: every buyer has the shipped score, 0.3.
QUERIES = (
    {"where": "churn_probability >= .2 and net_365d > 500", "by": "value_at_stake"},
    {"where": "net_365d > 500"},
    {"where": "churn_probability >= .2", "by": "value_at_stake"},
)


@contextmanager
def waits(worker: Worker) -> Iterator[list[float]]:
    """How long other requests took during the block, in seconds."""
    ended, took_s = threading.Event(), [0.0]

    def ask() -> None:
        while not ended.wait(0.02):
            begun_s = monotonic()
            worker.get("/health/live")
            took_s.append(monotonic() - begun_s)

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield took_s
    finally:
        ended.set()
        thread.join()


def measure(deployment: Deployment, rounds: int) -> None:
    """Request each list from one worker; print the median of the rounds."""
    workers = deployment.alive
    for query in QUERIES:
        took: list[tuple[float, float, float]] = []
        matched = 0
        for _ in range(rounds):
            before_s, begun_s = sum(map(cpu_s, workers)), monotonic()
            with waits(workers[-1]) as waited_s:
                status, body = workers[0].get(f"/customers?{urlencode(query)}", timeout_s=60.0)
                spent_s = monotonic() - begun_s
            if status != 200:
                raise RuntimeError(orjson.loads(body)["message"])
            matched = ANSWER.decode(body).matched
            took.append((spent_s, sum(map(cpu_s, workers)) - before_s, max(waited_s)))
        seconds, cpu, wait = (median(column) for column in zip(*took, strict=True))
        print(
            f"{len(workers)} workers, {query}: {seconds:.2f} s, {cpu:.2f} s of CPU, "
            f"{matched:,} match; another request waited {wait * 1_000:.0f} ms at most",
            flush=True,
        )


def main() -> int:
    """Fill a deployment, and measure with each number of workers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--customers", type=int, default=100_000)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    made = shapes()
    with (
        tempfile.TemporaryDirectory() as directory,
        EmbeddedKafka(Path(directory) / "kafka") as kafka,
        EmbeddedValkey() as valkey,
        Deployment(
            kafka.bootstrap_servers,
            valkey.url,
            "lists.",
            Path(directory),
            session_timeout_ms=30_000,
        ) as deployment,
    ):
        asyncio.run(fill(deployment, made, arguments.customers))
        for number in arguments.workers:
            while len(deployment.alive) < number:
                deployment.start_worker()
            await_customers(deployment.alive[0], 1)
            deployment.wait(
                "all rows are there",
                lambda: (
                    sum(map(customers_of, deployment.alive)) == arguments.customers
                    and all(worker.is_ready() for worker in deployment.alive)
                ),
            )
            # A new worker first writes all profiles to the store; let it finish.
            with redis.Redis.from_url(valkey.url) as store:
                deployment.wait("the store is filled", lambda: store.dbsize() > arguments.customers)
            measure(deployment, arguments.rounds)
    return 0


if __name__ == "__main__":
    sys.exit(main())

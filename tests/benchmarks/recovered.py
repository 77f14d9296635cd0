"""A worker that reads many customers back: rows a second, and what each takes in memory."""

import asyncio
from typing import NamedTuple

import psutil

from tests.benchmarks.takeover import Shapes, await_customers, fill, read_by
from tests.benchmarks.whole_engine import WholeEngine


class Recovered(NamedTuple):
    """``memory_bytes``: of the whole process."""

    rows_per_s: float
    memory_bytes: int


def recovered(engine: WholeEngine, made: Shapes, customers: int) -> Recovered:
    """Write rows of these shapes under so many customers' ids, and have a worker read them."""
    with engine.deployment() as deployment:
        if customers:
            asyncio.run(fill(deployment, made, customers))
        (worker,) = deployment.start_workers(1)
        await_customers(worker, customers)
        records, took_s = read_by(worker)
        pid = worker.process.pid
        assert pid is not None
        rows_per_s = records / took_s if customers else 0.0
        return Recovered(rows_per_s, psutil.Process(pid).memory_info().rss)

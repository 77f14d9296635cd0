"""A worker that reads many customers back: the CPU it takes, and the memory."""

import asyncio
from typing import NamedTuple

import psutil

from tests.benchmarks.peers.race import cpu_s
from tests.benchmarks.takeover import Shapes, await_customers, fill
from tests.benchmarks.whole_engine import WholeEngine


class Recovered(NamedTuple):
    """Of the whole process, imports included: compare it with one that had nothing to read."""

    cpu_s: float
    memory_bytes: int


def recovered(engine: WholeEngine, made: Shapes, customers: int) -> Recovered:
    """Write rows of these shapes under so many customers' ids, and have a worker read them."""
    with engine.deployment() as deployment:
        if customers:
            asyncio.run(fill(deployment, made, customers))
        (worker,) = deployment.start_workers(1)
        await_customers(worker, customers)
        pid = worker.process.pid
        assert pid is not None
        return Recovered(cpu_s(pid), psutil.Process(pid).memory_info().rss)

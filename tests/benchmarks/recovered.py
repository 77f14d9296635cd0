"""A worker that reads many customers back: the CPU it takes, and the memory."""

import asyncio
import time
from typing import NamedTuple

import psutil

from tests.benchmarks.peers.race import cpu_s
from tests.benchmarks.takeover import Shapes, await_customers, fill
from tests.benchmarks.whole_engine import SETTLED_S, WholeEngine


class Recovered(NamedTuple):
    """Of the whole process, imports included: compare it with one that had less to read."""

    cpu_s: float
    memory_bytes: int


def recovered(engine: WholeEngine, made: Shapes, customers: int) -> Recovered:
    """Write rows of these shapes under so many customers' ids, and have a worker read them."""
    with engine.deployment() as deployment:
        asyncio.run(fill(deployment, made, customers))
        (worker,) = deployment.start_workers(1)
        await_customers(worker, customers)
        pid = worker.process.pid
        assert pid is not None
        spent_s = cpu_s(pid)
        # What it imports once is there by then, in whichever order.
        time.sleep(SETTLED_S)
        return Recovered(spent_s, psutil.Process(pid).memory_info().rss)

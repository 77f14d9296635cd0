"""A worker that reads many customers back: its CPU and memory."""

import asyncio
import time
from typing import NamedTuple

import psutil

from tests.benchmarks.peers.race import cpu_s
from tests.benchmarks.takeover import LOOK_S, Shapes, fill, read_by
from tests.benchmarks.whole_engine import WholeEngine

SETTLED_CPU_S = 3.0


class Recovered(NamedTuple):
    """Figures of the whole process, including imports: compare it with one that had less to
    read.
    """

    cpu_s: float
    memory_bytes: int


def recovered(engine: WholeEngine, made: Shapes, customers: int) -> Recovered:
    """Write rows of these shapes under so many customers' ids, and let a worker read them."""
    with engine.deployment() as deployment:
        asyncio.run(fill(deployment, made, customers))
        (worker,) = deployment.start_workers(1)
        # Poll its log: serving its metrics would take a good part of the time.
        while read_by(worker)[0] < customers:
            worker.process.require_alive()
            time.sleep(LOOK_S)
        pid = worker.process.pid
        assert pid is not None
        spent_s = cpu_s(pid)
        # It is writing profiles now. Once it has used this much CPU, it has imported everything,
        # however slowly it gets on.
        while cpu_s(pid) - spent_s < SETTLED_CPU_S:
            worker.process.require_alive()
            time.sleep(LOOK_S)
        return Recovered(spent_s, psutil.Process(pid).memory_info().rss)

"""What clients that hammer a worker's web port cost the fold, in one run of one worker.

    python -m tests.benchmarks.web_port [--customers 1500] [--seconds 4] [--kinds profiles metrics]

Everything is published before the worker starts. While it folds that, windows with and without
hammering take turns. The worker's CPU per event in the former is divided by that in the latter, and
so are the events per second. The clients share the cores with the worker and its broker, so the
second figure includes their load.
"""

import argparse
import multiprocessing
import sys
import tempfile
from collections.abc import Sequence
from math import fsum
from pathlib import Path
from statistics import median
from time import monotonic, sleep
from typing import NamedTuple

import psutil

from config.topics import CUSTOMER_EVENTS
from streams.embedded.kafka import EmbeddedKafka
from streams.embedded.valkey import EmbeddedValkey
from tests.benchmarks.hammer import KINDS, hammer
from tests.kafka.deployment import PATIENT_MS, Deployment, orderly_shop
from tests.kafka.worker import Worker


class Window(NamedTuple):
    """What a worker did in a stretch of time; ``answers`` that clients got in it."""

    events: float
    cpu_s: float
    wall_s: float
    answers: int


class Hammerers:
    """A process of clients that hammer on command."""

    def __init__(self, port: int, kind: str) -> None:
        self._pipe, theirs = multiprocessing.Pipe()
        self._process = multiprocessing.get_context("spawn").Process(
            target=hammer, args=(port, kind, theirs), daemon=True
        )
        self._process.start()
        self._pipe.recv()

    def begin(self) -> None:
        self._pipe.send(True)

    def end(self) -> int:
        """Stop; returns how many answers they got."""
        self._pipe.send(False)
        answered: int = self._pipe.recv()
        return answered

    def close(self) -> None:
        self._process.kill()
        self._process.join()


class Watched:
    """A worker that folds a log. The broker and the system report what it did, because its own
    metrics lag by up to a second while it is hammered.
    """

    def __init__(self, deployment: Deployment, worker: Worker) -> None:
        self._deployment = deployment
        self._process = psutil.Process(worker.process.pid)

    def look(self) -> tuple[float, float, float]:
        """Records of the log that were folded, CPU and time so far."""
        times = self._process.cpu_times()
        folded = sum(self._deployment.committed(CUSTOMER_EVENTS).values())
        return folded, times.user + times.system, monotonic()

    def window(self, seconds: float, hammerers: Hammerers | None) -> Window:
        before = self.look()
        if hammerers is not None:
            hammerers.begin()
        sleep(seconds)
        after = self.look()
        answers = hammerers.end() if hammerers is not None else 0
        events, cpu_s, wall_s = (b - a for a, b in zip(before, after, strict=True))
        return Window(events, cpu_s, wall_s, answers)


def compared(
    deployment: Deployment, worker: Worker, kind: str, *, events: int, seconds: float
) -> list[Window]:
    """Windows in turn, a silent one first, until the worker has folded most of ``events``."""
    watched = Watched(deployment, worker)
    hammerers = Hammerers(worker.port, kind)
    found: list[Window] = []
    try:
        while watched.look()[0] < events * 0.02:
            sleep(0.1)
        while watched.look()[0] < events * 0.85:
            is_hammered = len(found) % 2 == 1
            found.append(watched.window(seconds, hammerers if is_hammered else None))
    finally:
        hammerers.close()
    return found


def ratio(windows: Sequence[Window]) -> tuple[float, float]:
    """CPU per event, and events per second, of a hammered window, relative to the silent ones
    before and after it: the median of all, since the machine has other things to do in some of
    them.

    Sums over all windows would not do, because the cost of an event changes while histories grow.
    """
    triples = list(zip(windows[::2], windows[1::2], windows[2::2], strict=False))

    def cpu(*chosen: Window) -> float:
        return fsum(one.cpu_s for one in chosen) / fsum(one.events for one in chosen)

    def pace(*chosen: Window) -> float:
        return fsum(one.events for one in chosen) / fsum(one.wall_s for one in chosen)

    return (
        median(cpu(hammered) / cpu(before, after) for before, hammered, after in triples),
        median(pace(hammered) / pace(before, after) for before, hammered, after in triples),
    )


def measure(
    kafka: EmbeddedKafka, valkey: EmbeddedValkey, kind: str, *, customers: int, seconds: float
) -> tuple[list[Window], float, float]:
    with (
        tempfile.TemporaryDirectory() as directory,
        Deployment(
            kafka.bootstrap_servers,
            valkey.url,
            f"web-{kind}.",
            Path(directory),
            session_timeout_ms=PATIENT_MS,
            # They are counted when their batch is committed.
            max_batch_records=200,
        ) as deployment,
    ):
        events = deployment.publish(orderly_shop(customers))
        worker = deployment.start_worker()
        deployment.wait("it is ready", worker.is_ready)
        windows = compared(deployment, worker, kind, events=events, seconds=seconds)
        return windows, *ratio(windows)


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--customers", type=int, default=1_500)
    options.add_argument("--seconds", type=float, default=4.0)
    options.add_argument("--kinds", nargs="+", choices=list(KINDS), default=list(KINDS))
    chosen = options.parse_args()
    with EmbeddedKafka() as kafka, EmbeddedValkey() as valkey:
        for kind in chosen.kinds:
            windows, cpu, pace = measure(
                kafka, valkey, kind, customers=chosen.customers, seconds=chosen.seconds
            )
            for one in windows:
                print(
                    f"  {one.events:8.0f} events in {one.wall_s:.1f} s, "
                    f"{one.cpu_s / max(one.events, 1) * 1e6:7.1f} µs of CPU each, "
                    f"{one.answers:,} answers"
                )
            print(
                f"{kind}: {cpu:.2f} times the CPU an event, {pace:.2f} times the events a second, "
                f"of {len(windows)} windows",
                flush=True,
            )
    return 0


if __name__ == "__main__":
    sys.exit(main())

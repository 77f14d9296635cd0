"""What clients that hammer a worker's web port cost the fold, in one run of one worker.

    python -m tests.benchmarks.web_port [--customers 1500] [--seconds 4] [--kinds profiles metrics]

Everything is published before the worker starts. While it drains that, windows in which clients
hammer and windows in which they are silent take turns: the CPU of the worker for each event of the
ones is divided by that of the others, and so are the events a second. The clients have the same
cores as the worker and its broker, so that the second figure is theirs, too.
"""

import argparse
import multiprocessing
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from time import monotonic, sleep
from typing import NamedTuple

import psutil

from streams.embedded.kafka import EmbeddedKafka
from streams.embedded.valkey import EmbeddedValkey
from tests.benchmarks.hammer import KINDS, hammer
from tests.kafka.deployment import PATIENT_MS, Deployment, orderly_shop
from tests.kafka.worker import Worker

#: What becomes of an event that is folded.
FATES = ("applied", "duplicate", "late")


class Window(NamedTuple):
    """What a worker did in a stretch of time: ``answers`` that clients got of it meanwhile."""

    events: float
    cpu_s: float
    wall_s: float
    answers: int


class Hammerers:
    """A process of clients that hammer when they are told to."""

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
        """How many answers they got since they began."""
        self._pipe.send(False)
        answered: int = self._pipe.recv()
        return answered

    def close(self) -> None:
        self._process.kill()
        self._process.join()


def look(worker: Worker, process: psutil.Process) -> tuple[float, float, float]:
    """Events, CPU and time so far; the first event is waited for."""
    while not (events := worker.metric("keepstream_events_total", fate=FATES)):
        sleep(0.1)
    times = process.cpu_times()
    return events, times.user + times.system, monotonic()


def window(
    worker: Worker, process: psutil.Process, seconds: float, hammerers: Hammerers | None
) -> Window:
    before = look(worker, process)
    if hammerers is not None:
        hammerers.begin()
    sleep(seconds)
    answers = hammerers.end() if hammerers is not None else 0
    after = look(worker, process)
    events, cpu_s, wall_s = (b - a for a, b in zip(before, after, strict=True))
    return Window(events, cpu_s, wall_s, answers)


def compared(worker: Worker, kind: str, *, events: int, seconds: float) -> list[Window]:
    """Windows in turn, silent ones first, until the worker has folded most of ``events``."""
    process = psutil.Process(worker.process.pid)
    hammerers = Hammerers(worker.port, kind)
    found: list[Window] = []
    try:
        while look(worker, process)[0] < events * 0.02:
            sleep(0.1)
        while look(worker, process)[0] < events * 0.85:
            is_hammered = len(found) % 2 == 1
            found.append(window(worker, process, seconds, hammerers if is_hammered else None))
    finally:
        hammerers.close()
    return found


def ratio(windows: Sequence[Window]) -> tuple[float, float]:
    """CPU an event, and events a second, of hammered windows over those of the silent ones next to
    them: what an event costs changes while histories grow.
    """
    cpu, pace = [], []
    for number in range(1, len(windows) - 1, 2):
        quiet = [windows[number - 1], windows[number + 1]]
        mine = windows[number]
        cpu_an_event = sum(one.cpu_s for one in quiet) / sum(one.events for one in quiet)
        cpu.append(mine.cpu_s / max(mine.events, 1.0) / cpu_an_event)
        per_s = sum(one.events for one in quiet) / sum(one.wall_s for one in quiet)
        pace.append(mine.events / mine.wall_s / per_s)
    return median(cpu), median(pace)


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
            # Events are counted when their batch ends.
            max_batch_records=500,
        ) as deployment,
    ):
        events = deployment.publish(orderly_shop(customers))
        worker = deployment.start_worker()
        deployment.wait("it is ready", worker.is_ready)
        windows = compared(worker, kind, events=events, seconds=seconds)
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

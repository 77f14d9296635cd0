"""The CPU that one worker uses per event, ingest and profile together, at full speed.

    python -m tests.benchmarks.throughput [--customers 1500] [--rounds 3]

Everything is published before the worker starts, so that it never waits for events. Its CPU time is
read from the system when it is ready and again when everything is committed. The median counts,
because the machine has other things to do.
"""

import argparse
import statistics
import sys
import tempfile
from pathlib import Path
from time import monotonic

import psutil

from agents.trials.demo.shop import ShopConfig, simulate
from streams.embedded.kafka import EmbeddedKafka
from streams.embedded.valkey import EmbeddedValkey
from tests.kafka.deployment import Deployment

START_MS = 1_700_000_000_000


def measure(kafka: EmbeddedKafka, valkey: EmbeddedValkey, customers: int, number: int) -> float:
    """CPU microseconds per event, of one worker that folds 200 days of a shop."""
    shop = ShopConfig(seed=number, customers=customers, start_ms=START_MS, days=200)
    with tempfile.TemporaryDirectory() as directory:
        deployment = Deployment(
            kafka.bootstrap_servers, valkey.url, f"bench-{number}.", Path(directory)
        )
        try:
            events = deployment.publish(simulate(shop))
            worker = deployment.start_worker()
            process = psutil.Process(worker.process.pid)
            started_s = monotonic()
            while worker.get("/health/live")[0] != 200:  # its imports are not what is measured
                pass
            before = process.cpu_times()
            deployment.wait("all is read", deployment.is_drained, timeout_s=300)
            after = process.cpu_times()
            wall_s = monotonic() - started_s
            cpu_s = after.user + after.system - before.user - before.system
            print(
                f"{events} events: {cpu_s / events * 1e6:.1f} µs of CPU an event, "
                f"{events / wall_s:.0f} events/s",
                flush=True,
            )
            return cpu_s / events * 1e6
        finally:
            deployment.close()


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--customers", type=int, default=1_500)
    options.add_argument("--rounds", type=int, default=3)
    chosen = options.parse_args()
    with EmbeddedKafka() as kafka, EmbeddedValkey() as valkey:
        figures = [
            measure(kafka, valkey, chosen.customers, number) for number in range(chosen.rounds)
        ]
    print(f"median: {statistics.median(figures):.1f} µs of CPU an event")
    return 0


if __name__ == "__main__":
    sys.exit(main())

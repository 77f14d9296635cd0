"""What segments cost: CPU an event and bytes a customer, against the same without any.

    python -m tests.benchmarks.segments [--customers 300] [--rounds 5] [--set NAME=VALUE]

Folds a simulated shop's log, silence included, with segments switched off and on, in turn, so that
both have the same weather; the median of the ratios counts.
"""

import argparse
import gc
import sys
from statistics import median
from time import process_time

from config.parameters import Parameters
from models.customer.row import encode_row
from models.events.event import Event
from models.parameters import load_parameters
from tests.benchmarks.stages import events_of, fold


def cost(events: list[Event], parameters: Parameters) -> tuple[float, float]:
    """Microseconds of CPU an event, all that silence brings about included, and bytes a row."""
    gc.collect()
    started = process_time()
    _, rows = fold(events, parameters)
    spent = process_time() - started
    sizes = [len(encode_row(row)) for name in rows.customers() if (row := rows.get(name))]
    return spent / len(events) * 1e6, sum(sizes) / len(sizes)


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--customers", type=int, default=300)
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--set", action="append", default=[], metavar="NAME=VALUE")
    chosen = options.parse_args()
    on = load_parameters(assignments=chosen.set)
    off = load_parameters(assignments=[*chosen.set, "segments.enabled=false"])
    events = events_of(chosen.customers, on, dense=False)
    without, with_them = [], []
    for number in range(chosen.rounds):
        without.append(cost(events, off))
        with_them.append(cost(events, on))
        print(f"round {number + 1} of {chosen.rounds}", file=sys.stderr, flush=True)
    for place, what in enumerate(("µs of CPU an event", "bytes a customer")):
        before = median(found[place] for found in without)
        ratios = [b[place] / a[place] for a, b in zip(without, with_them, strict=True)]
        after = median(found[place] for found in with_them)
        print(f"{before:9.1f} without, {after:9.1f} with, {median(ratios):.3f} times: {what}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

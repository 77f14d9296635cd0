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
from models.learning.snapshot import Snapshot, prior_snapshot
from models.parameters import load_parameters
from models.partition import Partition
from models.plan import plan_for
from streams.customers_table import CustomerRows
from tests.benchmarks.stages import events_of


def cost(events: list[Event], parameters: Parameters) -> tuple[float, float]:
    """Microseconds of CPU an event, all that silence brings about included, and bytes a row.

    Nothing is learnt: that costs the same with and without, and more than all else.
    """
    rows = CustomerRows()
    fold = Partition(0, rows, prior_snapshot(parameters), plan_for(parameters), _no_models)
    gc.collect()
    started = process_time()
    latest_ms = offset = 0
    for event in events:
        latest_ms = max(latest_ms, event.occurred_at_ms)
        clock_ms = latest_ms - parameters.time.disorder
        if clock_ms >= fold.state.clock_ms + 1_000:
            fold.advance_clock(offset, clock_ms)
            fold.skip(offset)
            offset += 1
        fold.fold(offset, event, moves_clock=False)
        offset += 1
        if not offset % 1_000:
            list(rows.drain())
    list(rows.drain())
    spent = process_time() - started
    sizes = [len(encode_row(row)) for name in rows.customers() if (row := rows.get(name))]
    return spent / len(events) * 1e6, sum(sizes) / len(sizes)


def _no_models(version: int, _sha256: str) -> Snapshot:
    raise AssertionError(f"nothing adopts model {version}")


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

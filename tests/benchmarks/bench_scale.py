"""What a billion events a day need, by the figures of `make bench`: arithmetic, not a measurement.

Assumes that the cost grows only with events and with customers' days. With so many customers, no
two events of a batch belong to the same one: each event reads a row of its own from the table and
writes it, while events in a small shop's batches share rows.
"""

from collections.abc import Mapping
from math import ceil
from typing import NamedTuple

from tests.benchmarks.bench_tables import table
from tests.benchmarks.figures import Stage

DAY_S = 86_400
#: So that the partitions of a lost worker spread over several others.
PARTITIONS_A_WORKER = 4


class Demand(NamedTuple):
    """``peak``: the busiest second, as a multiple of the mean; ``used``: the share of a core that a
    worker may use; ``takeover_s``: how long the others may take to read a killed worker's rows.
    """

    events_a_day: float = 1e9
    customers: float = 30e6
    peak: float = 3.0
    used: float = 0.6
    takeover_s: float = 10.0
    replicas: int = 3


def scaled(stages: Mapping[str, Stage], demand: Demand = Demand()) -> str:  # noqa: B008
    """The table, preceded by its assumptions."""
    units, recovery = stages["units"], stages["recovery"]
    engine = stages["engine"]
    event_us = engine.of("events of an hour").median + units.of("row through a page view").median
    written = engine.of("events of an hour: written by the broker").median
    written += recovery.of("a row").median
    row_bytes = recovery.of("100,000 customers: memory").median
    rows_per_s = recovery.of("100,000 customers: read back").median

    def a_day(unit: str) -> float:
        """µs per customer and day."""
        return units.of(unit).median * units.of(f"{unit}: how often").median

    mean = demand.events_a_day / DAY_S
    for_events = mean * demand.peak * event_us / 1e6
    for_days = demand.customers * a_day("decision point") / DAY_S / 1e6
    for_lessons = demand.customers * a_day("lesson") / DAY_S / 1e6
    workers = max(
        ceil((for_events + for_days) / demand.used),
        _taking_over(demand.customers / (rows_per_s * demand.takeover_s)),
    )
    rows: list[tuple[str, str]] = [
        ("events a second, mean and peak", f"{mean:,.0f}, {mean * demand.peak:,.0f}"),
        ("cores for events, at the peak", f"{for_events:.1f}"),
        ("cores for decision points, spread over the day", f"{for_days:.2f}"),
        ("workers, of a core each", f"{workers}"),
        ("partitions", f"{workers * PARTITIONS_A_WORKER}"),
        ("memory for rows, in all", f"{demand.customers * row_bytes / 1e9:,.0f} GB"),
        ("memory for rows, a worker", f"{demand.customers * row_bytes / workers / 1e9:,.1f} GB"),
        ("the trainer, of its one core", f"{for_lessons:.1%}"),
        ("written to the broker, mean", f"{mean * written / 1e6:,.0f} MB/s before replication"),
        (
            "the same on its disks, before compaction",
            f"{demand.events_a_day * written * demand.replicas / 1e12:,.1f} TB a day",
        ),
    ]
    assumed = (
        f"A billion events a day, computed from these, with {demand.customers:,.0f} customers, a "
        f"peak of {demand.peak:g} times the mean, workers that are busy for {demand.used:.0%} of "
        f"the time, a killed worker's rows read back in {demand.takeover_s:g} s, and "
        f"{demand.replicas} replicas:"
    )
    return f"\n{assumed}\n\n{table(('', ''), rows)}\n"


def _taking_over(seconds: float) -> int:
    """The smallest number of workers that read back the share of one of them in time.

    ``seconds``: the time one core takes to read back all customers, as a multiple of the available
    time.
    """
    workers = 2
    while workers * (workers - 1) < seconds:
        workers += 1
    return workers

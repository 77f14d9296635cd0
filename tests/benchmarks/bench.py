"""What an event costs, beside other engines on the same job: `make bench`.

    python -m tests.benchmarks.bench [STAGE ...] [--full] [--rounds 3] [--customers 200]

Stages (default: all): peers (the same job by every engine), engine (Keepstream with everything on:
days that pass, events of an hour, both without value and lifecycle, two workers), units (what an
event, a decision point, a lesson and a decision cost), replay, steady (latency and CPU at a given
rate, then idle), recovery (rows per second, bytes per customer). Each writes out/bench/STAGE.json;
the tables in out/bench/tables.md and the chart in out/bench/chart.svg contain all stages so far.
Programs that are compared take turns within a round, because the machine has other things to do;
the load is reported beside the figures.
"""

import argparse
import logging
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from time import monotonic, process_time

from config.settings import load_settings
from models.parameters import load_parameters
from models.replay import Replay
from streams.embedded.kafka import EmbeddedKafka
from streams.embedded.valkey import EmbeddedValkey
from tests.benchmarks import figures, stages
from tests.benchmarks.bench_chart import draw
from tests.benchmarks.bench_scale import scaled
from tests.benchmarks.bench_tables import tables
from tests.benchmarks.figures import Measured, Stage, gathered
from tests.benchmarks.parts import value_and_lifecycle
from tests.benchmarks.peers.programs import (
    KEEPSTREAM,
    KEEPSTREAM_JOB,
    KEEPSTREAM_ONE_HOP,
    PEERS,
    PEERS_PYTHON,
    runs_here,
)
from tests.benchmarks.peers.race import Race, by_id
from tests.benchmarks.peers.shop_log import DAYS, Keyed, expected_triggers, log_of, shop_records
from tests.benchmarks.recovered import recovered
from tests.benchmarks.takeover import shapes
from tests.benchmarks.whole_engine import WholeEngine

#: With this many customers a worker has all that it loads once, which is more than their rows.
FEW_CUSTOMERS = 10_000
DAYS_PASS, AN_HOUR = "days that pass", "events of an hour"
WITHOUT, TWO = "without value and lifecycle", "two workers"


class Bench:
    """What the stages share: the requested size, and a broker for the stages that need one."""

    def __init__(self, chosen: argparse.Namespace, directory: Path) -> None:
        self._rounds: int = chosen.rounds
        self._limit_s: float = chosen.minutes * 60
        self.customers: int = chosen.customers
        self.is_full: bool = chosen.full
        self.steady_s: int = chosen.seconds
        self.directory = directory

    def rounds(self) -> Iterator[int]:
        """Number the rounds of a stage; stops when there is no time for another."""
        began_s = monotonic()
        for number in range(self._rounds):
            took_s = monotonic() - began_s
            if number and took_s * (number + 1) / number > self._limit_s:
                tell(f"no time for round {number + 1}: --minutes gives it more")
                return
            tell(f"round {number + 1} of {self._rounds}")
            yield number

    @contextmanager
    def engine(self) -> Iterator[tuple[EmbeddedKafka, WholeEngine]]:
        with EmbeddedKafka() as kafka, EmbeddedValkey() as valkey:
            yield kafka, WholeEngine(kafka, valkey, self.directory)


def peers(bench: Bench) -> list[Measured]:
    """The same job by every engine: µs of CPU per event."""
    if not PEERS_PYTHON.exists():
        raise SystemExit(f"{PEERS_PYTHON} is missing: run 'make bench', which makes it")
    records = shop_records(bench.customers)
    log = log_of(records)
    costs: list[dict[str, float]] = []
    memory: list[dict[str, float]] = []
    with bench.engine() as (kafka, whole):
        settings = load_settings({}, bootstrap_servers=kafka.bootstrap_servers)
        race = Race(settings, bench.directory, log)
        tell(f"{len(log.rest):,} events, and {race.triggers:,} triggers, all compared")
        runs = [
            (one.name, partial(race.run, one), len(log.rest)) for one in PEERS if runs_here(one)
        ]
        expected = by_id(expected_triggers(Keyed(one.key or b"", one.value) for one in records))
        one_hop = partial(whole.job, records, expected, is_in_log=True)
        runs.append((KEEPSTREAM_JOB, partial(whole.job, records, expected), len(records)))
        runs.append((KEEPSTREAM_ONE_HOP, one_hop, len(records)))
        runs.append((KEEPSTREAM, partial(whole.drained, records), len(records)))
        for number in bench.rounds():
            # Rotate the order, so that no program always comes after the same one.
            begin = number % len(runs)
            cost, took = {}, {}
            for name, run, events in (*runs[begin:], *runs[:begin]):
                found = run()
                cost[name], took[name] = found.cpu_s / events * 1e6, found.memory_mb
                tell(f"{name} {cost[name]:.1f} µs an event")
            costs.append(cost)
            memory.append(took)
    of_memory = [
        Measured(f"memory of {one.name}", one.unit, one.values) for one in gathered(memory, "MB")
    ]
    return gathered(costs, "µs of CPU an event") + of_memory


def engine(bench: Bench) -> list[Measured]:
    """Keepstream with everything on, without value and lifecycle, and with two workers: µs of CPU
    per event.
    """
    days, dense = (shop_records(bench.customers, dense=dense) for dense in (False, True))
    off = [f"{name}.enabled=false" for name in value_and_lifecycle()]
    costs: list[dict[str, float]] = []
    written: list[dict[str, float]] = []
    with bench.engine() as (_, whole):
        ways = {
            DAYS_PASS: partial(whole.drained, days),
            f"{DAYS_PASS}, {WITHOUT}": partial(whole.drained, days, assignments=off),
            AN_HOUR: partial(whole.drained, dense),
            f"{AN_HOUR}, {WITHOUT}": partial(whole.drained, dense, assignments=off),
            f"{AN_HOUR}, {TWO}": partial(whole.drained, dense, workers=2),
        }
        for _ in bench.rounds():
            cost, wrote = {}, {}
            for name, run_once in ways.items():
                run = run_once()
                # Both logs have the same events, at other times.
                cost[name] = run.cpu_s / len(days) * 1e6
                wrote[name] = run.broker_bytes / len(days)
                tell(f"{name} {cost[name]:.1f} µs an event")
            costs.append(cost)
            written.append(wrote)
    of_broker = gathered(written, "bytes an event")
    return [
        *gathered(costs, "µs of CPU an event"),
        _ratio("two workers against one", costs, f"{AN_HOUR}, {TWO}", AN_HOUR),
        *(
            _ratio(f"{name}, with value and lifecycle", costs, name, f"{name}, {WITHOUT}")
            for name in (DAYS_PASS, AN_HOUR)
        ),
        *(
            Measured(f"{one.name}: written by the broker", one.unit, one.values)
            for one in of_broker
        ),
    ]


def _ratio(name: str, costs: list[dict[str, float]], one: str, other: str) -> Measured:
    """How many times as much one way costs as the other, in each round."""
    return Measured(name, "times", [cost[one] / cost[other] for cost in costs])


def units(bench: Bench) -> list[Measured]:
    """The core without a broker, by unit: µs of CPU, and how often each unit occurs."""
    parameters = load_parameters()
    events = stages.events_of(bench.customers // 2, parameters, dense=False)
    rounds, per_customer_day = [], {}
    for _ in bench.rounds():
        stopwatch, rows = stages.fold(events, parameters)
        found = stopwatch.microseconds()
        found["row through a page view"] = stages.round_trip(rows, parameters)
        rounds.append(found)
        customer_days = len(list(rows.customers())) * DAYS
        per_customer_day = {n: t / customer_days for n, t in stopwatch.times.items()}
    return [
        *gathered(rounds, "µs of CPU"),
        *(
            Measured(f"{name}: how often", "a customer and day", [times])
            for name, times in per_customer_day.items()
        ),
    ]


def replay(bench: Bench) -> list[Measured]:
    """`keepstream replay` without its printing: lines per second of CPU."""
    logs = {
        name: [record.value for record in shop_records(bench.customers // 2, dense=dense)]
        for name, dense in ((DAYS_PASS, False), (AN_HOUR, True))
    }
    rounds = []
    for _ in bench.rounds():
        found = {}
        for name, lines in logs.items():
            fold = Replay(load_parameters())
            began_s = process_time()
            for place, line in enumerate(lines, 1):
                fold.feed(line, place)
            found[name] = len(lines) / (process_time() - began_s)
        rounds.append(found)
    return gathered(rounds, "lines for a second of CPU")


def steady(bench: Bench) -> list[Measured]:
    """A worker at a steady rate, then idle; latency from the broker's receipt of an event to its
    receipt of the trigger.
    """
    measured = []
    with bench.engine() as (_, whole):
        for per_s, seconds in ((500, bench.steady_s // 2), (2_000, bench.steady_s)):
            asked = per_s * seconds
            # A shop of this many customers gives a few events more than requested.
            records = shop_records(asked // 55, dense=True)[:asked]
            tell(f"{len(records):,} events, {per_s:,} a second, for {seconds} s")
            found = whole.steady(records, per_s=per_s, idle_s=15.0)
            ranked = found.latencies_ms
            if not ranked:
                raise SystemExit(f"no event brought a trigger about in {seconds} s: ask for more")
            told = {
                "CPU": ("µs an event", found.event_us),
                "triggers": ("with a latency", len(ranked)),
                "latency p50": ("ms", ranked[len(ranked) // 2]),
                "latency p99": ("ms", ranked[int(len(ranked) * 0.99)]),
                "idle afterwards": ("% of a core", found.idle * 100),
            }
            measured += [
                Measured(f"{per_s:,} a second: {name}", unit, [value])
                for name, (unit, value) in told.items()
            ]
    return measured


def recovery(bench: Bench) -> list[Measured]:
    """Customers read back from the changelog: the cost of each beyond the first ten thousand."""
    made = shapes()
    measured = [Measured("a row", "bytes as stored", [made.mean_bytes])]
    with bench.engine() as (_, whole):
        few = recovered(whole, made, FEW_CUSTOMERS)
        for customers in (100_000, *((1_000_000,) if bench.is_full else ())):
            found, more = recovered(whole, made, customers), customers - FEW_CUSTOMERS
            rows = more / (found.cpu_s - few.cpu_s)
            each = (found.memory_bytes - few.memory_bytes) / more
            name = f"{customers:,} customers"
            measured.append(Measured(f"{name}: read back", "rows for a second of CPU", [rows]))
            measured.append(Measured(f"{name}: memory", "bytes a customer", [each]))
            tell(f"{name}: {rows:,.0f} rows for a second of CPU, {each:,.0f} bytes each")
    return measured


STAGES: dict[str, Callable[[Bench], list[Measured]]] = {
    one.__name__: one for one in (peers, engine, units, replay, steady, recovery)
}


def tell(words: str) -> None:
    """A line of progress."""
    print(f"  {words}", file=sys.stderr, flush=True)


def measure(name: str, bench: Bench) -> Stage:
    about = " ".join((STAGES[name].__doc__ or "").split())
    print(f"{name}: {about}", file=sys.stderr, flush=True)
    began_s, load = monotonic(), figures.load_1min()
    measured = STAGES[name](bench)
    return Stage(name, about, monotonic() - began_s, (load, figures.load_1min()), measured)


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("stages", nargs="*", metavar="STAGE", help=", ".join(STAGES))
    options.add_argument("--full", action="store_true", help="a million customers, more rounds")
    options.add_argument("--rounds", type=int)
    options.add_argument("--customers", type=int, default=200)
    options.add_argument("--minutes", type=float, help="for a stage's rounds")
    options.add_argument("--seconds", type=int, default=60, help="at 2,000 a second")
    chosen = options.parse_args()
    if unknown := set(chosen.stages) - STAGES.keys():
        options.error(f"no stage is called {', '.join(unknown)}: there are {', '.join(STAGES)}")
    chosen.rounds = chosen.rounds or (7 if chosen.full else 3)
    chosen.minutes = chosen.minutes or (60 if chosen.full else 5)
    # It is normal that the leader of a new topic is a moment late.
    logging.getLogger("aiokafka").setLevel(logging.ERROR)
    for name in chosen.stages or STAGES:
        with tempfile.TemporaryDirectory() as directory:
            figures.write(measure(name, Bench(chosen, Path(directory))))
    found = figures.read_all()
    told = tables(found)
    if {"engine", "units", "recovery"} <= found.keys():
        told += scaled(found)
    (figures.OUT / "tables.md").write_text(told, encoding="utf-8")
    if "peers" in found:
        draw(found["peers"], figures.OUT / "chart.svg")
    print(told)
    return 0


if __name__ == "__main__":
    sys.exit(main())

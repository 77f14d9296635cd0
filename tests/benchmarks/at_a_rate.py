"""A worker at a steady rate of events; with ``--source``, this tree and another side by side.

    python -m tests.benchmarks.at_a_rate [--source DIR] [--per-s 400] [--seconds 15] [--rounds 2]
    python -m tests.benchmarks.at_a_rate [--source DIR] --at-once | --job

Each round starts a worker of either tree, on its own topics, and publishes the same events as time
passes. With ``--at-once`` all are published before it continues, so that it never waits; ``--job``
does the same over all days of a shop, and the worker does only the peers' job. Reported are: µs of
CPU per event, of the worker and of the broker; the latency from the broker's receipt of an event to
its receipt of the trigger, and how much of it passed until ingest forwarded the event; and what the
worker uses afterwards when idle. At a rate that the machine cannot sustain, latencies are those of
a backlog and mean nothing.
"""

import argparse
import logging
import sys
import tempfile
from pathlib import Path

from streams.embedded.kafka import EmbeddedKafka
from streams.embedded.valkey import EmbeddedValkey
from tests.benchmarks.figures import load_1min
from tests.benchmarks.peers.race import by_id
from tests.benchmarks.peers.shop_log import Keyed, expected_triggers, shop_records
from tests.benchmarks.whole_engine import WARM_UP, Steady, WholeEngine
from tests.kafka.worker import PRESENT, Program

IDLE_S = 6.0
#: Events per customer, to compute how many customers give enough events.
EVENTS_A_CUSTOMER = 55


def told(found: Steady) -> str:
    ranked = found.latencies_ms
    if not ranked:
        return f"{found.event_us:6.1f} µs an event, and no trigger: ask for more seconds"
    return (
        f"{found.event_us:6.1f} µs an event and {found.broker_us:.1f} of the broker's, "
        f"{_ranks(ranked)} of {len(ranked)} triggers, {_ranks(found.ingest_ms)} to ingest, "
        f"then {found.idle * 100:.2f}% of a core, load {load_1min()}"
    )


def _ranks(ranked: list[int]) -> str:
    return f"p50 {ranked[len(ranked) // 2]} ms, p99 {ranked[int(len(ranked) * 0.99)]} ms"


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--source", type=Path)
    options.add_argument("--per-s", type=int, default=400)
    options.add_argument("--seconds", type=int, default=15)
    options.add_argument("--rounds", type=int, default=2)
    options.add_argument("--at-once", action="store_true")
    options.add_argument("--job", action="store_true")
    chosen = options.parse_args()
    # It is normal that the leader of a new topic is a moment late.
    logging.getLogger("aiokafka").setLevel(logging.ERROR)
    asked = chosen.per_s * chosen.seconds + WARM_UP
    customers = asked // EVENTS_A_CUSTOMER + 1
    records = shop_records(customers, dense=not chosen.job)[:asked]
    expected = by_id(expected_triggers(Keyed(one.key or b"", one.value) for one in records))
    programs = {"here": PRESENT}
    if chosen.source is not None:
        programs["there"] = Program(chosen.source.resolve(), Path(sys.executable))
    with (
        tempfile.TemporaryDirectory() as directory,
        EmbeddedKafka() as kafka,
        EmbeddedValkey() as valkey,
    ):
        whole = WholeEngine(kafka, valkey, Path(directory))
        for number in range(chosen.rounds):
            # Alternate which one comes first.
            for name in sorted(programs, reverse=bool(number % 2)):
                program = programs[name]
                if chosen.at_once or chosen.job:
                    run = (
                        whole.job(records, expected, program=program)
                        if chosen.job
                        else whole.drained(records, program=program)
                    )
                    said = f"{run.cpu_s / len(records) * 1e6:6.1f} µs an event, load {load_1min()}"
                else:
                    said = told(
                        whole.steady(records, per_s=chosen.per_s, idle_s=IDLE_S, program=program)
                    )
                print(f"{name:>5}: {said}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""CPU an event of other engines at one stateful job, beside Keepstream's whole engine.

    python -m tests.benchmarks.peers.compare [--customers 300] [--rounds 3] [--quix PYTHON]

All read the same events of a simulated shop, fifty a second of event time, from the same broker.
The others do one small job with them (`tests.benchmarks.peers.job`); Keepstream does all that it
does: two hops, all parts, decisions, changelog, views. In turn, round by round, so that all have
the same weather; medians and ranges count. ``--quix``: a Python that has Quix Streams.
"""

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from time import sleep

import orjson
import psutil
from kafka import KafkaProducer
from kafka.admin import KafkaAdminClient, NewTopic

from agents.trials.demo.agenda import ShopRecord
from agents.trials.demo.shop import ShopConfig, simulate
from models.events.times import iso
from streams.embedded.kafka import EmbeddedKafka
from streams.embedded.valkey import EmbeddedValkey
from tests.kafka.deployment import Deployment

START_MS, STEP_MS = 1_700_000_000_000, 20
PARTITIONS = 4
ROOT = Path(__file__).parents[3]
WHOLE = "Keepstream, the whole engine"


def records(customers: int) -> Iterator[ShopRecord]:
    """The shop's events, all of them sound, and so close together that no days go by."""
    shop = ShopConfig(seed=1, customers=customers, start_ms=START_MS, days=200, malformed=0)
    for number, record in enumerate(simulate(shop)):
        at_ms = START_MS + number * STEP_MS
        event = {**orjson.loads(record.value), "timestamp": iso(at_ms)}
        if record.key:
            yield ShopRecord(record.topic, record.key, orjson.dumps(event), at_ms)


def publish(bootstrap: str, topic: str, events: list[ShopRecord]) -> None:
    """The events in a topic of one round's own, with one for what is told."""
    admin = KafkaAdminClient(bootstrap_servers=bootstrap)
    admin.create_topics([NewTopic(name, PARTITIONS, 1) for name in (topic, f"{topic}-out")])
    admin.close()
    producer = KafkaProducer(bootstrap_servers=bootstrap, acks="all", linger_ms=20)
    for event in events:
        producer.send(topic, event.value, key=event.key)
    producer.flush()
    producer.close()


def of_peer(python: str, module: str, bootstrap: str, topic: str, events: int) -> float:
    """Microseconds of CPU an event of one program, which tells them last."""
    with tempfile.TemporaryDirectory() as directory:
        program = [python, "-m", f"tests.benchmarks.peers.{module}"]
        done = subprocess.run(
            [*program, bootstrap, topic, str(events), directory],
            cwd=ROOT,
            check=True,
            stdout=subprocess.PIPE,
            text=True,
            timeout=600,
        )
    return float(done.stdout.split()[-1])


def of_keepstream(kafka: str, valkey: str, prefix: str, events: list[ShopRecord]) -> float:
    """Microseconds of CPU an event of one worker, from ready to all committed."""
    with (
        tempfile.TemporaryDirectory() as directory,
        Deployment(kafka, valkey, prefix, Path(directory)) as deployment,
    ):
        published = deployment.publish(events)
        worker = deployment.start_worker()
        while worker.get("/health/live")[0] != 200:
            sleep(0.01)
        process = psutil.Process(worker.process.pid)
        before = process.cpu_times()
        deployment.wait("all is read", deployment.is_drained)
        after = process.cpu_times()
    cpu_s = after.user + after.system - before.user - before.system
    return cpu_s / published * 1e6


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--customers", type=int, default=300)
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--quix", metavar="PYTHON")
    chosen = options.parse_args()
    events = list(records(chosen.customers))
    programs = {"a loop by hand": (sys.executable, "bare")}
    if chosen.quix:
        programs["Quix Streams"] = (chosen.quix, "quix")
    programs["plain Faust"] = (sys.executable, "plain_faust")
    found: dict[str, list[float]] = {name: [] for name in (*programs, WHOLE)}
    with EmbeddedKafka() as kafka, EmbeddedValkey() as valkey:
        bootstrap = kafka.bootstrap_servers
        for number in range(chosen.rounds):
            for name, (python, module) in programs.items():
                topic = f"bench-{module}-{number}"
                publish(bootstrap, topic, events)
                found[name].append(of_peer(python, module, bootstrap, topic, len(events)))
            found[WHOLE].append(of_keepstream(bootstrap, valkey.url, f"bench-{number}.", events))
            print(f"round {number + 1} of {chosen.rounds}", file=sys.stderr, flush=True)
    whole = median(found[WHOLE])
    print(f"{len(events)} events, µs of CPU an event\n  median    least     most  of Keepstream's")
    for name, figures in found.items():
        middle = median(figures)
        print(f"{middle:8.1f}{min(figures):9.1f}{max(figures):9.1f}{middle / whole:9.2f}  {name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""CPU of what surrounds an event in a worker, stage by stage, without a broker.

    python -m tests.benchmarks.edges [--customers 60] [--rounds 5] [--job] [--set NAME=VALUE]

The agents of a worker fold a shop's events, fifty per second of event time, or with ``--job`` the
peers' job over all days of the shop. Record batches are real; only the connection is missing.
Reported are µs of CPU per event: to read a fetch, to check events and encode them for the log, to
put them in order and into buffers, to read the log, to fold events that this process wrote, and to
fold the same events as another process's. The last line is a hash of everything that was written,
by which two trees can be compared: it must be the same for both ways of folding.
"""

import argparse
import gc
import sys
import tempfile
from collections.abc import Callable, Mapping
from hashlib import sha256
from pathlib import Path
from statistics import median
from time import process_time
from typing import Any, TypeVar

from config.topics import CUSTOMER_EVENTS
from streams.kafka_clients import partition_for
from tests.benchmarks.figures import load_1min
from tests.benchmarks.peers import keepstream_job
from tests.benchmarks.peers.shop_log import PARTITIONS, shop_records

T = TypeVar("T")
Place = tuple[str, int]
#: When the broker received the events: any time after them will do.
TAKEN_MS = 1_790_000_000_000


def published(customers: int, *, dense: bool) -> tuple[int, dict[Place, bytes]]:
    """The number of events, and the raw topics."""
    from tests.benchmarks.edge_worker import Buffers  # noqa: PLC0415 - see `main`

    buffers = Buffers()
    records = shop_records(customers, dense=dense)
    for record in records:
        place = record.topic, partition_for(record.key or b"", PARTITIONS)
        fields: dict[str, Any] = {"timestamp": TAKEN_MS, "key": record.key, "value": record.value}
        filled = buffers.filled[place]
        if not filled or filled[-1].append(**fields) is None:
            filled.append(buffers.create_batch())
            filled[-1].append(**fields)
    return len(records), buffers.content()


def one_round(raw: Mapping[Place, bytes], assignments: list[str]) -> tuple[dict[str, float], str]:
    """Seconds of CPU by stage, and a hash of everything that was written."""
    from tests.benchmarks.edge_worker import EdgeWorker, read  # noqa: PLC0415 - see `main`

    took: dict[str, float] = {}

    def timed(name: str, work: Callable[[], T]) -> T:
        began_s = process_time()
        found = work()
        took[name] = process_time() - began_s
        return found

    own, other = EdgeWorker(assignments), EdgeWorker(assignments)
    fetched = timed("to read a fetch", lambda: read(raw))
    timed("to check and encode", lambda: own.check(fetched))
    timed("to put in order", own.order)
    written = own.log.content()
    name = next(topic for topic, _ in written if topic.endswith(CUSTOMER_EVENTS))
    content = {place: found for place, found in written.items() if place[0] == name}
    log = timed("to read the log", lambda: read(content))
    timed("to fold what it wrote itself", lambda: own.fold(log))
    timed("to fold what another wrote", lambda: other.fold(log))
    hashes = {_hash(content | worker.effects.content()) for worker in (own, other)}
    if len(hashes) > 1:
        raise SystemExit("what was folded as another's gave other records")
    return took, hashes.pop()


def _hash(topics: Mapping[Place, bytes]) -> str:
    """Over keys, values and headers only: batches contain the time."""
    from tests.benchmarks.edge_worker import read  # noqa: PLC0415 - see `main`

    found = sha256()
    for place, records in sorted(read(topics).items()):
        for one in records:
            found.update(repr((place, one.key, one.value, one.headers)).encode())
    return found.hexdigest()[:16]


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--customers", type=int, default=60)
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--job", action="store_true")
    options.add_argument("--set", action="append", default=[])
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        if chosen.job:
            # Before the agents are imported: nothing may have been built from the parts yet.
            keepstream_job.install()
            rules = keepstream_job.rules(Path(directory))
            chosen.set += [one for one in rules if one != "--set"]
        events, raw = published(chosen.customers, dense=not chosen.job)
        # The settings that a worker uses.
        gc.freeze()
        gc.set_threshold(50_000, 50, 50)
        rounds = [one_round(raw, chosen.set) for _ in range(chosen.rounds)]
    for name in rounds[0][0]:
        values = sorted(took[name] / events * 1e6 for took, _ in rounds)
        print(
            f"{name:>28}: {median(values):5.1f} ({values[0]:.1f} to {values[-1]:.1f}) µs an event"
        )
    print(f"{events} events, {rounds[0][1]}, load {load_1min()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""A deployment under random faults for any time, with its use of resources measured.

``python -m tests.kafka.soak --seconds 1800 --out DIR`` prints the figures and writes a plot. It
exits with 1 when something was lost, or when something that must stay flat does not. Linux only:
the processes' use is read from /proc.
"""

import argparse
import os
import random
import signal
import sys
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic, sleep
from typing import Self

import redis
from msgspec.structs import replace

from agents.trials.demo.shop import ShopConfig, ShopRecord, simulate
from config.topics import RAW_TOPICS
from models.catalogue import topic_of
from streams.embedded.kafka import EmbeddedKafka
from streams.embedded.valkey import EmbeddedValkey
from streams.kafka_clients import BrokerUnreachable
from streams.publisher import DeliveryError, EventPublisher
from tests.kafka.deployment import START_MS, Deployment
from tests.kafka.exactness import assert_exact
from tests.kafka.flatness import Series, plot
from tests.kafka.worker import Worker

#: The same customers all the time: the state of each is bounded.
SHOP = ShopConfig(seed=17, customers=150, start_ms=START_MS, days=200, late=0, malformed=0)
SAMPLE_S = 3.0
CALM_S = (4.0, 15.0)
OUTAGE_S = (0.5, 4.0)
#: Longer than the session: others take over, and the worker wakes as a zombie.
SUSPENSION_S = 8.0
MB = 1e6
EVENTS, DISK, CHANGELOG = "events published", "disk of the broker", "disk of the changelog"
#: The log is kept for ever, so these grow with the events; the changelog grows until it is
#: compacted.
GROWING = frozenset({EVENTS, DISK, CHANGELOG})


class Traffic:
    """Publishes at a steady rate until stopped, through every fault."""

    def __init__(self, deployment: Deployment, per_second: int) -> None:
        self._before = 0
        self._publisher: EventPublisher | None = None
        self._deployment = deployment
        self._per_second = per_second
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run)

    @property
    def acknowledged(self) -> int:
        """How many events were acknowledged so far."""
        publisher = self._publisher
        return self._before + (publisher.acknowledged if publisher else 0)

    def _run(self) -> None:
        shop = _endless_shop()
        while not self._ended.is_set():
            try:
                with EventPublisher(self._deployment.settings, topic_of) as self._publisher:
                    self._publish(self._publisher, shop)
            except DeliveryError:
                pass  # what is not acknowledged may be there or not; it goes on with the next
            except BrokerUnreachable:
                sleep(OUTAGE_S[0])
            self._before, self._publisher = self.acknowledged, None

    def _publish(self, publisher: EventPublisher, shop: Iterator[ShopRecord]) -> None:
        for number, record in enumerate(shop, 1):
            publisher.forward(record.topic, record.key, record.value)
            if not number % (self._per_second // 10) and self._ended.wait(0.1):
                return

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()


def _endless_shop() -> Iterator[ShopRecord]:
    """One shop after the other, with the same customers, each starting where the last one ended."""
    for number in count():
        start_ms = SHOP.start_ms + number * SHOP.days * 86_400_000
        yield from simulate(replace(SHOP, start_ms=start_ms, seed=SHOP.seed + number))


class Nemesis:
    """Kills or suspends workers, the broker and the store at random. It spares the first worker, so
    that one process lives long.
    """

    def __init__(
        self, deployment: Deployment, kafka: EmbeddedKafka, valkey: EmbeddedValkey, seed: int
    ) -> None:
        self.struck: dict[str, list[float]] = defaultdict(list)
        self._deployment = deployment
        self._kafka = kafka
        self._valkey = valkey
        self._chance = random.Random(seed)
        self._blows: dict[str, Callable[[], None]] = {
            "a worker is killed": lambda: _kill(self._victim()),
            "a worker is told to stop": lambda: _stop(self._victim()),
            "a worker is suspended": self._suspend,
            "the broker is killed": lambda: self._outage(kafka),
            "the store is killed, and is empty": lambda: self._outage(valkey),
        }

    def strike(self, began_s: float) -> None:
        """Wait a while, strike, and replace processes that ended."""
        sleep(self._chance.uniform(*CALM_S))
        name = self._chance.choice(list(self._blows))
        self.struck[name].append(monotonic() - began_s)
        self._blows[name]()
        self.replace()

    def replace(self) -> None:
        """As a supervisor does; the spared worker is started again under its name."""
        steady = self._deployment.workers[0]
        if not steady.process.pid:
            steady.start()
        self._deployment.restart_ended()
        while len(self._deployment.alive) < 2:
            self._deployment.start_worker()

    def _victim(self) -> Worker:
        # It may have ended by itself just now.
        self.replace()
        steady = self._deployment.workers[0]
        return self._chance.choice([w for w in self._deployment.alive if w is not steady])

    def _suspend(self) -> None:
        victim = self._victim()
        victim.pause()
        sleep(SUSPENSION_S)
        victim.resume()

    def _outage(self, server: EmbeddedKafka | EmbeddedValkey) -> None:
        server.kill()
        sleep(self._chance.uniform(*OUTAGE_S))
        server.start()


def _kill(worker: Worker) -> None:
    worker.stop(signal.SIGKILL)


def _stop(worker: Worker) -> None:
    worker.stop()


class Meter:
    """Samples what the spared worker, the broker and the store use."""

    def __init__(
        self,
        deployment: Deployment,
        kafka: EmbeddedKafka,
        valkey: EmbeddedValkey,
        traffic: Traffic,
    ) -> None:
        self._deployment = deployment
        self._kafka = kafka
        self._valkey = valkey
        self._traffic = traffic
        self._began_s = monotonic()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._found: dict[tuple[str, str], list[tuple[float, float]]] = defaultdict(list)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    @property
    def series(self) -> list[Series]:
        return [
            Series(name, unit, *zip(*found, strict=True))
            for (name, unit), found in self._found.items()
        ]

    def _run(self) -> None:
        while not self._ended.wait(SAMPLE_S):
            steady = self._deployment.workers[0].process.pid
            for name, pid in (("worker", steady), ("broker", next(iter(self._kafka.pids), None))):
                if pid is not None and (used := _used_by(pid)) is not None:
                    self._note(f"memory of the {name}", "MB", used[0])
                    self._note(f"descriptors of the {name}", "", used[1])
            store = redis.Redis.from_url(self._valkey.url, socket_timeout=1, retry=None)
            # It may be down just now.
            with store, suppress(redis.RedisError):
                self._note("memory of the store", "MB", store.info()["used_memory"] / MB)
            self._note(EVENTS, "", self._traffic.acknowledged)
            self._note(DISK, "MB", _disk_mb(self._kafka.directory, "*"))
            changelog = self._deployment.settings.topic("customers")
            self._note(CHANGELOG, "MB", _disk_mb(self._kafka.directory, f"{changelog}-*/*"))

    def _note(self, name: str, unit: str, value: float) -> None:
        self._found[name, unit].append((monotonic() - self._began_s, value))


def _used_by(pid: int) -> tuple[float, int] | None:
    """Resident memory in MB, and open descriptors; None if the process has ended."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        descriptors = len(list(Path(f"/proc/{pid}/fd").iterdir()))
    except OSError:
        return None
    # A process that was just killed has no memory any more, but may still have an id.
    return (pages * os.sysconf("SC_PAGE_SIZE") / MB, descriptors) if pages else None


def _disk_mb(directory: Path, pattern: str) -> float:
    """The size of its files: allocated blocks, because index files are sparse."""
    total = 0
    for path in directory.rglob(pattern):
        try:
            total += path.stat().st_blocks * 512
        except OSError:
            continue  # deleted just now
    return total / MB


class Soak:
    """One run; `run` returns its findings."""

    def __init__(self, directory: Path, *, seconds: float, per_second: int, seed: int) -> None:
        self._directory = directory
        self._seconds = seconds
        self._per_second = per_second
        self._seed = seed
        self.series: list[Series] = []
        self.struck: dict[str, list[float]] = {}
        self.checked = 0
        self.customers = 0
        self.settled_s = 0.0

    def run(self) -> None:
        """Raises `AssertionError` when something differs from the log."""
        with ExitStack() as stack:
            kafka = stack.enter_context(EmbeddedKafka(self._directory / "kafka"))
            valkey = stack.enter_context(EmbeddedValkey(self._directory / "valkey"))
            deployment = stack.enter_context(
                Deployment(kafka.bootstrap_servers, valkey.url, "soak.", self._directory)
            )
            deployment.start_workers(2)
            nemesis = Nemesis(deployment, kafka, valkey, self._seed)
            self.struck = nemesis.struck
            began_s = monotonic()
            traffic = Traffic(deployment, self._per_second)
            with Meter(deployment, kafka, valkey, traffic) as meter:
                with traffic:
                    while monotonic() - began_s < self._seconds:
                        nemesis.strike(began_s)
                quiet_s = monotonic()
                deployment.wait("all is read", lambda: _is_drained(nemesis, deployment))
                self.settled_s = monotonic() - quiet_s
            self.series = meter.series
            # A publisher that got a new producer may have sent an event twice, which counts once.
            raw = sum(sum(deployment.ends(topic).values()) for topic in RAW_TOPICS)
            assert raw >= traffic.acknowledged > 0
            checked = assert_exact(deployment, published=raw)
            self.checked, self.customers = checked["rawRecords"], checked["customers"]

    @property
    def bytes_per_event(self) -> tuple[float, float]:
        """The growth of the broker's disk per event, in the first and the second half."""
        by_name = {one.name: one.values for one in self.series}
        disk, events = by_name[DISK], by_name[EVENTS]
        middle, last = len(disk) // 2, len(disk) - 1
        first, second = (
            (disk[end] - disk[begin]) * MB / max(events[end] - events[begin], 1)
            for begin, end in ((0, middle), (middle, last))
        )
        return first, second

    @property
    def rising(self) -> list[Series]:
        """The series that must stay flat and do not."""
        return [one for one in self.series if not one.is_flat and one.name not in GROWING]

    def __str__(self) -> str:
        faults = ", ".join(f"{name}: {len(times)}" for name, times in self.struck.items())
        checked = f"{self.checked:,} events of {self.customers} customers checked"
        first, second = (f"{grown:,.0f}" for grown in self.bytes_per_event)
        return "\n".join(
            [
                f"{sum(map(len, self.struck.values()))} faults in {self._seconds:.0f} s: {faults}",
                f"{checked}, none missing, none extra",
                f"all done {self.settled_s:.0f} s after the last event",
                *(f"  {one}" for one in self.series),
                f"  disk by event: {first} bytes in the first half, {second} in the second",
            ]
        )


def _is_drained(nemesis: Nemesis, deployment: Deployment) -> bool:
    nemesis.replace()
    return deployment.is_drained()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=1_800)
    parser.add_argument("--per-second", type=int, default=200, help="events published a second")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("out") / "soak")
    told = parser.parse_args()
    told.out.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix="soak-") as directory:
        soak = Soak(
            Path(directory), seconds=told.seconds, per_second=told.per_second, seed=told.seed
        )
        soak.run()
    (told.out / "soak.svg").write_text(plot(soak.series, soak.struck))
    (told.out / "soak.txt").write_text(f"{soak}\n")
    print(f"{soak}\nThe plot is {told.out / 'soak.svg'}")  # noqa: T201
    return 1 if soak.rising else 0


if __name__ == "__main__":
    sys.exit(main())

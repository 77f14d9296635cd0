"""The same job by every engine, in rounds: CPU per event.

Each program is started on a few events. When it has written the triggers for these, it is halted
while the rest of the log is published. Then it works without ever waiting for events and writes
triggers to a topic of its own. It is done when the last trigger is there and there was time for
another commit. What counts is the CPU time of its process from the halt until then, with all
threads and the kernel's part, less what it uses to wait as long. Its triggers must be the job's, by
id and value.
"""

import asyncio
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NamedTuple

import orjson
from kafka import KafkaConsumer, TopicPartition
from kafka.admin import KafkaAdminClient, NewTopic

from config.settings import Settings
from streams.kafka_clients import partition_for, running
from streams.outbox import Outbox, new_outbox_producer
from tests.benchmarks.peers.job import Trigger
from tests.benchmarks.peers.places import COMMIT_S, Places
from tests.benchmarks.peers.programs import PEERS_PYTHON, PeerProgram, environment_of
from tests.benchmarks.peers.shop_log import PARTITIONS, Keyed, Log, expected_triggers

LOOK_S = 0.05
#: All programs have committed by this time after the last trigger.
TAIL_S = 1.5 * COMMIT_S
#: Time-outs for programs that hang.
READY_S, DONE_S = 60.0, 180.0
_CPUCLOCK_SCHED = 2


class Run(NamedTuple):
    """Seconds of CPU for the events of the log, seconds by the clock, peak memory, and the bytes
    that it had the broker store, where that is known.
    """

    cpu_s: float
    wall_s: float
    memory_mb: float
    broker_bytes: int = 0


class Differs(RuntimeError):
    """A program wrote other triggers than the job; the message names it and the first
    difference.
    """


class Race:
    """A log, the broker that it is read from, and the triggers that must follow."""

    def __init__(
        self, settings: Settings, directory: Path, log: Log, *, prefix: str = "race-"
    ) -> None:
        self.settings = settings
        self.directory = directory
        self.log = log
        self._expected = by_id(expected_triggers([*log.first, *log.rest]))
        self._prefix = prefix
        self._runs = 0

    @property
    def triggers(self) -> int:
        return len(self._expected)

    def run(self, program: PeerProgram) -> Run:
        """Do the job once with ``program``. Raises `Differs`."""
        self._runs += 1
        name = f"{self._prefix}{self._runs}"
        directory = self.directory / name
        directory.mkdir()
        places = Places(
            self.settings.bootstrap_servers,
            f"{name}-events",
            f"{name}-triggers",
            f"{name}-state",
            name,
            directory,
        )
        self._create(places.source, places.sink, places.changelog)
        self._publish(places.source, self.log.first)
        environ = environment_of(os.environ, places)
        if program.preparation is not None:
            _completed(program.preparation(places), environ)
        with started(program, places, environ) as process:
            run = self._timed(places, process)
        if problem := difference(self._expected, list(self._read(places.sink))):
            raise Differs(f"{program.name}: {problem}")
        return run

    def _timed(self, places: Places, process: subprocess.Popen[bytes]) -> Run:
        self._await_triggers(places, PARTITIONS, process, READY_S)
        # What it commits now does not belong to the events that count.
        time.sleep(2 * COMMIT_S)
        process.send_signal(signal.SIGSTOP)
        before_s = cpu_s(process.pid)
        self._publish(places.source, self.log.rest)
        began_s = time.monotonic()
        process.send_signal(signal.SIGCONT)
        self._await_triggers(places, self.triggers, process, DONE_S)
        wall_s = time.monotonic() - began_s
        time.sleep(TAIL_S)
        after_s = cpu_s(process.pid)
        time.sleep(TAIL_S)
        # Nor does what it uses to wait for more.
        idle_s = cpu_s(process.pid) - after_s
        return Run(after_s - before_s - idle_s, wall_s, memory_mb(process.pid))

    def _await_triggers(
        self, places: Places, least: int, process: subprocess.Popen[bytes], patience_s: float
    ) -> None:
        partitions = [TopicPartition(places.sink, number) for number in range(PARTITIONS)]
        began_s = time.monotonic()
        with closing(KafkaConsumer(bootstrap_servers=places.brokers)) as consumer:
            while sum(consumer.end_offsets(partitions).values()) < least:
                if process.poll() is not None:
                    raise RuntimeError(f"it ended early: {tail(places)}")
                if time.monotonic() - began_s > patience_s:
                    raise TimeoutError(f"it was not done in {patience_s:.0f} s: {tail(places)}")
                time.sleep(LOOK_S)

    def _create(self, *names: str) -> None:
        with closing(KafkaAdminClient(bootstrap_servers=self.settings.bootstrap_servers)) as admin:
            admin.create_topics([NewTopic(name, PARTITIONS, 1) for name in names])

    def _publish(self, topic: str, events: Iterable[Keyed]) -> None:
        asyncio.run(self._written(topic, events))

    async def _written(self, topic: str, events: Iterable[Keyed]) -> None:
        async with running(new_outbox_producer(self.settings), self.settings) as producer:
            outbox = Outbox(producer, self.settings)
            for key, value in events:
                outbox.add(topic, partition_for(key, PARTITIONS), key=key, value=value)
            await outbox.flush()

    def _read(self, topic: str) -> Iterator[Trigger]:
        partitions = [TopicPartition(topic, number) for number in range(PARTITIONS)]
        with closing(
            KafkaConsumer(
                bootstrap_servers=self.settings.bootstrap_servers, auto_offset_reset="earliest"
            )
        ) as consumer:
            consumer.assign(partitions)
            ends = consumer.end_offsets(partitions)
            while any(consumer.position(one) < ends[one] for one in partitions):
                for records in consumer.poll(timeout_ms=500).values():
                    for record in records:
                        yield orjson.loads(record.value)


@contextmanager
def started(
    program: PeerProgram, places: Places, environ: dict[str, str]
) -> Iterator[subprocess.Popen[bytes]]:
    """The program as a process, which is killed at the end of the block."""
    command = [str(PEERS_PYTHON), *program.arguments(places)]
    with (
        log_of_program(places).open("wb") as log,
        subprocess.Popen(
            command, cwd=places.directory, env=environ, stdout=log, stderr=subprocess.STDOUT
        ) as process,
    ):
        try:
            yield process
        finally:
            process.kill()


def log_of_program(places: Places) -> Path:
    return places.directory / "log.txt"


def tail(places: Places) -> str:
    return log_of_program(places).read_text(errors="replace")[-2_000:]


def cpu_s(pid: int) -> float:
    """CPU time of another process so far, by its clock (the id as clock_getcpuclockid(3) makes it):
    nanoseconds, where /proc has hundredths of a second.
    """
    return time.clock_gettime((~pid << 3) | _CPUCLOCK_SCHED)


def memory_mb(pid: int) -> float:
    """The peak memory of a process so far."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    (peak_kb,) = re.findall(r"VmHWM:\s+(\d+) kB", status)
    return int(peak_kb) * 1_024 / 1e6


def by_id(triggers: Sequence[Trigger]) -> dict[str, Trigger]:
    return {trigger["id"]: trigger for trigger in triggers}


def difference(expected: dict[str, Trigger], found: Sequence[Trigger]) -> str:
    """What is wrong with the triggers of a program; empty if nothing is."""
    written = by_id(found)
    if len(written) != len(found):
        return f"{len(found) - len(written)} triggers were written twice"
    if missing := expected.keys() - written.keys():
        return f"{len(missing)} triggers are missing, such as {expected[min(missing)]}"
    if more := written.keys() - expected.keys():
        return f"{len(more)} triggers are not the job's, such as {written[min(more)]}"
    for name, one in expected.items():
        if written[name] != one:
            return f"{written[name]} should be {one}"
    return ""


def _completed(arguments: list[str], environ: dict[str, str]) -> None:
    subprocess.run([str(PEERS_PYTHON), *arguments], env=environ, check=True, capture_output=True)

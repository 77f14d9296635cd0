"""Unchanged workers with everything on, measured from outside: acks from all replicas, a changelog,
and their output compared with a replay of the log at the end.
"""

import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import orjson

from agents.trials.demo.shop import ShopRecord
from config.topics import CUSTOMER_EVENTS, RAW_TOPICS, RETENTION_TRIGGERS
from models.catalogue import topic_of
from models.events.times import iso
from models.events.wire import decode_log_line
from streams.embedded.kafka import EmbeddedKafka
from streams.embedded.valkey import EmbeddedValkey
from streams.publisher import EventPublisher
from tests.benchmarks.ingested import Ingested
from tests.benchmarks.peers import keepstream_job
from tests.benchmarks.peers.job import Trigger
from tests.benchmarks.peers.programs import KEEPSTREAM_JOB
from tests.benchmarks.peers.race import Differs, Run, cpu_s, difference, memory_mb
from tests.kafka.deployment import PATIENT_MS, Deployment
from tests.kafka.exactness import assert_exact
from tests.kafka.worker import PRESENT, Program, Worker

#: This many events are folded before the measurement: what a worker loads once does not count.
WARM_UP = 500
#: By then a worker has finished what it does once after its start.
SETTLED_S = 3.0
DONE_S = 400.0


class Steady(NamedTuple):
    """At a steady rate: µs of CPU per event, and ms from the broker's receipt of an event to its
    receipt of the trigger. ``idle``: the share of a core used afterwards with nothing to do.
    ``broker_us``: CPU of the broker per event; ``ingest_ms``: until ingest forwards an event, with
    or without a trigger.
    """

    event_us: float
    latencies_ms: list[int]
    idle: float
    broker_us: float
    ingest_ms: list[int]


class WholeEngine:
    """A broker and a store, with one deployment for each measurement."""

    def __init__(self, kafka: EmbeddedKafka, valkey: EmbeddedValkey, directory: Path) -> None:
        self._kafka, self._valkey, self._directory = kafka, valkey, directory
        self._runs = 0

    @contextmanager
    def deployment(self) -> Iterator[Deployment]:
        self._runs += 1
        directory = self._directory / f"whole-{self._runs}"
        directory.mkdir()
        with Deployment(
            self._kafka.bootstrap_servers,
            self._valkey.url,
            f"{self._directory.name}-{self._runs}.",
            directory,
            session_timeout_ms=PATIENT_MS,
        ) as deployment:
            yield deployment

    def drained(
        self,
        records: Sequence[ShopRecord],
        *,
        workers: int = 1,
        assignments: Sequence[str] = (),
        program: Program = PRESENT,
    ) -> Run:
        """CPU of one or several workers for these events, which are all there at the start.

        ``assignments``: the workers' ``--set``.
        """
        arguments = [word for one in assignments for word in ("--set", one)]
        with self.deployment() as deployment:
            started = deployment.start_workers(workers, *arguments, program=program)
            run = _spent(deployment, records, started, deployment.publish)
            assert_exact(deployment, published=len(records), assignments=assignments)
            return run._replace(broker_bytes=self._written(deployment))

    def job(
        self,
        records: Sequence[ShopRecord],
        expected: dict[str, Trigger],
        *,
        is_in_log: bool = False,
        program: Program = PRESENT,
    ) -> Run:
        """CPU of a worker that only does the peers' job. Raises `Differs` when it writes other
        triggers. ``is_in_log``: another worker's ingest wrote the events to the log, so this one
        reads only that.
        """
        with self.deployment() as deployment:
            arguments = keepstream_job.rules(deployment.directory)
            publish = Ingested(deployment, records).publish if is_in_log else deployment.publish
            job = program._replace(module=keepstream_job.__name__)
            worker = deployment.start_worker(*arguments, program=job)
            run = _spent(deployment, records, [worker], publish)
            written = [value for _, _, value in deployment.read(RETENTION_TRIGGERS)]
            found = [keepstream_job.as_of_the_job(value) for value in written]
            if problem := difference(expected, found):
                raise Differs(f"{KEEPSTREAM_JOB}: {problem}")
            _audited(deployment, arguments, job)
        return run

    def _written(self, deployment: Deployment) -> int:
        """Bytes of all topics of a deployment on the broker, raw ones included."""
        (node,) = self._kafka.nodes.values()
        names = f"{deployment.settings.topic_prefix}*/*.log"
        return sum(path.stat().st_size for path in node.data_dir.glob(names))

    def steady(
        self,
        records: Sequence[ShopRecord],
        *,
        per_s: int,
        idle_s: float,
        program: Program = PRESENT,
    ) -> Steady:
        """Events with the present time, published as time passes; the first of them do not
        count.
        """
        with self.deployment() as deployment:
            (worker,) = deployment.start_workers(1, program=program)
            _publish_in_time(deployment, records[:WARM_UP], per_s)
            _await_done(deployment)
            time.sleep(SETTLED_S)
            before_s, brokers_s = _cpu_s([worker]), self._broker_s()
            _publish_in_time(deployment, records[WARM_UP:], per_s)
            _await_done(deployment)
            spent_s, broker_s = _cpu_s([worker]) - before_s, self._broker_s() - brokers_s
            time.sleep(SETTLED_S)
            before_s = _cpu_s([worker])
            time.sleep(idle_s)
            idle = (_cpu_s([worker]) - before_s) / idle_s
            latencies_ms = [
                record.timestamp - int(caused_at)
                for record in deployment.records(RETENTION_TRIGGERS)
                if (caused_at := dict(record.headers).get("ce_causedat")) is not None
            ]
            ingest_ms = _ingest_ms(deployment)
            # Its clock moves on, so profiles would change while they are compared.
            worker.stop()
            assert_exact(deployment, published=len(records), is_live=False)
        events = len(records) - WARM_UP
        return Steady(
            spent_s / events * 1e6, sorted(latencies_ms), idle, broker_s / events * 1e6, ingest_ms
        )

    def _broker_s(self) -> float:
        return sum(map(cpu_s, self._kafka.pids))


def _ingest_ms(deployment: Deployment) -> list[int]:
    """How long each event took to be forwarded, in ascending order."""
    found = []
    for record in deployment.records(CUSTOMER_EVENTS):
        source = decode_log_line(record.value).source
        if source is not None:
            found.append(record.timestamp - source.received_at)
    return sorted(found)


def _spent(
    deployment: Deployment,
    records: Sequence[ShopRecord],
    workers: Sequence[Worker],
    publish: Callable[[Sequence[ShopRecord]], object],
) -> Run:
    """Some events are folded before; workers are halted while the others are published."""
    publish(records[:WARM_UP])
    deployment.wait("workers are ready", lambda: all(worker.is_ready() for worker in workers))
    deployment.wait("the first events are done", deployment.is_drained)
    time.sleep(SETTLED_S)
    for worker in workers:
        worker.pause()
    before_s = _cpu_s(workers)
    publish(records[WARM_UP:])
    began_s = time.monotonic()
    for worker in workers:
        worker.resume()
    _await_done(deployment)
    return Run(
        # Scaled to all events, as if the first ones had cost as much.
        (_cpu_s(workers) - before_s) * len(records) / (len(records) - WARM_UP),
        time.monotonic() - began_s,
        max(memory_mb(_pid(worker)) for worker in workers),
    )


def _await_done(deployment: Deployment) -> None:
    """Poll the broker, and the workers only at the end: their answers would count as work."""
    deployment.wait(
        "the log is folded",
        lambda: deployment.is_committed(*RAW_TOPICS, CUSTOMER_EVENTS),
        timeout_s=DONE_S,
    )
    deployment.wait("all is done", deployment.is_drained, timeout_s=DONE_S)


def _audited(deployment: Deployment, arguments: Sequence[str], job: Program) -> None:
    """Compare rows and decisions with a replay of the log by the same program."""
    command = [job.python, "-m", job.module, "audit", *arguments]
    done = subprocess.run(
        command,
        cwd=job.source,
        env=job.environment(deployment.environment),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise Differs(f"{KEEPSTREAM_JOB}: the audit found {done.stdout}{done.stderr}")


def _pid(worker: Worker) -> int:
    pid = worker.process.pid
    assert pid is not None
    return pid


def _cpu_s(workers: Sequence[Worker]) -> float:
    return sum(cpu_s(_pid(worker)) for worker in workers)


def _at(value: bytes, at_s: float) -> bytes:
    return orjson.dumps({**orjson.loads(value), "timestamp": iso(int(at_s * 1_000))})


def _publish_in_time(deployment: Deployment, records: Sequence[ShopRecord], per_s: int) -> None:
    """Publish each record when it is due, or at once if it is late, with that time as its
    timestamp.
    """
    with EventPublisher(deployment.settings, topic_of) as publisher:
        start_s = time.time()
        for number, record in enumerate(records):
            due_s = start_s + number / per_s
            # Encoded only now: encoding all of them first would take seconds, and cause a backlog.
            value = _at(record.value, due_s)
            if (ahead_s := due_s - time.time()) > 0.001:
                time.sleep(ahead_s)
            publisher.forward(record.topic, record.key, value)

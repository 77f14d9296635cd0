"""A deployment under test: real workers as processes, on a real broker and a real store."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from itertools import cycle
from pathlib import Path
from typing import Any, Self

from aiokafka import ConsumerRecord, TopicPartition

from agents.trials.demo.shop import ShopConfig, ShopRecord, simulate
from config import topics
from config.settings import Settings, load_settings
from models.catalogue import topic_of
from streams.embedded.process import ServerProcess, wait_until
from streams.kafka_clients import new_admin, new_reader, running
from streams.outbox import Headers, Outbox, new_outbox_producer
from streams.publisher import EventPublisher
from streams.recovery import ChangelogFold
from streams.set_aside import SetAside
from streams.topics import create_topics
from streams.worker_group import GroupUnanswered, committed_offsets
from tests.kafka.worker import PRESENT, ROOT, Program, Worker

START_MS = 1_700_000_000_000
#: How long a test waits for something before it fails. A time-out for what hangs, not for what is
#: slow: a busy machine takes its time.
LIVENESS_S = 240.0
#: Time between polls: each asks workers and brokers, which share the cores.
LOOK_S = 0.2
#: The same where each poll starts a command, which uses a core for about that long.
ASK_S = 1.0
#: The session time-out of workers that die or stall, so that others soon take over; and of workers
#: without faults, which other tests on a busy machine must not end.
MISSED_SOON_MS, PATIENT_MS = 6_000, 30_000
#: The topics that depend on examples: the log again, for its model records, and its decisions.
DECIDED_TOPICS = (topics.CUSTOMER_EVENTS, topics.RETENTION_TRIGGERS, topics.NEXT_BEST_ACTIONS)


def orderly_shop(customers: int, *, days: int = 200, start_ms: int = START_MS) -> list[ShopRecord]:
    """The events of a shop that sends nothing late.

    Published before there are workers, none of them may become late. While workers run, days of the
    shop take the publisher milliseconds, so one topic may well be days ahead of another.
    """
    return list(
        simulate(ShopConfig(seed=3, customers=customers, start_ms=start_ms, days=days, late=0))
    )


class Deployment:
    """Topics of its own on a shared broker, and the workers started on them."""

    def __init__(
        self,
        bootstrap_servers: str,
        redis_url: str,
        prefix: str,
        directory: Path,
        programs: Sequence[Program] = (PRESENT,),
        **overrides: int | str,
    ) -> None:
        """``programs``: run in turn by workers for which no program is given."""
        self.settings = load_settings(
            {},
            bootstrap_servers=bootstrap_servers,
            redis_url=redis_url,
            topic_prefix=prefix,
            **{"session_timeout_ms": MISSED_SOON_MS, **overrides},
        )
        self.directory = directory
        self.workers: list[Worker] = []
        self._programs = cycle(programs)
        create_topics(self.settings)

    @property
    def environment(self) -> dict[str, str]:
        """The environment of every process of this deployment."""
        settings = self.settings
        return {
            **{k: v for k, v in os.environ.items() if not k.startswith("KEEPSTREAM_")},
            # A killed process leaves its files in the test's directory.
            "TMPDIR": str(self.directory),
            "KEEPSTREAM_BOOTSTRAP_SERVERS": settings.bootstrap_servers,
            "KEEPSTREAM_REDIS_URL": settings.redis_url,
            "KEEPSTREAM_TOPIC_PREFIX": settings.topic_prefix,
            "KEEPSTREAM_SESSION_TIMEOUT_MS": str(settings.session_timeout_ms),
            "KEEPSTREAM_MAX_BATCH_RECORDS": str(settings.max_batch_records),
            # Only where requested: earlier releases do not know it.
            **({"KEEPSTREAM_SET_ASIDE": settings.set_aside} if settings.set_aside else {}),
            **({"KEEPSTREAM_ARCHIVE": "on"} if settings.has_archive else {}),
            **({"KEEPSTREAM_PARAMETERS": str(settings.parameters)} if settings.parameters else {}),
            # The tests' events are years old.
            "KEEPSTREAM_DELIVER_MAX_AGE": "0",
        }

    def start_worker(
        self,
        *arguments: str,
        is_live: bool = True,
        program: Program | None = None,
        **environment: str,
    ) -> Worker:
        """Start a worker; it is live and writes triggers unless ``is_live`` is False."""
        if is_live:
            arguments = ("--live", *arguments)
        program = program or next(self._programs)
        process = ServerProcess(f"worker-{len(self.workers)}", self.directory)
        worker = Worker(process, {**self.environment, **environment}, arguments, program)
        self.workers.append(worker)
        return worker

    def start_workers(
        self, number: int, *arguments: str, program: Program = PRESENT
    ) -> list[Worker]:
        """Start this many, and return when all are ready."""
        workers = [self.start_worker(*arguments, program=program) for _ in range(number)]
        self.wait("workers are ready", lambda: all(worker.is_ready() for worker in workers))
        return workers

    def restart_ended(self) -> int:
        """Start a worker for each one that ended by itself, as a supervisor would; returns how
        many.
        """
        ended = [w for w in self.workers if not w.process.pid and not w.is_over]
        for worker in ended:
            worker.wait()
            self.start_worker()
        return len(ended)

    def close(self) -> None:
        for worker in self.workers:
            worker.process.kill()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def alive(self) -> list[Worker]:
        return [w for w in self.workers if w.process.pid and not w.is_paused]

    def metric(self, name: str, **labels: str | tuple[str, ...]) -> float:
        """The sum of a metric's samples over the workers that are alive."""
        return sum(worker.metric(name, **labels) for worker in self.alive)

    def folded(self) -> float:
        """Events that the running workers have folded."""
        return self.metric(
            "keepstream_events_total", fate=("applied", "duplicate", "late", "erased")
        )

    @contextmanager
    def under_load(self, records: Sequence[ShopRecord], *, per_second: int) -> Iterator[None]:
        """Publish at a steady rate during the block, and the rest at its end."""
        ended = threading.Event()

        def run() -> None:
            with EventPublisher(self.settings, topic_of) as publisher:
                for number, record in enumerate(records, 1):
                    publisher.forward(record.topic, record.key, record.value)
                    if not number % (per_second // 10):
                        ended.wait(0.1)

        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()

    def write(
        self,
        topic: str,
        partition: int,
        *written: tuple[bytes | None, bytes | None],
        headers: Headers = (),
    ) -> None:
        """Write keys and values straight to a partition, as no publisher would."""
        asyncio.run(_write(self.settings, topic, partition, written, headers))

    def publish(self, records: Iterable[ShopRecord]) -> int:
        """Publish and wait for every acknowledgement; returns how many there were."""
        published = 0
        with EventPublisher(self.settings, topic_of) as publisher:
            for record in records:
                publisher.forward(record.topic, record.key, record.value)
                published += 1
        return published

    def wait(
        self, what: str, condition: Callable[[], bool], *, timeout_s: float = LIVENESS_S
    ) -> None:
        """Wait until ``condition`` holds; if it doesn't in time, fail with the ends of the workers'
        logs.

        Workers that ended because the machine stalled them are started again meanwhile.
        """
        processes = [worker.process for worker in self.workers]

        def holds() -> bool:
            for worker in self.workers:
                if worker.has_stood_still:
                    # As a supervisor would: on an overloaded machine, the worker was right to end.
                    worker.start()
            return condition()

        wait_until(holds, what, timeout_s, processes, every_s=LOOK_S)

    def wait_for_kill(self, what: str, worker: Worker) -> None:
        """Wait until ``worker`` reaches the point at which it kills itself with SIGKILL."""

        def is_killed() -> bool:
            code = worker.process.exit_code
            # A worker that was stalled has ended, too, and is started again before the next poll.
            expected = code in {None, -signal.SIGKILL} or worker.has_stood_still
            assert expected, worker.log_text()[-2_000:]
            return code == -signal.SIGKILL

        self.wait(what, is_killed)
        worker.wait()

    def committed(self, topic: str) -> dict[int, int]:
        """The group's next offset by partition of ``topic``; 0 where there is none."""
        name = self.settings.topic(topic)
        return {tp.partition: at for tp, at in self._committed().items() if tp.topic == name}

    def _committed(self) -> dict[TopicPartition, int]:
        group = self.settings.group_id
        with closing(new_admin(self.settings)) as admin:
            try:
                offsets = committed_offsets(admin, group, tries=1)
            except GroupUnanswered:
                return {}  # the first group of a new broker is yet to be set up
        return {TopicPartition(*tp): at.offset for tp, at in offsets.items()}

    def ends(self, topic: str) -> dict[int, int]:
        return {tp.partition: end for tp, end in self._ends(topic).items()}

    def _ends(self, *names: str) -> dict[TopicPartition, int]:
        return asyncio.run(_ends(self.settings, names))

    def is_drained(self) -> bool:
        """Whether everything is done, in the order of the flow.

        Examples are committed only up to a snapshot, so the trainer is asked; and everybody reads
        once more what it announces.
        """
        # The workers know most of it, and asking them costs little.
        return self._lag() == 0 and (
            self.is_committed(*topics.RAW_TOPICS, topics.CUSTOMER_EVENTS)
            and self._is_learnt()
            and self.is_committed(*DECIDED_TOPICS)
        )

    def _is_learnt(self) -> bool:
        """Whether the trainer is at the end of the examples. The broker is asked for that end: a
        trainer that has not seen the last examples yet does not know of any that wait.
        """
        name, told = topics.LABELLED_EXAMPLES, list[float]()
        end = self.ends(name)[0]
        for worker in self.alive:
            offsets = worker.by_partition("keepstream_consumer_offset", name).values()
            # A worker of an earlier release only reports what it has seen.
            told += offsets or [end - lag for lag in worker.lag(name).values()]
        return bool(told) and min(told) >= end

    def is_drained_by(self, size: int) -> bool:
        """The same, with this many workers; those that ended by themselves are replaced
        meanwhile.
        """
        self.restart_ended()
        return len(self.alive) == size and self.is_drained()

    def _lag(self, *names: str) -> float:
        """The lag on these topics, or on all, as far as the running workers know."""
        labels = {"topic": names} if names else {}
        return self.metric("keepstream_consumer_lag_records", **labels)

    def is_committed(self, *names: str) -> bool:
        """Whether the group has committed these topics up to their ends."""
        committed = self._committed()
        return all(committed.get(tp, 0) >= end for tp, end in self._ends(*names).items())

    def read(self, topic: str) -> list[tuple[int, bytes | None, bytes]]:
        """Every record of ``topic``: partition, key, value."""
        return [(record.partition, record.key, record.value) for record in self.records(topic)]

    def records(self, topic: str) -> list[ConsumerRecord]:
        """Every record of ``topic``, partition by partition."""
        return asyncio.run(_read(self.settings, topic))

    def changelog(self) -> dict[int, ChangelogFold]:
        """The customers table as its changelog has it, by partition."""
        folds = {partition: ChangelogFold() for partition in range(self.settings.partitions)}
        for record in self.records(topics.CUSTOMERS):
            folds[record.partition].take(record, record.partition, SetAside.of(self.settings))
        return folds

    def run(self, *arguments: str, allowed: Collection[int] = (0,), **environment: str) -> str:
        """Run the command line against this deployment; returns its standard output. It must end
        with one of the exit codes ``allowed``.
        """
        done = subprocess.run(
            [sys.executable, "-m", "agents.cli", *arguments],
            cwd=ROOT,
            env={**self.environment, **environment},
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
        assert done.returncode in allowed, done.stderr
        return done.stdout

    def create_anew(self, topic: str) -> None:
        """Delete ``topic`` with all its records, and create it again, empty."""
        with closing(new_admin(self.settings)) as admin:
            admin.delete_topics([self.settings.topic(topic)])
        # A topic that is being deleted still exists for a moment.
        self.wait(
            "it is there again", lambda: any(made.is_new for made in create_topics(self.settings))
        )

    def live_customer(self, customer: str) -> bytes | None:
        """The customer's profile, as the worker that owns them sees it now."""
        for worker in self.alive:
            status, body = worker.get(f"/customers/{customer}")
            if status == 200:
                return body
        return None


def json_lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_bytes().splitlines()]


async def _write(
    settings: Settings,
    topic: str,
    partition: int,
    written: Iterable[tuple[bytes | None, bytes | None]],
    headers: Headers,
) -> None:
    async with running(new_outbox_producer(settings), settings) as producer:
        outbox = Outbox(producer, settings)
        for key, value in written:
            outbox.add(topic, partition, key=key, value=value, headers=headers)
        await outbox.flush()


async def _ends(settings: Settings, names: Iterable[str]) -> dict[TopicPartition, int]:
    async with running(new_reader(settings), settings) as reader:
        ends: dict[TopicPartition, int] = {}
        for name in names:
            assigned = await _assign(reader, settings.topic(name))
            ends |= await reader.end_offsets(assigned)
        return ends


async def _read(settings: Settings, topic: str) -> list[ConsumerRecord]:
    async with running(new_reader(settings), settings) as reader:
        assigned = await _assign(reader, settings.topic(topic))
        ends = await reader.end_offsets(assigned)
        await reader.seek_to_beginning(*assigned)
        records: dict[TopicPartition, list[ConsumerRecord]] = {tp: [] for tp in assigned}
        while any([await reader.position(tp) < end for tp, end in ends.items()]):
            for tp, found in (await reader.getmany(timeout_ms=500)).items():
                records[tp] += [record for record in found if record.offset < ends[tp]]
        return [record for tp in sorted(records) for record in records[tp]]


async def _assign(reader, topic: str) -> list[TopicPartition]:  # type: ignore[no-untyped-def]
    await reader._client._wait_on_metadata(topic)
    partitions = [TopicPartition(topic, p) for p in reader.partitions_for_topic(topic) or ()]
    reader.assign(partitions)
    return partitions

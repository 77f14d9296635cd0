"""Topics, workers and queries to the broker, for the tests of record batches."""

import signal
import sys
import uuid
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Self

import msgspec
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import KafkaAdminClient, NewTopic, OffsetSpec
from kafka.errors import KafkaError

from streams.embedded.process import ServerProcess, wait_until
from tests.streams.batch_worker import Behaviour, Configuration

REPOSITORY = Path(__file__).parents[2]
PARTITIONS = 4


class Worker(ServerProcess):
    """A worker process and its journal."""

    def __init__(self, directory: Path, configuration: Configuration) -> None:
        super().__init__("worker", directory)
        self.journal_path = Path(configuration.journal)
        text = msgspec.json.encode(configuration).decode()
        self.start([sys.executable, "-m", "tests.streams.batch_worker", text], cwd=REPOSITORY)

    def journal(self, step: str, topic: str) -> int:
        """How many records went through ``step`` of ``topic``; or how often it ran, if it counts
        none.
        """
        if not self.journal_path.exists():
            return 0
        lines = [line.split() for line in self.journal_path.read_text().splitlines()]
        return sum(
            int(line[2]) if len(line) > 2 else 1 for line in lines if line[:2] == [step, topic]
        )

    def in_hand(self, step: str, topic: str) -> int:
        """How many records have begun ``step`` of ``topic`` and aren't done."""
        return self.journal(step, topic) - self.journal("done", topic)

    def stop(self, timeout_s: float = 15.0) -> int | None:
        """Ask it to end, as an operator would, and wait; its exit code."""
        self.send_signal(signal.SIGTERM)
        return self.wait(timeout_s)


class Lab:
    """Topics and a consumer group for one test, on a shared broker."""

    def __init__(self, bootstrap_servers: str, directory: Path) -> None:
        self.bootstrap_servers = bootstrap_servers
        self.directory = directory
        self.name = uuid.uuid4().hex[:8]
        self.group_id = f"group-{self.name}"
        self.gate = directory / "gate"
        self.workers: list[Worker] = []
        self.connect()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self.workers:
            worker.kill()
        self.disconnect()

    def connect(self) -> None:
        """Create the lab's own clients."""
        servers = self.bootstrap_servers
        self.admin = KafkaAdminClient(bootstrap_servers=servers)
        self.producer = KafkaProducer(bootstrap_servers=servers, acks="all", linger_ms=5)

    def disconnect(self) -> None:
        """Close them: only the worker must outlive a broker."""
        self.producer.close()
        self.admin.close()

    def topic(self, name: str, partitions: int = PARTITIONS) -> str:
        """Create a topic; returns its full name."""
        full_name = f"{name}-{self.name}"
        self.admin.create_topics([NewTopic(full_name, partitions, 1)])
        return full_name

    def publish(self, topic: str, count: int, value: bytes = b"record") -> None:
        """Write ``count`` records, to each partition in turn; returns when the broker has them."""
        for n in range(count):
            self.producer.send(topic, value=value, partition=n % PARTITIONS)
        self.producer.flush()

    def start(self, agents: dict[str, Behaviour], **options: Any) -> Worker:
        """Start a worker."""
        directory = self.directory / f"worker-{len(self.workers)}"
        directory.mkdir()
        configuration = Configuration(
            bootstrap_servers=self.bootstrap_servers,
            group_id=self.group_id,
            agents=agents,
            journal=str(directory / "journal"),
            **{"gate": str(self.gate), **options},
        )
        worker = Worker(directory, configuration)
        self.workers.append(worker)
        return worker

    def wait_until(self, condition: Callable[[], object], what: str) -> None:
        """Return when ``condition`` holds; fail with ``what`` when it doesn't in a minute."""
        wait_until(condition, what, 60.0, self.workers)

    def committed(self, topic: str) -> dict[int, int]:
        """The group's committed offsets, by partition."""
        try:
            offsets = self.admin.list_group_offsets(self.group_id)[self.group_id]
        except KafkaError as error:
            # A broker that has just started must first find or create its topic of offsets.
            if not error.retriable:
                raise
            return {}
        return {tp.partition: found.offset for tp, found in offsets.items() if tp.topic == topic}

    def ends(self, topic: str) -> dict[int, int]:
        """Where each partition's log ends."""
        specs = {TopicPartition(topic, p): OffsetSpec.LATEST for p in range(PARTITIONS)}
        return {
            tp.partition: found.offset
            for tp, found in self.admin.list_partition_offsets(specs).items()
        }

    def all_committed(self, topics: Sequence[str]) -> bool:
        """Whether the group has committed everything in ``topics``."""
        return all(self.committed(topic) == self.ends(topic) for topic in topics)

    def copies(self, output: str) -> dict[tuple[str, int], list[int]]:
        """The source offsets in ``output``, in their order there, by source topic and partition."""
        consumer = KafkaConsumer(
            bootstrap_servers=self.bootstrap_servers,
            auto_offset_reset="earliest",
            enable_auto_commit=False,
        )
        partitions = [TopicPartition(output, partition) for partition in range(PARTITIONS)]
        consumer.assign(partitions)
        ends = self.ends(output)
        found: dict[tuple[str, int], list[int]] = defaultdict(list)
        try:
            while any(consumer.position(tp) < ends[tp.partition] for tp in partitions):
                for records in consumer.poll(timeout_ms=500).values():
                    for record in records:
                        topic, partition, offset = record.value.decode().rsplit(":", 2)
                        found[topic, int(partition)].append(int(offset))
        finally:
            consumer.close()
        return found

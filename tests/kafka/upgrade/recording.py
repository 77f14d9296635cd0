"""A deployment as another release left it: its topics, and its group's positions.

Kept beside the source of that release, so that an upgrade and a rollback can be tested from what it
really wrote.
"""

import asyncio
import lzma
import subprocess
from collections import Counter
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

import msgspec
import yaml
from aiokafka import ConsumerRecord
from kafka import TopicPartition as GroupPartition
from kafka.structs import OffsetAndMetadata
from msgspec import Struct

from agents.trials.demo.shop import ShopRecord
from config.topics import topics
from streams.kafka_clients import new_admin, new_producer, running
from streams.worker_group import PASSING
from tests.kafka.deployment import Deployment
from tests.kafka.worker import ROOT, Program

RELEASED = ROOT / "tests" / "kafka" / "upgrade" / "released"
SOURCE, RECORDING = RELEASED / "source.tar.xz", RELEASED / "recording.xz"
VENV = ROOT / ".venv-released"
#: A snapshot is the largest record.
REQUEST_BYTES_MAX = 8 * 1024 * 1024


class Kept(Struct, array_like=True):
    """One record of a topic."""

    partition: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes]]


class Recording(Struct):
    """``topics``: the records of each, in order; ``committed``: the group's positions in it.
    ``published``: how many events were sent; ``rest``: events of the same shop that were not sent.
    """

    topics: dict[str, list[Kept]]
    committed: dict[str, dict[int, int]]
    published: int
    rest: list[ShopRecord]


def released() -> Program:
    """The earlier release, ready to run; installs it if necessary."""
    subprocess.run(["make", "--silent", f"{VENV.name}/installed"], cwd=ROOT, check=True)
    return Program(VENV / "source", VENV / "bin" / "python")


def rules_of(program: Program, directory: Path) -> tuple[str, ...]:
    """Assignments that give every release the rules that ``program`` ships, as an operator's own.

    A rule that a release adds decides from then on. That is intended, but would hide any other
    difference in what two releases make of the same log.
    """
    shipped = program.source / "config"
    rules = yaml.safe_load((shipped / "triggers.yaml").read_text())
    for part in sorted((shipped / "parts").glob("*.yaml")):
        rules["triggers"] += yaml.safe_load(part.read_text()).get("triggers", [])
    triggers = directory / "triggers.yaml"
    triggers.write_text(yaml.safe_dump(rules, sort_keys=False))
    return f"rules.triggers={triggers}", f"rules.actions={shipped / 'actions.yaml'}"


def read_recording(path: Path = RECORDING) -> Recording:
    return msgspec.msgpack.decode(lzma.decompress(path.read_bytes()), type=Recording)


def write_recording(recording: Recording, path: Path = RECORDING) -> None:
    path.write_bytes(lzma.compress(msgspec.msgpack.encode(recording), preset=9))


def record(deployment: Deployment, published: int, rest: list[ShopRecord]) -> Recording:
    """The deployment as it is now, after its workers have ended."""
    names = [topic.name for topic in topics(1, 1)]
    return Recording(
        topics={name: [_kept(found) for found in deployment.records(name)] for name in names},
        committed={name: deployment.committed(name) for name in names},
        published=published,
        rest=rest,
    )


def _kept(record: ConsumerRecord) -> Kept:
    return Kept(record.partition, record.timestamp, record.key, record.value, list(record.headers))


def restore(recording: Recording, deployment: Deployment) -> None:
    """Write everything to the deployment's empty topics, and set the group's positions."""
    asyncio.run(_write(recording.topics, deployment))
    for name, kept in recording.topics.items():
        counts = Counter(one.partition for one in kept)
        assert counts == {n: end for n, end in deployment.ends(name).items() if end}
    settings = deployment.settings
    offsets = {
        GroupPartition(settings.topic(name), number): OffsetAndMetadata(offset, "", -1)
        for name, committed in recording.committed.items()
        for number, offset in committed.items()
    }

    def is_put() -> bool:
        with closing(new_admin(settings)) as admin:
            try:
                admin.alter_group_offsets(settings.group_id, offsets)
            except PASSING:
                return False  # the first group of a new broker is yet to be set up
        return True

    deployment.wait("the group is where it was", is_put)


async def _write(kept: dict[str, list[Kept]], deployment: Deployment) -> None:
    settings = deployment.settings
    producer = new_producer(settings, linger_ms=5, max_request_size=REQUEST_BYTES_MAX)
    async with running(producer, settings):
        for name, records in kept.items():
            pending = [
                await producer.send(
                    settings.topic(name),
                    one.value,
                    key=one.key,
                    partition=one.partition,
                    timestamp_ms=one.timestamp_ms,
                    headers=one.headers,
                )
                for one in records
            ]
            await asyncio.gather(*pending)


def size_bytes(paths: Iterable[Path] = (SOURCE, RECORDING)) -> int:
    return sum(path.stat().st_size for path in paths)

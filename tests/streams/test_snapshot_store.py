"""Snapshots are found by version and hash, and other records are no obstacle."""

import asyncio
import gc
import os
import signal
import uuid
from contextlib import closing
from hashlib import sha256
from pathlib import Path

import msgspec
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.errors import KafkaConnectionError
from kafka import TopicPartition
from msgspec.structs import replace

from config.settings import Settings, load_settings
from config.topics import CUSTOMER_EVENTS, MODEL_SNAPSHOTS
from models.events.wire import decode_line
from models.learning.population import Population
from models.learning.snapshot import (
    SNAPSHOT_FORMAT,
    Snapshot,
    SnapshotError,
    UnknownSnapshot,
    encode_snapshot,
    prior_snapshot,
)
from models.parameters import load_parameters
from streams import kafka_clients, snapshot_store
from streams.embedded.kafka import EmbeddedKafka
from streams.kafka_clients import new_admin, new_reader, running
from streams.outbox import Outbox, new_outbox_producer
from streams.snapshot_store import SnapshotStore, announce, publish
from streams.topic_scan import scan, spans_of
from streams.topics import create_topics

pytestmark = pytest.mark.kafka

PRIOR = prior_snapshot(load_parameters())


@pytest.fixture
def settings(kafka: EmbeddedKafka) -> Settings:
    prefix = f"{uuid.uuid4().hex[:8]}."
    settings = load_settings({}, bootstrap_servers=kafka.bootstrap_servers, topic_prefix=prefix)
    create_topics(settings)
    return settings


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshot_store, "WAIT_S", 0.5)


def snapshot(version: int, *, gap_days: float = 30.0) -> Snapshot:
    return PRIOR.replace(replace(PRIOR.of(Population), gap_days=gap_days), version=version)


def written(snapshot: Snapshot) -> bytes:
    """Snapshots are equal if their bytes are."""
    return encode_snapshot(snapshot)[0]


def hash_of(wanted: Snapshot) -> str:
    return encode_snapshot(wanted)[1]


async def store_of(settings: Settings, *contents: bytes | None) -> SnapshotStore:
    """A store whose topic contains these."""
    async with running(new_outbox_producer(settings), settings) as producer:
        outbox = Outbox(producer, settings)
        for content in contents:
            outbox.add(MODEL_SNAPSHOTS, 0, key=b"1", value=content)
        await outbox.flush()
    return SnapshotStore(settings, PRIOR)


async def found(store: SnapshotStore, wanted: Snapshot) -> bytes:
    """The version that the log announced, as bytes."""
    await store.fetch(wanted.version, hash_of(wanted))
    return written(store.get(wanted.version, hash_of(wanted)))


def test_a_version_published_twice_is_told_apart_by_its_hash(settings: Settings) -> None:
    """A trainer that was thought dead may publish a version that its successor published, too."""
    one, other = snapshot(1), snapshot(1, gap_days=12.0)

    async def read() -> None:
        store = await store_of(settings, *(written(s) for s in (one, other)))
        assert written(other) == await found(store, other)
        assert written(one) == await found(store, one)
        assert 1 == (await store.latest()).version
        with pytest.raises(UnknownSnapshot, match="does not have model 1"):
            store.get(1, "0" * 64)

    asyncio.run(read())


def test_version_0_is_the_prior_and_needs_no_topic(settings: Settings) -> None:
    async def read() -> None:
        store = await store_of(settings)
        await store.fetch(0, "")
        prior = written(PRIOR)
        assert prior == written(store.get(0, "")) == written(await store.latest())

    asyncio.run(read())


def test_foreign_records_are_passed_over(settings: Settings) -> None:
    wanted = snapshot(1)

    async def read() -> None:
        content = written(wanted)
        foreign = [b"foreign", b"\xff", b"{}", None, content[:-5]]
        store = await store_of(settings, *foreign, content, *foreign)
        assert content == await found(store, wanted)
        assert content == written(await store.latest())

    asyncio.run(read())


@pytest.mark.parametrize(
    ("its_format", "words"),
    [
        (SNAPSHOT_FORMAT + 1, "newer release; upgrade"),
        (SNAPSHOT_FORMAT - 1, "does not read .* another KEEPSTREAM_TOPIC_PREFIX, and publish"),
        (1, "does not read .* another KEEPSTREAM_TOPIC_PREFIX, and publish"),
    ],
)
def test_another_release_is_not_passed_over(
    settings: Settings, its_format: int, words: str
) -> None:
    """To learn anew, in place of what was learnt, would be a step back."""
    fields = msgspec.json.decode(written(snapshot(3))) | {"format": its_format}
    other = msgspec.json.encode(fields)

    async def read() -> None:
        store = await store_of(settings, other)
        with pytest.raises(SnapshotError, match=words):
            await store.latest()
        # Nor is it said to be missing, where the log has adopted it.
        store = SnapshotStore(settings, PRIOR)
        with pytest.raises(SnapshotError, match=words):
            await store.fetch(3, sha256(other).hexdigest())

    asyncio.run(read())


def test_a_snapshot_of_another_format_can_be_set_aside(settings: Settings) -> None:
    wanted = snapshot(1)
    forged = msgspec.json.encode(msgspec.json.decode(written(wanted)) | {"format": 99})

    async def read() -> None:
        store = await store_of(settings, forged, written(wanted))
        with pytest.raises(SnapshotError, match="KEEPSTREAM_SET_ASIDE=model-snapshots-0@0 for all"):
            await store.latest()
        aside = msgspec.structs.replace(settings, set_aside="model-snapshots-0@0")
        store = SnapshotStore(aside, PRIOR)
        assert written(wanted) == written(await store.latest()) == await found(store, wanted)

    asyncio.run(read())


def test_a_flood_of_models_that_are_not_there_is_waited_for_once(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And a true one is found among them."""
    deadlines: list[float] = []
    monkeypatch.setattr(snapshot_store, "monotonic", lambda: 100.0)

    class Watched(SnapshotStore):
        async def _read(self, wanted: tuple[int, str] | None, deadline_s: float) -> None:
            deadlines.append(deadline_s)
            if wanted is None or wanted[0] == 1:
                await super()._read(wanted, deadline_s)

    wanted = snapshot(1)

    async def read() -> None:
        await store_of(settings, written(wanted))
        store = Watched(settings, PRIOR)
        for number in range(5):
            assert not await store.fetch(9, f"{number:064}")
        assert await store.fetch(1, hash_of(wanted))

    asyncio.run(read())
    assert [100.0 + snapshot_store.WAIT_S, *[100.0] * 5] == deadlines


def test_a_snapshot_that_is_gone_is_an_error_that_says_so(settings: Settings) -> None:
    wanted = snapshot(1)

    async def read() -> None:
        store = await store_of(settings, *[written(wanted)] * 3)
        topic = TopicPartition(settings.topic(MODEL_SNAPSHOTS), 0)
        with closing(new_admin(settings)) as admin:
            admin.delete_records({topic: 3})
        assert not await store.fetch(1, hash_of(wanted))
        with pytest.raises(UnknownSnapshot, match="Put its records back .* or start over"):
            store.get(1, hash_of(wanted))
        assert 0 == (await store.latest()).version

    asyncio.run(read())


def test_a_restored_trainer_announces_the_snapshot_as_it_is_stored(settings: Settings) -> None:
    """Another release wrote it with a field that this one does not write: encoding it again would
    make another snapshot, which no worker has.
    """
    fields = msgspec.json.decode(written(snapshot(1)))
    stored = msgspec.json.encode({**fields, "weather": "fine"})

    async def read() -> set[bytes]:
        latest = await (await store_of(settings, stored)).latest()
        async with running(new_outbox_producer(settings), settings) as producer:
            await announce(latest, Outbox(producer, settings), settings)
        async with running(new_reader(settings), settings) as reader:
            found = set()
            for span in await spans_of(reader, CUSTOMER_EVENTS, settings):
                async for records in scan(reader, span, settings):
                    found.update(record.value for record in records)
        return found

    (announced,) = asyncio.run(read())
    line = decode_line(announced)
    assert (1, sha256(stored).hexdigest()) == (line.version, line.sha256)
    assert written(snapshot(1)) != stored

    async def adopt() -> Snapshot:
        store = SnapshotStore(settings, PRIOR)
        assert await store.fetch(1, line.sha256 or "")
        return store.get(1, line.sha256 or "")

    assert snapshot(1).drawn == asyncio.run(adopt()).drawn


def test_a_snapshot_that_does_not_go_on_from_the_last_is_nobodys(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    one, forged, two = snapshot(1), snapshot(1_000_000), snapshot(2)

    async def read() -> None:
        store = await store_of(settings, *map(written, (one, forged, two)))
        assert not await store.fetch(forged.version, hash_of(forged))
        assert written(two) == written(await store.latest()) == await found(store, two)

    asyncio.run(read())
    assert "left out the snapshot at offset 1: it is version 1000000" in caplog.text


def test_old_versions_are_read_again_when_they_were_let_go(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshot_store, "KEPT_MAX", 3)
    versions = [snapshot(number) for number in range(1, 11)]

    async def read() -> None:
        store = await store_of(settings, *(written(s) for s in versions))
        assert written(versions[-1]) == written(await store.latest())
        # As partitions do that have come less far than others.
        for wanted in (versions[0], versions[1], versions[9], versions[2]):
            assert written(wanted) == await found(store, wanted)
        assert written(versions[-1]) == written(await store.latest())

    asyncio.run(read())


@pytest.fixture
def connections(monkeypatch: pytest.MonkeyPatch) -> list[AIOKafkaConsumer]:
    """The clients that stores have created."""
    made: list[AIOKafkaConsumer] = []

    def noted(settings: Settings) -> AIOKafkaConsumer:
        made.append(new_reader(settings))
        return made[-1]

    monkeypatch.setattr(snapshot_store, "new_reader", noted)
    return made


async def connected(store: SnapshotStore) -> "asyncio.Task[None]":
    task = asyncio.create_task(store.stay_connected())
    await asyncio.sleep(0)
    return task


async def ended(task: "asyncio.Task[None]") -> None:
    task.cancel()
    await asyncio.wait({task})


def test_a_worker_reads_on_by_the_connection_it_has(
    settings: Settings, connections: list[AIOKafkaConsumer]
) -> None:
    """And records that come in between are there before they are requested."""
    versions = [snapshot(number) for number in range(1, 6)]

    async def read() -> None:
        store = await store_of(settings, written(versions[0]))
        staying = await connected(store)
        for wanted in versions[1:]:
            assert written(versions[0]) == await found(store, versions[0])
            await store_of(settings, written(wanted))
            assert written(wanted) == await found(store, wanted)
        assert not await store.fetch(9, "0" * 64)
        assert written(versions[-1]) == written(await store.latest())
        await ended(staying)

    asyncio.run(read())
    assert 1 == len(connections)
    assert connections[0]._closed


def test_a_connection_that_nobody_reads_by_is_closed(
    settings: Settings, connections: list[AIOKafkaConsumer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshot_store, "UNUSED_S", 0.1)
    one, two = snapshot(1), snapshot(2)

    async def read() -> None:
        store = await store_of(settings, written(one))
        staying = await connected(store)
        assert written(one) == await found(store, one)
        while not connections[0]._closed:  # noqa: ASYNC110 - the client has no event for it
            await asyncio.sleep(0.05)
        await store_of(settings, written(two))
        assert written(two) == await found(store, two)
        await ended(staying)

    asyncio.run(read())
    assert [True, True] == [client._closed for client in connections]


def test_a_connection_that_failed_is_not_used_again(
    settings: Settings, connections: list[AIOKafkaConsumer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshot_store, "AGAIN_S", 0.05)
    one, two = snapshot(1), snapshot(2)

    async def broken(*_: object, **__: object) -> None:
        raise KafkaConnectionError

    async def read() -> None:
        store = await store_of(settings, written(one))
        staying = await connected(store)
        assert written(one) == await found(store, one)
        connections[0].getmany = broken
        await store_of(settings, written(two))
        assert written(two) == await found(store, two)
        await ended(staying)

    asyncio.run(read())
    assert [True, True] == [client._closed for client in connections]


class Noting(Outbox):
    """Records the topics of each flush."""

    def __init__(self, producer: AIOKafkaProducer, settings: Settings) -> None:
        super().__init__(producer, settings)
        self.flushed: list[set[str]] = []

    async def flush(self) -> None:
        self.flushed.append({topic for topic, _ in self._buffers})
        await super().flush()


def test_a_published_snapshot_is_announced_everywhere_after_it_is_durable(
    settings: Settings,
) -> None:
    wanted = snapshot(1)

    async def read() -> dict[int, bytes]:
        async with running(new_outbox_producer(settings), settings) as producer:
            outbox = Noting(producer, settings)
            await publish(wanted, outbox, settings)
        assert [{MODEL_SNAPSHOTS}, {CUSTOMER_EVENTS}] == outbox.flushed
        assert written(wanted) == await found(SnapshotStore(settings, PRIOR), wanted)
        announced = {}
        async with running(new_reader(settings), settings) as reader:
            for span in await spans_of(reader, CUSTOMER_EVENTS, settings):
                async for records in scan(reader, span, settings):
                    for record in records:
                        announced[record.partition] = record.value
        return announced

    announced = asyncio.run(read())
    assert [0, 1, 2, 3] == sorted(announced)
    (content,) = set(announced.values())
    assert hash_of(wanted).encode() in content
    assert b'"version":1' in content


# aiokafka abandons a connection that is still being made when its time is over.
@pytest.mark.filterwarnings("ignore:Unclosed AIOKafkaConnection:ResourceWarning")
@pytest.mark.filterwarnings("ignore:unclosed transport:ResourceWarning")
@pytest.mark.filterwarnings("ignore:loop is closed:ResourceWarning")
def test_a_snapshot_is_waited_for_while_no_broker_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kafka_clients, "REACH_TIMEOUT_MS", 500)
    monkeypatch.setattr(snapshot_store, "AGAIN_S", 0.05)
    one = snapshot(1)

    async def read(settings: Settings, pid: int) -> None:
        store = await store_of(settings, written(one))
        os.kill(pid, signal.SIGSTOP)
        reading = asyncio.create_task(found(store, one))
        done, _ = await asyncio.wait({reading}, timeout=3.0)
        os.kill(pid, signal.SIGCONT)
        assert not done
        # As slow as it gets: nothing is measured.
        monkeypatch.setattr(kafka_clients, "REACH_TIMEOUT_MS", 10_000)
        assert written(one) == await reading

    with EmbeddedKafka(tmp_path) as kafka:
        settings = load_settings({}, bootstrap_servers=kafka.bootstrap_servers)
        create_topics(settings)
        (pid,) = kafka.pids
        asyncio.run(read(settings, pid))
    # Here, and not in a test that has no such connection.
    gc.collect()

"""Snapshots on their topic: published once, and read when the log names their version."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from time import monotonic, time

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError

from config.settings import Settings
from config.topics import CUSTOMER_EVENTS, MODEL_SNAPSHOTS
from models.learning.lineage import Lineage
from models.learning.snapshot import (
    Snapshot,
    SnapshotError,
    SnapshotFormatError,
    UnknownSnapshot,
    decode_snapshot,
    encode_snapshot,
)
from streams.kafka_clients import BrokerUnreachable, new_reader, running
from streams.log_records import model_record
from streams.outbox import Outbox
from streams.quarantine import Quarantine
from streams.set_aside import SetAside

log = logging.getLogger(__name__)

#: A snapshot is durable before the log names it, so one that does not arrive soon never will.
WAIT_S = 5.0
#: After waiting in vain, nothing missing is waited for during this time: a flood of false
#: announcements must not hold partitions back.
IMPATIENT_S = 60.0
#: Seconds between tries while no broker answers.
AGAIN_S = 1.0
KEPT_MAX = 512
#: A connection unused for this long is closed. Snapshots are usually days apart, but a folded
#: history has several a second.
UNUSED_S = 10.0
#: How long closing the last connection may take.
LAST_CLOSE_S = 1.0


@dataclass(slots=True)
class _Connection:
    """A client that reads `model-snapshots`; ``at``: the offset that it returns next."""

    reader: AIOKafkaConsumer
    closing: AsyncExitStack
    at: int = -1
    used_s: float = 0.0


class SnapshotStore:
    """Reads `model-snapshots` forward and remembers the latest versions by number.

    ``prior``: version 0, in force before anything is learnt.
    """

    def __init__(
        self, settings: Settings, prior: Snapshot, quarantine: Quarantine | None = None
    ) -> None:
        self._settings = settings
        self._quarantine = quarantine
        self._set_aside = SetAside.of(settings)
        self.prior = prior
        # By hash as well: a trainer that was replaced may publish the same version again.
        self._contents: dict[tuple[int, str], bytes] = {}
        #: The last snapshot that was asked for: every partition asks for the same.
        self._decoded: tuple[tuple[int, str], Snapshot] | None = None
        self._newest = self.prior
        self._lineage = Lineage()
        self._unknown: set[tuple[int, str]] = set()
        self._impatient_until_s = 0.0
        self._next_offset = 0
        self._lock = asyncio.Lock()
        self._connection: _Connection | None = None
        self._stays_connected = False

    def get(self, version: int, sha256: str) -> Snapshot:
        """A version that `fetch` has found. Raises `UnknownSnapshot` if it did not."""
        if version == 0:
            return self.prior
        content = self._contents.get((version, sha256))
        if content is None:
            raise UnknownSnapshot(
                f"{MODEL_SNAPSHOTS} does not have model {version} ({sha256[:12]}), by which a "
                f"partition decides: was the topic deleted or cut? Its snapshots must be kept as "
                f"long as {CUSTOMER_EVENTS}. Put its records back from a backup, or start over: "
                f"set another KEEPSTREAM_TOPIC_PREFIX, and publish the events again"
            )
        if self._decoded is None or self._decoded[0] != (version, sha256):
            self._decoded = (version, sha256), decode_snapshot(content, sha256)
        return self._decoded[1]

    async def stay_connected(self) -> None:
        """Until cancelled, keep the connection open between reads: connecting takes several times
        as long as reading, and partitions wait for it.
        """
        self._stays_connected = True
        try:
            while True:
                await asyncio.sleep(UNUSED_S)
                async with self._lock:
                    await self._disconnect(unused_s=UNUSED_S)
        finally:
            self._stays_connected = False
            # A process that ends doesn't wait for a broker that is away.
            with suppress(TimeoutError):
                async with asyncio.timeout(LAST_CLOSE_S):
                    await self._disconnect()

    def remember(self, snapshot: Snapshot) -> None:
        """Keep a snapshot that this process published, so that it need not be read back."""
        content, sha256 = encode_snapshot(snapshot)
        self._contents[snapshot.version, sha256] = content
        self._trim()

    async def fetch(self, version: int, sha256: str) -> bool:
        """Wait for that version; False if it does not come."""
        wanted = (version, sha256)
        async with self._lock:
            if version == 0 or wanted in self._contents:
                return True
            # False announcements may come often, each with another version.
            is_patient = wanted not in self._unknown and monotonic() >= self._impatient_until_s
            if self._contents and wanted < min(self._contents):
                # So old a version was dropped: read the topic again without the newer versions, or
                # it would be the first to be dropped again.
                self._contents.clear()
                self._lineage = Lineage()
                self._next_offset = 0
            await self._read_once_answered(wanted, WAIT_S if is_patient else 0.0)
            if wanted in self._contents:
                return True
            if is_patient:
                self._impatient_until_s = monotonic() + IMPATIENT_S
            if len(self._unknown) < KEPT_MAX:
                self._unknown.add(wanted)
            return False

    async def _read_once_answered(self, wanted: tuple[int, str], patience_s: float) -> None:
        """`_read`, repeated until a broker answers: a partition can't continue without the
        snapshot, and its batch waits for the broker anyway.
        """
        while True:
            try:
                return await self._read(wanted, monotonic() + patience_s)
            except BrokerUnreachable:
                await asyncio.sleep(AGAIN_S)
            except KafkaError as error:
                if not error.retriable:
                    raise
                await asyncio.sleep(AGAIN_S)

    async def latest(self) -> Snapshot:
        """The last snapshot published; version 0 when there is none."""
        async with self._lock:
            await self._read(None, deadline_s=0.0)
        return self._newest

    async def _read(self, wanted: tuple[int, str] | None, deadline_s: float) -> None:
        """Read to the present end, and then until ``wanted`` has been read or the time is up.

        All at once, because a worker that is behind needs the next versions soon; but not so far
        that ``wanted`` would be dropped for lack of room.
        """
        async with self._connected() as connection:
            if wanted is not None and await self._has_fetched(connection, wanted):
                return
            reader, topic = connection.reader, self._topic
            end = (await reader.end_offsets([topic]))[topic]
            # Records before the beginning were deleted.
            begin = (await reader.beginning_offsets([topic]))[topic]
            self._next_offset = max(self._next_offset, begin)
            if connection.at != self._next_offset:
                # Seek only if needed: it would drop what was fetched ahead.
                reader.seek(topic, self._next_offset)
            while self._next_offset < end or (
                wanted is not None and wanted not in self._contents and monotonic() < deadline_s
            ):
                records = await _next(connection, topic, timeout_ms=200)
                if not self._keep_all(records, wanted, is_cut=begin > 0):
                    return

    async def _has_fetched(self, connection: _Connection, wanted: tuple[int, str]) -> bool:
        """Keep what the client has fetched ahead; return whether ``wanted`` was among it. It nearly
        always is where snapshots come all the time.
        """
        if connection.at != self._next_offset or self._next_offset == 0:
            return False
        records = await _next(connection, self._topic, timeout_ms=0)
        is_cut = bool(records) and records[0].offset > self._next_offset
        self._keep_all(records, wanted, is_cut=is_cut)
        return wanted in self._contents

    def _keep_all(
        self, records: list[ConsumerRecord], wanted: tuple[int, str] | None, *, is_cut: bool
    ) -> bool:
        """Keep snapshots; False if there is no room for more beside ``wanted``."""
        for record in records:
            if wanted in self._contents and len(self._contents) >= KEPT_MAX:
                return False
            self._keep(record, is_cut=is_cut)
        return True

    @property
    def _topic(self) -> TopicPartition:
        return TopicPartition(self._settings.topic(MODEL_SNAPSHOTS), 0)

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[_Connection]:
        """A connection for one read. One that fails is closed."""
        connection = self._connection or await self._connect()
        self._connection = None
        async with AsyncExitStack() as after:
            after.push_async_callback(connection.closing.aclose)
            yield connection
            if self._stays_connected:
                after.pop_all()
                connection.used_s, self._connection = monotonic(), connection

    async def _connect(self) -> _Connection:
        async with AsyncExitStack() as opened:
            reader = await opened.enter_async_context(
                running(new_reader(self._settings), self._settings)
            )
            reader.assign([self._topic])
            return _Connection(reader, opened.pop_all())

    async def _disconnect(self, *, unused_s: float = 0.0) -> None:
        """Close the connection if it was unused for ``unused_s``."""
        connection = self._connection
        if connection is not None and monotonic() - connection.used_s >= unused_s:
            self._connection = None
            await connection.closing.aclose()

    def _keep(self, record: ConsumerRecord, *, is_cut: bool) -> None:
        """Keep a snapshot; skip a record that is none, or that no trainer of Keepstream's drew.

        Raises `SnapshotFormatError` for another release's format, unless it is set aside: skipping
        it would restart learning from the beginning.
        """
        self._next_offset = record.offset + 1
        content = record.value or b""
        try:
            snapshot = decode_snapshot(content)
            self._lineage.admit(snapshot, now_ms=int(time() * 1_000), is_cut=is_cut)
        except SnapshotError as error:
            if isinstance(error, SnapshotFormatError):
                self._set_aside.require(MODEL_SNAPSHOTS, record.partition, record.offset, error)
            if self._quarantine is None:
                log.warning("left out the snapshot at offset %d: %s", record.offset, error)
            else:
                place = (record.partition, record.offset)
                self._quarantine.leave_out(MODEL_SNAPSHOTS, *place, str(error))
            return
        if snapshot.version > self._newest.version:
            self._newest = snapshot
        self._contents[snapshot.version, snapshot.sha256] = content
        self._trim()

    def _trim(self) -> None:
        if len(self._contents) > KEPT_MAX:
            del self._contents[min(self._contents)]


async def _next(
    connection: _Connection, topic: TopicPartition, *, timeout_ms: int
) -> list[ConsumerRecord]:
    found = (await connection.reader.getmany(topic, timeout_ms=timeout_ms)).get(topic, [])
    if found:
        connection.at = found[-1].offset + 1
    return list(found)


async def publish(snapshot: Snapshot, outbox: Outbox, settings: Settings) -> None:
    """Make ``snapshot`` durable, then announce it to every partition of the log."""
    content, snapshot.stored_sha256 = encode_snapshot(snapshot)
    outbox.add(MODEL_SNAPSHOTS, 0, key=str(snapshot.version).encode(), value=content)
    await outbox.flush()
    await announce(snapshot, outbox, settings)


async def announce(snapshot: Snapshot, outbox: Outbox, settings: Settings) -> None:
    """Tell every partition that scores use ``snapshot`` from here on; repeats do no harm."""
    record = model_record(snapshot.version, snapshot.sha256)
    for partition in range(settings.partitions):
        outbox.add(CUSTOMER_EVENTS, partition, key=None, value=record)
    await outbox.flush()

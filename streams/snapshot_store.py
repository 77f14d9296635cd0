"""Snapshots on their topic: published once, read by the versions that the log names."""

import asyncio
import logging
from hashlib import sha256 as sha256_of
from time import monotonic

from aiokafka import ConsumerRecord, TopicPartition

from config.parameters import Parameters
from config.settings import Settings
from config.topics import CUSTOMER_EVENTS, MODEL_SNAPSHOTS
from models.learning.snapshot import (
    Snapshot,
    SnapshotError,
    SnapshotFormatError,
    decode_snapshot,
    encode_snapshot,
    prior_snapshot,
)
from streams.kafka_clients import new_reader, running
from streams.log_records import model_record
from streams.outbox import Outbox

log = logging.getLogger(__name__)

#: A snapshot is durable before the log names it, so one that does not arrive soon never will.
WAIT_S = 5.0
KEPT_MAX = 512


class SnapshotStore:
    """Reads `model-snapshots` forward and remembers the latest versions by number."""

    def __init__(self, settings: Settings, parameters: Parameters) -> None:
        self._settings = settings
        self.prior = prior_snapshot(parameters)
        # By hash as well: a trainer that was replaced may publish a version again.
        self._contents: dict[tuple[int, str], bytes] = {}
        self._newest = self.prior
        self._next_offset = 0
        self._lock = asyncio.Lock()

    def get(self, version: int, sha256: str) -> Snapshot:
        """A version that `fetch` has read. Raises `SnapshotError` when it differs from the one that
        the log announced, or was not fetched.
        """
        if version == 0:
            return self.prior
        content = self._contents.get((version, sha256))
        if content is None:
            raise SnapshotError(f"snapshot {version} was announced but not fetched")
        return decode_snapshot(content, sha256)

    def remember(self, snapshot: Snapshot) -> None:
        """Keep a snapshot that was published by this process, so that it need not be read back."""
        content, sha256 = encode_snapshot(snapshot)
        self._contents[snapshot.version, sha256] = content
        self._trim()

    async def fetch(self, version: int, sha256: str) -> None:
        """Wait until that version is here. Raises `SnapshotError` if it does not come."""
        wanted = (version, sha256)
        deadline_s = monotonic() + WAIT_S
        async with self._lock:
            if version == 0 or wanted in self._contents:
                return
            if self._contents and wanted < min(self._contents):
                # A version this old was dropped: read the topic again without the newer versions,
                # or it would be the first to be dropped again.
                self._contents.clear()
                self._next_offset = 0
            await self._read(wanted, deadline_s)
        if wanted not in self._contents:
            raise SnapshotError(
                f"the log adopts model {version}, but {MODEL_SNAPSHOTS} does not have it: was the "
                f"topic deleted? Its snapshots must be kept as long as {CUSTOMER_EVENTS}"
            )

    async def latest(self) -> Snapshot:
        """The last snapshot published; version 0 when there is none."""
        async with self._lock:
            await self._read(None, deadline_s=0.0)
        return self._newest

    async def _read(self, wanted: tuple[int, str] | None, deadline_s: float) -> None:
        """Read to the present end, and on until ``wanted`` has been read or the time is up.

        All at once, because a worker that is behind needs the next versions soon, but not so far
        that ``wanted`` would be dropped for lack of room.
        """
        async with running(new_reader(self._settings), self._settings) as reader:
            topic = TopicPartition(self._settings.topic(MODEL_SNAPSHOTS), 0)
            reader.assign([topic])
            end = (await reader.end_offsets([topic]))[topic]
            # Records before the beginning were deleted.
            begin = (await reader.beginning_offsets([topic]))[topic]
            self._next_offset = max(self._next_offset, begin)
            reader.seek(topic, self._next_offset)
            while self._next_offset < end or (
                wanted is not None and wanted not in self._contents and monotonic() < deadline_s
            ):
                found = await reader.getmany(topic, timeout_ms=200)
                for record in found.get(topic, ()):
                    if wanted in self._contents and len(self._contents) >= KEPT_MAX:
                        return
                    self._keep(record)

    def _keep(self, record: ConsumerRecord) -> None:
        """Keep a snapshot; skip a record that is not one.

        Raises `SnapshotFormatError` for another release's format: skipping it would start learning
        over.
        """
        self._next_offset = record.offset + 1
        content = record.value or b""
        try:
            snapshot = decode_snapshot(content)
        except SnapshotFormatError:
            raise
        except SnapshotError:
            log.warning("left out a record at offset %d that is no snapshot", record.offset)
            return
        if snapshot.version > self._newest.version:
            self._newest = snapshot
        self._contents[snapshot.version, sha256_of(content).hexdigest()] = content
        self._trim()

    def _trim(self) -> None:
        if len(self._contents) > KEPT_MAX:
            del self._contents[min(self._contents)]


async def publish(snapshot: Snapshot, outbox: Outbox, settings: Settings) -> None:
    """Make ``snapshot`` durable, then announce it to every partition of the log."""
    content, _ = encode_snapshot(snapshot)
    outbox.add(MODEL_SNAPSHOTS, 0, key=str(snapshot.version).encode(), value=content)
    await outbox.flush()
    await announce(snapshot, outbox, settings)


async def announce(snapshot: Snapshot, outbox: Outbox, settings: Settings) -> None:
    """Write into every partition that scores use ``snapshot`` from there on; repeats do no harm."""
    _, sha256 = encode_snapshot(snapshot)
    for partition in range(settings.partitions):
        record = model_record(snapshot.version, sha256)
        outbox.add(CUSTOMER_EVENTS, partition, key=None, value=record)
    await outbox.flush()

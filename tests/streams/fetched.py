"""A client that has fetched records, built from aiokafka's own parts."""

from types import SimpleNamespace
from typing import Any

from aiokafka import TopicPartition
from aiokafka.consumer.fetcher import FetchError, FetchResult, PartitionRecords
from aiokafka.producer.message_accumulator import BatchBuilder
from aiokafka.record.memory_records import MemoryRecords

LOG = TopicPartition("customers", 0)


def batch(first: int, *keys: bytes, control: bool = False) -> bytes:
    """A record batch as a broker sends it, whose first record has this offset."""
    builder = BatchBuilder(65_536, 0, is_transactional=False)
    for key in keys:
        assert builder.append(timestamp=1, key=key, value=b"of " + key, headers=[("crc", b"1")])
    content = bytearray(builder._build())
    content[0:8] = first.to_bytes(8, "big")
    if control:
        content[22] |= 0x20
        content[17:21] = _crc32c(bytes(content[21:])).to_bytes(4, "big")
    return bytes(content)


class State:
    """The client's state of a partition."""

    paused = False

    def __init__(self, position: int) -> None:
        self.position = position

    def consumed_to(self, position: int) -> None:
        self.position = position


class Fetched:
    """A client that has fetched these batches of `LOG`, and others with ``add``."""

    def __init__(self, *batches: bytes, position: int = 0, sought: int | None = None) -> None:
        self.states: dict[TopicPartition, State] = {}
        self.asked = 0
        self._fetcher: Any = SimpleNamespace(
            _records={}, _wait_consume_future=None, _notify=self._ask
        )
        if batches:
            self.add(LOG, *batches, position=position, sought=sought)

    def add(
        self, tp: TopicPartition, *batches: bytes, position: int = 0, sought: int | None = None
    ) -> None:
        """``position``: the requested offset; ``sought``: the offset from which to read now."""
        self.states[tp] = State(position if sought is None else sought)
        assignment = SimpleNamespace(active=True, state_value=self.states.__getitem__)
        records = PartitionRecords(
            tp, MemoryRecords(b"".join(batches)), [], position, None, None, True, 0
        )
        self._fetcher._records[tp] = FetchResult(
            tp, assignment=assignment, partition_records=records, backoff=0
        )

    def fail(self, tp: TopicPartition, error: Exception) -> None:
        """The broker returned an error instead."""
        self._fetcher._records[tp] = FetchError(error=error, backoff=0)

    @property
    def state(self) -> State:
        return self.states[LOG]

    async def getmany(self, *partitions: TopicPartition) -> dict[TopicPartition, list[Any]]:
        assert partitions, "no partitions are all of them"
        for tp in partitions:
            if tp in self._fetcher._records:
                self._fetcher._records.pop(tp).check_raise()
        return {}

    def _ask(self, _: object) -> None:
        self.asked += 1


def _crc32c(content: bytes) -> int:
    crc = 0xFFFFFFFF
    for byte in content:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF

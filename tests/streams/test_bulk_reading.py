"""A log is read in bulk as the client would read it, and nothing damaged is taken."""

import asyncio
import gc
import weakref
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.consumer.fetcher import FetchError, FetchResult, PartitionRecords
from aiokafka.errors import CorruptRecordException, TopicAuthorizationFailedError
from aiokafka.producer.message_accumulator import BatchBuilder
from aiokafka.record.memory_records import MemoryRecords

from streams.bulk_reading import next_batches

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


class _State:
    """What the client knows of the partition."""

    paused = False

    def __init__(self, position: int) -> None:
        self.position = position

    def consumed_to(self, position: int) -> None:
        self.position = position


class _Client:
    """A client that has fetched these batches, or an error."""

    def __init__(self, *batches: bytes, position: int = 0, sought: int | None = None) -> None:
        self.state = _State(position if sought is None else sought)
        assignment = SimpleNamespace(active=True, state_value=lambda _: self.state)
        records = PartitionRecords(
            LOG, MemoryRecords(b"".join(batches)), [], position, None, None, True, 0
        )
        found = FetchResult(LOG, assignment=assignment, partition_records=records, backoff=0)
        self.asked = 0
        self._fetcher = SimpleNamespace(
            _records={LOG: found}, _wait_consume_future=None, _notify=self._ask
        )

    def _ask(self, _: object) -> None:
        self.asked += 1


def read(client: Any) -> list[tuple[bytes | None, bytes | None, Sequence[tuple[str, bytes]]]]:
    found = asyncio.run(next_batches(client, LOG, 1.0))
    return [(record.key, record.value, record.headers) for one in found for record in one]


def test_every_record_is_given_and_more_is_asked_for() -> None:
    client = _Client(batch(0, b"a", b"b"), batch(2, b"c"))
    headers = [("crc", b"1")]
    assert [(b"a", b"of a", headers), (b"b", b"of b", headers), (b"c", b"of c", headers)] == [
        (key, value, list(found)) for key, value, found in read(client)
    ]
    assert (3, 1) == (client.state.position, client.asked)
    assert {} == client._fetcher._records


def test_a_fetch_is_let_go_of_at_once() -> None:
    """Not at the next collection: fetches are large, and follow each other fast."""
    client = _Client(batch(0, b"a"))
    fetched = weakref.ref(client._fetcher._records[LOG]._partition_records)
    gc.disable()
    try:
        read(client)
        assert fetched() is None
    finally:
        gc.enable()


def test_what_the_broker_writes_for_itself_is_left_out_and_passed() -> None:
    client = _Client(batch(0, b"a"), batch(1, b"end", control=True))
    assert [b"a"] == [key for key, *_ in read(client)]
    assert 2 == client.state.position


@pytest.mark.parametrize("place", [22, 24, 60, 70, -1])
def test_a_damaged_batch_is_refused(place: int) -> None:
    """A flipped bit could make it one that the broker wrote for itself, or end the log early."""
    torn = bytearray(batch(0, b"a", b"b"))
    torn[place] ^= 1
    with pytest.raises(CorruptRecordException, match="customers-0 is damaged"):
        read(_Client(bytes(torn)))


def test_what_was_fetched_from_elsewhere_is_dropped() -> None:
    client = _Client(batch(0, b"a"), sought=7)
    assert [] == read(client)
    assert (7, 1) == (client.state.position, client.asked)


def test_an_error_of_the_broker_is_the_client_s_to_raise() -> None:
    client: Any = _Client(batch(0, b"a"))
    error = TopicAuthorizationFailedError("customers")
    client._fetcher._records[LOG] = FetchError(error=error, backoff=0)

    async def getmany(partition: TopicPartition) -> None:
        client._fetcher._records.pop(partition).check_raise()

    client.getmany = getmany
    with pytest.raises(TopicAuthorizationFailedError):
        read(client)


def _crc32c(content: bytes) -> int:
    crc = 0xFFFFFFFF
    for byte in content:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF

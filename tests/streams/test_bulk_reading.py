"""A log is read in bulk as the client would read it, and damaged batches are refused."""

import asyncio
import gc
import weakref
from collections.abc import Sequence
from typing import Any

import pytest
from aiokafka.errors import CorruptRecordException, TopicAuthorizationFailedError

from streams.bulk_reading import next_batches
from tests.streams.fetched import LOG, Fetched, batch


def read(client: Any) -> list[tuple[bytes | None, bytes | None, Sequence[tuple[str, bytes]]]]:
    found = asyncio.run(next_batches(client, LOG, 1.0))
    return [(record.key, record.value, record.headers) for one in found for record in one]


def test_every_record_is_given_and_more_is_asked_for() -> None:
    client = Fetched(batch(0, b"a", b"b"), batch(2, b"c"))
    headers = [("crc", b"1")]
    assert [(b"a", b"of a", headers), (b"b", b"of b", headers), (b"c", b"of c", headers)] == [
        (key, value, list(found)) for key, value, found in read(client)
    ]
    assert (3, 1) == (client.state.position, client.asked)
    assert {} == client._fetcher._records


def test_a_fetch_is_let_go_of_at_once() -> None:
    """Not only at the next garbage collection: fetches are large, and follow each other fast."""
    client = Fetched(batch(0, b"a"))
    fetched = weakref.ref(client._fetcher._records[LOG]._partition_records)
    gc.disable()
    try:
        read(client)
        assert fetched() is None
    finally:
        gc.enable()


def test_what_the_broker_writes_for_itself_is_left_out_and_passed() -> None:
    client = Fetched(batch(0, b"a"), batch(1, b"end", control=True))
    assert [b"a"] == [key for key, *_ in read(client)]
    assert 2 == client.state.position


@pytest.mark.parametrize("place", [22, 24, 60, 70, -1])
def test_a_damaged_batch_is_refused(place: int) -> None:
    """A flipped bit could make it a control batch of the broker, or end the log early."""
    torn = bytearray(batch(0, b"a", b"b"))
    torn[place] ^= 1
    with pytest.raises(CorruptRecordException, match="customers-0 is damaged"):
        read(Fetched(bytes(torn)))


def test_what_was_fetched_from_elsewhere_is_dropped() -> None:
    client = Fetched(batch(0, b"a"), sought=7)
    assert [] == read(client)
    assert (7, 1) == (client.state.position, client.asked)


def test_an_error_of_the_broker_is_the_client_s_to_raise() -> None:
    client = Fetched(batch(0, b"a"))
    client.fail(LOG, TopicAuthorizationFailedError("customers"))
    with pytest.raises(TopicAuthorizationFailedError):
        read(client)

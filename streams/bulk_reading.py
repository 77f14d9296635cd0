"""Reads a long log in bulk: record batches as they were fetched, without the client's objects.

The client makes a Python object of each record, and asks for the next fetch only when the last one
is used up. Here batches are taken out as soon as they arrive, so the broker sends the next ones
meanwhile. The hooks are internal to aiokafka: tests/streams/test_faust_contract.py fails when an
upgrade changes one of them.
"""

import asyncio
from collections.abc import Iterable, Iterator
from typing import Any, Protocol

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.consumer.fetcher import FetchResult
from aiokafka.errors import CorruptRecordException

#: Turns of the event loop after which the client has asked for the next fetch.
_TURNS_TO_ASK = 3


class BareRecord(Protocol):
    """A record inside a batch."""

    @property
    def offset(self) -> int: ...

    @property
    def timestamp(self) -> int: ...

    @property
    def key(self) -> bytes | None: ...

    @property
    def value(self) -> bytes | None: ...

    @property
    def headers(self) -> Any: ...


async def next_batches(
    client: AIOKafkaConsumer, tp: TopicPartition, timeout_s: float
) -> list[Iterable[BareRecord]]:
    """The batches of ``tp`` that were fetched next, in order; empty if none came in time.

    Afterwards the client's position is behind them. Nothing else may read from ``client``. Raises
    the broker's error, and `CorruptRecordException` for a damaged batch.
    """
    fetcher: Any = client._fetcher
    if tp not in fetcher._records:
        await _wait_for_fetch(fetcher, timeout_s)
    found = fetcher._records.get(tp)
    if found is None:
        return []
    if type(found) is not FetchResult:
        # An error: the client raises it.
        await client.getmany(tp)
        return []
    del fetcher._records[tp]
    batches: list[Iterable[BareRecord]] = []
    if found.check_assignment(tp):
        unread = found._partition_records
        batches = list(sound_batches(unread, tp))
        found._update_position()
        # The iterator refers to itself, and would keep a whole fetch until the next full
        # collection.
        unread._records_iterator = None
    fetcher._notify(fetcher._wait_consume_future)
    for _ in range(_TURNS_TO_ASK):
        await asyncio.sleep(0)
    return batches


async def _wait_for_fetch(fetcher: Any, timeout_s: float) -> None:
    """Return when something was fetched or the time is over. Raises the error that ended the
    client.
    """
    waiter = fetcher._create_fetch_waiter()
    await asyncio.wait([waiter], timeout=timeout_s)
    if waiter.done():
        waiter.result()
    else:
        waiter.cancel()


def sound_batches(unread: Any, tp: TopicPartition) -> Iterator[Iterable[BareRecord]]:
    """The batches of a fetch, each checked; the broker's own control batches are left out."""
    while unread._records.has_next():
        batch = unread._records.next_batch()
        if not batch.validate_crc():
            raise CorruptRecordException(f"a batch of {tp.topic}-{tp.partition} is damaged")
        unread.next_fetch_offset = batch.next_offset
        if not batch.is_control_batch:
            yield batch

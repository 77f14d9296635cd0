"""Controls what a worker's Kafka client fetches ahead: when it asks, and how records are taken.

aiokafka's consumer fetches ahead, and keeps the records by partition. Its public interface can't
say which partitions have records without taking them, nor wait for several things at once, nor ask
for some topics less often. It also makes a Python object of each record, which costs several times
as much as reading it. The functions here do without. tests/streams/test_faust_contract.py checks
the internals that they rely on.
"""

import asyncio
from contextlib import suppress
from math import ceil, inf
from time import monotonic
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.consumer.fetcher import FetchResult
from aiokafka.protocol.fetch import FetchRequest
from msgspec import Struct

from streams.bulk_reading import sound_batches
from streams.fetch_pace import HELD_MS, FetchPace

#: After this long, records that nobody takes no longer keep the client from asking for others.
UNTAKEN_S = 0.01
#: While records wait to be taken, the broker may hold such a fetch for no longer than this.
UNTAKEN_HELD_S = 0.05


class FetchedRecord(Struct, frozen=True, gc=False):
    """A record as it was fetched."""

    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes]]


class _Unread:
    """The unread rest of a fetch of one partition. It replaces the client's own iterator, which
    makes an object of each record and takes five calls to reach the next one.
    """

    def __init__(self, fetched: Any, tp: TopicPartition) -> None:
        begin = fetched.next_fetch_offset
        number = tp.partition
        self._records = [
            FetchedRecord(number, one.offset, one.timestamp, one.key, one.value, one.headers)
            for batch in sound_batches(fetched, tp)
            for one in batch
            # A fetch may return a batch that begins before the offset asked for.
            if one.offset >= begin
        ]
        self._end = fetched.next_fetch_offset
        self._place = 0
        # The iterator refers to itself, and would keep a whole fetch until the next full
        # collection.
        fetched._records_iterator = None

    @property
    def next_fetch_offset(self) -> int:
        """The client's next position."""
        return self._end if self.is_used_up else self._records[self._place].offset

    @property
    def is_used_up(self) -> bool:
        return self._place == len(self._records)

    def take(self, records_max: int) -> list[FetchedRecord]:
        """Take up to ``records_max`` records, in order."""
        taken = self._records[self._place : self._place + records_max]
        self._place += len(taken)
        return taken


def fetched_partitions(client: AIOKafkaConsumer) -> list[TopicPartition]:
    """Partitions whose records, or whose error, wait in the client."""
    return list(client._fetcher._records)


def hold_fetches(client: AIOKafkaConsumer) -> None:
    """Fetch no more records of any assigned partition; the next assignment ends this."""
    client.pause(*client.assignment())


def release_fetches(client: AIOKafkaConsumer) -> None:
    """Fetch records again."""
    client.resume(*client.paused())


def pace_fetches(client: AIOKafkaConsumer, pace: FetchPace) -> None:
    """Make the client, which has started, ask for each topic only when ``pace`` allows it."""
    fetcher: Any = client._fetcher
    asks_now = fetcher._get_actions_per_node
    fetcher._prefetch_backoff = UNTAKEN_S

    def asks_in_time(assignment: Any) -> tuple[Any, ...]:
        requests, resets, timeout_s, *rest = asks_now(assignment)
        now_s = monotonic()
        waits_s = {
            topic: pace.waits_s(topic, now_s)
            for _, request in requests
            for topic, _ in request.topics
        }
        due_s = min(filter(None, waits_s.values()), default=inf)
        # The client asks nothing for partitions with untaken records: they wait for this answer.
        held_s = min(due_s, UNTAKEN_HELD_S if fetcher._records else inf)
        in_time = []
        for node, request in requests:
            due = [(topic, where) for topic, where in request.topics if not waits_s[topic]]
            if due:
                in_time.append((node, _request(fetcher, due, held_s)))
        return in_time, resets, min(timeout_s, due_s), *rest

    fetcher._get_actions_per_node = asks_in_time


def _request(fetcher: Any, due: list[tuple[str, Any]], held_s: float) -> FetchRequest:
    """A fetch that the broker holds for at most ``held_s`` seconds."""
    return FetchRequest(
        min(HELD_MS, ceil(held_s * 1_000)) if held_s < inf else HELD_MS,
        fetcher._fetch_min_bytes,
        fetcher._fetch_max_bytes,
        fetcher._isolation_level,
        due,
        rack_id=fetcher._client_rack or "",
    )


async def take_records(
    client: AIOKafkaConsumer, partitions: list[TopicPartition], records_max: int
) -> dict[int, list[FetchedRecord]]:
    """The fetched records of ``partitions`` (of one topic), up to ``records_max`` in all.

    First an equal share for each, then the rest from partitions that have more, so that one busy
    partition can't crowd out the others. Other records stay in the client, in order.
    """
    share = max(1, records_max // len(partitions))
    taken: dict[int, list[FetchedRecord]] = {}
    for tp in partitions[:records_max]:
        taken[tp.partition] = await _take_from(client, tp, share)
    room = records_max - sum(map(len, taken.values()))
    for tp in partitions:
        # A partition that gave less than its share has no more records.
        if room > 0 and len(taken.get(tp.partition, ())) == share:
            more = await _take_from(client, tp, room)
            taken[tp.partition].extend(more)
            room -= len(more)
    return {partition: records for partition, records in taken.items() if records}


async def _take_from(
    client: AIOKafkaConsumer, tp: TopicPartition, records_max: int
) -> list[FetchedRecord]:
    fetcher: Any = client._fetcher
    found = fetcher._records.get(tp)
    if type(found) is not FetchResult:
        # Nothing, or an error, which the client raises. Name the partition: without one, the
        # client would read all of them.
        await client.getmany(tp)
        return []
    taken: list[FetchedRecord] = []
    # Records fetched from another position are dropped.
    if found.check_assignment(tp):
        unread = found._partition_records
        if not isinstance(unread, _Unread):
            unread = found._partition_records = _Unread(unread, tp)
        taken = unread.take(records_max)
        found._update_position()
        if not unread.is_used_up:
            return taken
    del fetcher._records[tp]
    # Let the client ask for more.
    fetcher._notify(fetcher._wait_consume_future)
    return taken


async def wait_for_records(client: AIOKafkaConsumer, wake: asyncio.Event, timeout_s: float) -> None:
    """Return when the client has fetched something, ``wake`` is set, or the time is over.

    Raises the error that ended the client's membership.
    """

    def on_fetched(_: object) -> None:
        wake.set()

    fetched = client._fetcher._create_fetch_waiter()
    fetched.add_done_callback(on_fetched)
    try:
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await wake.wait()
        if fetched.done():
            fetched.result()
    finally:
        # Otherwise the cancellation would set ``wake`` each time.
        fetched.remove_done_callback(on_fetched)
        fetched.cancel()

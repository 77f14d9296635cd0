"""Records are taken from the client in order, once, and it fetches more in time."""

import asyncio
import gc
import weakref
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import CorruptRecordException, TopicAuthorizationFailedError
from aiokafka.protocol.fetch import FetchRequest

from streams import client_fetches
from streams.client_fetches import UNTAKEN_HELD_S, pace_fetches, take_records
from streams.fetch_pace import HELD_MS, TIMES_AS_OFTEN, FetchPace
from streams.record_batches import Record
from tests.streams.fetched import LOG, Fetched, batch

RAW, LATER = "clickstream", "customer-events"


def take(client: Any, *partitions: TopicPartition, room: int = 100) -> dict[int, list[Record]]:
    return asyncio.run(take_records(client, list(partitions) or [LOG], room))


@pytest.mark.parametrize(
    ("counts", "room", "expected"),
    [
        ((1000, 1, 0, 1000), 100, {0: 74, 1: 1, 3: 25}),
        ((10, 10), 100, {0: 10, 1: 10}),
        ((1000,), 100, {0: 100}),
        ((5, 5, 5), 2, {0: 1, 1: 1}),
        ((0, 0), 100, {}),
    ],
)
def test_a_busy_partition_cannot_keep_out_the_others(
    counts: tuple[int, ...], room: int, expected: dict[int, int]
) -> None:
    client = Fetched()
    partitions = [TopicPartition(RAW, number) for number in range(len(counts))]
    for tp, count in zip(partitions, counts, strict=True):
        if count:
            client.add(tp, batch(0, *[b"k"] * count))
    taken = take(client, *partitions, room=room)
    assert expected == {partition: len(found) for partition, found in taken.items()}
    for number, found in taken.items():
        # In order, and what isn't taken is still there.
        tp, left = partitions[number], []
        while tp in client._fetcher._records:
            left += take(client, tp, room=7)[number]
        assert list(range(counts[number])) == [record.offset for record in [*found, *left]]


def test_a_record_is_what_was_written() -> None:
    (record,) = take(Fetched(batch(7, b"a"), position=7))[0]
    assert (0, 7, 1, b"a", b"of a", [("crc", b"1")]) == (
        record.partition,
        record.offset,
        record.timestamp,
        record.key,
        record.value,
        list(record.headers),
    )


def test_the_client_goes_on_behind_what_was_taken() -> None:
    client = Fetched(batch(0, b"a", b"b"), batch(2, b"c"), batch(3, b"end", control=True))
    assert [0, 1] == [record.offset for record in take(client, room=2)[0]]
    assert (2, 0) == (client.state.position, client.asked)
    assert [2] == [record.offset for record in take(client)[0]]
    # Behind what the broker wrote for itself, too; now it may ask for more.
    assert (4, 1) == (client.state.position, client.asked)
    assert {} == take(client)


def test_a_fetch_may_begin_in_the_middle_of_a_batch() -> None:
    client = Fetched(batch(5, b"a", b"b", b"c"), position=6)
    assert [6, 7] == [record.offset for record in take(client)[0]]


def test_a_fetch_that_is_used_up_is_let_go_of_at_once() -> None:
    client = Fetched(batch(0, b"a"))
    fetched = weakref.ref(client._fetcher._records[LOG]._partition_records)
    gc.disable()
    try:
        take(client)
        assert fetched() is None
    finally:
        gc.enable()


@pytest.mark.parametrize("is_begun", [False, True])
def test_what_was_fetched_from_elsewhere_is_dropped(*, is_begun: bool) -> None:
    client = Fetched(batch(0, b"a", b"b", b"c"))
    if is_begun:
        take(client, room=1)
    client.state.position = 7
    assert {} == take(client)
    assert (7, 1) == (client.state.position, client.asked)
    assert {} == client._fetcher._records


def test_an_error_of_the_broker_is_raised() -> None:
    client = Fetched()
    client.fail(LOG, TopicAuthorizationFailedError("customers"))
    with pytest.raises(TopicAuthorizationFailedError):
        take(client)


def test_a_damaged_batch_is_refused() -> None:
    torn = bytearray(batch(0, b"a", b"b"))
    torn[-1] ^= 1
    with pytest.raises(CorruptRecordException, match="customers-0 is damaged"):
        take(Fetched(batch(0, b"a"), bytes(torn)))


class Asked:
    """A client with two topics to fetch, and its requests to the broker, under a pace."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, pace: FetchPace) -> None:
        self.now_s = 50.0
        monkeypatch.setattr(client_fetches, "monotonic", lambda: self.now_s)
        request = FetchRequest(
            HELD_MS, 1, 1_000_000, 0, [(RAW, [(0, 5, 1_000)]), (LATER, [(0, 6, 1_000)])]
        )
        self._fetcher: Any = SimpleNamespace(
            _records={},
            _fetch_min_bytes=1,
            _fetch_max_bytes=1_000_000,
            _isolation_level=0,
            _client_rack=None,
            _get_actions_per_node=lambda _: ([(1, request)], {}, 0.2, False, []),
        )
        pace_fetches(SimpleNamespace(_fetcher=self._fetcher), pace)  # type: ignore[arg-type]

    def now(self) -> tuple[list[str], int | None, float]:
        """The requested topics, for how long the broker may hold the request, and how long the
        client waits until it checks again.
        """
        requests, _, timeout_s, *_ = self._fetcher._get_actions_per_node(None)
        if not requests:
            return [], None, round(timeout_s, 4)
        ((_, request),) = requests
        return [topic for topic, _ in request.topics], request._max_wait_ms, round(timeout_s, 4)


def test_a_raw_topic_is_asked_for_once_in_a_while_and_what_follows_from_it_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pace = FetchPace([RAW], pace_ms=40)
    asked = Asked(monkeypatch, pace)
    assert ([RAW, LATER], HELD_MS, 0.2) == asked.now()
    pace.took([RAW], asked.now_s)
    # Until its turn comes, and no longer.
    assert ([LATER], 40, 0.04) == asked.now()
    asked.now_s += 0.005
    pace.took([LATER], asked.now_s)
    # The rest comes with the next raw records.
    assert ([], None, 0.035) == asked.now()
    asked.now_s += 0.036
    assert ([RAW, LATER], HELD_MS, 0.2) == asked.now()


def test_what_others_write_is_not_asked_for_with_each_of_their_records(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pace = FetchPace([RAW], pace_ms=40)
    asked = Asked(monkeypatch, pace)
    pace.took([LATER], asked.now_s)
    # A quiet raw topic waits for nothing meanwhile, and for no longer than the others want.
    assert ([RAW], 10, 0.01) == asked.now()
    asked.now_s += 0.04 / TIMES_AS_OFTEN + 0.001
    assert ([RAW, LATER], HELD_MS, 0.2) == asked.now()


def test_what_is_not_taken_is_soon_asked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether or not anything else arrives in between."""
    asked = Asked(monkeypatch, FetchPace([RAW], pace_ms=40))
    asked._fetcher._records["another partition"] = "records"
    assert ([RAW, LATER], UNTAKEN_HELD_S * 1_000, 0.2) == asked.now()


def test_without_a_pace_everything_is_asked_for_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    pace = FetchPace()
    asked = Asked(monkeypatch, pace)
    pace.took([RAW, LATER], asked.now_s)
    assert ([RAW, LATER], HELD_MS, 0.2) == asked.now()

"""Redis gets everything that it lacks, however often it was down and whatever it has lost."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from itertools import groupby, pairwise
from pathlib import Path
from sys import getsizeof

import pytest
import redis

from config.settings import Settings, load_settings
from models.decisions.trigger import Cause, Trigger
from streams import profile_views
from streams.embedded.valkey import EmbeddedValkey
from streams.metrics import Metrics
from streams.profile_views import NOBODY, PROFILES_PER_WRITE, REST_S, TURN_S, ProfileViews
from streams.store_keys import customer_key, displaced_stream, trigger_stream
from streams.store_writes import connect
from streams.trigger_streams import Deliverable, TriggerStreams


@pytest.fixture
def settings(valkey: EmbeddedValkey) -> Settings:
    return load_settings({}, redis_url=valkey.url, topic_prefix=f"{uuid.uuid4().hex[:8]}.")


@pytest.fixture
def store(settings: Settings) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(settings.redis_url) as client:
        yield client


@pytest.fixture
def gone(tmp_path: Path) -> Settings:
    """The settings of a store that has ended."""
    with EmbeddedValkey(tmp_path) as valkey:
        url = valkey.url
    return load_settings({}, redis_url=url)


def trigger(kind: str, trigger_id: str, group: str | None = "control") -> Trigger:
    """A trigger of one kind, in one group."""
    return Trigger(
        id=trigger_id,
        kind=kind,
        rule_version=1,
        user_id="c-1",
        timestamp="2026-01-01T00:00:00.000Z",
        cause=Cause(message_id="m-1"),
        reasons=(),
        churn=None,
        value_at_stake=0.0,
        gates=(),
        model_version=0,
        group=group,
    )


@asynccontextmanager
async def views_of(settings: Settings, profiles: dict[str, bytes]) -> AsyncIterator[ProfileViews]:
    """A worker's views, with a client of their own."""
    async with connect(settings) as client:
        yield ProfileViews(client, settings, Metrics(), profiles.get)


def test_only_the_latest_profile_is_written(settings: Settings, store: redis.Redis) -> None:
    profiles = {"c-1": b"old", "c-2": b"other"}

    async def write() -> None:
        async with views_of(settings, profiles) as views:
            views.offer(["c-1", "c-2", "of another worker by now"])
            profiles["c-1"] = b"new"
            views.offer(["c-1"])
            assert 3 == views.waiting
            assert await views.write_some()
            assert 0 == views.waiting

    asyncio.run(write())
    assert b"new" == store.get(customer_key(settings, "c-1"))
    assert b"other" == store.get(customer_key(settings, "c-2"))
    assert 2 == len(store.keys(f"{settings.topic_prefix}*"))


class Times:
    """A clock that is set by hand."""

    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def test_somebody_who_does_much_is_written_once_a_second_and_the_latest_of_them_always(
    settings: Settings, store: redis.Redis
) -> None:
    times, drawn = Times(), []

    def draw(customer: str) -> bytes:
        drawn.append((customer, times.now_s))
        return f"{times.now_s:.1f}".encode()

    async def write() -> None:
        async with connect(settings) as client:
            views = ProfileViews(client, settings, Metrics(), draw, times)
            for _ in range(31):
                views.offer(["c-busy"])
                assert await views.write_some()
                times.now_s += 0.1
            views.offer(["c-calm"])
            assert await views.write_some()
            assert (1, 0) == (views.waiting, views.due)
            assert b"103.0" != store.get(customer_key(settings, "c-busy"))
            times.now_s += 1.0
            assert (1, 1) == (views.waiting, views.due)
            assert await views.write_some()
            assert 0 == views.waiting
            times.now_s += 1.0
            assert await views.write_some()
            assert 0 == len(views._drawn_s)

    asyncio.run(write())
    busy_s = [at_s for customer, at_s in drawn if customer == "c-busy"]
    assert 4 == len(busy_s)
    assert all(later - at_s >= REST_S for at_s, later in pairwise(busy_s))
    assert b"104.1" == store.get(customer_key(settings, "c-busy"))
    assert b"103.1" == store.get(customer_key(settings, "c-calm"))


def test_what_changes_while_a_profile_is_on_its_way_is_written_after_it(
    settings: Settings, store: redis.Redis
) -> None:
    """An offer for the row that was read is not one for the row that came after it."""
    times, rows = Times(), {"c-1": b"old", "c-2": b"other"}

    async def write() -> None:
        async with connect(settings) as client:
            views = ProfileViews(client, settings, Metrics(), rows.get, times)
            views.offer(rows)
            writing = asyncio.create_task(views.write_some())
            await asyncio.sleep(0)
            # It is drawn up, and Redis is still to take it.
            assert (0, False) == (views.due, writing.done())
            rows["c-1"] = b"new"
            views.offer(["c-1"])
            assert await writing
            times.now_s += 1.0
            assert await views.write_some()

    asyncio.run(write())
    assert b"new" == store.get(customer_key(settings, "c-1"))


def test_a_profile_that_was_not_taken_is_written_as_soon_as_it_can_be(gone: Settings) -> None:
    times, drawn = Times(), []

    async def write() -> None:
        async with connect(gone) as client:
            views = ProfileViews(client, gone, Metrics(), lambda c: drawn.append(c) or b"{}", times)  # type: ignore[func-returns-value]
            views.offer(["c-1"])
            for _ in range(3):
                assert not await views.write_some()
                views.offer(["c-1"])
                assert (1, 1) == (views.waiting, views.due)

    asyncio.run(write())
    assert ["c-1"] * 3 == drawn


def test_profiles_that_waited_longest_come_first(settings: Settings, store: redis.Redis) -> None:
    profiles = {f"c-{number}": b"{}" for number in range(PROFILES_PER_WRITE + 1)}

    async def write() -> None:
        async with views_of(settings, profiles) as views:
            views.offer(profiles)
            assert await views.write_some()
            assert 1 == views.waiting
            assert not store.exists(customer_key(settings, f"c-{PROFILES_PER_WRITE}"))
            assert await views.write_some()
            assert 0 == views.waiting

    asyncio.run(write())
    assert len(profiles) == len(store.keys(f"{settings.topic_prefix}*"))


def test_profiles_leave_others_their_turns(
    settings: Settings, store: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One turn writes as many profiles as fit into its time."""
    spent_s, turns, drawn_by_turn = [0.0], [0], []

    def render(_: str) -> bytes:
        spent_s[0] += 0.4 * TURN_S
        drawn_by_turn.append(turns[0])
        return b"{}"

    async def take_turns() -> None:
        while True:
            turns[0] += 1
            await asyncio.sleep(0)

    async def write() -> None:
        for clock in ("thread_time", "monotonic"):
            monkeypatch.setattr(profile_views, clock, lambda: spent_s[0])
        async with connect(settings) as client:
            views = ProfileViews(client, settings, Metrics(), render)
            views.offer(f"c-{number}" for number in range(50))
            others = asyncio.create_task(take_turns())
            assert await views.write_some(3.5 * TURN_S)
            others.cancel()
            assert 50 - 9 == views.waiting
            assert await views.write_some()
            assert 0 == views.waiting

    asyncio.run(write())
    assert [3, 3, 3] == [len([*drawn]) for _, drawn in groupby(drawn_by_turn[:9])]
    assert 50 == len(store.keys(f"{settings.topic_prefix}*"))


def test_a_store_is_filled_behind_what_changes(settings: Settings, store: redis.Redis) -> None:
    profiles = {f"c-{number}": b"{}" for number in range(PROFILES_PER_WRITE + 1)}
    last = f"c-{PROFILES_PER_WRITE}"

    async def write() -> None:
        async with views_of(settings, profiles) as views:
            views.fill(profiles)
            # Changed before it was its turn, and filled in once more: once is enough.
            views.offer([last])
            views.fill([last])
            assert views.waiting == views.due == len(profiles)
            assert await views.write_some()
            assert store.exists(customer_key(settings, last))
            assert views.is_filling
            assert await views.write_some()
            assert (0, False) == (views.waiting, views.is_filling)
            # Not even the room that the names of all customers took.
            assert getsizeof({}) == getsizeof(views._unshown)

    asyncio.run(write())
    assert len(profiles) == len(store.keys(f"{settings.topic_prefix}*"))


def test_who_was_erased_comes_first(settings: Settings, store: redis.Redis) -> None:
    """Before everything that waits, and also for a customer whose profile was just written."""
    times = Times()
    profiles = {f"c-{number}": b"{}" for number in range(2 * PROFILES_PER_WRITE)}
    last = [*profiles][-1]

    async def write() -> None:
        async with connect(settings) as client:
            views = ProfileViews(client, settings, Metrics(), profiles.get, times)
            views.offer([last])
            assert await views.write_some()
            assert store.exists(customer_key(settings, last))
            views.offer(profiles)
            profiles[last] = NOBODY
            views.remove([last])
            assert await views.write_some()
            assert not store.exists(customer_key(settings, last))
            # A new person of this id is written as anybody else is.
            profiles[last] = b"new"
            views.offer([last])
            times.now_s += REST_S
            while views.due:
                assert await views.write_some()

    asyncio.run(write())
    assert b"new" == store.get(customer_key(settings, last))
    assert len(profiles) == len(store.keys(f"{settings.topic_prefix}*"))


def test_profiles_of_nobody_are_deleted_with_the_others(
    settings: Settings, store: redis.Redis
) -> None:
    profiles = {"c-1": b"one", "c-2": NOBODY, "c-3": NOBODY}
    for customer in profiles:
        store.lpush(customer_key(settings, customer), "of another type")

    async def write() -> None:
        async with views_of(settings, profiles) as views:
            views.offer(profiles)
            assert await views.write_some()

    asyncio.run(write())
    assert [customer_key(settings, "c-1").encode()] == store.keys(f"{settings.topic_prefix}*")
    assert b"one" == store.get(customer_key(settings, "c-1"))


def test_every_worker_notices_that_the_store_was_emptied(
    settings: Settings, store: redis.Redis
) -> None:
    """The first worker that checks must not hide it from the others."""

    async def look() -> None:
        async with views_of(settings, {}) as one, views_of(settings, {}) as other:
            assert [False, False] == [await one.was_emptied(), await other.was_emptied()]
            assert [False, False] == [await one.was_emptied(), await other.was_emptied()]
            store.delete(*store.keys(f"{settings.topic_prefix}*"))
            assert [True, True] == [await one.was_emptied(), await other.was_emptied()]
            assert [False, False] == [await one.was_emptied(), await other.was_emptied()]

    asyncio.run(look())


def test_nothing_is_forgotten_while_the_store_is_away(gone: Settings) -> None:
    metrics = Metrics()

    async def write() -> None:
        async with views_of(gone, {"c-1": b"{}"}) as views, connect(gone) as client:
            views.offer(["c-1"])
            assert not await views.write_some()
            assert 1 == views.waiting
            assert not await views.was_emptied()
            streams = TriggerStreams(client, gone, metrics)
            lost = [Deliverable(trigger("cart-abandoned", "t-1"), b"{}")]
            assert lost == await streams.append(lost)

    asyncio.run(write())
    assert b"keepstream_redis_up 0.0" in metrics.exposition()


def test_triggers_are_appended_to_the_stream_of_their_kind(
    settings: Settings, store: redis.Redis
) -> None:
    triggers = [
        Deliverable(trigger("cart-abandoned", "t-1"), b"1"),
        Deliverable(trigger("ticket-overdue", "t-2", group=None), b"2"),
    ]
    metrics = Metrics()

    async def append() -> None:
        async with connect(settings) as client:
            streams = TriggerStreams(client, settings, metrics)
            assert [] == await streams.append(triggers)
            assert [] == await streams.append(triggers[:1])

    asyncio.run(append())
    carts = store.xrange(trigger_stream(settings, "cart-abandoned"))
    carted = {b"id": b"t-1", b"group": b"control", b"trigger": b"1"}
    assert [carted] * 2 == [fields for _, fields in carts]
    # An earlier release's trigger does not say its group.
    tickets = store.xrange(trigger_stream(settings, "ticket-overdue"))
    assert [{b"id": b"t-2", b"trigger": b"2"}] == [fields for _, fields in tickets]
    assert b"keepstream_redis_up 1.0" in metrics.exposition()


MIXED = [
    Deliverable(trigger("cart-abandoned", "t-1"), b"1"),
    Deliverable(trigger("ticket-overdue", "t-2", group=None), b"2"),
    Deliverable(trigger("cart-abandoned", "t-3"), b"3"),
    Deliverable(trigger("ticket-overdue", "t-4"), b"4"),
]


def ids_in(store: redis.Redis, stream: str) -> list[bytes]:
    return [fields[b"id"] for _, fields in store.xrange(stream)]


def test_a_key_that_holds_something_else_stops_nobody_and_multiplies_nothing(
    settings: Settings, store: redis.Redis, caplog: pytest.LogCaptureFixture
) -> None:
    carts = trigger_stream(settings, "cart-abandoned")
    tickets = trigger_stream(settings, "ticket-overdue")
    store.set(tickets, "somebody else's")
    metrics = Metrics()

    async def deliver() -> None:
        async with connect(settings) as client:
            streams = TriggerStreams(client, settings, metrics)
            assert [] == await streams.append(MIXED)
            assert {tickets} == streams.foreign_keys
            await streams.return_displaced()
            assert [b"t-2", b"t-4"] == ids_in(store, displaced_stream(settings))

            store.rename(tickets, f"{tickets}:theirs")
            for _ in range(3):
                await streams.return_displaced()
            assert set() == streams.foreign_keys

    asyncio.run(deliver())
    assert [b"t-1", b"t-3"] == ids_in(store, carts)
    assert [b"t-2", b"t-4"] == ids_in(store, tickets)
    # As if they had been written there at once.
    entries = [fields for _, fields in store.xrange(tickets)]
    assert {b"id": b"t-2", b"trigger": b"2"} == entries[0]
    assert {b"id": b"t-4", b"group": b"control", b"trigger": b"4"} == entries[1]
    assert [] == ids_in(store, displaced_stream(settings))
    assert 1 == sum(f"the key {tickets}" in line for line in caplog.messages)
    assert b"keepstream_redis_up 1.0" in metrics.exposition()


def test_only_what_redis_did_not_take_is_tried_again(
    settings: Settings, store: redis.Redis
) -> None:
    """Here neither the stream nor the place for set-aside entries is available."""
    store.set(trigger_stream(settings, "ticket-overdue"), "somebody else's")
    store.set(displaced_stream(settings), "somebody else's")
    metrics = Metrics()

    async def deliver() -> None:
        async with connect(settings) as client:
            streams = TriggerStreams(client, settings, metrics)
            left = await streams.append(MIXED)
            assert [MIXED[1], MIXED[3]] == left
            for _ in range(5):
                left = await streams.append(left)
            assert displaced_stream(settings) in streams.foreign_keys
            assert b"keepstream_redis_up 0.0" in metrics.exposition()
            await streams.return_displaced()
            store.delete(displaced_stream(settings))
            assert [] == await streams.append(left)

    asyncio.run(deliver())
    assert [b"t-1", b"t-3"] == ids_in(store, trigger_stream(settings, "cart-abandoned"))
    assert [b"t-2", b"t-4"] == ids_in(store, displaced_stream(settings))


def test_a_marker_of_another_type_is_written_over(settings: Settings, store: redis.Redis) -> None:
    store.lpush(f"{settings.topic_prefix}keepstream:filled", "x")
    metrics = Metrics()

    async def look() -> None:
        async with connect(settings) as client:
            views = ProfileViews(client, settings, metrics, {}.get)
            assert [False, False] == [await views.was_emptied(), await views.was_emptied()]

    asyncio.run(look())
    assert b"keepstream_redis_up 0.0" not in metrics.exposition()


def test_a_full_store_takes_what_still_fits_and_the_rest_later(
    settings: Settings, tmp_path: Path
) -> None:
    with EmbeddedValkey(tmp_path) as valkey, redis.Redis.from_url(valkey.url) as store:
        full = load_settings({}, redis_url=valkey.url)

        async def deliver() -> None:
            async with connect(full) as client:
                streams = TriggerStreams(client, full, Metrics())
                assert [] == await streams.append(MIXED[:1])
                store.config_set("maxmemory-policy", "noeviction")
                store.config_set("maxmemory", 1)
                assert MIXED[1:] == await streams.append(MIXED[1:])
                store.config_set("maxmemory", 0)
                assert [] == await streams.append(MIXED[1:])

        asyncio.run(deliver())
        assert [b"t-1", b"t-3"] == ids_in(store, trigger_stream(full, "cart-abandoned"))
        assert [b"t-2", b"t-4"] == ids_in(store, trigger_stream(full, "ticket-overdue"))

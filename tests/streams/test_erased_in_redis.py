"""What was delivered to Redis of somebody who was erased is deleted, and nothing else."""

import asyncio
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from msgspec.structs import replace

from config.duration import DAY_MS
from config.settings import Settings, load_settings
from config.topics import NEXT_BEST_ACTIONS, RETENTION_TRIGGERS
from models.decisions.trigger import encode_decision
from streams.embedded.valkey import EmbeddedValkey
from streams.graves import Fingerprints
from streams.metrics import Metrics
from streams.redis_views import (
    ENTRIES_PER_LOOK,
    Deliverable,
    TriggerStreams,
    connect,
    displaced_stream,
    trigger_stream,
)
from tests.streams.test_redis_views import trigger

FINGERPRINTS = Fingerprints("salt")
#: Ids as real systems write them.
IDS = ["ada", 'a "quoted" one', "back\\slash\\", "Zoë 顧客", '"', "\\"]


@pytest.fixture
def settings(valkey: EmbeddedValkey) -> Settings:
    prefix = f"{uuid.uuid4().hex[:8]}."
    return load_settings({}, redis_url=valkey.url, topic_prefix=prefix, erasure_salt="salt")


@pytest.fixture
def store(settings: Settings) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(settings.redis_url) as client:
        yield client


#: Where on its topic it is that somebody was erased.
TOLD_AT = 7


def put(settings: Settings, store: redis.Redis, kind: str, *whose: str) -> None:
    for customer in whose:
        decided = encode_decision(replace(trigger(kind, "t"), user_id=customer))
        store.xadd(trigger_stream(settings, kind), {"id": customer, "trigger": decided})


def left(store: redis.Redis, stream: str) -> list[str]:
    return [fields[b"id"].decode() for _, fields in store.xrange(stream)]


def erase(settings: Settings, topic: str, *customers: str) -> bool:
    async def erased() -> bool:
        async with connect(settings) as client:
            streams = TriggerStreams(client, settings, Metrics())
            names = {FINGERPRINTS.of(customer): TOLD_AT for customer in customers}
            return await streams.erase(names, topic)

    return asyncio.run(erased())


@pytest.mark.parametrize("customer", IDS)
def test_whoever_was_erased_is_known_however_their_id_is_written(
    settings: Settings, store: redis.Redis, customer: str
) -> None:
    put(settings, store, "churn-risk", *IDS, *IDS)

    assert erase(settings, RETENTION_TRIGGERS, customer)

    others = [id_ for id_ in IDS if id_ != customer]
    assert others * 2 == left(store, trigger_stream(settings, "churn-risk"))


def test_every_page_of_every_stream_of_the_topic_is_looked_at(
    settings: Settings, store: redis.Redis
) -> None:
    many = ["ada", *["zoe"] * ENTRIES_PER_LOOK, "ada", *["zoe"] * ENTRIES_PER_LOOK, "ada"]
    for kind in ("churn-risk", "one-of-their-own", "next-best-action", "action-withdrawn"):
        put(settings, store, kind, *many)
    for kind in ("churn-risk", "next-best-action"):
        decided = encode_decision(replace(trigger(kind, "t"), user_id="ada"))
        displaced = {"id": "ada", "trigger": decided, "stream": trigger_stream(settings, kind)}
        store.xadd(displaced_stream(settings), displaced)

    assert erase(settings, RETENTION_TRIGGERS, "ada", "nobody")

    assert [] == left(store, displaced_stream(settings))
    for kind in ("churn-risk", "one-of-their-own"):
        assert {"zoe"} == {*left(store, trigger_stream(settings, kind))}
    # Of those that the other topic brings, some may still be on their way.
    for kind in ("next-best-action", "action-withdrawn"):
        assert many == left(store, trigger_stream(settings, kind))
    assert erase(settings, NEXT_BEST_ACTIONS, "ada")
    for kind in ("next-best-action", "action-withdrawn"):
        assert {"zoe"} == {*left(store, trigger_stream(settings, kind))}


@pytest.mark.parametrize("entries", [0, 1, ENTRIES_PER_LOOK - 1, ENTRIES_PER_LOOK])
def test_a_stream_of_any_length_comes_to_an_end(
    settings: Settings, store: redis.Redis, entries: int
) -> None:
    put(settings, store, "churn-risk", *["zoe"] * entries, "ada")

    assert erase(settings, RETENTION_TRIGGERS, "ada")

    assert ["zoe"] * entries == left(store, trigger_stream(settings, "churn-risk"))


def test_what_is_not_ours_stays(settings: Settings, store: redis.Redis) -> None:
    stream = trigger_stream(settings, "churn-risk")
    for content in ("no json", '{"userId":5}', '{"userId":"', "", '{"user":"ada"}'):
        store.xadd(stream, {"id": content, "trigger": content})
    store.xadd(stream, {"id": "without"})
    store.xadd(stream, {"id": "no text", "trigger": b'{"userId":"\xff"}'})
    store.set(trigger_stream(settings, "another"), "a text")
    before = left(store, stream)

    assert erase(settings, RETENTION_TRIGGERS, "ada")

    assert before == left(store, stream)


def test_a_store_that_is_away_is_told(tmp_path: Path) -> None:
    with EmbeddedValkey(tmp_path) as valkey:
        url = valkey.url

    assert not erase(load_settings({}, redis_url=url), RETENTION_TRIGGERS, "ada")


def test_what_comes_after_its_customer_was_erased_is_added_only_if_it_was_decided_after(
    settings: Settings, store: redis.Redis
) -> None:
    """As by a worker that was cut off with a decision in hand, here or in the way of another."""
    assert erase(settings, RETENTION_TRIGGERS, "ada")
    decided = [replace(trigger("churn-risk", f"t-{n}"), user_id="ada") for n in range(2)]
    early, later = (
        Deliverable(one, encode_decision(one), RETENTION_TRIGGERS, TOLD_AT + n)
        for one, n in zip(decided, (-1, 1), strict=True)
    )
    stream = trigger_stream(settings, "churn-risk")

    async def deliver() -> None:
        async with connect(settings) as client:
            streams = TriggerStreams(client, settings, Metrics())
            store.set(stream, "somebody else's")
            assert [] == await streams.append([early, later])
            assert ["t-1"] == left(store, displaced_stream(settings))
            store.delete(stream)
            await streams.return_displaced()
            assert [] == await streams.append([early, later])

    asyncio.run(deliver())
    assert ["t-1", "t-1"] == left(store, stream)
    (marker,) = store.keys(f"{settings.topic_prefix}keepstream:erased:*")
    assert b"ada" not in marker
    assert 0 < store.pttl(marker) <= DAY_MS


def test_a_worker_that_reads_the_news_late_leaves_what_was_decided_since(
    settings: Settings, store: redis.Redis
) -> None:
    """As one that was cut off before it did, and goes on when others are long past it."""
    stream = trigger_stream(settings, "churn-risk")
    of_old, of_new = (
        Deliverable(one, encode_decision(one), RETENTION_TRIGGERS, TOLD_AT + after)
        for after in (-1, 1)
        for one in [replace(trigger("churn-risk", f"t{after}"), user_id="ada")]
    )

    async def deliver(*due: Deliverable) -> None:
        async with connect(settings) as client:
            assert [] == await TriggerStreams(client, settings, Metrics()).append(due)

    asyncio.run(deliver(of_old))
    assert erase(settings, RETENTION_TRIGGERS, "ada")
    assert [] == left(store, stream)
    # Longer than any two of the store's milliseconds are alike.
    time.sleep(0.005)
    asyncio.run(deliver(of_new))
    assert erase(settings, RETENTION_TRIGGERS, "ada")
    assert [of_new.decided.id] == left(store, stream)
    store.delete(stream)
    store.set(stream, "somebody else's")
    asyncio.run(deliver(of_new))
    assert erase(settings, RETENTION_TRIGGERS, "ada")
    # What the other topic's news is of has offsets of its own.
    assert erase(settings, NEXT_BEST_ACTIONS, "ada")
    assert [of_new.decided.id] == left(store, displaced_stream(settings))


def test_earlier_news_read_late_lets_nothing_pass_that_later_news_stops(
    settings: Settings, store: redis.Redis
) -> None:
    async def deliver() -> None:
        async with connect(settings) as client:
            streams = TriggerStreams(client, settings, Metrics())
            for offset in (TOLD_AT, TOLD_AT - 3):
                await streams.erase({FINGERPRINTS.of("ada"): offset}, RETENTION_TRIGGERS)
            decided = replace(trigger("churn-risk", "t"), user_id="ada")
            content = encode_decision(decided)
            await streams.append([Deliverable(decided, content, RETENTION_TRIGGERS, TOLD_AT - 1)])

    asyncio.run(deliver())
    assert [] == left(store, trigger_stream(settings, "churn-risk"))


def test_what_waited_elsewhere_when_its_customer_was_erased_is_not_brought_back(
    settings: Settings, store: redis.Redis
) -> None:
    decided = replace(trigger("churn-risk", "t"), user_id="ada")
    stream = trigger_stream(settings, "churn-risk")

    async def deliver() -> None:
        async with connect(settings) as client:
            streams = TriggerStreams(client, settings, Metrics())
            store.set(stream, "somebody else's")
            await streams.append([Deliverable(decided, encode_decision(decided))])
            (waiting,) = store.xrange(displaced_stream(settings))
            store.delete(stream)
            await streams.erase({FINGERPRINTS.of("ada"): TOLD_AT}, RETENTION_TRIGGERS)
            # A worker that had read it before, and goes on only now.
            store.xadd(displaced_stream(settings), waiting[1])
            await streams.return_displaced()

    asyncio.run(deliver())
    assert [] == left(store, stream)

"""Deliveries to Redis for an erased customer are deleted, and nothing else."""

import asyncio
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
from streams.store_keys import displaced_stream, trigger_stream
from streams.store_writes import connect
from streams.trigger_streams import (
    ENTRIES_PER_LOOK,
    REMOVE,
    WHOSE_ENTRIES,
    Deliverable,
    TriggerStreams,
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
    """Such as by a worker that was cut off with a decision in hand."""
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
    markers = store.keys(f"{settings.topic_prefix}keepstream:erased:*")
    assert 2 == len(markers)
    for marker in markers:
        assert b"ada" not in marker
        assert 0 < store.pttl(marker) <= DAY_MS


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


def test_an_erasure_that_is_done_deletes_nothing_of_who_came_after_it(
    settings: Settings, store: redis.Redis
) -> None:
    """Such as by a worker that was cut off before it had deleted everything."""
    stream = trigger_stream(settings, "churn-risk")

    async def add(streams: TriggerStreams, name: str, offset: int) -> None:
        one = replace(trigger("churn-risk", name), user_id="ada")
        due = Deliverable(one, encode_decision(one), RETENTION_TRIGGERS, offset)
        assert [] == await streams.append([due])

    async def deliver() -> None:
        async with connect(settings) as client:
            streams = TriggerStreams(client, settings, Metrics())
            told = {FINGERPRINTS.of("ada"): TOLD_AT}
            await add(streams, "before", TOLD_AT - 1)
            assert await streams.erase(told, RETENTION_TRIGGERS)
            assert [] == left(store, stream)
            await add(streams, "of a new person", TOLD_AT + 1)
            assert await streams.erase(told, RETENTION_TRIGGERS)
            # One that had looked already, at what is there by now.
            looked = await client.eval(WHOSE_ENTRIES, 1, stream, "-", 10)
            entry_id = looked.split(b"\n")[1].split(b" ")[0]
            (done,) = store.keys(f"{settings.topic_prefix}keepstream:erased:*:done")
            await client.eval(REMOVE, 2, stream, done, TOLD_AT, entry_id)
            assert ["of a new person"] == left(store, stream)
            # And who is erased again goes again.
            again = dict.fromkeys(told, TOLD_AT + 2)
            assert await streams.erase(again, RETENTION_TRIGGERS)

    asyncio.run(deliver())
    assert [] == left(store, stream)


def test_of_erasures_that_are_given_up_no_more_than_the_last_is_kept(
    settings: Settings, store: redis.Redis
) -> None:
    """As when a partition moves to another worker while Redis does not answer."""
    rights = {"keys": ["*"], "categories": ["+@all"], "commands": ["-scan"]}
    store.acl_setuser("no-scan", enabled=True, nopass=True, **rights)  # type: ignore[arg-type]
    url = settings.redis_url.replace("://", "://no-scan:none@")

    async def give_up() -> int:
        async with connect(replace(settings, redis_url=url)) as client:
            streams = TriggerStreams(client, settings, Metrics())
            for number in range(10):
                told = {FINGERPRINTS.of(f"c-{number}"): TOLD_AT}
                assert not await streams.erase(told, RETENTION_TRIGGERS)
            return len(streams._swept)

    assert 1 == asyncio.run(give_up())
    store.acl_deluser("no-scan")

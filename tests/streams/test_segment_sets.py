"""The sets of segments in a real store, as profiles are written."""

import asyncio
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import redis

from config.settings import Settings, load_settings
from streams.embedded.valkey import EmbeddedValkey
from streams.metrics import Metrics
from streams.profile_views import NOBODY, ProfileViews
from streams.segment_sets import SegmentSets
from streams.store_keys import segment_key
from streams.store_writes import connect


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    directory: Path = tmp_path_factory.mktemp("valkey")
    with EmbeddedValkey(directory) as valkey:
        yield load_settings({}, redis_url=valkey.url, topic_prefix="shop.")


@pytest.fixture
def store(settings: Settings) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(settings.redis_url) as client:
        client.flushall()
        yield client


def written(
    settings: Settings,
    names: Sequence[str],
    members: dict[str, list[str]],
    profiles: dict[str, bytes],
    *,
    looks: bool = False,
) -> bool:
    """Write all profiles, as a worker with these segments does."""

    async def write() -> bool:
        async with connect(settings) as client:
            sets = SegmentSets(settings, names, lambda customer: members.get(customer, []))
            views = ProfileViews(client, settings, Metrics(), profiles.get, sets=sets)
            if looks:
                await views.was_emptied()
            views.offer(profiles)
            return await views.write_some()

    return asyncio.run(write())


def members_in(store: redis.Redis, settings: Settings, name: str) -> set[bytes]:
    found: set[bytes] = store.smembers(segment_key(settings, name))  # type: ignore[assignment]
    return found


def test_sets_follow_the_profiles(settings: Settings, store: redis.Redis) -> None:
    profiles = {"ada": b"{}", "王": b"{}"}
    written(settings, ["new", "vip"], {"ada": ["new", "vip"], "王": ["vip"]}, profiles)

    assert {b"ada"} == members_in(store, settings, "new")
    assert {b"ada", "王".encode()} == members_in(store, settings, "vip")
    assert segment_key(settings, "new") == "shop.keepstream:segment:new"

    assert written(settings, ["new", "vip"], {"ada": ["vip"]}, {"ada": b"{}", "王": NOBODY})
    assert set() == members_in(store, settings, "new")
    assert {b"ada"} == members_in(store, settings, "vip")


def test_sets_of_segments_that_are_gone_are_deleted(settings: Settings, store: redis.Redis) -> None:
    written(settings, ["old", "vip"], {"ada": ["old", "vip"]}, {"ada": b"{}"})
    # Somebody else's, by its type.
    store.set(segment_key(settings, "text"), "mine")

    written(settings, ["vip"], {"ada": ["vip"]}, {"ada": b"{}"}, looks=True)

    assert {
        b"shop.keepstream:segment:vip",
        b"shop.keepstream:segment:text",
    } == set(store.keys("shop.keepstream:segment:*"))


def test_a_key_that_holds_something_else_stops_no_profile(
    settings: Settings, store: redis.Redis
) -> None:
    store.set(segment_key(settings, "vip"), "mine")

    assert written(settings, ["vip", "new"], {"ada": ["vip", "new"]}, {"ada": b"{}"})
    assert b"mine" == store.get(segment_key(settings, "vip"))
    assert {b"ada"} == members_in(store, settings, "new")
    assert b"{}" == store.get("shop.keepstream:customer:ada")

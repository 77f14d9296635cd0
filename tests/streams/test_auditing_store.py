"""An audit finds faults in Redis: each is put into a sound store by itself."""

import asyncio
from pathlib import Path

import msgspec
import pytest
import redis

from config.settings import Settings
from config.topics import RETENTION_TRIGGERS
from models.decisions.trigger import encode_decision
from streams.auditing.delivery_audit import DeliveryAudit
from streams.auditing.profile_audit import ReadingTimes, compare_profiles
from streams.auditing.report import Audit
from streams.auditing.spools import digest_of
from streams.auditing.store_contents import KeptProfile, StoreContents, read_store, still_missing
from streams.metrics import Metrics
from streams.store_keys import customer_key, displaced_stream, trigger_stream
from streams.store_writes import connect
from streams.trigger_streams import Deliverable, TriggerStreams
from tests.streams.test_record_batches import FakeRecord
from tests.streams.test_redis_views import gone, settings, store, trigger

__all__ = ["gone", "settings", "store"]

TRIGGERS = [trigger("overdue", f"{number:032}") for number in range(6)]
#: 2026-01-01T00:00:00Z, when all of them were decided.
DECIDED_MS = 1_767_225_600_000
HOUR_MS = 3_600_000
GONE = "decisions that were delivered are not in their streams: deleted there, or lost"


@pytest.fixture
def delivered(settings: Settings, store: redis.Redis) -> str:
    """The stream with every decision in it."""

    async def deliver() -> None:
        async with connect(settings) as client:
            streams = TriggerStreams(client, settings, Metrics())
            await streams.append([Deliverable(one, encode_decision(one)) for one in TRIGGERS])

    asyncio.run(deliver())
    return trigger_stream(settings, "overdue")


def audited(settings: Settings, *, committed: int = 6, cut: int = 0, now_ms: int = 0) -> Audit:
    """The findings on the store, with the decisions on their topic from ``cut`` on."""
    outcome = Audit()
    with (
        StoreContents(None) as contents,
        DeliveryAudit(settings, None, outcome) as deliveries,
    ):
        assert asyncio.run(read_store(settings, contents)) is None
        deliveries.take(
            RETENTION_TRIGGERS,
            [
                FakeRecord(offset, 0, RETENTION_TRIGGERS, value=encode_decision(one))
                for offset, one in enumerate(TRIGGERS[cut:], cut)
            ],
        )
        deliveries.compare(
            contents,
            {(RETENTION_TRIGGERS, 0): committed},
            now_ms=now_ms,
            cut={RETENTION_TRIGGERS: cut},
        )
    return outcome


def delete(store: redis.Redis, stream: str, *places: int) -> None:
    entries = [entry_id for entry_id, _ in store.xrange(stream)]
    store.xdel(stream, *(entries[place] for place in places))


def test_what_was_delivered_is_exact_however_often(
    settings: Settings, store: redis.Redis, delivered: str
) -> None:
    # Once more, as after a connection that broke.
    *_, (_, last) = store.xrange(delivered)
    store.xadd(delivered, last)
    outcome = audited(settings)
    assert (True, []) == (outcome.is_exact, outcome.unchecked)
    assert 6 == outcome.checked["delivered"]


@pytest.mark.parametrize("place", [1, 4, 5])
def test_a_decision_that_is_not_in_its_stream_is_found(
    settings: Settings, store: redis.Redis, delivered: str, place: int
) -> None:
    delete(store, delivered, place)
    (found,) = audited(msgspec.structs.replace(settings, deliver_max_age="0")).differences
    example = f"{delivered} {TRIGGERS[place].id}, {RETENTION_TRIGGERS}-0 at {place}"
    assert ("redis", GONE, [example]) == (found.check, found.words, found.examples)


def test_what_a_trimmed_stream_does_not_have_is_told(
    settings: Settings, store: redis.Redis, delivered: str
) -> None:
    delete(store, delivered, 0, 1)
    outcome = audited(settings)
    (words,) = outcome.unchecked
    assert outcome.is_exact
    assert words.startswith("2 decisions that no stream in Redis has, nor any before them")


def test_an_emptied_store_is_told(settings: Settings) -> None:
    outcome = audited(settings)
    assert outcome.is_exact
    assert ["6 decisions"] == [words[:11] for words in outcome.unchecked]


def test_what_is_not_delivered_yet_is_told(
    settings: Settings, store: redis.Redis, delivered: str
) -> None:
    delete(store, delivered, 5)
    assert ["1 decisions that are not delivered yet"] == audited(settings, committed=5).unchecked


def test_what_was_too_old_by_then_is_told(
    settings: Settings, store: redis.Redis, delivered: str
) -> None:
    """Redis received the next one long after a day had passed."""
    delete(store, delivered, 1, 5)
    assert 2 == audited(settings, now_ms=DECIDED_MS + 24 * HOUR_MS).differences[0].count + 1
    outcome = audited(settings, now_ms=DECIDED_MS + 25 * HOUR_MS)
    assert (True, ["2 decisions that were too old to be delivered by then"]) == (
        outcome.is_exact,
        outcome.unchecked,
    )
    never = msgspec.structs.replace(settings, deliver_max_age="0")
    assert 2 == audited(never, now_ms=DECIDED_MS + 25 * HOUR_MS).differences[0].count


@pytest.mark.parametrize("field", [b"trigger", b"group"])
def test_a_decision_that_says_something_else_is_found(
    settings: Settings, store: redis.Redis, delivered: str, field: bytes
) -> None:
    *_, (entry_id, fields) = store.xrange(delivered)
    store.xdel(delivered, entry_id)
    store.xadd(delivered, {**fields, field: b"treated"})
    (found,) = audited(settings).differences
    assert [f"{delivered} {TRIGGERS[5].id}"] == found.examples


def test_an_invented_decision_is_found_unless_its_record_may_be_gone(
    settings: Settings, store: redis.Redis, delivered: str
) -> None:
    store.xadd(delivered, {"id": "f" * 32, "trigger": b"{}"})
    (found,) = audited(settings).differences
    assert [f"{delivered} {'f' * 32}"] == found.examples
    outcome = audited(settings, cut=2)
    assert outcome.is_exact
    assert ["3 decisions in Redis whose records were deleted by retention"] == outcome.unchecked


def test_a_displaced_decision_counts_as_delivered(
    settings: Settings, store: redis.Redis, delivered: str
) -> None:
    *_, (entry_id, fields) = store.xrange(delivered)
    store.xdel(delivered, entry_id)
    store.xadd(displaced_stream(settings), {**fields, "stream": delivered})
    assert audited(settings).is_exact


def test_a_store_that_does_not_answer_is_told(gone: Settings) -> None:
    with StoreContents(None) as contents:
        why = asyncio.run(read_store(gone, contents))
    assert why is not None
    assert "did not answer" in why


class Customers:
    """Two customers, whose rows last changed by the records at 1 and 3."""

    number = 0

    def __init__(self) -> None:
        self.rows = {"ada": 1, "bob": 3}

    def customers(self) -> list[str]:
        return list(self.rows)

    def applied_to(self, customer: str) -> int | None:
        return self.rows.get(customer)

    async def profile_of(self, customer: str, at_ms: int, version: int) -> bytes | None:
        return f"{customer} {at_ms} {version}".encode() if version < 2 else None


def kept(customer: str, as_of_ms: int, version: int = 0, content: str | None = None) -> KeptProfile:
    told = f"{customer} {as_of_ms} {version}" if content is None else content
    return KeptProfile(customer, as_of_ms, version, digest_of(told.encode()))


SOUND = {"ada": kept("ada", 900), "bob": kept("bob", 450, 1)}


def profiles_audited(
    directory: Path, profiles: dict[str, KeptProfile], *, came: tuple[str, ...] = ()
) -> Audit:
    """The findings on these profiles; ``came``: customers who had one when asked again."""

    async def missing(customers: list[str]) -> list[str]:
        return [one for one in customers if one not in came]

    outcome, moments = Audit(), ReadingTimes(directory, 0)
    for offset, as_of_ms in enumerate([100, 200, 300, 400]):
        moments.note(offset, as_of_ms)
    with StoreContents(None) as contents:
        contents.add_profiles(profiles.values())
        asyncio.run(
            compare_profiles(
                Customers(), moments, contents, lambda one: one != "elsewhere", missing,
                committed=3, audit=outcome,
            )
        )  # fmt: skip
    moments.close()
    return outcome


def test_sound_profiles_are_exact_and_those_of_other_partitions_are_left_to_them(
    tmp_path: Path,
) -> None:
    outcome = profiles_audited(tmp_path, {**SOUND, "elsewhere": kept("elsewhere", 1)})
    assert (True, [], 2) == (outcome.is_exact, outcome.unchecked, outcome.checked["profiles"])


@pytest.mark.parametrize(
    ("profile", "words"),
    [
        (kept("bob", 450, 1, "edited"), "profiles in Redis are not what the rows give"),
        (kept("bob", 450, 2), "profiles in Redis are not what the rows give"),
        (kept("bob", -1), "profiles that Keepstream did not write"),
        (kept("eve", 450), "profiles of customers that the log does not have"),
    ],
)
def test_a_profile_that_is_not_what_the_row_gives_is_found(
    tmp_path: Path, profile: KeptProfile, words: str
) -> None:
    outcome = profiles_audited(tmp_path, {**SOUND, profile.customer: profile})
    assert [words] == [found.words for found in outcome.differences]


def test_a_profile_of_an_earlier_row_is_told(tmp_path: Path) -> None:
    outcome = profiles_audited(tmp_path, {**SOUND, "bob": kept("bob", 400, 0, "of before")})
    assert outcome.is_exact
    (words,) = outcome.unchecked
    assert words.startswith("1 profiles of partition 0 in Redis that may be older than their rows")


def test_a_customer_without_a_profile_is_found_unless_it_comes_or_all_are_gone(
    tmp_path: Path,
) -> None:
    only = {"bob": SOUND["bob"]}
    (found,) = profiles_audited(tmp_path, only).differences
    assert ["ada"] == found.examples
    assert profiles_audited(tmp_path, only, came=("ada",)).is_exact
    # Bob's latest event may not be applied yet.
    assert profiles_audited(tmp_path, {"ada": SOUND["ada"]}).is_exact
    assert profiles_audited(tmp_path, {}).is_exact


def test_times_are_found_again_wherever_they_are(tmp_path: Path) -> None:
    moments = ReadingTimes(tmp_path, 0)
    for offset in [*range(5_000), 5_002]:
        moments.note(offset, 10 * offset)
    assert [0, 41_000, 49_990, 50_020, 50_020] == [
        moments.at(offset) for offset in (0, 4_100, 4_999, 5_001, 5_002)
    ]
    moments.note(5_003, 7)
    assert 7 == moments.at(5_003)
    moments.close()


def test_profiles_are_read_with_when_they_were_drawn_up(
    settings: Settings, store: redis.Redis
) -> None:
    sound = b'{"userId":"ada","asOf":"2026-01-01T00:00:00.000Z","modelVersion":3,"more":1}'
    store.set(customer_key(settings, "ada"), sound)
    store.set(customer_key(settings, "bob"), b"not ours")
    store.lpush(customer_key(settings, "eve"), b"no text")
    with StoreContents(None) as contents:
        asyncio.run(read_store(settings, contents))
        assert {
            KeptProfile("ada", DECIDED_MS, 3, digest_of(sound)),
            KeptProfile("bob", -1, 0, digest_of(b"not ours")),
        } == set(contents.by_version())
    assert ["eve", "max"] == asyncio.run(still_missing(settings, ["ada", "eve", "max"]))

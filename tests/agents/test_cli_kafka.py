"""The command line on a real broker and a real store."""

import asyncio
import time
import uuid
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import redis
from aiokafka import TopicPartition
from typer.testing import CliRunner, Result

from agents.cli import app
from agents.trials.demo.shop import ShopConfig, simulate
from agents.words.lift import lift_in_words
from config.parameters import Parameters
from config.settings import Settings, load_settings
from config.topics import (
    CUSTOMER_EVENTS,
    DEAD_LETTERS,
    MODEL_SNAPSHOTS,
    RAW_TOPICS,
    TRANSACTIONS,
)
from models.admission import admit
from models.customer.profile import encode_profile, profile
from models.customer.row import Row
from models.decisions.trigger import ActionWithdrawn, Decision, encode_decision
from models.events.dead_letter import dead_letter, encode_dead_letter
from models.events.event import Source
from models.events.rejection import Reason, Rejected
from models.events.wire import decode_line, encode_event
from models.learning.population import Population
from models.learning.snapshot import Snapshot, encode_snapshot, prior_snapshot
from models.learning.tallies import Tallies
from models.parameters import load_parameters
from models.partition import Partition
from models.partition_state import rehearsing_state
from models.plan import plan_for
from models.replay import Replay
from streams.embedded.kafka import EmbeddedKafka
from streams.embedded.ports import free_ports
from streams.embedded.valkey import EmbeddedValkey
from streams.kafka_clients import new_producer, new_reader, partition_for, running
from streams.log_records import clock_record, live_record, model_record
from streams.store_keys import customer_key
from streams.topics import create_topics
from tests.agents.test_lift import BY_HAND, TOLD

pytestmark = pytest.mark.kafka

START_MS = 1_735_689_600_000
DAY_MS = 86_400_000
SHOP = ShopConfig(seed=11, customers=40, start_ms=START_MS, days=60, malformed=0.0, late=0.01)

Sent = tuple[str, int | None, bytes | None, bytes | None]


@pytest.fixture
def settings(kafka: EmbeddedKafka, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Topics for one test only, in the environment that commands read."""
    settings = load_settings(
        {},
        bootstrap_servers=kafka.bootstrap_servers,
        topic_prefix=f"{uuid.uuid4().hex[:8]}.",
        partitions=3,
    )
    for name in ("bootstrap_servers", "topic_prefix", "partitions"):
        monkeypatch.setenv(f"KEEPSTREAM_{name.upper()}", str(getattr(settings, name)))
    create_topics(settings)
    return settings


def invoke(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(a) for a in arguments])


def send(settings: Settings, records: list[Sent]) -> None:
    """Write (topic, partition, key, value), each partition in this order."""

    async def write() -> None:
        async with running(new_producer(settings, linger_ms=5), settings) as producer:
            pending = [
                await producer.send(settings.topic(topic), value, key=key, partition=partition)
                for topic, partition, key, value in records
            ]
            await asyncio.gather(*pending)

    asyncio.run(write())


def read(settings: Settings, topic: str) -> list[tuple[bytes | None, bytes | None]]:
    """Everything on ``topic``, by partition."""

    async def read_all() -> list[tuple[bytes | None, bytes | None]]:
        async with running(new_reader(settings), settings) as reader:
            name = settings.topic(topic)
            partitions = [TopicPartition(name, number) for number in range(settings.partitions)]
            reader.assign(partitions)
            ends = await reader.end_offsets(partitions)
            found = []
            while [tp for tp in partitions if await reader.position(tp) < ends[tp]]:
                batches = await reader.getmany(timeout_ms=1_000)
                found += [(r.key, r.value) for records in batches.values() for r in records]
            return found

    return asyncio.run(asyncio.wait_for(read_all(), 30))


class MemoryRows:
    """Rows for the test's own fold."""

    def __init__(self) -> None:
        self.rows: dict[str, Row] = {}

    def get(self, customer: str) -> Row | None:
        return self.rows.get(customer)

    def put(self, customer: str, row: Row) -> None:
        self.rows[customer] = row

    def forget(self, customer: str) -> None:
        raise AssertionError(f"a step of {customer} was not finished")

    def due(self) -> Iterator[tuple[int, str]]:
        return iter(())


def shop_log(settings: Settings, parameters: Parameters, model: bytes) -> list[Sent]:
    """What workers would have written to customer-events: events, clocks, a model, and some
    junk.
    """
    live = live_record(SHOP.start_ms)
    log: list[Sent] = [(CUSTOMER_EVENTS, p, None, live) for p in range(settings.partitions)]
    clocks: dict[int, int] = defaultdict(int)
    for number, record in enumerate(simulate(SHOP)):
        source = Source(record.topic, 0, number, record.occurred_at_ms + 60_000)
        event = admit(record.value, parameters, message_id=f"m{number}", source=source)
        partition = partition_for(event.customer.encode(), settings.partitions)
        log.append((CUSTOMER_EVENTS, partition, event.customer.encode(), encode_event(event)))
        if event.occurred_at_ms > clocks[partition] + DAY_MS // 4:
            clocks[partition] = event.occurred_at_ms
            log.append((CUSTOMER_EVENTS, partition, None, clock_record(event.occurred_at_ms)))
        if number == 400:
            log += [(CUSTOMER_EVENTS, p, None, model) for p in range(settings.partitions)]
        if number in (100, 900):
            log += [(CUSTOMER_EVENTS, partition, b"?", junk) for junk in (None, b"[1]", b"{bad}")]
    return log


def folded(
    log: list[Sent], snapshot: Snapshot, parameters: Parameters
) -> tuple[list[Decision], list[Any]]:
    """The result of a worker's fold of ``log``: triggers by partition, and profiles by customer."""
    plan = plan_for(parameters)
    triggers: list[Decision] = []
    profiles: list[Any] = []
    by_partition: dict[int, list[bytes]] = defaultdict(list)
    for _, number, _, value in log:
        assert number is not None
        by_partition[number].append(value or b"")
    for number, values in sorted(by_partition.items()):
        rows = MemoryRows()
        prior = prior_snapshot(parameters)
        fold = Partition(number, rows, prior, plan, lambda *_: snapshot, rehearsing_state())
        for offset, value in enumerate(values):
            try:
                effects = fold.apply(offset, decode_line(value)).effects
            except Rejected:
                fold.skip(offset)
                continue
            triggers += [effect for effect in effects if isinstance(effect, Decision)]
        profiles += [
            profile(customer, row, fold.as_of_ms, fold.context)
            for customer, row in rows.rows.items()
        ]
    return triggers, sorted(profiles, key=lambda view: view.user_id)


@pytest.mark.parametrize("name", ["log.jsonl", "log.jsonl.gz"])
def test_a_replay_of_an_export_is_what_the_workers_did(
    settings: Settings, tmp_path: Path, name: str
) -> None:
    parameters = load_parameters()
    snapshot = prior_snapshot(parameters)
    learnt = msgspec.structs.replace(snapshot.of(Population), gap_days=4.0)
    snapshot = snapshot.replace(learnt, version=1)
    content, digest = encode_snapshot(snapshot)
    log = shop_log(settings, parameters, model_record(1, digest))
    # A trainer that crashed may have published a version twice; a stranger anything at all.
    stray = [(b"1", b"{}"), (b"1", content), (b"../2", content), (None, content)]
    send(settings, [(MODEL_SNAPSHOTS, 0, key, value) for key, value in stray] + log)

    exported = invoke("export", "--out", tmp_path / name, "--models", tmp_path / "models")
    assert 0 == exported.exit_code, exported.output
    assert "4 records are no JSON objects" in exported.stderr
    assert [tmp_path / "models" / "1.json"] == list((tmp_path / "models").iterdir())
    arguments = (tmp_path / name, "--out", tmp_path / "out", "--models", tmp_path / "models")
    replayed = invoke("replay", *arguments)
    assert 0 == replayed.exit_code, replayed.output

    triggers, profiles = folded(log, snapshot, parameters)
    scored = [one for one in triggers if not isinstance(one, ActionWithdrawn)]
    assert {0, 1} == {one.model_version for one in scored}
    assert len(triggers) > 10
    out = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    assert [encode_decision(decision) for decision in triggers] == out[
        "triggers.jsonl"
    ].splitlines()
    assert [encode_profile(view) for view in profiles] == out["customers.jsonl"].splitlines()


def test_an_export_takes_what_is_there_when_it_starts_and_says_what_is_missing(
    settings: Settings, tmp_path: Path
) -> None:
    content, digest = encode_snapshot(prior_snapshot(load_parameters()).replace(version=1))
    announced = [model_record(1, digest), model_record(7, "00")]
    send(settings, [(MODEL_SNAPSHOTS, 0, b"1", content)])
    send(settings, [(CUSTOMER_EVENTS, 1, None, record) for record in announced])
    without = invoke("export", "--out", tmp_path / "log.jsonl")
    assert 0 == without.exit_code
    assert "--models" in without.stderr
    # Two header lines for each partition, empty or not.
    assert 2 * 3 + 1 == len((tmp_path / "log.jsonl").read_bytes().splitlines())
    with_models = invoke("export", "--out", tmp_path / "b.jsonl", "--models", tmp_path / "models")
    assert 0 == with_models.exit_code
    # As the workers do, which have no such model either.
    assert "does not have (version 7 first) and were left out" in with_models.stderr
    assert (tmp_path / "log.jsonl").read_bytes() == (tmp_path / "b.jsonl").read_bytes()
    assert [tmp_path / "models" / "1.json"] == list((tmp_path / "models").iterdir())


def test_what_actions_bring_is_told_by_the_newest_model(settings: Settings) -> None:
    nothing = invoke("lift")
    assert (1, "no action has been followed for long enough\n") == (
        nothing.exit_code, nothing.stdout
    )  # fmt: skip
    told = prior_snapshot(load_parameters()).replace(Tallies({"lift": BY_HAND}), version=2)
    send(settings, [(MODEL_SNAPSHOTS, 0, b"2", encode_snapshot(told)[0])])
    found = invoke("lift")

    assert 0 == found.exit_code, found.output
    assert list(lift_in_words(TOLD, load_parameters())) == found.stdout.splitlines()


def test_publish_accounts_for_every_line(settings: Settings, tmp_path: Path) -> None:
    view = {"type": "page", "userId": "c1", "timestamp": "2025-01-01T00:00:00Z"}
    bought = {"properties": {"order_id": "o1", "revenue": 5}}
    order = {**view, **bought, "type": "track", "event": "Order Completed"}
    good = [msgspec.json.encode(line) for line in (view, order)]
    file, kept = tmp_path / "events.jsonl", tmp_path / "events.jsonl.refused.jsonl"
    file.write_bytes(b"\n".join(good))
    result = invoke("publish", file)
    assert (0, "") == (result.exit_code, result.stderr)
    assert "2 events published: 1 clickstream, 1 transactions" in result.stdout
    assert not kept.exists()

    file.write_bytes(b"\n".join([good[0], b"", b"{oops", b'{"type":"page"}', good[1]]))
    result = invoke("publish", file)
    assert 1 == result.exit_code
    assert "2 events published" in result.stdout
    assert "line 3: bad_json at $" in result.stderr
    assert "line 4: no_identity at $.userId" in result.stderr
    assert f"they are in {kept}: mend them there, and publish that file" in result.stderr
    assert [(b"c1", good[1])] * 2 == read(settings, TRANSACTIONS)
    assert 2 == len(kept.read_bytes().splitlines())

    assert 1 == invoke("publish", file, "--strict").exit_code
    assert [(b"c1", good[1])] * 2 == read(settings, TRANSACTIONS)
    assert 1 == invoke("publish", file, "--send-bad").exit_code
    sent = {value for topic in RAW_TOPICS for _, value in read(settings, topic)}
    assert {*good, b"{oops", b'{"type":"page"}'} == sent


def test_doctor_says_what_much_was_refused_for_and_which_names_nearly_match(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("KEEPSTREAM_REDIS_URL", f"redis://127.0.0.1:{free_ports(1)[0]}/0")
    slip = {"type": "track", "event": "Order Complete", "userId": "c1"}
    slip |= {"timestamp": "2025-01-01T00:00:00Z"}
    file = tmp_path / "events.jsonl"
    file.write_bytes(b"\n".join([msgspec.json.encode(slip)] * 60))
    result = invoke("publish", file)
    assert "60 events named 'Order Complete': did you mean" in result.stderr
    rejected = Rejected(Reason.OUT_OF_RANGE, "$.properties.currency", "not EUR", "--set x=USD")
    source = Source(TRANSACTIONS, 0, 0, int(time.time() * 1_000))
    refused = encode_dead_letter(dead_letter(rejected, b"{}", step="ingest", source=source))
    send(settings, [(DEAD_LETTERS, 0, None, refused)] * 20)

    result = invoke("doctor", "--json")
    assert 1 == result.exit_code, result.output
    findings = msgspec.json.decode(result.stdout)["findings"]
    told = {finding["check"]: finding for finding in findings}
    assert (
        "20 of 60 events (33%) are refused: out_of_range at $.properties.currency"
        in (told["refused"]["words"])
    )
    assert ("problem", "--set x=USD") == (told["refused"]["level"], told["refused"]["fix"])
    assert (
        "60 events named 'Order Complete': did you mean Order Completed?"
        == (told["names"]["words"])
    )


def test_topics_are_created_checked_and_refused(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KEEPSTREAM_TOPIC_PREFIX", f"{settings.topic_prefix}b.")
    result = invoke("topics", "check")
    assert 1 == result.exit_code
    assert "keepstream topics create" in result.stderr
    for outcome in ("created", "exists"):
        result = invoke("topics", "create")
        assert 0 == result.exit_code, result.output
        assert {outcome} == {line.split()[0] for line in result.stdout.splitlines()}
    assert 0 == invoke("topics", "check").exit_code

    monkeypatch.setenv("KEEPSTREAM_PARTITIONS", "5")
    result = invoke("topics", "check")
    assert 1 == result.exit_code
    assert "3 partitions, 5 are configured: set KEEPSTREAM_PARTITIONS=3" in result.stderr
    assert 2 == invoke("topics", "create").exit_code


def letter(
    raw: bytes, offset: int, reason: Reason = Reason.WRONG_TYPE, step: str = "ingest"
) -> bytes:
    rejected = Rejected(reason, "$.properties.revenue", "Expected `float`, got `str`")
    source = Source(TRANSACTIONS, 2, offset, START_MS)
    return encode_dead_letter(dead_letter(rejected, raw, step=step, source=source))


@pytest.fixture
def refused(settings: Settings) -> dict[str, bytes]:
    raw = {
        "named": b'{"type":"page","messageId":"m1","userId":"canary"}',
        "nameless": b'{"type":"page","userId":"canary"}\n',
        "broken": b"\x1b[2J{canary",
        "late": b'{"type":"page","messageId":"m2","userId":"canary"}',
        "folded": b'{"type":"page","messageId":"m3","userId":"canary"}',
    }
    letters = [
        letter(raw["named"], 1),
        letter(raw["nameless"], 2),
        letter(raw["broken"], 3, Reason.BAD_JSON),
        letter(raw["late"], 4, Reason.TOO_LATE, "profile"),
        letter(raw["folded"], 5, Reason.WRONG_TYPE, "profile"),
        b"not a dead letter",
    ]
    # One after the other, so that time tells them apart whatever partition they are in.
    for number, value in enumerate(letters):
        send(settings, [(DEAD_LETTERS, number % 3, None, value)])
    return raw


def test_dead_letters_are_listed_newest_last_and_without_their_content(
    settings: Settings, refused: dict[str, bytes]
) -> None:
    result = invoke("dead-letters", "list")
    assert 0 == result.exit_code, result.output
    lines = [line for line in result.stdout.splitlines() if not line.startswith("    →")]
    assert 6 == len(lines)
    assert 5 == result.stdout.count("    → ")
    assert "wrong_type  $.properties.revenue  Expected" in lines[0]
    assert "[ingest, transactions-2 at 1]" in lines[0]
    assert "not a dead letter" in lines[-1]
    assert "canary" not in result.stdout

    newest = invoke("dead-letters", "list", "--limit", "2", "--reason", "wrong_type", "--json")
    shown = [msgspec.json.decode(line) for line in newest.stdout.splitlines()]
    assert [2, 5] == [entry["source"]["offset"] for entry in shown]
    assert all("raw" not in entry for entry in shown)

    raw = invoke("dead-letters", "list", "--raw", "--reason", "bad_json")
    assert r"\x1b[2J{canary" in raw.stdout
    assert "\x1b" not in raw.stdout


def test_a_retry_puts_back_what_any_step_refused(
    settings: Settings, refused: dict[str, bytes]
) -> None:
    dry = invoke("dead-letters", "retry", "--dry-run")
    assert "4 dead letters would go back" in dry.stdout
    assert "1 too late stay" in dry.stdout
    assert [] == read(settings, TRANSACTIONS)

    result = invoke("dead-letters", "retry", "--reason", "wrong_type")
    assert 0 == result.exit_code, result.output
    assert "3 to transactions, refused as wrong_type" in result.stdout
    # With the id that ingest would have given it, so that a second retry is a repeat.
    nameless = b'{"type":"page","userId":"canary","messageId":"transactions-2-2"}'
    expected = {refused["named"], nameless, refused["folded"]}
    assert {(b"canary", value) for value in expected} == set(read(settings, TRANSACTIONS))

    result = invoke("dead-letters", "retry", "--include-late")
    assert "1 to transactions, refused as too_late" in result.stdout
    assert "too late stay" not in result.stdout
    assert refused["late"] in {value for _, value in read(settings, TRANSACTIONS)}


def test_what_went_back_is_closed_and_does_not_go_back_again(
    settings: Settings, refused: dict[str, bytes]
) -> None:
    assert (
        "3 dead letters went back"
        in invoke("dead-letters", "retry", "--reason", "wrong_type").stdout
    )
    sent = sorted(read(settings, TRANSACTIONS))

    assert "wrong_type" not in invoke("dead-letters", "list").stdout
    assert 3 == invoke("dead-letters", "list", "--all").stdout.count("  wrong_type  ")
    again = invoke("dead-letters", "retry", "--reason", "wrong_type")
    assert "0 dead letters went back" in again.stdout
    assert sent == sorted(read(settings, TRANSACTIONS))
    # What is still open is told by doctor, and what closes letters is nothing foreign.
    findings = msgspec.json.decode(invoke("doctor", "--json").stdout)["findings"]
    told = {finding["check"]: finding["words"] for finding in findings}
    assert told["dead letters"].startswith("3 in the last hour: ")
    assert "wrong_type" not in told["dead letters"]
    assert "no dead letter" in told["dead letters"]
    assert told["records"].startswith("1 of the newest 8 records of dead-letters")


def test_an_edited_copy_goes_back_if_it_would_be_taken(
    settings: Settings,
    refused: dict[str, bytes],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    listed = invoke("dead-letters", "list", "--json", "--reason", "bad_json").stdout
    place = msgspec.json.decode(listed)["id"]
    file = tmp_path / "mended.json"

    file.write_bytes(b'{"type": "page", "userId": "canary"}')
    result = invoke("dead-letters", "mend", place, "--file", str(file))
    assert 2 == result.exit_code
    assert "required_missing at $.timestamp" in result.stderr
    assert [] == read(settings, TRANSACTIONS)
    for wrong in ("0-999999", "one"):
        assert 2 == invoke("dead-letters", "mend", wrong, "--file", str(file)).exit_code

    # An editor that leaves things as they are, and one that writes something else.
    monkeypatch.setenv("EDITOR", "true")
    monkeypatch.delenv("VISUAL", raising=False)
    assert "nothing was changed" in invoke("dead-letters", "mend", place).stderr
    good = {"type": "page", "userId": "canary", "timestamp": "2026-03-01T10:00:00Z"}
    file.write_bytes(msgspec.json.format(msgspec.json.encode(good)))
    monkeypatch.setenv("EDITOR", f"cp {file}")
    result = invoke("dead-letters", "mend", place)
    assert f"{place} went back to transactions, mended, and is closed" in result.stdout
    # With the id that the refused bytes would have had.
    [(key, value)] = read(settings, TRANSACTIONS)
    assert (b"canary", {**good, "messageId": "transactions-2-3"}) == (
        key, msgspec.json.decode(value),
    )  # fmt: skip
    assert 2 == invoke("dead-letters", "mend", place, "--file", str(file)).exit_code
    assert "bad_json" not in invoke("dead-letters", "list").stdout


def test_where_there_are_no_topics_nothing_goes_live(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = f"not-{settings.topic_prefix}"
    monkeypatch.setenv("KEEPSTREAM_TOPIC_PREFIX", elsewhere)
    result = invoke("live")

    assert 2 == result.exit_code, result.output
    assert f"{elsewhere}customers is missing: run `keepstream topics create`" in result.output


def test_what_was_refused_again_and_again_goes_back_once(settings: Settings) -> None:
    nameless = b'{"type":"page","userId":"c1"}'
    named = b'{"type":"page","userId":"c1","messageId":"transactions-2-1"}'
    generations = [letter(nameless, 1), letter(named, 8), letter(named, 9)]
    send(settings, [(DEAD_LETTERS, 0, None, value) for value in generations])
    assert "1 dead letters went back" in invoke("dead-letters", "retry").stdout
    assert [(b"c1", named)] == read(settings, TRANSACTIONS)


@pytest.fixture
def stored(valkey: EmbeddedValkey, monkeypatch: pytest.MonkeyPatch) -> tuple[Any, bytes]:
    """A customer of the shop, as the workers would keep it in Redis."""
    monkeypatch.setenv("KEEPSTREAM_REDIS_URL", valkey.url)
    engine = Replay(load_parameters())
    for number, record in enumerate(simulate(SHOP), 1):
        engine.feed(record.value, number)
    view = max(engine.profiles(), key=lambda view: (len(view.last_triggers), view.rfm.orders))
    content = encode_profile(view)
    settings = load_settings({}, redis_url=valkey.url)
    with redis.Redis.from_url(valkey.url) as client:
        client.set(customer_key(settings, view.user_id), content)
    return view, content


def test_a_customer_is_shown_in_words_or_as_it_is(stored: tuple[Any, bytes]) -> None:
    view, content = stored
    result = invoke("customers", "show", view.user_id)
    assert 0 == result.exit_code, result.output
    rows: dict[str, Any] = dict(
        line.split("  ", 1) for line in result.stdout.splitlines()[1:] if "  " in line
    )
    assert str(view.rfm.segment) in rows["segment"]
    assert f"{view.rfm.orders} order" in rows["purchases"]
    assert "EUR" in rows["last 90 days"]
    assert "trigger" in rows
    assert view.user_id in result.stdout.splitlines()[0]
    assert f"keepstream explain --customer {view.user_id}" in result.stdout.splitlines()[-1]

    assert content.decode() == invoke("customers", "show", view.user_id, "--json").stdout.strip()


def test_an_unknown_customer_is_told_from_a_store_that_is_away(
    stored: tuple[Any, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    unknown = invoke("customers", "show", "nobody-here")
    assert 1 == unknown.exit_code
    assert "no customer 'nobody-here'" in unknown.stderr
    assert "`keepstream customers ids nobody-here` says whether" in unknown.stderr
    monkeypatch.setenv("KEEPSTREAM_REDIS_URL", f"redis://:canary@127.0.0.1:{free_ports(1)[0]}/0")
    away = invoke("customers", "show", "nobody-here")
    assert 2 == away.exit_code
    assert "KEEPSTREAM_REDIS_URL" in away.stderr
    assert "canary" not in away.output

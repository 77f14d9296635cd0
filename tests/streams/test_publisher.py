"""Every line of a file becomes an acknowledged record, a reported bad line, or an error."""

import asyncio
import gzip
import io
import random
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import orjson
import pytest
from aiokafka import TopicPartition
from kafka.admin import ConfigResource

from config.settings import Settings, load_settings
from config.topics import CLICKSTREAM, RAW_TOPICS, TRANSACTIONS
from streams.embedded.kafka import EmbeddedKafka
from streams.json_lines import LINE_BYTES_MAX, InputError, JsonLines
from streams.kafka_clients import new_admin, new_reader, partition_for, running
from streams.line_publisher import (
    BAD_LINES_KEPT_MAX,
    BadLine,
    StrictError,
    publish_file,
    publish_lines,
)
from streams.publisher import DeliveryError, EventPublisher, RejectedEventError
from streams.topics import TopicsError, create_topics

pytestmark = pytest.mark.kafka


class Record(NamedTuple):
    topic: str
    partition: int
    key: bytes | None
    value: bytes


def route(kind: str, event: str | None) -> str:
    return TRANSACTIONS if kind == "track" and event == "Order Completed" else CLICKSTREAM


def line(user: str | None = "c1", event: str = "Product Viewed", **more: Any) -> bytes:
    return orjson.dumps({"type": "track", "event": event, "userId": user, **more})


def read_back(settings: Settings) -> list[Record]:
    """Everything on the raw topics, by topic, partition and offset."""

    async def read() -> list[Record]:
        found = []
        async with running(new_reader(settings), settings) as reader:
            parts = [
                TopicPartition(settings.topic(topic), number)
                for topic in RAW_TOPICS
                for number in range(settings.partitions)
            ]
            ends = await reader.end_offsets(parts)
            left = {part for part in parts if ends[part]}
            reader.assign(sorted(left))
            while left:
                batches = await asyncio.wait_for(reader.getmany(timeout_ms=1_000), 30)
                for part, records in batches.items():
                    topic = part.topic.removeprefix(settings.topic_prefix)
                    found += [Record(topic, part.partition, r.key, r.value) for r in records]
                left = {part for part in left if await reader.position(part) < ends[part]}
        return found

    return asyncio.run(read())


@pytest.fixture
def settings(kafka: EmbeddedKafka) -> Settings:
    settings = load_settings(
        {},
        bootstrap_servers=kafka.bootstrap_servers,
        topic_prefix=f"{uuid.uuid4().hex[:8]}.",
    )
    create_topics(settings)
    return settings


@pytest.fixture
def publisher(settings: Settings) -> Iterator[EventPublisher]:
    with EventPublisher(settings, route) as publisher:
        yield publisher


def test_events_go_to_their_topic_keyed_by_customer_and_unchanged(
    settings: Settings, publisher: EventPublisher
) -> None:
    chance = random.Random(1)
    users = [f"kunde-ü-{chance.randrange(300)}" for _ in range(2_000)]
    events = [
        line(user, chance.choice(["Product Viewed", "Order Completed"]), n=n)
        for n, user in enumerate(users)
    ]
    report = publish_lines(publisher, events)

    records = read_back(settings)
    assert sorted(events) == sorted(record.value for record in records)
    for record in records:
        event = orjson.loads(record.value)
        key = event["userId"].encode()
        assert (route("track", event["event"]), key) == (record.topic, record.key)
        assert partition_for(key, settings.partitions) == record.partition
    in_log_order = [(r.topic, r.key, orjson.loads(r.value)["n"]) for r in records]
    # Sorting is stable, so this compares the order of each customer's events alone.
    assert sorted(in_log_order, key=lambda r: r[:2]) == sorted(in_log_order)
    assert report.published == publisher.acknowledged == len(events)
    assert report.by_topic == {
        topic: sum(record.topic == topic for record in records)
        for topic in (CLICKSTREAM, TRANSACTIONS)
    }


def test_an_anonymous_visitor_is_the_key_until_there_is_a_user(
    settings: Settings, publisher: EventPublisher
) -> None:
    publish_lines(
        publisher,
        [
            line(None, anonymousId="a1"),
            line("", anonymousId="a2"),
            line("c3", anonymousId="a3"),
        ],
    )
    assert {b"a1", b"a2", b"c3"} == {record.key for record in read_back(settings)}


def test_a_cost_is_published_without_anybody(settings: Settings, publisher: EventPublisher) -> None:
    cost = line(None, "Campaign Cost", properties={"channel": "search", "amount": 12.5})
    publish_lines(publisher, [cost])

    assert [(b"Campaign Cost", cost)] == [(r.key, r.value) for r in read_back(settings)]


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (b"{", "not JSON"),
        (b'{"type":"track","userId":"c1"} trailing', "not JSON"),
        (b'{"type":"track","userId":"c1","properties":{"price":NaN}}', "not JSON"),
        (b'{"type":"\xff","userId":"c1"}', "not JSON: not UTF-8"),
        (b"[1]", "Expected `object`, got `array`"),
        (b'"text"', "Expected `object`, got `str`"),
        (b'{"userId":"c1"}', "missing required field `type`"),
        (b'{"type":7,"userId":"c1"}', "$.type"),
        (b'{"type":"track","userId":7}', "$.userId"),
        (b'{"type":"track"}', "no identity"),
        (b'{"type":"track","userId":"","anonymousId":null}', "no identity"),
        (b'{"type":"watermark","timestamp":"2025-01-01T00:00:00Z"}', "control line (watermark)"),
        (b'{"type":"clock","timestamp":"2025-01-01T00:00:00Z"}', "control line (clock)"),
        (b'{"type":"model","version":1}', "control line (model)"),
        (b'{"type":"score","userId":"c1"}', "control line (score)"),
        (line(text="x" * LINE_BYTES_MAX), "over 1 MiB"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_bad_line_is_reported_and_its_neighbours_are_published(
    settings: Settings, publisher: EventPublisher, bad: bytes, reason: str
) -> None:
    report = publish_lines(publisher, [line(n=1), b"", bad, b"  \n", line(n=2)])
    assert report.published == 2
    assert report.bad_lines_total == 1
    assert report.sent_bad == 0
    [reported] = report.bad_lines
    assert reported.number == 3
    assert reason in reported.reason
    assert sorted([line(n=1), line(n=2)]) == sorted(r.value for r in read_back(settings))


def test_bad_lines_can_be_sent_as_they_are_to_become_dead_letters(
    settings: Settings, publisher: EventPublisher
) -> None:
    bad = [b"{", b'{"type":"track"}', b'{"type":"","userId":""}', b"\xff"]
    never = [b'{"type":"clock","userId":"c1"}', b"x" * (LINE_BYTES_MAX + 1)]
    report = publish_lines(publisher, [*bad, *never, line()], send_bad=True)
    assert (1, 6, 4) == (report.published, report.bad_lines_total, report.sent_bad)
    records = read_back(settings)
    assert sorted([*bad, line()]) == sorted(record.value for record in records)
    assert {CLICKSTREAM} == {record.topic for record in records}


def test_the_first_bad_line_ends_a_strict_publication(
    settings: Settings, publisher: EventPublisher
) -> None:
    with pytest.raises(StrictError, match=r"line 3: not JSON.*2 before it are published"):
        publish_lines(publisher, [line(n=1), line(n=2), b"{", line(n=3)], strict=True)
    assert sorted([line(n=1), line(n=2)]) == sorted(r.value for r in read_back(settings))


def test_only_the_first_bad_lines_are_kept_but_all_are_counted(publisher: EventPublisher) -> None:
    report = publish_lines(publisher, [b"{"] * (BAD_LINES_KEPT_MAX + 5))
    assert report.bad_lines_total == BAD_LINES_KEPT_MAX + 5
    assert list(range(1, BAD_LINES_KEPT_MAX + 1)) == [bad.number for bad in report.bad_lines]


def test_the_largest_event_is_taken_and_one_byte_more_is_not(
    settings: Settings, publisher: EventPublisher
) -> None:
    room = LINE_BYTES_MAX - len(line(text="")) - len("c1")
    largest = line(text="x" * room)
    report = publish_lines(publisher, [largest, line(text="x" * (room + 1))])
    assert [BadLine(2, "over 1 MiB, the most that a topic takes")] == report.bad_lines
    assert [largest] == [record.value for record in read_back(settings)]


@pytest.mark.parametrize("opener", [open, gzip.open], ids=["plain", "gzip"])
def test_a_file_is_published_whether_compressed_or_not(
    settings: Settings, publisher: EventPublisher, tmp_path: Path, opener: Any
) -> None:
    # The name says nothing: gzip is told by its first bytes.
    path = tmp_path / "events.log"
    events = [line(n=n) for n in range(3_000)]
    with opener(path, "wb") as file:
        file.write(b"\r\n".join(events))
    told: list[tuple[int, int, int]] = []
    report = publish_file(publisher, str(path), on_progress=lambda *now: told.append(now))
    assert (3_000, 0) == (report.published, report.bad_lines_total)
    assert sorted(events) == sorted(record.value for record in read_back(settings))
    assert told[-1] == (3_000, 0, path.stat().st_size)
    assert told == sorted(told)
    assert len(told) > 2


def test_standard_input_is_published(
    settings: Settings, publisher: EventPublisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    stdin = SimpleNamespace(buffer=io.BytesIO(line(n=1) + b"\n" + line(n=2)))
    monkeypatch.setattr(sys, "stdin", stdin)
    assert publish_file(publisher, "-").published == 2
    assert not stdin.buffer.closed


def test_a_damaged_gzip_is_an_error_that_says_how_far_it_went(
    publisher: EventPublisher, tmp_path: Path
) -> None:
    path = tmp_path / "events.gz"
    whole = gzip.compress(b"".join(line(n=n) + b"\n" for n in range(50_000)))
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=r"events\.gz: damaged after line [1-9]"):
        publish_file(publisher, str(path))


@pytest.mark.parametrize("name", ["missing.jsonl", "."])
def test_a_file_that_cannot_be_read_is_named(
    publisher: EventPublisher, tmp_path: Path, name: str
) -> None:
    with pytest.raises(InputError, match="can't read it"):
        publish_file(publisher, str(tmp_path / name))


def test_an_endless_line_is_read_in_flat_memory(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl.gz"
    endless = b"x" * (8 * LINE_BYTES_MAX)
    path.write_bytes(gzip.compress(b"one\n" + endless + b"\ntwo\n" + endless))
    with JsonLines(str(path)) as lines:
        assert [3, LINE_BYTES_MAX + 1, 3, LINE_BYTES_MAX + 1] == [len(text) for text in lines]


def test_what_the_broker_refuses_is_counted_and_raised(settings: Settings) -> None:
    with new_admin(settings) as admin:
        clicks = settings.topic(CLICKSTREAM)
        admin.alter_configs([ConfigResource("TOPIC", clicks, {"max.message.bytes": "2000"})])
    events = [line("c1", "Order Completed"), line("c1", text="x" * 3_000)]
    with (
        pytest.raises(DeliveryError, match="1 events were not acknowledged") as failed,
        EventPublisher(settings, route) as publisher,
    ):
        publish_lines(publisher, events)
    assert (1, 1) == (failed.value.acknowledged, failed.value.failed)
    assert [events[0]] == [record.value for record in read_back(settings)]


@pytest.mark.slow
def test_a_broker_that_crashes_and_comes_back_has_every_event_once(tmp_path: Path) -> None:
    with EmbeddedKafka(tmp_path) as kafka:
        settings = load_settings({}, bootstrap_servers=kafka.bootstrap_servers)
        create_topics(settings)
        events = [line(f"c{n % 50}", n=n) for n in range(6_000)]
        with EventPublisher(settings, route) as publisher:
            for event in events[:3_000]:
                publisher.publish(event)
            kafka.kill()
            assert publisher.acknowledged < len(events)
            for event in events[3_000:]:
                publisher.publish(event)
            kafka.start()
        assert publisher.acknowledged == len(events)
        assert sorted(events) == sorted(record.value for record in read_back(settings))


def test_a_program_publishes_mappings_and_bytes(settings: Settings) -> None:
    with EventPublisher(settings, route) as publisher:
        assert publisher.publish({"type": "page", "userId": "c1"}) == CLICKSTREAM
        assert publisher.publish(line(event="Order Completed")) == TRANSACTIONS
        assert publisher.publish({"type": "page", "anonymousId": "a"}, "support") == "support"
        publisher.flush()
        assert publisher.acknowledged == 3
        publisher.publish({"type": "page", "userId": "c2"})
    assert publisher.acknowledged == len(read_back(settings)) == 4


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        ({"type": "page"}, "no identity"),
        ({"userId": "c1"}, "missing required field `type`"),
        ({"type": "page", "userId": "c1", "set": {1, 2}}, "can't be written as JSON"),
        ({"type": "clock", "userId": "c1"}, "control line"),
    ],
)
def test_a_program_is_told_why_an_event_is_refused(
    publisher: EventPublisher, event: dict[str, Any], reason: str
) -> None:
    with pytest.raises(RejectedEventError, match=reason):
        publisher.publish(event)


def test_only_raw_topics_are_published_to(publisher: EventPublisher) -> None:
    with pytest.raises(ValueError, match="'customer-events' is no raw topic"):
        publisher.publish(line(), "customer-events")


def test_missing_topics_are_named_before_anything_is_published(kafka: EmbeddedKafka) -> None:
    settings = load_settings({}, bootstrap_servers=kafka.bootstrap_servers, topic_prefix="none.")
    with pytest.raises(TopicsError, match=r"none\.support.*keepstream topics create"):
        EventPublisher(settings, route)

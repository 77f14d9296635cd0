"""Every line of a file becomes an acknowledged record, a reported bad line, or an error."""

import gzip
import io
import random
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import orjson
import pytest
from kafka.admin import ConfigResource

from config.settings import Settings, load_settings
from config.topics import CLICKSTREAM, TRANSACTIONS
from models.events.refused_line import original
from models.events.wire import EVENT_BYTES_MAX
from models.parameters import load_parameters
from streams.embedded.kafka import EmbeddedKafka
from streams.embedded.process import wait_until
from streams.json_lines import LINE_BYTES_MAX, InputError
from streams.kafka_clients import new_admin, partition_for
from streams.line_check import LineCheck
from streams.line_publisher import (
    BAD_LINES_KEPT_MAX,
    PublishReport,
    StrictError,
    publish_files,
    publish_stream,
)
from streams.publisher import DeliveryError, EventPublisher, RejectedEventError
from streams.topics import TopicsError, create_topics
from tests.streams.records import read_back

pytestmark = pytest.mark.kafka


def route(kind: str, event: str | None) -> str:
    return TRANSACTIONS if kind == "track" and event == "Order Completed" else CLICKSTREAM


def line(user: str | None = "c1", event: str = "Product Viewed", **more: Any) -> bytes:
    order = {"properties": {"order_id": "o1", "revenue": 5}} if event == "Order Completed" else {}
    at = {"timestamp": "2025-01-01T00:00:00Z"}
    return orjson.dumps({"type": "track", "event": event, "userId": user, **at, **order, **more})


#: Events that come at the end of 2025.
CHECK = LineCheck(load_parameters(), 1_767_225_600_000)


def _heard(done: int, note: str, total: int | None = None) -> None:
    """Progress that is not shown."""


@pytest.fixture
def publish(publisher: EventPublisher, tmp_path: Path) -> Callable[..., PublishReport]:
    """Publish these lines as a file."""

    def publish(lines: list[bytes], **options: Any) -> PublishReport:
        path = tmp_path / "events.jsonl"
        path.write_bytes(b"\n".join(lines))
        return publish_files(publisher, [str(path)], CHECK, on_progress=_heard, **options)

    return publish


def refused_in(directory: Path) -> list[dict[str, Any]]:
    content = (directory / "events.jsonl.refused.jsonl").read_bytes()
    return [orjson.loads(line) for line in content.splitlines()]


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
    settings: Settings, publisher: EventPublisher, publish: Callable[..., PublishReport]
) -> None:
    chance = random.Random(1)
    users = [f"kunde-{chance.randrange(300)}" for _ in range(2_000)]
    events = [
        line(user, chance.choice(["Product Viewed", "Order Completed"]), n=n)
        for n, user in enumerate(users)
    ]
    report = publish(events)

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
    assert 0 == report.earlier


def test_a_history_is_sent_in_the_order_of_time_across_files(
    settings: Settings, publisher: EventPublisher, tmp_path: Path
) -> None:
    numbers = list(range(3_000))
    random.Random(2).shuffle(numbers)
    halves = [tmp_path / "a.jsonl", tmp_path / "b.jsonl"]
    for half, path in zip((numbers[:1_500], numbers[1_500:]), halves, strict=True):
        path.write_bytes(
            b"\n".join(
                line(timestamp=f"2025-01-01T{n // 3_600:02d}:{n // 60 % 60:02d}:{n % 60:02d}Z", n=n)
                for n in half
            )
        )
    report = publish_files(publisher, [str(path) for path in halves], CHECK, on_progress=_heard)

    # One customer's, so that one partition has them all.
    assert list(range(3_000)) == [orjson.loads(r.value)["n"] for r in read_back(settings)]
    assert report.earlier > 1_000


def test_an_anonymous_visitor_is_the_key_until_there_is_a_user(
    settings: Settings, publish: Callable[..., PublishReport]
) -> None:
    publish(
        [line(None, anonymousId="a1"), line("", anonymousId="a2"), line("c3", anonymousId="a3")]
    )
    assert {b"a1", b"a2", b"c3"} == {record.key for record in read_back(settings)}


def test_a_cost_is_published_without_anybody(
    settings: Settings, publish: Callable[..., PublishReport]
) -> None:
    cost = line(None, "Campaign Cost", properties={"channel": "search", "amount": 12.5})
    assert 1 == publish([cost]).published

    assert [cost] == [r.value for r in read_back(settings)]


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (b"{", "bad_json at $"),
        (b'{"type":"track","userId":"c1"} trailing', "bad_json at $"),
        (b"[1]", "wrong_type at $: an event is a JSON object"),
        (b'{"userId":"c1"}', "required_missing at $.type"),
        (line(timestamp="2026-01-02T00:00:00Z"), "out_of_range at $.timestamp: later than its arr"),
        (line(timestamp=None), "required_missing at $.timestamp"),
        (line(""), "no_identity at $.userId"),
        (b'{"type":"watermark","timestamp":"2025-01-01T00:00:00Z"}', "a control line (watermark)"),
        (b'{"type":"clock","timestamp":"2025-01-01T00:00:00Z"}', "a control line (clock)"),
        (b'{"type":"model","version":1}', "a control line (model)"),
        (b'{"type":"score","userId":"c1"}', "a control line (score)"),
        (line(text="x" * EVENT_BYTES_MAX), "too_large at $"),
        (line(text="x" * LINE_BYTES_MAX), "too_large at $"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_bad_line_is_kept_with_its_reason_and_its_neighbours_are_published(
    settings: Settings,
    publish: Callable[..., PublishReport],
    tmp_path: Path,
    bad: bytes,
    reason: str,
) -> None:
    report = publish([line(n=1), b"", bad, b"  ", line(n=2)])
    assert (2, 1, 0) == (report.published, report.bad_lines_total, report.sent_bad)
    [reported] = report.bad_lines
    assert 3 == reported.number
    assert reason in reported.reason
    assert " → " in reported.reason
    assert sorted([line(n=1), line(n=2)]) == sorted(r.value for r in read_back(settings))
    [kept] = refused_in(tmp_path)
    assert 3 == kept["refused"]["line"]
    assert bad[:LINE_BYTES_MAX] == original(orjson.dumps(kept))[:LINE_BYTES_MAX]


def test_what_was_mended_is_published_as_if_it_had_never_been_refused(
    settings: Settings, publisher: EventPublisher, publish: Callable[..., PublishReport]
) -> None:
    wrong = line("c1", "Order Completed").replace(b'"revenue":5', b'"revenue":"five"')
    report = publish([line(n=1), wrong, b"{oops"])
    [path] = report.refused_files
    content = Path(path).read_bytes()
    assert [2, 3] == [orjson.loads(line)["refused"]["line"] for line in content.splitlines()]

    Path(path).write_bytes(content.replace(b'"five"', b"5"))
    again = publish_files(publisher, [path], CHECK, on_progress=_heard)
    assert (1, 1) == (again.published, again.bad_lines_total)
    expected = [line("c1", "Order Completed"), line(n=1)]
    assert sorted(expected) == sorted(record.value for record in read_back(settings))
    [kept] = Path(again.refused_files[0]).read_bytes().splitlines()
    assert b"{oops" == original(kept)


def test_bad_lines_can_be_sent_as_they_are_to_become_dead_letters(
    settings: Settings, publish: Callable[..., PublishReport], tmp_path: Path
) -> None:
    bad = [b"{", b'{"type":"track"}', b'{"type":"","userId":""}', b"\xff"]
    never = [b'{"type":"clock","userId":"c1"}', b"x" * (LINE_BYTES_MAX + 1)]
    report = publish([*bad, *never, line()], send_bad=True)
    assert (1, 6, 4) == (report.published, report.bad_lines_total, report.sent_bad)
    records = read_back(settings)
    assert sorted([*bad, line()]) == sorted(record.value for record in records)
    assert {CLICKSTREAM} == {record.topic for record in records}
    assert [5, 6] == [kept["refused"]["line"] for kept in refused_in(tmp_path)]


def test_the_first_bad_line_ends_a_strict_publication_before_anything_is_sent(
    settings: Settings, publish: Callable[..., PublishReport], tmp_path: Path
) -> None:
    with pytest.raises(StrictError, match=r"line 3: bad_json.*nothing is published"):
        publish([line(n=1), line(n=2), b"{", line(n=3)], strict=True)
    assert [] == read_back(settings)
    assert ["events.jsonl"] == [path.name for path in tmp_path.glob("events*")]


def test_only_the_first_bad_lines_are_listed_but_all_are_counted_and_kept(
    publish: Callable[..., PublishReport], tmp_path: Path
) -> None:
    report = publish([b"{"] * (BAD_LINES_KEPT_MAX + 5))
    assert report.bad_lines_total == len(refused_in(tmp_path)) == BAD_LINES_KEPT_MAX + 5
    assert list(range(1, BAD_LINES_KEPT_MAX + 1)) == [bad.number for bad in report.bad_lines]


def test_the_largest_event_is_taken_and_one_byte_more_is_not(
    settings: Settings, publish: Callable[..., PublishReport]
) -> None:
    room = EVENT_BYTES_MAX - len(line(text=""))
    largest = line(text="x" * room)
    report = publish([largest, line(text="x" * (room + 1))])
    assert [2] == [bad.number for bad in report.bad_lines]
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
    heard: list[tuple[int, str, int | None]] = []

    def hear(done: int, note: str, total: int | None = None) -> None:
        heard.append((done, note, total))

    report = publish_files(publisher, [str(path)], CHECK, on_progress=hear)
    assert (3_000, 0) == (report.published, report.bad_lines_total)
    assert sorted(events) == sorted(record.value for record in read_back(settings))
    read, sent = [h for h in heard if h[2] is None], [h for h in heard if h[2] == 3_000]
    assert 3 == len(read) == len(sent)
    assert all(0 < done <= path.stat().st_size for done, _, _ in read)
    assert [1_000, 2_000, 3_000] == [done for done, _, _ in sent]


def test_standard_input_is_published_as_it_comes(
    settings: Settings, publisher: EventPublisher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    later = line(n=1, timestamp="2025-01-02T00:00:00Z")
    for _ in range(2):
        stdin = SimpleNamespace(buffer=io.BytesIO(later + b"\n{\n" + line(n=2)))
        monkeypatch.setattr(sys, "stdin", stdin)
        report = publish_stream(publisher, CHECK, on_progress=_heard)
        assert (2, 1, 1) == (report.published, report.earlier, report.bad_lines_total)
        assert not stdin.buffer.closed
    assert [later, line(n=2)] * 2 == [record.value for record in read_back(settings)]
    # What came by it cannot be read again, so nothing of it may be overwritten.
    assert 2 == len((tmp_path / "stdin.refused.jsonl").read_bytes().splitlines())


def test_a_damaged_gzip_is_an_error_that_says_how_far_it_went_and_sends_nothing(
    settings: Settings, publisher: EventPublisher, tmp_path: Path
) -> None:
    path = tmp_path / "events.gz"
    whole = gzip.compress(b"".join(line(n=n) + b"\n" for n in range(50_000)))
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=r"events\.gz: damaged after line [1-9]"):
        publish_files(publisher, [str(path)], CHECK, on_progress=_heard)
    assert [] == read_back(settings)


def test_what_the_broker_refuses_is_counted_and_raised(settings: Settings) -> None:
    with new_admin(settings) as admin:
        clicks = settings.topic(CLICKSTREAM)
        limited = ConfigResource("TOPIC", clicks, {"max.message.bytes": "2000"})
        admin.alter_configs([limited])
        # A broker that has just made the topic does not keep to it at once.
        wait_until(lambda: "2000" in str(admin.describe_configs([limited])), "the limit", 30, [])
    events = [line("c1", "Order Completed"), line("c1", text="x" * 3_000)]
    publisher = EventPublisher(settings, route)
    publisher.publish(events[0])
    publisher.flush()
    publisher.publish(events[1])
    with pytest.raises(DeliveryError, match="1 events were not acknowledged") as failed:
        publisher.close()
    assert 1 == failed.value.acknowledged
    assert [events[1]] == [record.value for record in failed.value.undelivered.refused]
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
        ({"type": "page"}, "no_identity at \\$.userId"),
        ({"userId": "c1"}, "required_missing at \\$.type"),
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

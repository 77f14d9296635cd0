"""What a process remembers of its writes to the log equals what it would read there."""

from typing import Any

import orjson
import pytest

from agents.trials.demo.shop import ShopConfig, simulate
from config.topics import CLICKSTREAM
from models.admission import event_of
from models.events.event import Event
from models.events.log_format import require_log_format
from models.events.times import iso
from models.events.wire import decode_log_line
from streams.log_records import AHEAD_MAX_MS, is_event_to_come, is_to_come
from streams.own_events import BYTES_MAX, REMEMBERED_MAX, OwnEvents
from streams.raw_records import Outgoing, outgoing_of
from tests.models.lines import PARAMETERS, START_MS
from tests.streams.test_record_batches import FakeRecord


def ingested(
    content: bytes, own: OwnEvents, *, taken_ms: int = START_MS, topic: str = CLICKSTREAM
) -> Outgoing:
    """What ingest writes for a raw record, and remembers."""
    record = FakeRecord(7, 3, topic, taken_ms, 0, b"key", content, [])
    outgoing, found = outgoing_of(topic, record, "one", PARAMETERS, 4)
    if isinstance(found, Event):
        own.wrote(outgoing.value, found)
    return outgoing


def read(value: bytes) -> Event:
    """A record of the log, as a process reads it that did not write it."""
    line = decode_log_line(value)
    require_log_format(line)
    assert line.moves_clock
    return event_of(line, message_id="another")


def event(**fields: Any) -> bytes:
    known = {"type": "page", "messageId": "m-1", "userId": "ada", "timestamp": iso(START_MS)}
    return orjson.dumps({**known, **fields})


def test_a_shop_with_mishaps_is_remembered_as_it_is_read() -> None:
    shop = ShopConfig(seed=5, customers=40, start_ms=START_MS, days=60, malformed=0.02)
    own, remembered = OwnEvents(), 0
    records = list(simulate(shop))
    for record in records:
        taken_ms = record.occurred_at_ms + 1
        written = ingested(record.value, own, taken_ms=taken_ms, topic=record.topic)
        if (found := own.read(written.value)) is not None:
            # As they are told in Python, where 1 and 1.0 are not the same: nor are they in a row.
            assert repr(read(written.value)) == repr(found)
            remembered += 1
    assert remembered > 0.9 * len(records)


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param({"type": "track", "event": "User Erase Requested"}, id="a request to erase"),
        pytest.param({"context": {"consent": {"purposes": 7}}}, id="a consent that nobody reads"),
        pytest.param({"userId": None}, id="a dead letter"),
    ],
)
def test_what_is_not_read_as_it_was_admitted_is_not_remembered(fields: dict[str, Any]) -> None:
    own = OwnEvents()
    written = ingested(event(**fields), own)
    assert own.read(written.value) is None


def test_an_event_is_remembered_until_it_is_read() -> None:
    own = OwnEvents()
    written = ingested(event(), own)
    assert own.read(written.value[:-1] + b" }") is None
    assert own.read(written.value) is not None
    assert own.read(written.value) is None
    assert own.read(None) is None


def test_what_never_comes_back_is_forgotten() -> None:
    own = OwnEvents()
    written = ingested(event(), own).value
    found = own.read(written)
    assert found is not None
    for number in range(3 * REMEMBERED_MAX):
        own.wrote(b"%d" % number, found)
        assert len(own) <= 2 * REMEMBERED_MAX
    assert own.read(b"0") is None
    # Of the generation before the latest.
    assert own.read(b"%d" % (2 * REMEMBERED_MAX)) is not None


def test_a_few_large_events_are_not_remembered_for_long() -> None:
    own = OwnEvents()
    found = own.read(ingested(event(), own).value)
    assert found is not None
    large = BYTES_MAX // 64
    for number in range(300):
        own.wrote(b"%0*d" % (large, number), found)
        assert len(own) <= 2 * 64
    assert own.read(b"%0*d" % (large, 299)) is not None


@pytest.mark.parametrize("of_event_ms", [-1, 0, 1])
@pytest.mark.parametrize("of_arrival_ms", [-1, 0, 1])
def test_an_event_is_to_come_whichever_way_it_was_read(
    of_event_ms: int, of_arrival_ms: int
) -> None:
    latest_ms = START_MS + AHEAD_MAX_MS
    own = OwnEvents()
    content = event(timestamp=iso(latest_ms + of_event_ms))
    value = ingested(content, own, taken_ms=latest_ms + of_arrival_ms).value
    found = own.read(value)
    assert found is not None
    is_expected = max(of_event_ms, of_arrival_ms) > 0
    assert is_expected is is_event_to_come(found, START_MS)
    assert is_expected is is_to_come(decode_log_line(value), START_MS)

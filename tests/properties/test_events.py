"""Any input is an event or a rejection, and an event survives any encoding unchanged."""

import contextlib
import math
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.admission import admit, decode_event
from models.catalogue import kind_of
from models.customer.profile import encode_profile
from models.customer.registry import VERSIONS
from models.customer.row import Row, decode_row
from models.customer.row_formats import RowError
from models.customer.row_layout import check_row
from models.events.dead_letter import DeadLetter
from models.events.event import Event
from models.events.rejection import Rejected
from models.events.wire import encode_event
from models.learning.snapshot import SnapshotError, decode_snapshot
from models.partition_state import decode_state
from models.replay import Replay
from tests.models.lines import PARAMETERS
from tests.properties.histories import assert_kept, histories, said

json = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3)
    ),
    max_leaves=6,
)
moments = st.sampled_from(
    [
        "2026-01-01T00:00:00Z",
        "2026-01-01T00:00:00",
        "1970-01-01T00:00:00Z",
        "0001-01-01T00:00:00+14:00",
        "9999-12-31T23:59:59-12:00",
        "2999-12-31T23:59:59Z",
    ]
)


@st.composite
def objects(draw: st.DrawFn) -> bytes:
    """Nearly an event: the fields of one, some of them replaced by anything."""
    name, properties = draw(said)
    fields: dict[str, Any] = {
        "type": draw(st.sampled_from(["track", "track", "page", "score", "watermark", "clock"])),
        "event": name,
        "messageId": draw(st.text(max_size=5)),
        "userId": draw(st.sampled_from(["ada", "null", "a b"])),
        "timestamp": draw(moments),
        "properties": dict(properties),
        "context": {"channel": "web"},
    }
    names = [*fields, "source", "position", "version", "sha256", "horizonDays", "anonymousId"]
    for where in draw(st.lists(st.sampled_from(names), max_size=2)):
        fields[where] = draw(json)
    for where in draw(st.lists(st.sampled_from([*properties, "x"]), max_size=2)):
        if isinstance(fields["properties"], dict):
            fields["properties"][where] = draw(json)
    return orjson.dumps(fields)


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """An event with a stretch of its bytes replaced."""
    content = draw(objects())
    start = draw(st.integers(0, len(content)))
    end = draw(st.integers(start, min(start + 20, len(content))))
    return content[:start] + draw(st.binary(max_size=9)) + content[end:]


anything = st.one_of(st.binary(max_size=200), objects(), damaged())


@given(content=anything)
def test_any_bytes_are_an_event_or_a_rejection(content: bytes) -> None:
    try:
        event = admit(content, PARAMETERS, message_id="m")
    except Rejected as rejected:
        fault = rejected.path
    else:
        fault = "$"
        assert event == decode_event(encode_event(event), message_id="other")
    assert fault.startswith("$")


@given(lines=st.lists(anything, min_size=1, max_size=12))
def test_any_log_is_replayed_to_the_end(lines: list[bytes]) -> None:
    replay = Replay(PARAMETERS)
    refused = 0
    for number, content in enumerate(lines, 1):
        outputs = replay.feed(content, number)
        letters = [output for output in outputs if isinstance(output, DeadLetter)]
        refused += len(letters)
        assert [content] * len(letters) == [letter.content() for letter in letters]

    events = replay.summary().events
    assert events["read"] == sum(count for fate, count in events.items() if fate != "read")
    assert refused == events["deadLettered"] + events["late"]
    for view in replay.profiles():
        assert_finite(orjson.loads(encode_profile(view)))
    for row in replay.rows().values():
        assert_kept(row)


def assert_finite(value: object) -> None:
    match value:
        case float():
            assert math.isfinite(value)
        case dict():
            for inner in value.values():
                assert_finite(inner)
        case list():
            for inner in value:
                assert_finite(inner)


@given(lines=histories())
def test_an_event_is_read_as_it_was_written(lines: list[bytes]) -> None:
    for content in lines:
        event = decode_event(content, message_id="")
        again = decode_event(encode_event(event), message_id="")
        assert event == again
        assert encode_event(event) == encode_event(again)


@given(content=st.binary(max_size=80))
def test_any_bytes_are_a_row_or_say_that_they_are_none(content: bytes) -> None:
    with contextlib.suppress(RowError):
        assert isinstance(decode_row(content), Row)
    with contextlib.suppress(RowError):
        check_row(content, VERSIONS)


@given(content=st.binary(max_size=80))
def test_any_bytes_are_a_state_or_say_that_they_are_none(content: bytes) -> None:
    with contextlib.suppress(RowError):
        decode_state(content)


@given(content=st.binary(max_size=80) | json.map(orjson.dumps))
def test_any_bytes_are_a_snapshot_or_say_that_they_are_none(content: bytes) -> None:
    with pytest.raises(SnapshotError):
        decode_snapshot(content)


def test_an_events_name_may_be_that_of_a_type() -> None:
    event = Event(
        name="page", kind=kind_of("page"), customer="ada", message_id="m", occurred_at_ms=1
    )

    assert event == decode_event(encode_event(event), message_id="")

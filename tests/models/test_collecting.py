"""Client libraries' requests become complete events, with time corrected once, or are refused."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from models.collecting.arrival import Arrival, arrived
from models.collecting.requests import BODY_BYTES_MAX, EVENTS_MAX, ROUTES, Form, Route, opened
from models.collecting.throttle import Throttle
from models.events.rejection import Reason, Rejected
from models.events.times import iso
from models.events.wire import EVENT_BYTES_MAX

BATCH, ONE = ROUTES["/v1/batch"], ROUTES["/v1/track"]
RECEIVED_MS = 1_772_359_210_000  # 2026-03-01T10:00:10Z
SENT = Raw(b'"2026-03-01T09:00:00Z"')

#: Any two of them less a third is after 1970.
moments = st.integers(1_000_000_000_000, 1_999_999_999_999)


def published(event: Any, **more: Any) -> dict[str, Any]:
    raw = event if isinstance(event, bytes) else json.dumps(event).encode()
    content = arrived(raw, Arrival(RECEIVED_MS, **more))
    assert content is not None
    found: dict[str, Any] = json.loads(content)
    return found


@given(moments, moments, moments)
def test_event_time_is_arrival_less_the_delay_by_the_senders_own_clock(
    happened_ms: int, sent_ms: int, received_ms: int
) -> None:
    event = {"timestamp": iso(happened_ms), "sentAt": iso(sent_ms)}
    content = arrived(json.dumps(event).encode(), Arrival(received_ms))

    found = json.loads(content or b"")
    assert iso(received_ms - (sent_ms - happened_ms)) == found["timestamp"]
    assert (iso(happened_ms), iso(sent_ms)) == (found["originalTimestamp"], found["sentAt"])


def test_a_time_that_would_be_none_stays_as_it_was_sent() -> None:
    event = {"timestamp": iso(1_000), "sentAt": iso(RECEIVED_MS + 1_000)}

    assert iso(1_000) == published(event)["timestamp"]


@pytest.mark.parametrize(
    ("event", "timestamp"),
    [
        # A clock that is an hour slow, five minutes after the event.
        ({"timestamp": "2026-03-01T08:55:00Z"}, "2026-03-01T09:55:10.000Z"),
        ({"timestamp": "2026-03-01T09:55:00+01:00"}, "2026-03-01T09:55:10.000Z"),
        # RudderStack's libraries for Node.
        ({"originalTimestamp": "2026-03-01T08:55:00Z"}, "2026-03-01T09:55:10.000Z"),
        ({"original_timestamp": "2026-03-01T08:55:00Z"}, "2026-03-01T09:55:10.000Z"),
        ({"ORIGINALTIMEﬆAMP": "2026-03-01T08:55:00Z"}, "2026-03-01T09:55:10.000Z"),
        (
            {"timestamp": None, "originalTimestamp": "2026-03-01T08:55:00Z"},
            "2026-03-01T09:55:10.000Z",
        ),
        ({"Timestamp": "2026-03-01T08:55:00Z"}, "2026-03-01T09:55:10.000Z"),
        # The event's own sentAt counts more than the request's.
        (
            {"timestamp": "2026-03-01T08:55:00Z", "sentAt": "2026-03-01T08:55:01Z"},
            "2026-03-01T10:00:09.000Z",
        ),
        ({"timestamp": "2026-03-01T08:55:00Z", "sentAt": "soon"}, "2026-03-01T08:55:00.000Z"),
        ({}, "2026-03-01T10:00:10.000Z"),
        # Left as they are, for the check to refuse.
        ({"timestamp": "2026-03-01T08:55:00"}, "2026-03-01T08:55:00"),
        ({"timestamp": 1772359210}, 1772359210),
    ],
)
def test_times(event: dict[str, Any], timestamp: Any) -> None:
    found = published(event, sent_at=SENT)

    assert timestamp == found["timestamp"]
    assert "2026-03-01T10:00:10.000Z" == found["receivedAt"]


def test_without_a_time_of_sending_the_event_keeps_its_own() -> None:
    assert (
        "2020-01-01T00:00:00.000Z" == published({"timestamp": "2020-01-01T00:00:00Z"})["timestamp"]
    )


texts = st.text('aé"\\\u2028\U0001f600 ', max_size=4)
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=5,
)


def json_of(value: Any) -> bytes:
    return json.dumps(value).encode()


@given(st.dictionaries(st.sampled_from(["userId", "event", "properties", "x"]), json_values))
def test_all_else_stays_byte_for_byte(event: dict[str, Any]) -> None:
    sent = {name: json_of(value) for name, value in event.items()}
    raw = b"{%b}" % b",".join(b'"%b" : %b' % (n.encode(), v) for n, v in sent.items())

    content = arrived(raw, Arrival(RECEIVED_MS, sent_at=SENT, type="track"))
    found = msgspec.json.decode(content or b"", type=dict[str, msgspec.Raw])
    assert sent == {name: bytes(found[name]) for name in sent}
    assert {"timestamp", "receivedAt", "sentAt", "type"} == found.keys() - sent.keys()


@given(st.binary(max_size=200) | texts.map(str.encode) | json_values.map(json_of))
def test_any_bytes_are_an_event_or_are_refused(raw: bytes) -> None:
    for form in Form:
        try:
            content = arrived(raw, Arrival(RECEIVED_MS, form))
        except Rejected:
            continue
        assert content is None or isinstance(msgspec.json.decode(content), dict)


@given(st.binary(max_size=200) | json_values.map(lambda one: b'{"batch":%b}' % json_of(one)))
def test_any_bytes_are_a_request_or_are_refused(content: bytes) -> None:
    for route in (BATCH, ONE):
        try:
            body = opened(content, route)
        except Rejected:
            continue
        assert isinstance(body.events, list)


def test_a_request_fills_in_what_its_events_leave_out() -> None:
    context = Raw(b'{"channel":"web"}')
    more = {"type": "page", "sent_at": SENT, "context": context}

    assert {
        "type": "page",
        "sentAt": "2026-03-01T09:00:00Z",
        "context": {"channel": "web"},
    }.items() <= (published({}, **more).items())
    own = {"type": "track", "sentAt": "2026-03-01T09:30:00Z", "context": {"channel": "app"}}
    assert own.items() <= published(own, **more).items()


def test_a_write_key_is_not_published() -> None:
    assert "writeKey" not in published({"writeKey": "secret"})


def test_traits_are_found_where_rudderstack_has_them() -> None:
    event = {"type": "identify", "context": {"traits": {"email": "a"}}}

    assert {"email": "a"} == published(event)["traits"]
    assert {"b": 1} == published({**event, "traits": {"b": 1}})["traits"]
    assert "traits" not in published({**event, "type": "track"})


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        (
            {"event": "Order Completed", "distinct_id": "ada"},
            {"type": "track", "event": "Order Completed", "userId": "ada"},
        ),
        (
            {"event": "$identify", "distinct_id": "ada", "properties": {"$anon_distinct_id": "v"}},
            {"type": "identify", "userId": "ada", "anonymousId": "v"},
        ),
        (
            {"event": "$set", "distinct_id": "ada", "properties": {"$set": {"plan": "x"}}},
            {"type": "identify", "userId": "ada", "traits": {"plan": "x"}},
        ),
        ({"event": "$pageview", "distinct_id": "ada"}, {"type": "page", "userId": "ada"}),
        ({"event": "$screen", "distinct_id": "ada"}, {"type": "screen", "userId": "ada"}),
        (
            {"event": "$create_alias", "distinct_id": "v", "properties": {"alias": "ada"}},
            {"type": "alias", "userId": "ada", "previousId": "v"},
        ),
        (
            {"event": "x", "distinct_id": "v", "properties": {"$process_person_profile": False}},
            {"type": "track", "anonymousId": "v"},
        ),
        (
            {"event": "x", "properties": {"distinct_id": "v", "$device_id": "v"}},
            {"type": "track", "anonymousId": "v"},
        ),
        ({"event": "x", "distinct_id": "ada", "uuid": "m-1"}, {"messageId": "m-1"}),
        (
            {"event": "x", "distinct_id": "ada", "properties": {"$lib": "posthog-python"}},
            {"context": {"library": {"name": "posthog-python"}}},
        ),
    ],
)
def test_posthog_in_our_words(sent: dict[str, Any], expected: dict[str, Any]) -> None:
    found = published({**sent, "timestamp": "2026-03-01T10:00:00Z"}, form=Form.POSTHOG)

    assert expected.items() <= found.items()
    ids = {"userId", "anonymousId", "previousId"}
    if ids & expected.keys():
        assert ids & expected.keys() == ids & found.keys()


def test_what_posthog_says_of_groups_makes_no_customer() -> None:
    event = {"event": "$groupidentify", "distinct_id": "made-up", "properties": {}}

    assert arrived(json.dumps(event).encode(), Arrival(RECEIVED_MS, Form.POSTHOG)) is None


@pytest.mark.parametrize(
    ("content", "route", "reason"),
    [
        (b"", BATCH, Reason.BAD_JSON),
        (b"{", ONE, Reason.BAD_JSON),
        (b"[]", ONE, Reason.WRONG_TYPE),
        (b"{}", BATCH, Reason.REQUIRED_MISSING),
        (b'{"batch":{}}', BATCH, Reason.WRONG_TYPE),
        (b'{"batch":[%b]}' % b",".join([b"{}"] * (EVENTS_MAX + 1)), BATCH, Reason.TOO_LARGE),
        (b'{"batch":[' + b"[" * (BODY_BYTES_MAX // 2), BATCH, Reason.BAD_JSON),
        (b'{"a":' * (BODY_BYTES_MAX // 8), ONE, Reason.BAD_JSON),
    ],
)
def test_bodies_that_are_refused(content: bytes, route: Route, reason: Reason) -> None:
    with pytest.raises(Rejected) as refused:
        opened(content, route)

    assert reason == refused.value.reason


def test_one_event_that_is_no_json_by_the_letter_costs_none_of_the_others() -> None:
    body = opened(b'{"batch":[{"a":NaN},{"b":"\xff"},{"c":1}],"writeKey":"k","sentAt":"x"}', BATCH)

    assert [["a"], ["b"], ["c"]] == [list(json.loads(bytes(event))) for event in body.events]
    assert ("k", b'"x"') == (body.write_key, bytes(body.sent_at))


def test_an_event_that_is_too_large_is_refused_before_it_is_read() -> None:
    with pytest.raises(Rejected) as refused:
        arrived(b"x" * (EVENT_BYTES_MAX + 1), Arrival(RECEIVED_MS))

    assert Reason.TOO_LARGE == refused.value.reason


def test_the_write_key_is_found_where_each_library_has_it() -> None:
    assert "k" == opened(b'{"batch":[],"writeKey":"k"}', BATCH).write_key
    assert "k" == opened(b'{"batch":[],"api_key":"k"}', ROUTES["/batch"]).write_key
    assert "k" == opened(b'{"writeKey":"k"}', ONE).write_key
    assert opened(b'{"writeKey":{}}', ONE).write_key is None


def test_a_throttle_lets_a_burst_through_and_then_its_rate() -> None:
    throttle = Throttle(events_per_s=10, burst=100)
    assert 0 == throttle.wait_s(0.0)
    throttle.take(130, 0.0)

    assert 3 == throttle.wait_s(0.0)
    assert 1 == throttle.wait_s(2.9)
    assert 0 == throttle.wait_s(3.1)
    throttle.take(1, 3.1)
    # It never holds more than a burst.
    assert 0 == throttle.wait_s(1_000.0)
    throttle.take(101, 1_000.0)
    assert 1 == throttle.wait_s(1_000.0)


@given(st.lists(st.tuples(st.floats(0, 5), st.integers(1, 50)), max_size=50))
def test_no_more_is_taken_than_rate_burst_and_one_request(steps: list[tuple[float, int]]) -> None:
    throttle, now_s, taken = Throttle(events_per_s=5, burst=20), 0.0, 0
    for pause_s, events in steps:
        now_s += pause_s
        if not throttle.wait_s(now_s):
            throttle.take(events, now_s)
            taken += events
    assert taken <= 20 + 5 * now_s + 50

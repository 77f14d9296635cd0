"""A customer's state is what happened to them, however it arrived."""

from collections import defaultdict
from itertools import pairwise
from random import Random
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from config.duration import DAY_MS
from config.parameters import Parameters
from models.customer.profile import encode_profile
from models.customer.row import Row, decode_row, encode_row
from models.decisions.trigger import Trigger
from models.engine import Fate, step
from models.events.wire import decode_event, decode_line, encode_event, iso, timestamp_ms
from models.replay import Replay
from tests.models.lines import MINUTE_MS, PARAMETERS, START_MS, context, line, watermark
from tests.properties.histories import CUSTOMERS, SPAN_MINUTES, histories, said

END_MS = START_MS + SPAN_MINUTES * MINUTE_MS
#: What is decided on the way may differ: a decision once made is not recalled.
DECIDED = ("lastTriggers", "nextDeadlineAt", "decisions")
COOLDOWNS_MS = {rule.name: rule.cooldown for rule in PARAMETERS.triggers.triggers}


def profiles(lines: list[bytes]) -> list[dict[str, Any]]:
    """Everybody's profile once all is delivered, less what was decided on the way."""
    replay = Replay(PARAMETERS)
    for number, content in enumerate([*lines, watermark(END_MS)], 1):
        replay.feed(content, number)
    views = [orjson.loads(encode_profile(view)) for view in replay.profiles()]
    return [{k: v for k, v in view.items() if k not in DECIDED} for view in views]


def assert_alike(expected: object, found: object) -> None:
    """The same: exactly, but for what decays, which may differ by rounding."""
    match expected:
        case float():
            assert pytest.approx(expected, rel=1e-9, abs=1e-8) == found
        case dict():
            assert isinstance(found, dict)
            assert expected.keys() == found.keys()
            for name, value in expected.items():
                assert_alike(value, found[name])
        case list():
            assert isinstance(found, list)
            assert len(expected) == len(found)
            for one, other in zip(expected, found, strict=True):
                assert_alike(one, other)
        case _:
            assert expected == found


@given(history=histories(), data=st.data())
def test_shuffled_late_and_repeated_events_end_in_the_state_of_an_orderly_stream(
    history: list[bytes], data: st.DataObject
) -> None:
    repeats = data.draw(st.lists(st.sampled_from(history), max_size=6))
    shuffled = data.draw(st.permutations([*history, *repeats]))

    assert_alike(profiles(history), profiles(shuffled))


@given(history=histories(), data=st.data())
def test_so_they_do_while_the_clock_stands_still(history: list[bytes], data: st.DataObject) -> None:
    shuffled = data.draw(st.permutations(history))
    still = watermark(START_MS)

    assert_alike(profiles([still, *history]), profiles([still, *shuffled]))


@given(history=histories(), data=st.data())
def test_the_same_event_twice_is_once(history: list[bytes], data: st.DataObject) -> None:
    again = data.draw(st.sampled_from(history))
    where = data.draw(st.integers(history.index(again) + 1, len(history)))
    once, twice = Replay(PARAMETERS), Replay(PARAMETERS)
    for number, content in enumerate(history, 1):
        once.feed(content, number)
    for number, content in enumerate([*history[:where], again, *history[where:]], 1):
        twice.feed(content, number)

    assert encoded(once.rows()) == encoded(twice.rows())
    assert once.summary().triggers == twice.summary().triggers
    assert 1 == twice.summary().events[Fate.DUPLICATE]


def encoded(rows: dict[str, Row]) -> dict[str, bytes]:
    """Rows less their place in the log, which a repeat moves."""
    return {customer: encode_row(replace(row, applied=0)) for customer, row in rows.items()}


@given(
    history=histories(size_max=40),
    days=st.lists(st.integers(0, 60), min_size=1, max_size=40),
)
def test_no_kind_fires_within_its_cooldown(history: list[bytes], days: list[int]) -> None:
    fired: dict[tuple[str, str], list[int]] = defaultdict(list)
    replay = Replay(PARAMETERS)
    for number, content in enumerate(history, 1):
        # Spread over months, not always forwards.
        moved = orjson.loads(content)
        moved_ms = timestamp_ms(decode_line(content)) + days[number % len(days)] * DAY_MS
        moved["timestamp"] = iso(moved_ms)
        for trigger in replay.feed(orjson.dumps(moved), number):
            if isinstance(trigger, Trigger):
                moment_ms = timestamp_ms(decode_line(_stamped(trigger.timestamp)))
                fired[trigger.user_id, trigger.kind].append(moment_ms)
                assert moment_ms <= START_MS + 100 * DAY_MS

    for (_, kind), moments in fired.items():
        for earlier_ms, later_ms in pairwise(moments):
            assert later_ms - earlier_ms >= COOLDOWNS_MS[kind]


def _stamped(timestamp: str) -> bytes:
    return orjson.dumps({"type": "clock", "timestamp": timestamp})


def tight() -> Parameters:
    bounds = replace(PARAMETERS.bounds, messages=8, orders=6, sessions=5, products=4, tickets=3)
    return replace(PARAMETERS, bounds=bounds)


def assert_within(row: Row, parameters: Parameters) -> None:
    bounds = parameters.bounds
    assert len(row.messages) <= 8 * bounds.messages
    assert len(row.purchases.orders) <= bounds.orders
    assert len(row.engagement.sessions) <= bounds.sessions
    assert len(row.cart.items) <= bounds.products
    assert len(row.support.tickets) <= bounds.tickets
    assert len(row.purchases.decayed_orders) <= len(parameters.purchases.half_lives)
    assert len(row.fired_ms) <= 4
    assert len(row.engagement.last_channel) <= 32


@given(history=histories(size_max=60), day=st.integers(0, 3))
def test_every_collection_stays_within_its_bound(history: list[bytes], day: int) -> None:
    parameters = tight()
    within = context(START_MS, parameters=parameters)
    row = Row()
    for content in history:
        event = decode_event(content, message_id="")
        event = replace(event, occurred_at_ms=event.occurred_at_ms + day * DAY_MS)
        row = step(row, event, within).row
        assert_within(row, parameters)


@pytest.mark.parametrize("shuffled", [False, True])
def test_thousands_of_events_with_ids_of_their_own_leave_a_small_row(shuffled: bool) -> None:
    rng = Random(7)
    numbers = list(range(6_000))
    if shuffled:
        rng.shuffle(numbers)
    row, clock_ms = Row(), 0
    for number in numbers:
        at_ms = START_MS + number * 31 * MINUTE_MS
        name, properties = _of_its_own(number)
        event = decode_event(line(name, at_ms, properties=properties), message_id="")
        row = step(row, event, context(clock_ms)).row
        if not shuffled:
            clock_ms = at_ms - MINUTE_MS
        if number % 100 == 0:
            assert_within(row, PARAMETERS)
    assert_within(row, PARAMETERS)
    assert row == decode_row(encode_row(row))
    assert 1_200 == row.purchases.count
    assert len(encode_row(row)) < 64 * 1024


def _of_its_own(number: int) -> tuple[str, dict[str, Any]]:
    return [
        ("Order Completed", {"order_id": f"O-{number}", "revenue": 9.5}),
        ("Product Added", {"product_id": f"P-{number}", "price": 1.0}),
        ("Ticket Opened", {"ticket_id": f"T-{number}"}),
        ("Order Refunded", {"order_id": f"unheard-of-{number}"}),
        ("page", {}),
    ][number % 5]


moments = st.integers(1, 32_503_679_999_999)
extreme = st.sampled_from([0.0, 1e-9, 1.0, 1e12])


@given(
    events=st.lists(st.tuples(moments, said, extreme), min_size=1, max_size=12),
    clocks=st.lists(moments, min_size=1, max_size=12),
)
@settings(max_examples=100)
def test_whatever_is_read_of_anybody_at_any_time_is_a_finite_number(
    events: list[tuple[int, tuple[str, dict[str, Any]], float]], clocks: list[int]
) -> None:
    replay = Replay(PARAMETERS)
    for number, (at_ms, (name, properties), amount) in enumerate(events):
        said_now = dict(properties)
        for field in ("revenue", "total", "price", "quantity"):
            if field in said_now:
                said_now[field] = amount
        content = line(name, at_ms, customer=CUSTOMERS[number % 3], properties=said_now)
        replay.feed(watermark(clocks[number % len(clocks)]), 2 * number)
        replay.feed(content, 2 * number + 1)
        for view in replay.profiles():
            # JSON has no word for what is not finite: it becomes null, and counts are never null.
            told = orjson.loads(encode_profile(view))
            numbers = [
                told["engagement"]["intensity"],
                told["engagement"]["recentViews"],
                *(
                    level[field]
                    for level in told["rfm"]["decayed"]
                    for field in ("orders", "netMinor")
                ),
                told["rfm"]["recencyDays"] if told["rfm"]["orders"] else 0.0,
            ]
            assert all(isinstance(value, float) for value in numbers)
    for row in replay.rows().values():
        assert row == decode_row(encode_row(row))


@given(history=histories())
def test_a_step_changes_neither_the_row_nor_the_event_it_was_given(history: list[bytes]) -> None:
    within = context(START_MS)
    row = Row()
    for content in history:
        event = decode_event(content, message_id="")
        row_before, event_before = encode_row(row), encode_event(event)
        first = step(row, event, within)
        second = step(row, event, within)

        assert first == second
        assert (row_before, event_before) == (encode_row(row), encode_event(event))
        row = first.row

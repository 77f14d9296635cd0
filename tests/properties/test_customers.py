"""A customer's state follows from their events, in whatever order these arrived."""

from collections import defaultdict
from collections.abc import Collection, Mapping
from itertools import pairwise
from random import Random
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from config.duration import DAY_MS
from config.parameters import Parameters
from models import engine
from models.admission import decode_event
from models.customer.contacts import DECISIONS_MAX
from models.customer.profile import encode_profile
from models.customer.purchase_state import PurchaseParameters
from models.customer.row import Row, encode_row
from models.decisions.trigger import Trigger
from models.engine import Fate
from models.events.times import iso
from models.events.wire import decode_line, encode_event, timestamp_ms
from models.learning.lessons import Example
from models.partition import Partition
from models.plan import plan_for
from models.replay import Replay
from tests.examples import drawn
from tests.models.lines import (
    MINUTE_MS,
    PARAMETERS,
    PRIOR,
    START_MS,
    context,
    copied,
    line,
    of,
    seen,
    step,
    watermark,
)
from tests.properties.histories import (
    CUSTOMERS,
    SPAN_MINUTES,
    LiveRows,
    assert_kept,
    histories,
    no_models,
    said,
)

END_MS = START_MS + SPAN_MINUTES * MINUTE_MS
#: What is decided on the way may differ: a decision once made is not recalled.
DECIDED = ("lastTriggers", "nextDeadlineAt", "decisions", "lastMoments", "suppressions")
#: Of sections of what looks find, what is the same whenever they look.
FOUND_AT_LOOKS = {
    "lifecycle": {"customerClass", "stage"},
    "risk": {"band"},
    "tier": {"tier"},
    "channels": {"shares", "zone"},
    "calendar": {"contactedAt"},
    "keyCustomer": {"credit"},
    "relationship": {"level", "name"},
}
#: What is the same once everybody was looked at after all had come. What is left out has a memory,
#: in which a look stays that came before a late event: ``preferred`` is the first channel to come
#: to enough days, and stands until another was ahead for two weeks; ``isKey`` has two limits, one
#: to come in and one to go out; ``since`` and ``before`` say when that was found. In histories of
#: three days nobody comes into a tier by which a contact is due: ``dueAt`` would compare nothing.
FOUND_BY_THE_NEXT_LOOK = FOUND_AT_LOOKS | {
    "channels": {"shares", "zone", "bestHour"},
    "keyCustomer": {"score", "satisfaction", "loyalty", "power", "credit"},
}
#: Check-ins are a week apart.
_LOOKED_AGAIN_MS = END_MS + 8 * DAY_MS
COOLDOWNS_MS = {rule.name: rule.cooldown for rule in PARAMETERS.triggers.triggers}


def profiles(
    lines: list[bytes],
    until_ms: int = END_MS,
    found: Mapping[str, Collection[str]] = FOUND_AT_LOOKS,
) -> list[dict[str, Any]]:
    """All profiles once everything is delivered, without what was decided on the way; of the
    results of looks only those that are ``found`` in any order.
    """
    replay = Replay(PARAMETERS)
    for number, content in enumerate([*lines, watermark(until_ms)], 1):
        replay.feed(content, number)
    views = [orjson.loads(encode_profile(view)) for view in replay.profiles()]
    for view in views:
        _forget_since_when(view, found)
    return [{k: v for k, v in view.items() if k not in DECIDED} for view in views]


def _forget_since_when(view: dict[str, Any], known: Mapping[str, Collection[str]]) -> None:
    """When a look found a state depends on what was known by then; the state itself does not, once
    all events have come. An event that is more than `lifecycle.settle` late comes after the look.
    """
    view["segments"] = [segment["name"] for segment in view["segments"]]
    for name, kept in known.items():
        if (found := view[name]) is not None:
            view[name] = {k: v for k, v in found.items() if k in kept}
    for name in ("segments", *known):
        view["sections"].pop(name, None)


def assert_alike(expected: object, found: object) -> None:
    """Equal: exactly, except for decayed values, which may differ by rounding."""
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
def test_what_the_next_look_finds_does_not_depend_on_what_came_first(
    history: list[bytes], data: st.DataObject
) -> None:
    shuffled = data.draw(st.permutations(history))
    orderly, other = (
        profiles(lines, _LOOKED_AGAIN_MS, FOUND_BY_THE_NEXT_LOOK) for lines in (history, shuffled)
    )

    assert_alike(orderly, other)


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
    """Rows without their offsets, which a repeat moves."""
    found = {}
    for customer, row in rows.items():
        moved = copied(row)
        moved.applied = 0
        found[customer] = encode_row(moved)
    return found


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
    bounds = replace(
        PARAMETERS.bounds, messages=8, orders=6, sessions=5, products=4, tickets=3, pending=2
    )
    # Every trigger fires each time, and every action may follow.
    rules, catalogue = PARAMETERS.triggers, PARAMETERS.actions
    triggers = tuple(replace(rule, cooldown=0) for rule in rules.triggers)
    actions = tuple(replace(action, cooldown=0, cost=0.0) for action in catalogue.actions)
    return replace(
        PARAMETERS,
        bounds=bounds,
        churn=replace(PARAMETERS.churn, prior=0.8, horizon_days=(28.0, 90.0)),
        triggers=replace(rules, triggers=triggers),
        actions=replace(catalogue, actions=actions, caps=()),
    )


def assert_within(row: Row, parameters: Parameters) -> None:
    bounds, parts = parameters.bounds, of(row)
    assert len(row.messages) <= 8 * bounds.messages
    assert len(parts.purchases.orders) <= bounds.orders
    assert len(parts.engagement.sessions) <= bounds.sessions
    assert len(parts.cart.items) <= bounds.products
    assert len(parts.support.tickets) <= bounds.tickets
    half_lives = parameters.of(PurchaseParameters).half_lives
    assert len(parts.purchases.decayed_orders) <= len(half_lives)
    assert len(parts.contacts.fired_ms) <= len(parameters.triggers.triggers)
    assert len(parts.contacts.at_risk) <= len(parameters.triggers.triggers)
    assert len(parts.contacts.latest) <= DECISIONS_MAX
    waiting = parts.labels.waiting()
    for horizon in parameters.churn.horizon_days:
        assert sum(one.horizon_days == horizon for one in waiting) <= bounds.pending
    assert {one.horizon_days for one in waiting} <= set(parameters.churn.horizon_days)
    assert len(parts.engagement.last_channel) <= 32
    assert len(parts.engagement.first_channel) <= 32


TIGHT = tight()


@given(
    history=histories(size_max=60),
    stretched=st.sampled_from([1, 1, 30, 200]),
    days_behind=st.sampled_from([0, 3]),
)
def test_every_collection_stays_within_its_bound(
    history: list[bytes], stretched: int, days_behind: int
) -> None:
    within = context(START_MS, parameters=TIGHT)
    row = Row()
    for content in history:
        event = decode_event(content, message_id="")
        # Over months, so that decision points come and go.
        at_ms = START_MS + (event.occurred_at_ms - START_MS) * stretched
        within = within._replace(clock_ms=max(at_ms - days_behind * DAY_MS, START_MS))
        row, _, _ = step(row, replace(event, occurred_at_ms=at_ms), within)
        assert_within(row, TIGHT)


def test_a_busy_life_fills_what_a_row_may_keep_and_no_more() -> None:
    rng = Random(4)
    row, decisions, labels = Row(), 0, 0
    within = context(parameters=TIGHT)
    for number in range(1_500):
        at_ms = START_MS + number * 5 * 60 * MINUTE_MS
        name, properties = rng.choice(
            [
                ("Product Added", {"product_id": f"P-{number}", "price": 90.0}),
                ("Order Completed", {"order_id": f"O-{number}", "revenue": 9.5}),
                ("Ticket Opened", {"ticket_id": f"T-{number}", "priority": "urgent"}),
            ]
        )
        event = decode_event(line(name, at_ms, properties=properties), message_id="")
        row, _, _ = step(row, event, within._replace(clock_ms=at_ms))
        assert_within(row, TIGHT)
        decisions = max(decisions, len(of(row).contacts.latest))
        labels = max(labels, len(of(row).labels.waiting()))

    assert (DECISIONS_MAX, 2 * TIGHT.bounds.pending) == (decisions, labels)
    assert_kept(row)


#: Horizons short enough to end within the histories and after them, and room for every label.
LABELLED = replace(
    PARAMETERS,
    churn=replace(PARAMETERS.churn, horizon_days=(0.5, 1.0), check_in_days=1.0),
    bounds=replace(PARAMETERS.bounds, pending=1_000),
)


def labelled(lines: list[bytes]) -> tuple[dict[str, Row], list[tuple[str, Example]]]:
    """Rows some days after everything is delivered, and every label with its customer."""
    rows, examples, plan = LiveRows(), [], plan_for(LABELLED)
    for customer in CUSTOMERS:
        partition = Partition(0, rows, PRIOR, plan, no_models)
        theirs = [content for content in lines if f'"userId":"{customer}"'.encode() in content]
        # The watermark stands at the beginning until all is delivered.
        records = [watermark(START_MS), *theirs, watermark(END_MS), watermark(END_MS + 3 * DAY_MS)]
        for offset, content in enumerate(records):
            effects = partition.apply(offset, decode_line(content)).effects
            examples += [(customer, e) for e in effects if isinstance(e, Example)]
    return dict(rows.rows), examples


@given(history=histories(), data=st.data())
def test_in_whatever_order_events_come_every_label_says_what_happened(
    history: list[bytes], data: st.DataObject
) -> None:
    orderly, expected = labelled(history)
    rows, examples = labelled(data.draw(st.permutations(history)))

    for customer, example in (*expected, *examples):
        horizon_ms = round(example.horizon_days * DAY_MS)
        decided_ms = example.timestamp_ms - horizon_ms
        bought = any(
            order.is_purchase and decided_ms < order.placed_at_ms <= decided_ms + horizon_ms
            for order in of(orderly[customer]).purchases.orders
        )
        assert DAY_MS - 1_000 == decided_ms % DAY_MS
        assert example.churned is not bought
    for customer, row in orderly.items():
        assert row.due("decision").due_ms == rows[customer].due("decision").due_ms


@pytest.mark.parametrize("shuffled", [False, True])
def test_thousands_of_events_with_ids_of_their_own_leave_a_small_row(shuffled: bool) -> None:
    rng = Random(7)
    numbers = list(range(4_000))
    if shuffled:
        rng.shuffle(numbers)
    row, clock_ms, within = Row(), 0, context()
    for number in numbers:
        at_ms = START_MS + number * 31 * MINUTE_MS
        name, properties = _of_its_own(number)
        event = decode_event(line(name, at_ms, properties=properties), message_id="")
        now = within._replace(clock_ms=clock_ms)
        engine.step(row, event, now.present, now.plan)
        if not shuffled:
            clock_ms = at_ms - MINUTE_MS
        if number % 100 == 0:
            assert_within(row, PARAMETERS)
            assert_kept(row)
    assert_within(row, PARAMETERS)
    assert_kept(row)
    assert 800 == of(row).purchases.count
    assert len(encode_row(row)) < 72 * 1024


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
@drawn(times=2)
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
        assert_kept(row)


@given(history=histories())
def test_a_step_does_the_same_to_a_row_in_memory_and_to_one_that_was_stored(
    history: list[bytes],
) -> None:
    within = context(START_MS)
    hot = Row()
    for content in history:
        event = decode_event(content, message_id="")
        event_before, stored = encode_event(event), copied(hot)
        first = engine.step(hot, event, within.present, within.plan)
        second = engine.step(stored, event, within.present, within.plan)

        assert first == second
        assert event_before == encode_event(event)
        assert encode_row(hot) == encode_row(stored)
        assert_kept(hot)


@given(history=histories(), late=st.booleans())
def test_what_is_not_applied_changes_nothing(history: list[bytes], late: bool) -> None:
    within = context(START_MS)
    row = Row()
    for content in history:
        event = decode_event(content, message_id="")
        engine.step(row, event, within.present, within.plan)
        before = encode_row(row)
        if late:
            event = replace(event, message_id="another")
            within = within._replace(clock_ms=event.occurred_at_ms + PARAMETERS.time.lateness + 1)
        fate, effects = engine.step(row, event, within.present, within.plan)

        assert (Fate.LATE if late else Fate.DUPLICATE, []) == (fate, effects)
        assert before == encode_row(row)
        assert_kept(row)
        within = within._replace(clock_ms=START_MS)


@given(history=histories())
def test_reading_a_profile_changes_nothing_of_the_customer(history: list[bytes]) -> None:
    within = context(START_MS)
    row = Row()
    for content in history:
        event = decode_event(content, message_id="")
        engine.step(row, event, within.present, within.plan)
        before = encode_row(row)
        first = encode_profile(seen(row, END_MS, within))

        assert first == encode_profile(seen(copied(row), END_MS, within))
        assert before == encode_row(row)
        assert_kept(row)

"""Labels from silence: when they are decided, when they are released, and their value."""

from base64 import b64decode
from collections.abc import Iterable
from typing import Any

import orjson
import pytest
from msgspec.structs import replace

from config.duration import DAY_MS
from config.parameters import Parameters
from models.customer.row import Row, decode_row, encode_row
from models.customer.scores import assessment
from models.engine import Effect
from models.events.event import Event
from models.events.times import iso
from models.events.wire import decode_line
from models.learning.feature_names import NAMES, pack
from models.learning.lessons import Example, Observation, decode_lesson, encode_lesson
from models.partition import Partition
from models.partition_state import PartitionState
from models.plan import plan_for
from tests.models.lines import (
    PARAMETERS,
    PRIOR,
    Within,
    at,
    context,
    happened,
    line,
    lived,
    of,
    scene,
    waited,
)
from tests.properties.histories import LiveRows, no_models

H_DAYS = 28
HORIZON_MS = H_DAYS * DAY_MS
LATENESS_MS = PARAMETERS.time.lateness


def with_churn(**changes: Any) -> Parameters:
    return replace(PARAMETERS, churn=replace(PARAMETERS.churn, **changes))


def end_of(day: int) -> int:
    """The decision point of a day of the story."""
    return at(days=day + 1, ms=-1_000)


def ordered(days: float, order_id: str | None = None, **said: Any) -> Event:
    said.setdefault("revenue", 10.0)
    order_id = order_id or f"O-{days}"
    return happened("Order Completed", at(days=days), order_id=order_id, **said)


def page(days: float) -> Event:
    return happened("page", at(days=days))


def examples(effects: Iterable[Effect]) -> list[Example]:
    return [effect for effect in effects if isinstance(effect, Example)]


def decided_on(effects: Iterable[Effect], horizon_days: float = H_DAYS) -> dict[int, str]:
    """Day and kind of each decision point whose label was released."""
    points = {}
    for example in examples(effects):
        if example.horizon_days == horizon_days:
            decided_ms = example.timestamp_ms - round(horizon_days * DAY_MS)
            assert end_of((decided_ms - at()) // DAY_MS) == decided_ms
            points[(decided_ms - at()) // DAY_MS] = example.kind
    return points


def lives(events: Iterable[Event], until_ms: int, within: Within) -> tuple[Row, list[Effect]]:
    """A life in which the clock follows the events, and then goes on to ``until_ms``."""
    row, effects = Row(), []
    for event in events:
        row, more = waited(row, event.occurred_at_ms - 1, within=within)
        effects += more
        now = within._replace(clock_ms=event.occurred_at_ms - 1)
        row = lived([event], row=row, within=now)
    row, more = waited(row, until_ms, within=within)
    return row, [*effects, *more]


#: With room for every decision point, so that each can be looked at.
ROOMY = replace(PARAMETERS, bounds=replace(PARAMETERS.bounds, pending=10_000))
WITHIN = context(parameters=ROOMY)


def test_a_silent_customer_is_decided_on_at_the_first_days_end_and_then_weekly_for_a_year() -> None:
    row, effects = lives([ordered(0.4)], at(days=1_000), WITHIN)

    expected = {0: "purchase"} | dict.fromkeys(range(7, 365, 7), "check-in")
    assert expected == decided_on(effects)
    assert (0, []) == (row.next_due_ms, of(row).labels.waiting())
    observed = [e.timestamp_ms for e in effects if isinstance(e, Observation)]
    assert [end_of(day) for day in range(7, 365, 7)] == observed


def test_every_purchase_day_ends_in_a_decision_and_the_grid_stays_that_of_the_first() -> None:
    _, effects = lives(
        [ordered(day) for day in (0.4, 0.6, 3.1, 7.5, 10.0, 10.99)], at(days=100), WITHIN
    )
    purchases = dict.fromkeys((0, 3, 7, 10), "purchase")

    assert purchases | dict.fromkeys(range(14, 72, 7), "check-in") == {
        day: kind for day, kind in decided_on(effects).items() if day < 72
    }


def test_a_new_purchase_after_a_silent_year_begins_the_looks_again_on_the_old_grid() -> None:
    _, effects = lives([ordered(0.4), ordered(500.4)], at(days=560), WITHIN)
    later = {day: kind for day, kind in decided_on(effects).items() if day > 365}

    assert {500: "purchase", 504: "check-in", 511: "check-in"} == {
        day: kind for day, kind in later.items() if day < 515
    }


def test_the_last_second_of_a_day_comes_after_its_decision_point() -> None:
    """So a decision never depends on a purchase that it does not see."""
    events = [ordered(0.4), at_ms(end_of(2) + 500)]
    _, effects = lives(events, at(days=60), WITHIN)

    assert [0, 7, 14] == list(decided_on(effects))[:3]


@pytest.mark.parametrize("horizons", [(28.0,), (28.0, 90.0), (1.5, 7.0, 365.0)])
def test_each_horizon_has_labels_of_its_own(horizons: tuple[float, ...]) -> None:
    parameters = with_churn(horizon_days=horizons, check_in_days=365)
    _, effects = lives([ordered(0.4), ordered(5)], at(days=800), context(parameters=parameters))

    for horizon in horizons:
        released = [e for e in examples(effects) if e.horizon_days == horizon]
        moments = [end_of(day) + round(horizon * DAY_MS) for day in (0, 5, 365)]
        assert moments == [e.timestamp_ms for e in released]
        # The purchase on day 5 is within all but the shortest horizon of the first day.
        assert [horizon < 4, True, True] == [e.churned for e in released]


@pytest.mark.parametrize("delay_ms", [0, LATENESS_MS], ids=["watermarks", "no watermarks"])
@pytest.mark.parametrize("bought_again", [False, True])
def test_a_label_is_released_at_the_end_of_its_horizon_and_never_earlier(
    delay_ms: int, bought_again: bool
) -> None:
    within = context(parameters=with_churn(check_in_days=365), label_delay_ms=delay_ms)
    due_ms = end_of(0) + HORIZON_MS + delay_ms
    events = [ordered(0.4), *([ordered(3.0)] if bought_again else [])]

    row, before = lives(events, due_ms - 1, within)
    assert [] == examples(before)
    row, at_last = waited(row, due_ms, within=within)
    assert [(due_ms, "purchase", not bought_again)] == [
        (e.timestamp_ms, e.kind, e.churned) for e in examples(at_last)
    ]
    assert [] == examples(waited(row, due_ms, within=within)[1])


def label_of_day_0(events: list[Event], *, delay_ms: int = 0) -> bool:
    within = context(parameters=with_churn(check_in_days=365), label_delay_ms=delay_ms)
    _, effects = lives(events, end_of(0) + HORIZON_MS + delay_ms, within)
    [example] = [
        e
        for e in examples(effects)
        if e.timestamp_ms == end_of(0) + HORIZON_MS + delay_ms and e.kind == "purchase"
    ]
    return example.churned


def at_ms(moment_ms: int) -> Event:
    return happened("Order Completed", moment_ms, order_id="again", revenue=5.0)


@pytest.mark.parametrize(
    ("again", "churned"),
    [
        ([], True),
        ([page(5)], True),
        ([at_ms(end_of(0))], True),
        ([at_ms(end_of(0) + 1)], False),
        ([at_ms(end_of(0) + HORIZON_MS)], False),
        ([at_ms(end_of(0) + HORIZON_MS), ordered(28.5, revenue=0)], False),
        ([ordered(9, revenue=0)], False),
        ([ordered(9), happened("Order Cancelled", at(days=11), order_id="O-9")], True),
        ([ordered(9), happened("Order Refunded", at(days=11), order_id="O-9")], True),
        ([ordered(9), happened("Order Refunded", at(days=11), order_id="O-9", total=10)], True),
        ([ordered(9), happened("Order Refunded", at(days=11), order_id="O-9", total=9)], False),
        (
            [ordered(9), ordered(12), happened("Order Refunded", at(days=13), order_id="O-9")],
            False,
        ),
        # That the first purchase was given back says nothing of whether there was another.
        ([happened("Order Cancelled", at(days=3), order_id="O-0.4")], True),
        ([happened("Order Cancelled", at(days=3), order_id="O-0.4"), ordered(9)], False),
    ],
    ids=lambda value: " ".join(e.name for e in value) if isinstance(value, list) else str(value),
)
def test_a_label_says_whether_nothing_was_bought_within_the_horizon(
    again: list[Event], churned: bool
) -> None:
    assert churned == label_of_day_0([ordered(0.4), *again])


def test_a_purchase_after_the_horizon_is_too_late_for_the_label() -> None:
    after = at_ms(end_of(0) + HORIZON_MS + 1)

    assert label_of_day_0([ordered(0.4), after], delay_ms=LATENESS_MS)


@pytest.mark.parametrize("hours_late", [0, 1, 71])
def test_a_late_purchase_within_the_lateness_counts(hours_late: int) -> None:
    within = context(parameters=with_churn(check_in_days=365), label_delay_ms=LATENESS_MS)
    bought_ms = end_of(0) + HORIZON_MS
    heard_ms = bought_ms + hours_late * 3_600_000
    row, before = lives([ordered(0.4)], heard_ms, within)
    # The clock is past the end of the horizon when the news of a purchase within it arrives.
    row = lived([at_ms(bought_ms)], row=row, within=within._replace(clock_ms=heard_ms))
    _, after = waited(row, bought_ms + LATENESS_MS, within=within)

    assert [] == examples(before)
    assert [False] == [e.churned for e in examples(after)]


def test_an_event_ahead_of_the_clock_does_not_release_a_label_that_waits_for_it() -> None:
    """Their own event of day 30 arrives before a purchase of day 28, and before the watermark."""
    within = context(parameters=with_churn(check_in_days=365))
    row, _ = lives([ordered(0.4)], end_of(27), within)
    ahead = within._replace(clock_ms=end_of(27))
    row = lived([page(30), at_ms(end_of(0) + HORIZON_MS)], row=row, within=ahead)
    _, effects = waited(row, end_of(30), within=within)

    assert [False] == [e.churned for e in examples(effects)]


def test_features_are_those_of_the_moment_whatever_comes_later() -> None:
    within = context(parameters=with_churn(check_in_days=365))
    begin = [page(0.1), ordered(0.4), ordered(0.5, order_id="second")]
    ways_to_go_on: list[list[Event]] = [
        [],
        [page(n / 7) for n in range(8, 99)],
        [ordered(day, revenue=500.0) for day in (1.2, 2.3, 9.9)],
        [
            happened("Ticket Opened", at(days=2), ticket_id="T"),
            happened("Survey Responded", at(days=3), kind="nps", score=0),
            happened("Order Cancelled", at(days=4), order_id="second"),
        ],
    ]
    found = []
    for way in ways_to_go_on:
        _, effects = lives([*begin, *way], end_of(0) + HORIZON_MS, within)
        found.append(examples(effects)[0])

    assert 1 == len({example.features for example in found})
    assessed = scene(lived(begin), end_of(0)).of(assessment)
    assert assessed is not None
    assert pack(assessed.features) == b64decode(found[0].features)
    assert assessed.features == found[0].values()
    assert len(NAMES) == len(found[0].values())


DAILY = replace(
    with_churn(check_in_days=1.0, horizon_days=(28.0, 60.0)),
    bounds=replace(PARAMETERS.bounds, pending=5),
)


def test_labels_that_wait_are_bounded_for_each_horizon() -> None:
    most = {28.0: 0, 60.0: 0}
    for customer in ("ada", "bob", "eve", "dan"):
        within = context(customer=customer, parameters=DAILY)
        row = lived([ordered(0.4)], within=within)
        for day in range(1, 120):
            row, _ = waited(row, at(days=day), within=within)
            waiting = of(row).labels.waiting()
            assert waiting == sorted(waiting, key=lambda one: (one.due_ms, one.horizon_days))
            for horizon, before in most.items():
                of_horizon = sum(one.horizon_days == horizon for one in waiting)
                most[horizon] = max(before, of_horizon)

    # And the room is used.
    assert {28.0: 5, 60.0: 5} == most


@pytest.mark.parametrize("customer", [f"c-{n}" for n in range(8)])
def test_which_labels_are_kept_has_nothing_to_do_with_how_they_turn_out(customer: str) -> None:
    within = context(customer=customer, parameters=DAILY)
    futures = [[], [ordered(40.2)], [ordered(40.2 + n / 3) for n in range(60)]]
    # Up to day 40 all lives are the same; what the labels say of them is not.
    kept, outcomes = [], []
    for future in futures:
        _, effects = lives([ordered(0.4), *future], at(days=140), within)
        before = [e for e in examples(effects) if e.timestamp_ms < at(days=40 + e.horizon_days)]
        kept.append([(e.timestamp_ms, e.horizon_days, e.weight, e.features) for e in before])
        outcomes.append([e.churned for e in before])

    assert kept[0] == kept[1] == kept[2]
    assert len(kept[0]) >= 5
    assert all(outcomes[0])
    assert outcomes[0] != outcomes[2]


@pytest.mark.parametrize("every", [1, 3, 20], ids="a purchase every {} days".format)
def test_kept_labels_weigh_as_much_as_the_decision_points_they_stand_for(every: int) -> None:
    """So customers who buy often, of whose points fewer are kept, still have their full weight."""
    weighed = points = 0
    events = [ordered(day + 0.4) for day in range(0, 200, every)]
    for number in range(12):
        within = context(customer=f"c-{number}")
        released = examples(lives(events, at(days=260), within)[1])
        weighed += sum(e.weight for e in released if e.timestamp_ms < at(days=228))
    roomy = examples(lives(events, at(days=260), WITHIN)[1])
    points = 12 * sum(e.timestamp_ms < at(days=228) for e in roomy)

    assert {1} == {e.weight for e in roomy}
    assert pytest.approx(1.0, abs=0.2) == weighed / points


def test_another_customer_keeps_others() -> None:
    kept = {
        tuple(
            decided_on(
                lives([ordered(0.4)], at(days=99), context(customer=name, parameters=DAILY))[1]
            )
        )
        for name in ("ada", "bob", "eve")
    }

    assert 3 == len(kept)


def test_labels_that_wait_survive_being_stored() -> None:
    within = context(parameters=with_churn(horizon_days=(28.0, 90.0)))
    row, _ = lives([ordered(0.4), ordered(9.2), page(12)], at(days=20), within)
    stored = decode_row(encode_row(row))

    assert {28.0, 90.0} == {one.horizon_days for one in of(row).labels.waiting()}
    assert encode_row(row) == encode_row(stored)
    assert of(row).labels.waiting() == of(stored).labels.waiting()
    then, effects = waited(row, at(days=200), within=within)
    stored_then, stored_effects = waited(stored, at(days=200), within=within)
    assert effects == stored_effects
    assert encode_row(then) == encode_row(stored_then)


def test_a_lesson_is_read_as_it_was_written_and_says_not_whose_it_is() -> None:
    _, effects = lives([ordered(0.4)], at(days=60), WITHIN)
    lessons = [e for e in effects if isinstance(e, Example | Observation)]

    assert {Example, Observation} == {type(lesson) for lesson in lessons}
    for lesson in lessons:
        assert lesson == decode_lesson(encode_lesson(lesson))
        assert b"ada" not in encode_lesson(lesson)


def clock(at_ms: int, kind: str) -> bytes:
    return orjson.dumps({"type": kind, "timestamp": iso(at_ms)})


@pytest.mark.parametrize(("kind", "delay_ms"), [("watermark", 0), ("clock", LATENESS_MS)])
def test_in_a_partition_a_label_waits_for_the_lateness_unless_the_log_has_watermarks(
    kind: str, delay_ms: int
) -> None:
    rows = LiveRows()
    partition = Partition(0, rows, PRIOR, plan_for(PARAMETERS), no_models, PartitionState())
    records = [
        clock(at(), kind),
        line("Order Completed", at(days=0.4), properties={"order_id": "O", "revenue": 9}),
        clock(end_of(0), kind),
        clock(end_of(0) + HORIZON_MS + delay_ms - 1, kind),
    ]
    early = [
        effect
        for offset, record in enumerate(records)
        for effect in partition.apply(offset, decode_line(record)).effects
    ]
    on_time = partition.apply(
        4, decode_line(clock(end_of(0) + HORIZON_MS + delay_ms, kind))
    ).effects

    assert [] == examples(early)
    assert [(True, 0, 4)] == [(e.churned, e.partition, e.offset) for e in examples(on_time)]

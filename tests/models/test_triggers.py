"""What fires, when, and why: rules, cooldowns and ids."""

from collections import Counter
from datetime import datetime, timedelta
from itertools import pairwise
from math import ceil
from typing import Any

import pytest
from msgspec.structs import replace

from config.duration import DAY_MS
from models.customer.purchase_state import Purchases
from models.customer.rhythm import overdue_at_ms, rhythm_of, typical_gap_days
from models.customer.row import Row
from models.decisions.decide import reasons
from models.decisions.trigger import (
    Cause,
    NextBestAction,
    ReasonCode,
    Trigger,
    decision_id,
    encode_decision,
)
from models.engine import Effect
from models.events.event import Event
from models.events.times import iso
from models.learning.lessons import Example, Observation, Tally
from models.learning.population import Population
from tests.models.lines import (
    PARAMETERS,
    PRIOR,
    at,
    context,
    happened,
    lived,
    lived_with_effects,
    of,
    scene,
    step,
    waited,
)

OVERDUE = PARAMETERS.overdue
HOUR = timedelta(hours=1)
#: When somebody who bought once is overdue in a shop whose median gap is 30 days.
ONCE_DAYS = 127.9
#: Of two gaps of 10 days in a shop whose median is 30: by hand, with z = 1.2816.
_OVERDUE_DAYS = 41.975318932979704


def put(days: float, product: str = "P") -> Event:
    return happened("Product Added", at(days=days), product_id=product, price=20.0)


def ordered(days: float, **said: Any) -> Event:
    said.setdefault("revenue", 10.0)
    return happened("Order Completed", at(days=days), order_id=f"O-{days}", **said)


def answered(days: float, kind: str = "nps", score: float = 3, **said: Any) -> Event:
    return happened("Survey Responded", at(days=days), kind=kind, score=score, **said)


def fired(effects: list[Effect]) -> list[tuple[str, float]]:
    """(kind, days after the start) of each trigger; to a tenth of a day unless at a full hour."""
    told = [e for e in effects if isinstance(e, Trigger)]
    return [(str(one.kind), _days(one.timestamp)) for one in told]


def _days(timestamp: str) -> float:
    hours = (datetime.fromisoformat(timestamp) - datetime.fromisoformat(iso(at()))) / HOUR
    return hours / 24 if hours == int(hours) else round(hours / 24, 1)


def bought(*days: float) -> Purchases:
    return of(lived([ordered(day) for day in days])).purchases


@pytest.mark.parametrize(
    ("days", "prior_days", "expected"),
    [
        ([], 30.0, 30.0),
        ([0], 30.0, 30.0),
        # One gap of its own against two of the population's: the cube root of 8 * 27 * 27.
        ([0, 8], 27.0, 18.0),
        # The median of 4, 4 and 100 is 4, and weighs three.
        ([0, 4, 104, 108], 4.0, 4.0),
        ([0, 2, 4], 8.0, 4.0),
    ],
)
def test_a_typical_gap_is_ones_own_drawn_towards_the_populations(
    days: list[float], prior_days: float, expected: float
) -> None:
    rhythm = rhythm_of(bought(*days).days)

    assert pytest.approx(expected, rel=1e-12) == typical_gap_days(rhythm, prior_days, 2.0)


def test_without_a_purchase_no_silence_is_too_long() -> None:
    nothing = Purchases()

    assert 0 == overdue_at_ms(nothing.last_at_ms, nothing.days, 30.0, OVERDUE)


@pytest.mark.parametrize(
    ("gap_days", "silence_days"),
    [(0.01, 3.0), (1e30, 36_525.0), (float("inf"), 36_525.0)],
)
def test_a_silence_is_between_the_floor_and_a_century(gap_days: float, silence_days: float) -> None:
    once = bought(5)
    due_ms = overdue_at_ms(once.last_at_ms, once.days, gap_days, OVERDUE)

    assert silence_days == (due_ms - at(days=5)) / DAY_MS
    assert iso(due_ms)


def test_a_cart_left_alone_is_told_once() -> None:
    row, effects = waited(lived([put(0)]), at(days=300))

    assert [("cart-abandoned", 1 / 24), ("interest-faded", 37.9)] == fired(effects)
    assert 0 == row.next_due_ms


def test_each_touch_of_the_cart_begins_the_wait_again() -> None:
    viewed = happened("Cart Viewed", at(hours=0.5))
    _, effects = waited(lived([put(0), viewed]), at(days=30))

    assert ["2026-01-01T01:30:00.000Z"] == [e.timestamp for e in effects if isinstance(e, Trigger)]


@pytest.mark.parametrize(
    "end",
    [
        happened("Product Removed", at(hours=0.5), product_id="P"),
        happened("Order Completed", at(hours=0.5), revenue=0),
    ],
    ids=lambda event: event.name,
)
def test_an_empty_cart_is_not_abandoned(end: Event) -> None:
    _, effects = waited(lived([put(0), end]), at(hours=5))

    assert [] == fired(effects)


def test_an_event_at_the_very_deadline_comes_before_it() -> None:
    viewed = happened("Cart Viewed", at(hours=1))
    _, effects = lived_with_effects([put(0), viewed])

    assert [] == fired(effects)


def test_silence_is_decided_before_the_event_that_ends_it() -> None:
    row, effects = lived_with_effects([put(0), ordered(0.5, revenue=99)])

    assert [("cart-abandoned", 1 / 24)] == fired(effects)
    assert [] == of(row).cart.contents()


def test_an_abandoned_cart_tells_what_lay_in_it() -> None:
    idle = scene(lived([put(0), put(0, "Q")]), at(hours=1.5))

    assert (
        ReasonCode("cart_items", 2.0, "2 in the cart"),
        ReasonCode("cart_value", 40.0, "worth 40.00"),
        ReasonCode("cart_idle_hours", 1.5, "untouched for 1.5 hours"),
    ) == reasons(idle, ("cart_items", "cart_value", "cart_idle_hours"))


@pytest.mark.parametrize(
    ("currency", "words"),
    [("JPY", "worth 20"), ("EUR", "worth 20.00"), ("KWD", "worth 20.000")],
)
def test_a_carts_value_is_told_in_whole_units_of_any_currency(currency: str, words: str) -> None:
    parameters = replace(PARAMETERS, money=replace(PARAMETERS.money, currency=currency))
    within = context(parameters=parameters)
    row, _, _ = step(Row(), put(0), within)

    assert (ReasonCode("cart_value", 20.0, words),) == reasons(
        scene(row, at(days=1), within), ("cart_value",)
    )


def test_a_purchase_is_overdue_once_by_ones_own_clock() -> None:
    # Gaps of 10 and 10, and the prior's 30 as a third: (10 * 10 * 30)^(1/3) = 14.4 days.
    row, effects = waited(lived([ordered(0), ordered(10), ordered(20)]), at(days=700))
    told = [e for e in effects if isinstance(e, Trigger)]

    assert ["purchase-overdue", "customer-lost"] == [e.kind for e in told]
    assert iso(at(days=20) + ceil(_OVERDUE_DAYS * DAY_MS)) == told[0].timestamp
    codes = ["silent_days", "typical_gap_days", "overdue_days", "orders"]
    assert codes == [reason.code for reason in told[0].reasons]
    values = [reason.value for reason in told[0].reasons]
    assert [_OVERDUE_DAYS, 3_000 ** (1 / 3), _OVERDUE_DAYS, 3.0] == pytest.approx(values)
    assert 0 == row.next_due_ms


def test_a_new_purchase_begins_a_new_silence() -> None:
    row, first = waited(lived([ordered(0)]), at(days=150))
    row, _ = lived_with_effects([ordered(150)], row=row)
    _, second = waited(row, at(days=700))

    for effects in (first, second):
        assert 1 == [kind for kind, _ in fired(effects)].count("purchase-overdue")


@pytest.mark.parametrize(
    "news",
    [
        happened("Order Updated", at(days=135), order_id="O-0", revenue=9.0),
        happened("Order Refunded", at(days=135), order_id="O-0", total=1.0),
        happened("Order Cancelled", at(days=135), order_id="O-unheard-of"),
    ],
    ids=lambda event: event.name,
)
def test_news_of_an_old_order_does_not_tell_the_same_silence_again(news: Event) -> None:
    row, first = waited(lived([ordered(0)]), at(days=130))
    slower = PRIOR.replace(replace(PRIOR.of(Population), gap_days=300.0), version=1)
    within = context(at(days=135), snapshot=slower)
    row, _, _ = step(row, news, within)
    _, second = waited(row, at(days=2000), within=within)

    assert [("purchase-overdue", ONCE_DAYS)] == fired(first)
    assert [] == fired(second)


def test_a_cancelled_purchase_is_not_overdue() -> None:
    cancelled = happened("Order Cancelled", at(days=1), order_id="O-0")
    _, effects = waited(lived([ordered(0), cancelled]), at(days=700))

    assert [] == fired(effects)


def test_the_last_purchase_cancelled_leaves_the_silence_after_the_one_before() -> None:
    cancelled = happened("Order Cancelled", at(days=11), order_id="O-10")
    _, effects = waited(lived([ordered(0), ordered(10), cancelled]), at(days=700))

    assert [("purchase-overdue", ONCE_DAYS)] == fired(effects)


def test_check_ins_follow_the_first_order_and_end_a_year_after_the_last() -> None:
    row, effects = lived_with_effects([ordered(0), ordered(10)])
    _, more = waited(row, at(days=1000))
    observed = [e for e in (*effects, *more) if isinstance(e, Observation)]
    days = [(e.timestamp_ms - at()) // DAY_MS for e in observed]

    assert list(range(7, 375, 7)) == days
    assert [(7, 1, None), (4, 2, 10.0)] == [
        (int(e.recency_days), e.frequency, e.gap_days) for e in observed[:2]
    ]


def test_check_ins_do_not_depend_on_which_order_was_heard_of_first() -> None:
    orders = [ordered(0), ordered(2), ordered(1)]
    rows = [lived(orders), lived(reversed(orders)), lived([orders[1], orders[0], orders[2]])]

    ends = [waited(row, at(days=6))[0] for row in rows]

    assert [at(days=8, ms=-1_000)] * 3 == [row.due("decision").due_ms for row in ends]


def test_who_has_nothing_left_bought_is_not_observed() -> None:
    cancelled = happened("Order Cancelled", at(days=1), order_id="O-0")
    row, effects = waited(lived([ordered(0), cancelled]), at(days=29, ms=-1))
    row, more = waited(lived([ordered(30)], row=row), at(days=40))

    # But what was decided before it was cancelled is learnt from.
    assert [Example] == [type(e) for e in effects if not isinstance(e, Tally)]
    assert [5] == [int(e.recency_days) for e in more if isinstance(e, Observation)]


@pytest.mark.parametrize(
    ("survey", "words"),
    [
        ({"kind": "nps", "score": 6}, "answered 6"),
        ({"kind": "nps", "score": 7}, None),
        ({"kind": "csat", "score": 2}, "answered 2"),
        ({"kind": "csat", "score": 2.1}, None),
        ({"kind": "csat", "score": 5, "higher_is_better": False}, "answered 5"),
        ({"kind": "csat", "score": 1, "higher_is_better": False}, None),
        ({"kind": "ces", "score": 1, "higher_is_better": True}, None),
    ],
    ids=str,
)
def test_a_detractor_is_told_by_their_answer(survey: dict[str, Any], words: str | None) -> None:
    _, effects = lived_with_effects([answered(0, **survey)])
    fired = [effect for effect in effects if isinstance(effect, Trigger)]
    told = [one.reasons[0].words for one in fired if one.kind == "low-satisfaction"]

    assert ([] if words is None else [words]) == told


def test_a_kind_stays_silent_within_its_cooldown_and_no_longer() -> None:
    _, effects = lived_with_effects([answered(day) for day in (0, 1, 6, 7, 8, 14, 20)])

    assert [("low-satisfaction", day) for day in (0.0, 7.0, 14.0)] == fired(effects)


def test_a_late_answer_is_within_the_cooldown_of_what_came_after_it() -> None:
    _, effects = lived_with_effects([answered(10), answered(1)])

    assert [("low-satisfaction", 10.0)] == fired(effects)


def identified(
    rule: str = "low-satisfaction",
    version: int = 1,
    customer: str = "ada",
    cause: Cause | None = None,
) -> str:
    return decision_id(rule, version, customer, cause or Cause(message_id="m-1"))


def test_an_id_depends_on_the_rule_its_version_the_customer_and_the_cause() -> None:
    others = [
        identified("cart-abandoned"),
        identified(customer="bob"),
        identified(cause=Cause(message_id="m-2")),
        identified(cause=Cause(deadline="m-1")),
        identified(version=2),
        identified(customer="adam", cause=Cause(message_id="-1")),
    ]

    assert len({identified(), *others}) == len(others) + 1


def test_an_id_is_the_same_in_every_release() -> None:
    # BLAKE2b of the rule, its version, the customer and the cause.
    assert "39cf4d3b6f533dacc606564cc7ff8928" == identified()


@pytest.mark.parametrize("version", [0, 7])
def test_a_triggers_id_does_not_depend_on_the_model(version: int) -> None:
    within = context(snapshot=PRIOR.replace(version=version))
    _, effects = lived_with_effects([answered(0)], within=within)
    [told] = [e for e in effects if isinstance(e, Trigger)]

    assert version == told.model_version
    assert told.id == decision_id(
        "low-satisfaction", told.rule_version, "ada", Cause(message_id=answered(0).message_id)
    )


def test_what_a_trigger_says_on_the_wire() -> None:
    _, effects = waited(lived([put(0)]), at(days=1))
    told = next(effect for effect in effects if isinstance(effect, Trigger))

    assert (
        b'{"type":"retention-trigger","id":"' + told.id.encode() + b'",'
        b'"kind":"cart-abandoned","ruleVersion":1,'
        b'"userId":"ada","timestamp":"2026-01-01T01:00:00.000Z",'
        b'"cause":{"deadline":"cart-idle:1767229200000"},'
        b'"reasons":[{"code":"cart_items","value":1.0,"words":"1 in the cart"},'
        b'{"code":"cart_value","value":20.0,"words":"worth 20.00"},'
        b'{"code":"cart_idle_hours","value":1.0,"words":"untouched for 1.0 hours"}],'
        b'"churn":null,"valueAtStake":0.0,"gates":["condition","cooldown"],"modelVersion":0,'
        b'"churnReason":null,"group":"treated"}'
    ) == encode_decision(told)


def test_deadlines_of_one_customer_run_in_the_order_of_their_time() -> None:
    ticket = happened("Ticket Opened", at(), ticket_id="T", priority="urgent")
    row = lived([ordered(0), put(0.1), ticket])
    _, effects = waited(row, at(days=130))
    moments = [
        e.timestamp if isinstance(e, Trigger | NextBestAction) else iso(e.timestamp_ms)
        for e in effects
    ]

    kinds = Counter(map(type, effects))
    # How often points are reported in the sums is checked by their own tests.
    kinds.pop(Tally, None)
    assert {Trigger: 3, NextBestAction: 3, Observation: 18, Example: 15} == kinds
    assert all(earlier <= later for earlier, later in pairwise(moments))

"""When a rule with a threshold fires: once a climb, and as early as it may."""

import msgspec
import pytest
from msgspec.structs import replace

from config.parameters import Parameters
from config.rules import Rise, TriggerRule
from models.customer.contacts import CONTACTS
from models.customer.row import Row
from models.decisions.trigger import Trigger
from models.engine import Effect
from models.events.times import iso
from tests.models.lines import PARAMETERS, at, context, happened, lived, step, waited

RULE = TriggerRule(
    name="climbing",
    version=1,
    moment="score",
    when="orders_365d > 0",
    rises=Rise("churn_probability", to=0.7, rearm=0.6),
    cooldown=28 * 86_400_000,
    because=("churn_probability",),
)
ANOTHER = replace(RULE, name="another", cooldown=20 * 86_400_000)


def said_to_leave(probability: float, *rules: TriggerRule) -> Parameters:
    """Nothing is learnt yet, so the operator's prior is every customer's score."""
    churn = replace(PARAMETERS.churn, prior=probability, check_in_days=365.0)
    triggers = replace(PARAMETERS.triggers, triggers=rules or (RULE,))
    actions = replace(PARAMETERS.actions, actions=())
    return replace(PARAMETERS, churn=churn, triggers=triggers, actions=actions)


def buyer() -> Row:
    bought = happened("Order Completed", at(hours=-30), order_id="O-1", revenue=10.0)
    calm = context(parameters=said_to_leave(0.1))
    return waited(lived([bought], within=calm), at(ms=-1), within=calm)[0]


def fired(effects: list[Effect]) -> list[tuple[str, str]]:
    return [(one.kind, one.timestamp) for one in effects if isinstance(one, Trigger)]


def seen(
    row: Row, moments: list[tuple[float, float]], *rules: TriggerRule
) -> tuple[Row, list[tuple[str, str]]]:
    """What fires, and when, along (day, probability): each time a session begins."""
    found = []
    for day, probability in moments:
        within = context(parameters=said_to_leave(probability, *rules))
        row, _, effects = step(row, happened("page", at(days=day)), within)
        found += fired(effects)
    return row, found


def on(*days: float, rule: str = "climbing") -> list[tuple[str, str]]:
    return [(rule, iso(at(days=day))) for day in days]


@pytest.mark.parametrize(
    ("moments", "fires"),
    [
        ([(1, 0.5), (2, 0.69), (3, 0.7), (4, 0.8), (5, 0.9)], [3]),
        ([(1, 0.7), (40, 0.71), (90, 0.95)], [1]),
        # Above `rearm` it is still the same climb.
        ([(1, 0.7), (40, 0.61), (41, 0.9)], [1]),
        ([(1, 0.7), (40, 0.6), (41, 0.7)], [1, 41]),
        # Held back by the cooldown, it fires at the millisecond at which that ends.
        ([(0, 0.75), (10, 0.5), (20, 0.8), (60, 0.9)], [0, 28]),
        ([(0, 0.75), (10, 0.5), (20, 0.8), (28, 0.8), (60, 0.9)], [0, 28]),
        (
            [(0, 0.75), (10, 0.5), (20, 0.8), (30, 0.9), (40, 0.5), (50, 0.9), (99, 0.9)],
            [0, 28, 56],
        ),
        # By then the climb may be over, or the fact too low to be told.
        ([(0, 0.75), (10, 0.5), (20, 0.8), (24, 0.5), (60, 0.5)], [0]),
        ([(0, 0.75), (10, 0.5), (20, 0.8), (60, 0.65), (61, 0.7)], [0, 61]),
        ([(0, 0.75), (10, 0.5), (27.9, 0.9), (40, 0.9)], [0, 28]),
        ([(0, 0.75), (10, 0.5), (28, 0.9)], [0, 28]),
        # A climb that was not held back waits for the next look.
        ([(0, 0.75), (10, 0.5), (60, 0.9)], [0, 60]),
    ],
)
def test_a_rule_fires_once_a_climb(moments: list[tuple[float, float]], fires: list[float]) -> None:
    row, found = seen(buyer(), moments)

    assert on(*fires) == found
    assert [] == row.read(CONTACTS).held


def test_a_climb_that_the_condition_holds_back_fires_at_the_first_look_at_which_it_holds() -> None:
    refused = happened("Order Cancelled", at(days=2), order_id="O-1")
    again = happened("Order Completed", at(days=9, hours=1), order_id="O-2", revenue=10.0)
    risky = context(parameters=said_to_leave(0.9))
    row, before = seen(buyer(), [(1, 0.5)])
    row, _, _ = step(row, refused, context(parameters=said_to_leave(0.5)))
    row, held = seen(row, [(3, 0.9), (5, 0.9)])
    _, _, effects = step(row, again, risky)

    assert ([], []) == (before, held)
    assert on(9 + 1 / 24) == fired(effects)


def test_a_climb_ends_even_while_the_condition_does_not_hold() -> None:
    lately = replace(RULE, when="orders_30d > 0")
    again = happened("Order Completed", at(days=50), order_id="O-2", revenue=10.0)
    row, first = seen(buyer(), [(1, 0.9), (40, 0.2)], lately)
    _, _, effects = step(row, again, context(parameters=said_to_leave(0.9, lately)))

    assert on(1) == first
    assert on(50) == fired(effects)


def test_rules_wait_for_the_ends_of_their_own_cooldowns() -> None:
    moments = [(0, 0.75), (10, 0.5), (15, 0.8), (60, 0.9)]
    _, found = seen(buyer(), moments, RULE, ANOTHER)

    expected = [*on(0), *on(0, rule="another"), *on(20, rule="another"), *on(28)]
    assert expected == found


def test_a_rule_that_was_taken_out_leaves_nothing_behind() -> None:
    row, _ = seen(buyer(), [(0, 0.75), (10, 0.5), (15, 0.8)], RULE, ANOTHER)
    row, found = seen(row, [(60, 0.9)], ANOTHER)

    assert on(20, rule="another") == found
    assert [] == row.read(CONTACTS).held


def test_a_rule_of_another_moment_is_not_looked_at_when_a_cooldown_ends() -> None:
    overdue = replace(RULE, name="plain", rises=None, when="orders > 0", cooldown=0)
    calm = replace(overdue, moment="silence")
    _, found = seen(buyer(), [(0, 0.75), (10, 0.5), (20, 0.8), (28.5, 0.9)], RULE, calm)

    assert on(0, 28) == found


def test_waiting_for_a_cooldown_survives_storing_the_row_and_reading_the_log_again() -> None:
    row, _ = seen(buyer(), [(0, 0.75), (10, 0.5), (20, 0.8)])
    risky = context(parameters=said_to_leave(0.9))
    _, once = waited(row, at(days=90), within=risky)
    _, again = waited(row, at(days=90), within=risky)

    assert on(28) == fired(once)
    assert [one.id for one in once if isinstance(one, Trigger)] == [
        one.id for one in again if isinstance(one, Trigger)
    ]
    assert ["cooldown-over:" + str(at(days=28))] == [
        one.cause.deadline for one in once if isinstance(one, Trigger)
    ]


def test_a_row_from_before_climbs_were_held_can_be_read() -> None:
    row, _ = seen(buyer(), [(0, 0.75)])
    contacts = row.read(CONTACTS)
    former = CONTACTS.older[1](msgspec.msgpack.encode([[], contacts.fired_ms, contacts.at_risk]))

    assert (contacts.fired_ms, ["climbing"], []) == (former.fired_ms, former.at_risk, former.held)

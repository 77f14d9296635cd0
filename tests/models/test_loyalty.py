"""Loyalty points: one balance for any order of arrival, and no more triggers than there is news."""

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from math import isnan
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from config.duration import DAY_MS
from config.parameters import ParameterError, Parameters
from models import engine, identity
from models.customer.loyalty import LOYALTY, Loyalty, LoyaltyParameters, loyalty_account
from models.customer.part import Line
from models.customer.row import Row, encode_row
from models.decisions.trigger import Trigger
from models.engine import Effect, Fate
from models.events.event import Event
from models.learning.lessons import Tally
from models.learning.tallies import TallyLearner
from models.parameters import load_parameters
from models.population import name_of, samples_of_parts
from tests.examples import drawn
from tests.models.lines import (
    PARAMETERS,
    Within,
    at,
    context,
    copied,
    happened,
    lived,
    lived_with_effects,
    scene,
    seen,
    waited,
)

SHIPPED = PARAMETERS.of(LoyaltyParameters)
OFF = PARAMETERS.with_section(replace(SHIPPED, enabled=False))
KEYS = ("members", "active", "pending", "redeemed", "earned")
KINDS = {"points-earned", "points-expiring", "level-near", "level-changed"}


def set_to(**values: Any) -> Parameters:
    return PARAMETERS.with_section(replace(SHIPPED, **values))


def on(date: str) -> int:
    return int(datetime.fromisoformat(date).replace(tzinfo=UTC).timestamp() * 1000)


def ordered(order: str, at_ms: int, revenue: float, **said: Any) -> Event:
    return happened("Order Completed", at_ms, order_id=order, revenue=revenue, **said)


def refunded(order: str, at_ms: int, revenue: float | None = None) -> Event:
    said = {} if revenue is None else {"revenue": revenue}
    return happened("Order Refunded", at_ms, order_id=order, **said)


def cancelled(order: str, at_ms: int) -> Event:
    return happened("Order Cancelled", at_ms, order_id=order)


def redeemed(redemption: str, at_ms: int, points: float, **said: Any) -> Event:
    return happened("Points Redeemed", at_ms, redemption_id=redemption, points=points, **said)


def adjusted(at_ms: int, points: float, **said: Any) -> Event:
    return happened("Points Adjusted", at_ms, points=points, **said)


def fact(row: Row, name: str, at_ms: int, within: Within | None = None) -> float | str:
    return scene(row, at_ms, within)[name]


def points(row: Row, at_ms: int, within: Within | None = None) -> float:
    found = fact(row, "points", at_ms, within)
    assert isinstance(found, float)
    return found


def on_time(
    events: Iterable[Event], parameters: Parameters = PARAMETERS
) -> tuple[Row, list[Effect]]:
    """The row after events, with the clock right behind the latest of them."""
    row, effects, clock_ms = Row(), list[Effect](), 0
    for event in events:
        clock_ms = max(clock_ms, event.occurred_at_ms)
        within = context(clock_ms, parameters=parameters)
        fate, more = engine.step(row, event, within.present, within.plan)
        assert fate is Fate.APPLIED
        effects += more
    return row, effects


def triggers(effects: Iterable[Effect]) -> list[tuple[str, str]]:
    """(day, kind) of the triggers about points."""
    return [
        (effect.timestamp[:10], effect.kind)
        for effect in effects
        if isinstance(effect, Trigger) and effect.kind in KINDS
    ]


def learner_of(effects: Iterable[Effect]) -> TallyLearner:
    learner = TallyLearner(None, PARAMETERS)
    for effect in effects:
        if isinstance(effect, Tally):
            learner.learn(effect)
    return learner


def sums(effects: Iterable[Effect]) -> dict[str, int]:
    """The sums over all customers, by key; without zeros."""
    told = learner_of(effects).so_far(at(days=9_999)).parts.get("loyalty", {})
    return {key: amount for key, amount in told.items() if amount}


A = ordered("A", on("2026-01-01"), 100)
B = ordered("B", on("2026-02-01"), 50)
REDEEMED = redeemed("r", on("2026-03-01"), 80)
A_REFUNDED = refunded("A", on("2026-03-05"), 60)
B_REFUNDED = refunded("B", on("2026-03-10"))
C = ordered("C", on("2026-03-20"), 100)
EXAMPLE = [A, B, REDEEMED, A_REFUNDED, B_REFUNDED, C]


@pytest.mark.parametrize(
    ("events", "date", "expected", "pending", "debt"),
    [
        (EXAMPLE[:1], "2026-01-10", 0, 100, 0),
        (EXAMPLE[:2], "2026-02-20", 150, 0, 0),
        (EXAMPLE[:3], "2026-03-01", 70, 0, 0),
        (EXAMPLE[:4], "2026-03-05", 10, 0, 0),
        (EXAMPLE[:5], "2026-03-10", -40, 0, 40),
        (EXAMPLE[:6], "2026-03-20", -40, 100, 40),
        (EXAMPLE[:6], "2026-04-05", 60, 0, 0),
        (EXAMPLE[:3], "2027-01-16", 50, 0, 0),
        (EXAMPLE[:3], "2027-02-16", 0, 0, 0),
    ],
)
def test_the_example(
    events: list[Event], date: str, expected: int, pending: int, debt: int
) -> None:
    for arrival in (events, events[::-1]):
        row, _ = waited(lived(arrival), on(date))

        assert expected == fact(row, "points", on(date))
        assert pending == fact(row, "points_pending", on(date))
        assert debt == fact(row, "points_debt", on(date))


def test_what_is_spent_comes_from_the_lot_that_expires_first() -> None:
    account = scene(lived(EXAMPLE[:3]), on("2026-03-01")).of(loyalty_account)

    assert [20, 50] == [credit.left for credit in account.credits]


def test_points_of_a_refunded_order_are_not_kept() -> None:
    row = lived([ordered("A", at(), 300), refunded("A", at(days=20))])

    assert isnan(points(row, at(days=20)))
    assert "" == fact(row, "level", at(days=20))
    assert seen(row, at(days=20)).loyalty is None


@pytest.mark.parametrize("turn", [1, -1], ids=["oldest first", "newest first"])
def test_nothing_is_kept_of_more_orders_than_are_remembered(turn: int) -> None:
    """The returned order is the next one to be dropped, and its refund still counts."""
    few = load_parameters(assignments=["bounds.orders=8"])
    places = range(9)
    given_back = [refunded(f"o{n}", at(20 + i), 10.0) for i, n in enumerate(places[::turn])]
    row, _ = on_time([*(ordered(f"o{n}", at(n), 10.0) for n in places), *given_back], few)
    now = seen(row, at(60), context(at(60), parameters=few))

    assert (0, 0) == (now.rfm.orders, now.rfm.net_minor)
    assert (None, None) == (now.loyalty, now.prices)


def test_points_spent_of_a_refunded_order_are_owed_and_paid_by_later_ones_once() -> None:
    events = [
        ordered("A", at(), 100),
        redeemed("r", at(days=20), 100),
        refunded("A", at(days=21)),
        ordered("B", at(days=30), 70),
        ordered("C", at(days=31), 50),
    ]
    row = lived(events)

    assert -100 == points(row, at(days=43))
    assert -30 == points(row, at(days=44))
    assert 20 == points(row, at(days=45))


def test_a_redemption_is_deducted_once_however_often_it_is_told() -> None:
    again = redeemed("r", at(days=21), 80, message="once more")
    row = lived([ordered("A", at(), 100), redeemed("r", at(days=20), 80), again])

    assert 20 == points(row, at(days=22))


@pytest.mark.parametrize("unspent", [0, 30])
def test_what_expires_does_not_leave_its_debits_behind(unspent: int) -> None:
    events = [
        ordered("A", at(), 100),
        redeemed("r", at(days=20), 100 - unspent),
        ordered("B", at(days=300), 50),
    ]

    assert 50 == points(lived(events), at(days=14 + 365))


def test_points_are_earned_on_what_the_order_brings_net_of_shipping() -> None:
    event = happened("Order Completed", at(), order_id="A", total=119.99, revenue=99.99)

    assert 99 == points(lived([event]), at(days=14))


@pytest.mark.parametrize(
    ("currency", "revenue", "rate", "expected"),
    [("EUR", 100, 1.15, 115), ("EUR", 0.99, 1.0, 0), ("JPY", 1_500, 0.01, 15)],
)
def test_points_are_whole_and_exact(
    currency: str, revenue: float, rate: float, expected: int
) -> None:
    shop = load_parameters(None, [f"money.currency={currency}", f"loyalty.rate={rate}"])
    row = lived([ordered("A", at(), revenue)], within=context(parameters=shop))
    found = fact(row, "points", at(days=14), context(parameters=shop))

    assert expected == found


def test_points_given_count_at_once_and_points_taken_may_be_owed() -> None:
    row = lived([adjusted(at(), 30, reason="goodwill"), adjusted(at(days=1), -50)])

    assert 30 == points(row, at(hours=1))
    assert -20 == points(row, at(days=1))
    assert 0 == scene(row, at(days=1)).of(loyalty_account).redeemed


def test_a_reason_that_a_person_wrote_does_not_travel() -> None:
    assert adjusted(at(), 5, reason="late_parcel").properties.reason == "late_parcel"
    assert adjusted(at(), 5, reason="Sorry, Mrs Smith!").properties.reason is None


def test_points_spent_on_a_cancelled_order_come_back_to_their_lots() -> None:
    events = [
        ordered("A", at(), 100),
        ordered("B", at(days=19), 40),
        redeemed("r", at(days=20), 80, order_id="B"),
        cancelled("B", at(days=22)),
    ]
    for arrival in (events, events[::-1]):
        row = lived(arrival)

        assert 20 == points(row, at(days=21))
        assert 100 == points(row, at(days=22))
        assert 0 == points(row, at(days=14 + 365))


def test_points_that_come_back_expired_can_be_spent_for_thirty_days() -> None:
    spent = at(days=14 + 364)
    back = at(days=14 + 366)
    events = [
        ordered("A", at(), 100),
        ordered("B", spent, 40),
        redeemed("r", spent, 80, order_id="B"),
        cancelled("B", back),
    ]
    row = lived(events)

    assert 0 == points(row, back - 1)
    assert 80 == points(row, back)
    assert 80 == points(row, back + 30 * DAY_MS - 1)
    assert 0 == points(row, back + 30 * DAY_MS)


def test_points_that_come_back_pay_what_else_is_owed() -> None:
    events = [
        ordered("A", at(), 100),
        ordered("B", at(days=19), 0),
        redeemed("r", at(days=20), 80, order_id="B"),
        redeemed("s", at(days=21), 50),
        cancelled("B", at(days=22)),
    ]
    row = lived(events)

    assert -30 == points(row, at(days=21))
    assert 50 == points(row, at(days=22))


# Levels.


def test_a_level_is_reached_by_points_earned_and_not_lost_by_redeeming_them() -> None:
    row = lived([ordered("A", at(), 600), redeemed("r", at(days=15), 600)])

    assert "bronze" == fact(row, "level", at(days=14) - 1)
    assert "silver" == fact(row, "level", at(days=14))
    assert ("silver", 900) == (fact(row, "level", at(days=16)), fact(row, "level_gap", at(days=16)))


def test_a_level_is_kept_for_the_grace_and_no_longer() -> None:
    row = lived([ordered("A", at(), 600)])
    over = at(days=14 + 365 + 90)

    assert "silver" == fact(row, "level", over - 1)
    assert "bronze" == fact(row, "level", over)


def test_a_level_earned_again_within_the_grace_is_not_lost() -> None:
    again = ordered("B", at(days=14 + 365 + 60), 500)
    row = lived([ordered("A", at(), 600), again])

    assert "silver" == fact(row, "level", at(days=14 + 365 + 90))
    assert "silver" == fact(row, "level", again.occurred_at_ms + (14 + 365 + 90) * DAY_MS - 1)


def test_a_refund_takes_back_the_level_that_the_order_brought() -> None:
    row = lived([ordered("A", at(), 300), ordered("B", at(), 300), refunded("B", at(days=20))])

    assert "bronze" == fact(row, "level", at(days=20))


def test_the_highest_level_has_no_gap() -> None:
    row = lived([ordered("A", at(), 2_000)])

    assert "gold" == fact(row, "level", at(days=14))
    assert isnan(float(fact(row, "level_gap", at(days=14))))


def test_an_order_is_multiplied_by_the_level_held_when_it_was_placed() -> None:
    within = context(parameters=set_to(level_multipliers=(1.0, 1.5, 2.0)))
    events = [ordered("A", at(), 600), ordered("B", at(days=13), 100), ordered("C", at(days=14), 9)]
    for arrival in (events, events[::-1]):
        row = lived(arrival, within=within)

        assert 600 + 100 + 13 == points(row, at(days=28), within)


# What is said, and when.


def test_moments_come_when_points_become_active_and_before_they_expire() -> None:
    row, effects = waited(lived([ordered("A", at(), 420)]), at(days=500))

    assert [
        ("2026-01-15", "points-earned"),
        ("2026-01-15", "level-near"),
        ("2026-12-16", "points-expiring"),
    ] == triggers(effects)
    earned, near, expiring = (e for e in effects if isinstance(e, Trigger) and e.kind in KINDS)
    assert [("points", 420.0), ("level", "bronze"), ("level_gap", 80.0)] == [
        (reason.code, reason.value) for reason in earned.reasons
    ]
    assert "80 points to the next level" == near.reasons[0].words
    assert "420 points about to expire" == expiring.reasons[0].words
    assert 0 == points(row, at(days=500))


def test_a_level_is_told_when_it_comes_and_when_it_goes() -> None:
    row, effects = waited(lived([ordered("A", at(), 600)]), at(days=500))

    told = [e for e in effects if isinstance(e, Trigger) and e.kind == "level-changed"]
    assert [("2026-01-15", "level silver"), ("2027-04-15", "level bronze")] == [
        (trigger.timestamp[:10], trigger.reasons[0].words) for trigger in told
    ]
    assert ["bronze before", "silver before"] == [t.reasons[1].words for t in told]
    assert 0 == row.due("loyalty").due_ms


@pytest.mark.parametrize("step_days", [0.7, 30.0, 400.0])
def test_silence_says_the_same_in_small_steps_and_in_large_ones(step_days: float) -> None:
    start = lived([ordered("A", at(), 420), ordered("B", at(days=3), 200)])
    expected, effects = waited(start, at(days=800))
    row, stepped = start, list[Effect]()
    day = 0.0
    while day < 800:
        day = min(day + step_days, 800)
        row, more = waited(row, at(days=day))
        stepped += more

    assert triggers(effects) == triggers(stepped)
    assert encode_row(expected) == encode_row(row)


def test_a_few_points_are_not_worth_a_word() -> None:
    for bought, words in ((49, []), (50, [("2026-12-16", "points-expiring")])):
        _, effects = waited(lived([ordered("A", at(), bought)]), at(days=500))

        assert words == triggers(effects)


def test_whoever_buys_every_week_is_told_of_points_once_in_four_weeks() -> None:
    orders = [ordered(f"O-{week}", at(days=7 * week), 10) for week in range(52)]
    row, effects = on_time(orders)
    _, more = waited(row, at(days=800))

    told = Counter(kind for _, kind in triggers([*effects, *more]))
    assert told["points-earned"] <= 52 / 4
    assert {"points-earned": 11, "points-expiring": 12, "level-near": 1, "level-changed": 2} == told


def test_the_silent_customer_never_hears_anything() -> None:
    """The customer without triggers: small orders, four a year, a large one returned, and
    spending.
    """
    events: list[Event] = []
    for season in range(12):
        day = 91 * season
        events.append(ordered(f"small-{season}", at(days=day), 12))
        if season % 4 == 1:
            events.append(ordered(f"large-{season}", at(days=day + 1), 900))
            events.append(refunded(f"large-{season}", at(days=day + 9)))
        if season % 4 == 3:
            events.append(redeemed(f"r-{season}", at(days=day + 20), 40))
    row, effects = on_time(events)
    _, more = waited(row, at(days=2_000))

    assert [] == triggers([*effects, *more])


def test_a_late_event_does_not_raise_what_is_over() -> None:
    row, _ = waited(lived([ordered("A", at(), 200)]), at(days=15))
    _, effects = lived_with_effects([ordered("B", at(days=14), 10)], row=row)

    assert [] == triggers(effects)
    assert {"pending": 10} == sums(effects)


# Every order of arrival, repeats, ids that are one person.

ORDERS = ("A", "B", "C", "D")
DAYS = st.integers(0, 500)


@st.composite
def histories(draw: st.DrawFn) -> list[Event]:
    """Orders that are changed, refunded and cancelled, points redeemed on them, adjustments."""
    events: list[Event] = []
    for order in draw(st.lists(st.sampled_from(ORDERS), unique=True)):
        day = draw(DAYS)
        events.append(ordered(order, at(days=day), draw(st.integers(0, 900))))
        for _ in range(draw(st.integers(0, 2))):
            later = at(days=day + draw(st.integers(0, 60)), ms=len(events))
            news = draw(st.sampled_from(["update", "refund", "partial", "cancel", "redeem"]))
            match news:
                case "update":
                    said = {"order_id": order, "revenue": draw(st.integers(0, 900))}
                    events.append(happened("Order Updated", later, **said))
                case "refund":
                    events.append(refunded(order, later))
                case "partial":
                    events.append(refunded(order, later, draw(st.integers(1, 300))))
                case "cancel":
                    events.append(cancelled(order, later))
                case _:
                    spent = draw(st.integers(1, 400))
                    events.append(redeemed(f"r-{order}", later, spent, order_id=order))
    for number in range(draw(st.integers(0, 3))):
        events.append(redeemed(f"r-{number}", at(days=draw(DAYS), ms=number), 70))
        events.append(adjusted(at(days=draw(DAYS), ms=number), draw(st.integers(-80, 80))))
    return events


MULTIPLIED = set_to(level_multipliers=(1.0, 1.5, 2.0))
TIMES = [at(days=day) for day in (1, 100, 250, 380, 480, 600, 1_100)]


def read(row: Row, within: Within) -> list[tuple[str, ...]]:
    """Every fact about points at several times, as text, so that unknown ones are equal."""
    names = [name for name, known in LOYALTY.facts.items() if known.moment is None]
    return [tuple(str(fact(row, name, at_ms, within)) for name in names) for at_ms in TIMES]


@given(st.data())
def test_any_order_of_arrival_gives_one_balance(data: st.DataObject) -> None:
    within = context(parameters=MULTIPLIED)
    history = data.draw(histories())
    repeats = [
        replace(event, message_id=f"again {event.message_id}")
        for event in history
        if event.name == "Points Redeemed"
    ]
    row, effects = lived_with_effects(history, within=within)
    other, more = lived_with_effects(
        data.draw(st.permutations([*history, *repeats])), within=within
    )

    assert read(row, within) == read(other, within)
    # The sums over all customers are equal, too, and in the end all points have expired.
    row, silence = waited(row, TIMES[-1], within=within)
    other, more_silence = waited(other, TIMES[-1], within=within)
    assert sums([*effects, *silence]) == sums([*more, *more_silence])
    assert row.read(LOYALTY).told == other.read(LOYALTY).told
    assert {"active", "pending"}.isdisjoint(sums([*effects, *silence]))


@drawn(times=0.2)
@given(st.randoms(use_true_random=False), st.integers(1, 24))
def test_late_news_of_years_ends_like_that_on_time(chance: Random, orders_a_year: int) -> None:
    history = years(orders_a_year, orders_a_year * 4)
    late_ms = PARAMETERS.time.lateness - 1
    arrival = sorted(history, key=lambda event: event.occurred_at_ms + chance.randint(0, late_ms))
    row, effects = on_time(history)
    other, more = on_time(arrival)
    end_ms = history[-1].occurred_at_ms + 1_000 * DAY_MS
    row, silence = waited(row, end_ms)
    other, more_silence = waited(other, end_ms)

    assert read(row, context()) == read(other, context())
    assert sums([*effects, *silence]) == sums([*more, *more_silence])
    # What was let go of when is not the same; what came of it is.
    assert row.read(LOYALTY).told == other.read(LOYALTY).told


@given(st.data())
def test_lots_and_debits_always_add_up(data: st.DataObject) -> None:
    row = lived(data.draw(histories()))
    for at_ms in TIMES:
        account = scene(row, at_ms).of(loyalty_account)

        assert all(0 <= credit.left <= credit.points for credit in account.credits)
        assert not (account.debt and account.active)


@given(histories())
def test_timers_miss_no_change_that_time_alone_brings(history: list[Event]) -> None:
    within = context(parameters=MULTIPLIED)
    row, effects = Row(), list[Effect]()
    for event in sorted(history, key=lambda event: event.occurred_at_ms):
        row, more = lived_with_effects([event], row=row, within=within)
        effects += more
    for at_ms in TIMES:
        if at_ms > row.latest_ms:
            row, more = waited(row, at_ms, within=within)
            effects += more
            state, account = row.read(LOYALTY), scene(row, at_ms, within).of(loyalty_account)

            now = (account.active, account.pending, account.redeemed, account.earned)
            assert (int(state.is_member), *now) == state.told
            assert account.standing.held(at_ms) == state.level
    assert sums(effects) == {
        key: told for key, told in zip(KEYS, row.read(LOYALTY).told, strict=True) if told
    }


@given(histories())
def test_a_level_is_the_highest_that_was_earned_within_the_grace(history: list[Event]) -> None:
    row = lived(history)
    for at_ms in TIMES:
        first_ms = at_ms - SHIPPED.level_grace + 1
        credits_then = scene(row, at_ms).of(loyalty_account).credits
        orders = [credit for credit in credits_then if not credit.lot.source]
        changes = {
            moment
            for credit in orders
            for moment in (credit.active_ms, credit.active_ms + SHIPPED.level_window)
            if first_ms <= moment <= at_ms
        }
        earned = [
            sum(
                credit.points
                for credit in orders
                if credit.active_ms <= moment < credit.active_ms + SHIPPED.level_window
            )
            for moment in (first_ms, *changes)
        ]
        reached = [sum(step <= points for step in SHIPPED.level_points) - 1 for points in earned]

        assert SHIPPED.levels[max(reached)] == (fact(row, "level", at_ms) or "bronze")


def whole(events: Sequence[Event], first: set[str]) -> tuple[list[Event], list[Event]]:
    """The events of the orders in ``first``, and all others."""
    mine = [e for e in events if getattr(e.properties, "order_id", None) in first]
    return mine, [event for event in events if event not in mine]


@given(histories(), st.sets(st.sampled_from(ORDERS)))
def test_two_ids_of_one_person_have_their_points_together(
    history: list[Event], first: set[str]
) -> None:
    within = context(parameters=MULTIPLIED)
    mine, others = whole(history, first)
    row = Row()
    states = [lived(part, within=within).read(LOYALTY) for part in (mine, others)]
    one = LOYALTY.united(states, MULTIPLIED)
    state = row.edit(LOYALTY)
    for name in Loyalty.__slots__:
        setattr(state, name, getattr(one, name))

    assert read(lived(history, within=within), within) == read(row, within)


def test_what_was_told_of_two_ids_is_set_right_by_the_next_news_of_the_person() -> None:
    row, effects = lived_with_effects([ordered("A", at(), 100)])
    other, more = lived_with_effects([ordered("B", at(), 50), ordered("A", at(), 100)])
    one = Row()
    united = LOYALTY.united([row.read(LOYALTY), other.read(LOYALTY)], PARAMETERS)
    state = one.edit(LOYALTY)
    for name in Loyalty.__slots__:
        setattr(state, name, getattr(united, name))
    _, last = lived_with_effects([adjusted(at(days=1), 1)], row=one)

    assert {"members": 2, "pending": 250} == sums([*effects, *more])
    assert {"members": 1, "pending": 150, "active": 1} == sums([*effects, *more, *last])


def lived_in_time(events: Iterable[Event]) -> Row:
    """The row after events that were recorded when they happened."""
    row = Row()
    for event in events:
        row = lived([event], row=row, clock_ms=event.occurred_at_ms)
    return row


@pytest.mark.parametrize("joins", [0, 1], ids=["who ordered", "who gave back"])
@pytest.mark.parametrize(
    ("first", "then"),
    [
        ([ordered("A", at(), 100)], [refunded("A", at(days=20), 60)]),
        ([ordered("A", at(), 100)], [refunded("A", at(days=20))]),
        (
            [ordered("A", at(), 300), ordered("B", at(days=20), 9), redeemed("r", at(days=21), 50)],
            [happened("Order Cancelled", at(days=22), order_id="A")],
        ),
        (
            [ordered("A", at(), 300), redeemed("r", at(days=20), 50, order_id="B")],
            [happened("Order Cancelled", at(days=21), order_id="B"), ordered("C", at(days=39), 1)],
        ),
    ],
    ids=["a part", "all", "cancelled after points of it were spent", "points come back"],
)
def test_an_order_that_one_id_placed_and_another_gave_back_earns_as_one_of_a_single_id(
    first: list[Event], then: list[Event], joins: int
) -> None:
    now = context(at(days=40))
    rows = [copied(lived_in_time(first)), copied(lived_in_time(then))]
    joining, person = rows[joins], rows[1 - joins]
    identity.link(person, "ada", "anon-1", joining, at(days=40), now.present, now.plan)

    account = loyalty_account(scene(person, at(days=40), now))
    alone = loyalty_account(scene(lived_in_time([*first, *then]), at(days=40), now))
    assert (alone.active, alone.debt, alone.redeemed, alone.earned) == (
        account.active,
        account.debt,
        account.redeemed,
        account.earned,
    )


# Bounds, and what is let go of.


def test_lots_and_debits_keep_within_their_bounds_and_no_point_is_lost() -> None:
    within = context(parameters=set_to(lots=4, debits=3))
    events = [ordered(f"O-{day}", at(days=day), 20) for day in range(40)]
    events += [redeemed(f"r-{day}", at(days=20 + day), 10) for day in range(30)]
    events.sort(key=lambda event: event.occurred_at_ms)
    row = lived(events, within=within)
    state = row.read(LOYALTY)

    assert (4, 3) == (len(state.lots), len(state.debits))
    assert 40 * 20 - 30 * 10 == points(row, at(days=60), within)
    # What was left of the older lots expires with the oldest that is kept.
    assert 40 * 20 - 30 * 10 == points(row, at(days=36 + 14 + 365) - 1, within)
    assert 3 * 20 == points(row, at(days=36 + 14 + 365), within)


def test_beyond_the_bound_old_news_neither_gives_nor_takes_twice() -> None:
    within = context(parameters=set_to(lots=2, debits=1))
    events = [ordered(f"O-{day}", at(days=day), 100) for day in range(6)]
    events += [redeemed(f"r-{day}", at(days=30 + day), 10) for day in range(3)]
    row = lived(events, within=within)
    again = [
        refunded("O-0", at(days=40), 30),
        happened("Order Updated", at(days=40), order_id="O-1", revenue=500),
        redeemed("r-0", at(days=30), 10, message="again"),
    ]

    assert 570 == points(row, at(days=41), within)
    assert 570 == points(lived(again, row=row, within=within), at(days=41), within)


def years(orders_a_year: int, count: int) -> list[Event]:
    """Orders and redemptions of several years, some of them undone."""
    events: list[Event] = []
    for number in range(count):
        day = number * 365 // orders_a_year
        events.append(ordered(f"O-{number}", at(days=day), 40 + number % 7 * 30))
        if number % 3 == 0:
            spent = redeemed(f"r-{number}", at(days=day, minutes=1), 60, order_id=f"O-{number}")
            events.append(spent)
        if number % 6 == 3:
            events.append(cancelled(f"O-{number}", at(days=day + 5)))
        if number % 4 == 1:
            events.append(refunded(f"O-{number}", at(days=day + 6), 25))
    return sorted(events, key=lambda event: event.occurred_at_ms)


def test_what_is_settled_and_let_go_of_changes_nothing() -> None:
    history = years(12, 120)
    kept = lived(history)
    row, effects = on_time(history)
    end_ms = history[-1].occurred_at_ms
    state = row.read(LOYALTY)

    assert len(state.lots) < 12 * 3
    assert len(state.debits) < 12 * 3 / 3
    assert state.past_earned > 0
    for day in (0, 10, 100, 360, 500):
        for name in ("points", "points_pending", "points_debt", "level", "points_expiring"):
            at_ms = end_ms + day * DAY_MS
            assert fact(kept, name, at_ms) == fact(row, name, at_ms)
    # The row that kept everything came late to its timers, but says the same in the end.
    assert kept.read(LOYALTY).told == state.told
    assert sums(effects) == {key: told for key, told in zip(KEYS, state.told, strict=True) if told}


def test_an_order_of_more_than_a_year_ago_changes_its_points_with_its_price() -> None:
    late = happened("Order Updated", at(days=375), order_id="A", revenue=900)
    row, _ = on_time([ordered("A", at(), 100), ordered("B", at(days=371), 1), late])

    assert 900 == points(row, at(days=375))


def test_an_absurd_customer_fits_a_row() -> None:
    events = [ordered(f"O-{day}", at(days=day), 1e12) for day in range(20)]
    row = lived([*events, adjusted(at(), 1e9), redeemed("r", at(days=30), 1e9)])

    assert 0 < points(row, at(days=60)) < 2**63
    assert encode_row(row)


# The switch.


def test_switched_off_it_says_nothing_and_keeps_what_it_has() -> None:
    off = context(parameters=OFF)
    before = lived([ordered("A", at(), 420)])
    stored = before.packed()["lo"]
    row, effects = lived_with_effects(
        [redeemed("r", at(days=20), 100), ordered("B", at(days=21), 200)], row=before, within=off
    )
    row, more = waited(row, at(days=600), within=off)

    assert stored == row.packed()["lo"]
    assert [] == triggers([*effects, *more])
    assert {} == sums([*effects, *more])
    assert isnan(points(row, at(days=30), off))
    assert "" == fact(row, "level", at(days=30), off)
    assert seen(row, at(days=30), off).loyalty is None
    told = samples_of_parts(learner_of(effects).so_far(at()), OFF)
    assert LOYALTY.population is not None
    assert [] == [sample for sample in told if sample.measure in LOYALTY.population.measures]


def test_switched_on_again_it_goes_on_from_what_it_kept_and_raises_nothing_old() -> None:
    off = context(parameters=OFF)
    row, effects = lived_with_effects([ordered("A", at(), 420)])
    row, _ = waited(row, at(days=30), within=off)
    row, more = lived_with_effects([redeemed("r", at(days=31), 20)], row=row)

    assert [] == triggers(more)
    expected = {"members": 1, "active": 400, "redeemed": 20, "earned": 420}
    assert expected == sums([*effects, *more])
    _, silence = waited(row, at(days=500))
    assert [("2026-12-16", "points-expiring")] == triggers(silence)


# What an operator may set, and what is read.


@pytest.mark.parametrize(
    ("assignment", "words"),
    [
        ("loyalty.level_points=0,1500,500", "must ascend, from 0"),
        ("loyalty.level_points=100,500,1500", "must ascend, from 0"),
        ("loyalty.levels=bronze,silver", "lists of one length"),
        ("loyalty.level_multipliers=1.0,1.0,1001.0", "is 1000 at most"),
        ("loyalty.level_near=2", "is a share"),
        ("loyalty.expiry=0d", "must be more than 0"),
        ("loyalty.rat=2", "did you mean loyalty.rate"),
    ],
)
def test_parameters_that_cannot_be_are_refused(assignment: str, words: str) -> None:
    with pytest.raises(ParameterError, match=words):
        load_parameters(None, [assignment])


def in_words(row: Row, at_ms: int) -> list[Line]:
    [section] = LOYALTY.sections
    assert section.in_words is not None
    view = seen(row, at_ms)
    return list(section.in_words(view.loyalty, view.as_of, "EUR"))


def test_points_in_words() -> None:
    assert [
        Line("loyalty", "70 points, 80 redeemed so far"),
        Line("level", "bronze: 150 points earned that count, 350 more to the next"),
    ] == in_words(lived(EXAMPLE[:3]), on("2026-03-01"))
    assert [
        Line("loyalty", "owes 40 points, 100 on their way, 80 redeemed so far"),
        Line("level", "bronze: 40 points earned that count, 460 more to the next"),
    ] == in_words(lived(EXAMPLE), on("2026-03-20"))
    assert [
        Line("loyalty", "2,000 points"),
        Line("expiring", "2,000 points, the first 2027-01-15 00:00 UTC"),
        Line("level", "gold: 2,000 points earned that count"),
    ] == in_words(lived([ordered("A", at(), 2_000)]), at(days=14 + 340))


def test_the_shop_is_told_its_members_and_what_it_owes_them() -> None:
    _, effects = on_time([*EXAMPLE, adjusted(on("2026-04-05"), 1)])
    other, more = lived_with_effects([ordered("X", at(), 500), ordered("Y", at(days=90), 30)])
    tallies = learner_of([*effects, *more]).so_far(on("2026-04-06"))
    told = {name_of(s): s.value for s in samples_of_parts(tallies, PARAMETERS)}

    assert {
        "keepstream_loyalty_members": 2,
        'keepstream_loyalty_points{state="active"}': 61 + 500,
        'keepstream_loyalty_points{state="pending"}': 30,
        "keepstream_loyalty_points_earned": 140 + 500,
        "keepstream_loyalty_points_redeemed": 80,
        "keepstream_loyalty_liability": pytest.approx(5.61),
    } == {name: value for name, value in told.items() if "keepstream_loyalty" in name}
    assert 500 == points(other, at(days=90))


def test_points_without_a_redemption_id_or_a_number_are_no_reason_to_refuse_an_event() -> None:
    said = [happened("Points Redeemed", at(days=20)), happened("Points Redeemed", at(days=21))]
    row = lived([ordered("A", at(), 100), *said])

    assert 100 == points(row, at(days=22))


# Repeats, and orders that come back.


def test_a_redemption_without_an_id_that_is_told_again_counts_once() -> None:
    """Also when another system sends it with another message id."""
    first, again = (
        happened("Points Redeemed", at(days=20), message=message, points=30, order_id="B")
        for message in ("m-1", "m-2")
    )
    other = happened("Points Redeemed", at(days=21), points=30)

    assert 70 == points(lived([ordered("A", at(), 100), first, again]), at(days=40))
    assert 40 == points(lived([ordered("A", at(), 100), first, again, other]), at(days=40))


def test_points_are_spent_after_all_on_a_cancelled_order_that_is_paid_again() -> None:
    spent = [
        ordered("A", at(), 100),
        redeemed("r", at(days=20), 30, order_id="B"),
        ordered("B", at(days=20), 10),
        cancelled("B", at(days=21)),
    ]
    again = [*spent, ordered("B", at(days=22), 10)]
    once_more = [*again, cancelled("B", at(days=23))]

    for events, expected in ((spent, 100), (again, 80), (once_more, 100)):
        for arrivals in (events, events[::-1]):
            assert expected == points(lived(arrivals), at(days=40))

"""Credit of customers with more invoices than fit in a row."""

from random import Random

import pytest
from msgspec import to_builtins

from config.duration import DAY_MS
from models.customer.invoices import (
    ADDED_UP_MAX,
    ISSUED,
    OVERDUE,
    PAID,
    PAID_MAX,
    QUARTERS_MAX,
    UNPAID_MAX,
    Solvency,
    credit_percent,
    note,
    united_credit,
)
from models.events.event import Event
from models.events.times import iso
from tests.models.lines import PARAMETERS, at, happened

_HALF_LIFE_MS = 365 * DAY_MS


def invoice(name: str, day: float, number: str, due: float, amount: float) -> Event:
    return happened(name, at(day), invoice_id=number, due_at=iso(at(due)), amount=amount)


def settled(day: float, number: str, amount: float = 100.0, *, late: bool = False) -> list[Event]:
    """Invoices issued, and paid five days later."""
    due = day + (3 if late else 10)
    return [
        invoice(ISSUED, day, number, due, amount),
        invoice(PAID, day + 5, number, due, amount),
    ]


def unpaid(day: float, number: str, amount: float = 100.0) -> list[Event]:
    return [
        invoice(ISSUED, day, number, day + 10, amount),
        invoice(OVERDUE, day + 11, number, day + 10, amount),
    ]


def noted(events: list[Event]) -> Solvency:
    state = Solvency()
    for event in events:
        note(state, event, PARAMETERS.money)
    return state


def credit(state: Solvency, day: float, half_life_ms: int = _HALF_LIFE_MS) -> float | None:
    percent = credit_percent(state, at(day), half_life_ms, 50.0, PARAMETERS.money)
    return None if percent is None else round(percent, 6)


def paid_in_turn(many: int, first_day: float = 20, every: float = 1) -> list[Event]:
    found = []
    for number in range(many):
        found += settled(first_day + every * number, f"p-{number}")
    return found


@pytest.mark.parametrize("many", [0, 20, 30, 200])
def test_a_large_one_that_is_not_paid_is_never_pushed_out(many: int) -> None:
    """It is as large as all others together: half of the known amount was paid in time."""
    events = [*unpaid(0, "large", 100.0 * many or 1), *paid_in_turn(many, every=0.01)]

    found = credit(noted(events), 30, half_life_ms=1 << 60)

    assert (50.0 if many else 0.0) == found


def test_who_pays_nearly_all_is_not_judged_by_what_stays() -> None:
    """One of forty stays unpaid, for four years: the unpaid ones stay in the row."""
    events = []
    for number in range(400):
        day = number * 3.65
        events += unpaid(day, f"u-{number}") if number % 40 == 7 else settled(day, f"p-{number}")

    found = credit(noted(events), 1_480)

    assert found == pytest.approx(97.5, abs=0.6)


def test_it_may_be_paid_after_all_however_many_came_since() -> None:
    events = [*unpaid(0, "large", 5_000.0), *paid_in_turn(60)]
    before = noted(events)
    after = noted([*events, invoice(PAID, 90, "large", 10, 5_000.0)])

    assert [False] == [one.is_in_time for one in after.invoices if one.due_ms == at(10)]
    assert len(before.invoices) == PAID_MAX + 1
    assert len(after.invoices) == PAID_MAX


def test_what_is_owed_beyond_the_room_is_owed_still_until_it_is_paid() -> None:
    events = [event for n in range(UNPAID_MAX + 36) for event in unpaid(n, f"u-{n}", n + 1.0)]
    state = noted(events)

    assert len(state.invoices) == UNPAID_MAX
    assert state.owed.amount_minor == 100 * sum(range(1, 37))
    assert 0.0 == credit(state, 200)
    for number in range(36):
        note(state, invoice(PAID, 300, f"u-{number}", number + 10, number + 1.0), PARAMETERS.money)
    assert (0, 0) == (state.owed.amount_minor, state.owed_ms)


def test_of_open_ones_that_nobody_said_to_be_due_the_oldest_go() -> None:
    events = [happened(ISSUED, at(n), invoice_id=f"i-{n}") for n in range(UNPAID_MAX)]
    state = noted([*events, *unpaid(0, "owed")])

    assert len(state.invoices) == UNPAID_MAX
    assert 0.0 == credit(state, 100)
    assert 0 == state.owed_ms


def _some(rng: Random) -> list[Event]:
    """Up to 80 invoices, some of them paid, late or in time."""
    events: list[Event] = []
    for number in range(rng.choice((3, 30, 80))):
        day, amount = rng.randint(0, 400), float(rng.randint(1, 500))
        chance = rng.random()
        if chance < 0.2:
            events += unpaid(day, f"i-{number}", amount)
        else:
            events += settled(day, f"i-{number}", amount, late=chance < 0.4)
    return events


@pytest.mark.parametrize("seed", range(20))
def test_whatever_comes_first_is_the_same_credit(seed: int) -> None:
    rng = Random(seed)
    events = _some(rng)
    found = []
    for _ in range(4):
        rng.shuffle(events)
        state = noted(events)
        state.added_up.sort()
        found.append((to_builtins(state), credit(state, 420)))

    assert all(one == found[0] for one in found)


@pytest.mark.parametrize("seed", range(10))
def test_ids_of_one_person_owe_what_one_would(seed: int) -> None:
    rng = Random(seed)
    events = sorted(_some(rng), key=lambda event: event.occurred_at_ms)
    numbers = {event.properties.invoice_id: rng.random() < 0.5 for event in events}
    ids = [
        noted([event for event in events if numbers[event.properties.invoice_id] is mine])
        for mine in (True, False)
    ]

    found, whole = united_credit(ids), noted(events)

    assert sorted(found.added_up) == sorted(whole.added_up)
    assert [to_builtins(one) for one in found.quarters] == [
        to_builtins(one) for one in whole.quarters
    ]
    assert credit(found, 420) == credit(whole, 420)


def test_all_of_it_is_bounded() -> None:
    events = [*paid_in_turn(400, every=10), *(e for n in range(200) for e in unpaid(n, f"u-{n}"))]
    state = noted(events)

    assert len(state.invoices) == PAID_MAX + UNPAID_MAX
    assert len(state.quarters) == QUARTERS_MAX
    assert len(state.added_up) == ADDED_UP_MAX

"""Credit of customers with more invoices than fit in a row."""

from operator import itemgetter
from random import Random
from typing import Any

import pytest
from msgspec import to_builtins

from config.duration import DAY_MS
from models.customer.invoices import (
    ADDED_UP_MAX,
    ISSUED,
    OVERDUE,
    PAID,
    PAID_MAX,
    PAYMENTS_MAX,
    QUARTERS_MAX,
    UNPAID_MAX,
    Invoice,
    Solvency,
    credit_percent,
    note,
    united_credit,
)
from models.customer.order_products import number_or_none
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

    assert [False] == [one.is_in_time(at(90)) for one in after.invoices if one.due_ms == at(10)]
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


def paid(day: float, amount: float | None = None) -> Event:
    return happened(PAID, at(day), invoice_id="i", amount=amount)


ISSUED_100 = invoice(ISSUED, 0, "i", 10, 100.0)


@pytest.mark.parametrize(
    ("events", "percent"),
    [
        # 40 of 100 in time; the rest late, or not at all.
        ([ISSUED_100, paid(5, 40), paid(15, 60)], 40.0),
        ([ISSUED_100, paid(5, 40)], 40.0),
        ([ISSUED_100, paid(5, 40), invoice(OVERDUE, 11, "i", 10, 60.0)], 40.0),
        ([ISSUED_100, paid(5, 40), paid(10, 60)], 100.0),
        ([ISSUED_100, paid(15, 40), paid(16, 60)], 0.0),
        # A payment that says no amount is of all that is left.
        ([ISSUED_100, paid(5)], 100.0),
        ([ISSUED_100, paid(5, 40), paid(9)], 100.0),
        ([ISSUED_100, paid(5, 40), paid(15)], 0.0),
        # A cash discount; what is more than that is owed.
        ([ISSUED_100, paid(5, 97)], 100.0),
        ([ISSUED_100, paid(5, 95)], 100.0),
        ([ISSUED_100, paid(5, 94)], 94.0),
        # The same payment, heard of twice.
        ([ISSUED_100, paid(5, 50), paid(5, 50)], 50.0),
        # More than it was, for a reminder's fee.
        ([ISSUED_100, paid(15, 110)], 0.0),
        # Issued anew for less.
        ([ISSUED_100, invoice(ISSUED, 4, "i", 10, 80.0), paid(5, 80)], 100.0),
        # Of an unknown amount, any payment is of all of it.
        ([paid(5, 40)], 100.0),
        ([happened(ISSUED, at(0), invoice_id="i", due_at=iso(at(10))), paid(5, 40)], 100.0),
        ([invoice(OVERDUE, 11, "i", 10, 60.0), paid(15, 60)], 0.0),
    ],
)
def test_of_an_invoice_that_is_paid_in_parts_each_part_counts(
    events: list[Event], percent: float
) -> None:
    forever = 1 << 60

    assert percent == credit(noted(events), 30, forever)
    assert percent == credit(noted(events[::-1]), 30, forever)
    one_each = united_credit(noted([event]) for event in events)
    assert percent == credit(one_each, 30, forever)


def test_payments_beyond_the_bound_are_one() -> None:
    many = [paid(1 + one / 100, 100 / 40) for one in range(40)]
    found, back = noted([ISSUED_100, *many]), noted([*many[::-1], ISSUED_100])

    assert to_builtins(found) == to_builtins(back)
    assert PAYMENTS_MAX == len(found.invoices[0].payments)
    assert 100.0 == credit(found, 30)


def test_parts_of_invoices_that_are_added_up_count_as_they_did() -> None:
    events = [
        event
        for n in range(PAID_MAX + 1)
        for event in (
            invoice(ISSUED, n, f"p-{n}", n + 10, 100.0),
            invoice(PAID, n + 5, f"p-{n}", n + 10, 40.0),
            invoice(PAID, n + 15, f"p-{n}", n + 10, 60.0),
        )
    ]
    found = noted(events)

    assert len(found.quarters)
    assert 40.0 == credit(found, 60, 1 << 60)


def test_an_invoice_of_before_was_paid_in_full() -> None:
    """Earlier releases knew when it was paid first, and the highest amount."""
    before = Solvency(
        [Invoice(1, at(10), at(5), 0, 10_000, at(5)), Invoice(2, at(10), 0, 0, 5_000)]
    )
    after = united_credit([before, Solvency([Invoice(2, 0, at(12), payments=[(at(12), 1_000)])])])

    assert (at(5), at(5)) == (before.invoices[0].paid_ms, after.invoices[0].paid_ms)
    assert round(100 * 100 / 150, 6) == credit(after, 30, 1 << 60)


def _some(rng: Random, *, in_parts: float = 0.0) -> list[Event]:
    """Up to 80 invoices, some of them paid, late or in time."""
    events: list[Event] = []
    for number in range(rng.choice((3, 30, 80))):
        day, amount = rng.randint(0, 400), float(rng.randint(1, 500))
        chance = rng.random()
        if chance < 0.2:
            events += unpaid(day, f"i-{number}", amount)
        elif chance < 0.2 + in_parts:
            share = rng.choice((0.25, 0.5, 0.75)) * amount
            events.append(invoice(ISSUED, day, f"i-{number}", day + 10, amount))
            events += [
                invoice(PAID, day + late, f"i-{number}", day + 10, part)
                for late, part in ((5, share), (15, amount - share))[: rng.randint(1, 2)]
            ]
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


@pytest.mark.parametrize("seed", range(20))
def test_news_of_an_invoice_in_parts_may_be_late(seed: int) -> None:
    rng = Random(seed)
    events = _some(rng, in_parts=0.4)
    found = []
    for late_days in (0, 3, 3, 3):
        arrivals = [
            (one.occurred_at_ms + rng.uniform(0, late_days) * DAY_MS, one) for one in events
        ]
        state = noted([one for _, one in sorted(arrivals, key=itemgetter(0))])
        state.added_up.sort()
        found.append((to_builtins(state), credit(state, 420)))

    assert all(one == found[0] for one in found)


@pytest.mark.parametrize("seed", range(10))
def test_ids_of_one_person_owe_what_one_would(seed: int) -> None:
    rng = Random(seed)
    events = sorted(_some(rng, in_parts=0.2), key=lambda event: event.occurred_at_ms)
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


@pytest.mark.parametrize(
    "properties",
    [
        {"invoice_number": "i", "total": 100},
        {"Invoice": "i", "Amount": "100,00"},
        *({"invoice_id": "i", name: "100.00"} for name in ("amount_due", "grandTotal", "value")),
    ],
)
def test_an_amount_is_found_in_every_system_s_words(properties: dict[str, Any]) -> None:
    news = happened(ISSUED, at(), **properties).properties

    assert ("i", 100.0) == (news.invoice_id, number_or_none(news.amount))

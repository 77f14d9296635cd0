"""Key customers and their credit: the hand example, what is not known, and what is settled late."""

from collections.abc import Iterable
from math import isnan
from random import Random
from typing import Any

import pytest

from models.customer.invoices import ISSUED, OVERDUE, PAID
from models.customer.key_customers import KEY_CUSTOMERS, KeyParameters, _is_key, mean_of
from models.customer.row import Row
from models.decisions.trigger import Trigger
from models.engine import Effect
from models.events.event import Event
from models.events.rejection import Rejected
from models.events.times import iso
from models.learning.lessons import Tally
from models.learning.tallies import Tallies
from models.parameters import load_parameters
from tests.models.lines import (
    PARAMETERS,
    PRIOR,
    Within,
    at,
    context,
    happened,
    lived,
    lived_with_effects,
    scene,
    waited,
)

SECTION = PARAMETERS.of(KeyParameters)


def bought(day: float, revenue: float = 400.0) -> Event:
    return happened("Order Completed", at(day), order_id=f"o-{day}", revenue=revenue)


def invoice(name: str, day: float, number: str, **said: Any) -> Event:
    return happened(name, at(day), invoice_id=number, **said)


def credit_of(events: Iterable[Event], day: float) -> float:
    row, _ = waited(lived(events), at(day))
    return float(scene(row, at(day))["credit"])


@pytest.mark.parametrize(
    ("percents", "mean", "is_key"),
    [
        # Worth it, and vetoed: they do not pay.
        ([80, 70, 95, 40], 73.5, False),
        ([80, 70, 95, 90], 83.5, True),
        # Whatever is not known counts neither as nothing nor as the best.
        ([80, 70, 95, -1], 81.875, True),
        ([-1, 100, 100, -1], 100.0, False),
        ([90, 90, 90, 49], 81.8, False),
        ([90, 90, 90, 50], 82.0, True),
        ([-1, -1, -1, -1], None, False),
    ],
)
def test_four_sides_and_who_is_a_key_customer(
    percents: list[int], mean: float | None, is_key: bool
) -> None:
    found = mean_of(percents, SECTION)

    assert mean == (None if found is None else round(found, 3))
    assert is_key == _is_key(percents, SECTION, was_key=False)


def test_who_wavers_about_the_limit_is_moved_once() -> None:
    assert not _is_key([72, 72, 72, 72], SECTION, was_key=False)
    assert _is_key([72, 72, 72, 72], SECTION, was_key=True)
    assert not _is_key([69, 69, 69, 69], SECTION, was_key=True)


def changes(effects: Iterable[Effect]) -> list[str]:
    kinds = ("became-key-customer", "key-customer-slipping")
    return [one.kind for one in effects if isinstance(one, Trigger) and one.kind in kinds]


def years(within: Within, *, pays: bool) -> tuple[Row, list[Effect]]:
    """Three years of two orders a month, each with an invoice, and a survey now and then."""
    events: list[Event] = []
    for month in range(36):
        for half in (0, 15):
            day = 30 * month + half
            events.append(bought(day))
            events.append(invoice(ISSUED, day, f"i-{day}", amount=400, due_at=iso(at(day + 14))))
            late = 14 if pays else 40
            events.append(invoice(PAID, day + late, f"i-{day}", amount=400))
        events.append(happened("Survey Responded", at(30 * month + 20), kind="csat", score=5))
    events.sort(key=lambda event: event.occurred_at_ms)
    return lived_with_effects(events, within=within)


def test_whoever_is_loyal_content_and_pays_is_a_key_customer_and_none_when_they_stop() -> None:
    within = context()
    row, effects = years(within, pays=True)
    row, more = waited(row, at(36 * 30 + 300), within=within)
    now = scene(row, at(36 * 30 + 300))

    assert ["became-key-customer"] == changes(effects)
    assert ["key-customer-slipping"] == changes(more)
    assert 0.0 == now["key_customer"]
    told = [one for one in [*effects, *more] if isinstance(one, Tally)]
    sums = [s for one in told if one.part == KEY_CUSTOMERS.name for s in one.sums]
    assert 0 == sum(amount for key, _, amount in sums if key == "key")


def test_whoever_pays_late_is_none_however_much_they_buy() -> None:
    """The silent customer."""
    row, effects = years(context(), pays=False)
    now = scene(row, at(36 * 30))

    assert [] == changes(effects)
    assert 0.0 == now["credit"]
    assert float(now["key_score"]) > 70


@pytest.mark.parametrize(
    ("events", "credit"),
    [
        ([], None),
        ([invoice(ISSUED, 1, "a")], None),
        ([invoice(PAID, 1, "a")], 100.0),
        ([invoice(OVERDUE, 1, "a")], 0.0),
        # Paid after it was overdue, and after it was due.
        ([invoice(OVERDUE, 1, "a"), invoice(PAID, 2, "a")], 0.0),
        ([invoice(ISSUED, 1, "a", due_at=iso(at(3))), invoice(PAID, 3, "a")], 100.0),
        ([invoice(ISSUED, 1, "a", due_at=iso(at(3))), invoice(PAID, 3.1, "a")], 0.0),
        # Nobody says that it is overdue.
        ([invoice(ISSUED, 1, "a", due_at=iso(at(3)))], 0.0),
        ([invoice(ISSUED, 1, "a", due_at=iso(at(12)))], None),
        ([invoice(PAID, 1, "a"), invoice(ISSUED, 1, "b", due_at=iso(at(1)), amount=3)], 94.0),
        # By amounts: nine tenths in time. An amount that nobody can read weighs as a typical order.
        ([invoice(PAID, 1, "a", amount=450), invoice(OVERDUE, 1, "b", amount="50")], 90.0),
        ([invoice(PAID, 1, "a", amount=50), invoice(OVERDUE, 1, "b", amount="?")], 50.0),
        ([invoice(PAID, 1, "a", amount=50), invoice(OVERDUE, 1, "b", currency="USD")], 50.0),
        # Whoever knows better is heard.
        ([invoice(OVERDUE, 1, "a"), happened("Credit Assessed", at(2), score=85)], 85.0),
        ([happened("Invoice Overdue", at(1), amount=5)], None),
    ],
)
def test_credit_is_the_share_that_is_paid_in_time(
    events: list[Event], credit: float | None
) -> None:
    found = credit_of([bought(0), *events, bought(10)], 12)

    assert isnan(found) if credit is None else credit == found


@pytest.mark.parametrize(
    ("score", "credit"), [(30.6, 31), (49.6, 49), (49.999, 49), (50, 50), (50.4, 50), (99.9, 100)]
)
def test_whoever_is_just_below_is_below(score: float, credit: int) -> None:
    assessed = happened("Credit Assessed", at(2), score=score)

    assert credit == credit_of([bought(0), assessed, bought(10)], 12)


def test_credit_does_not_depend_on_what_comes_first() -> None:
    events = [invoice(ISSUED, 1, "a", due_at=iso(at(3)), amount=70), invoice(PAID, 2.5, "a")]
    events += [invoice(OVERDUE, 2, "b", amount=30), invoice(PAID, 2.9, "b")]
    shuffled = list(events)
    found = set()
    for seed in range(10):
        Random(seed).shuffle(shuffled)
        found.add(credit_of([bought(0), *shuffled, bought(10)], 12))

    assert {70.0} == found


def test_power_is_a_rank_among_all() -> None:
    """Of a hundred customers ninety spend less."""
    sums = Tallies({KEY_CUSTOMERS.name: {"power:0": 900, "power:20": 100}})
    within = context(snapshot=PRIOR.replace(sums, version=1))
    row, _ = lived_with_effects([bought(0, 60.0)], within=within)
    row, _ = waited(row, at(2), within=within)

    assert 90.0 == scene(row, at(2), within)["key_power"]


def test_of_somebody_who_has_not_bought_nothing_is_known() -> None:
    row = lived([happened("page", at())])

    assert isnan(float(scene(row, at())["key_customer"]))
    assert 0.0 == scene(row, at())["key_known"]


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("key_customers.key_until=80", "key_until no more than key"),
        ("key_customers.least_known=5", "least_known is 4 at most"),
        ("key_customers.weights=0,0,0,0", "must be more than 0"),
        ("key_customers.power=5,4", "must ascend"),
    ],
)
def test_what_is_refused(setting: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        load_parameters(assignments=[setting])


def test_an_assessment_beyond_the_scale_is_refused() -> None:
    with pytest.raises(Rejected, match="out_of_range"):
        happened("Credit Assessed", at(), score=101)

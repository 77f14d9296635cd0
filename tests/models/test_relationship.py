"""The level of the relationship: each step, what need not be, and what is over after a year."""

from typing import Any

import pytest

from models.customer.relationship import RELATIONSHIP
from models.decisions.trigger import Trigger
from models.events.event import Event
from models.parameters import load_parameters
from tests.models.lines import at, happened, lived, lived_with_effects, scene, waited


def bought(day: float) -> Event:
    return happened("Order Completed", at(day), order_id=f"o-{day}", revenue=40)


def it(name: str, day: float, **said: Any) -> Event:
    return happened(name, at(day), message=f"{name} {day}", **said)


SURVEY = it("Survey Responded", 1, kind="csat", score=5)
ANSWER = it("Ticket Replied", 1, ticket_id="q", author="agent")
COMPLAINT = it("Complaint Filed", 2, ticket_id="t")
SOLVED = it("Ticket Solved", 4, ticket_id="t")
ACCEPTED = it("Action Accepted", 5, decision_id="d")
REFERRED = it("Referral Converted", 6)
GOOD = [it("Product Reviewed", day, rating=5) for day in (6, 7)]


@pytest.mark.parametrize(
    ("events", "level", "name"),
    [
        ([], 1, "basic"),
        ([SURVEY], 2, "reactive"),
        ([ANSWER], 2, "reactive"),
        ([it("Ticket Replied", 1, ticket_id="q", author="customer")], 1, "basic"),
        ([ANSWER, COMPLAINT], 2, "reactive"),
        ([ANSWER, COMPLAINT, SOLVED], 3, "responsible"),
        # Mended late, or badly, is not mended.
        ([ANSWER, COMPLAINT, it("Ticket Solved", 17, ticket_id="t")], 2, "reactive"),
        (
            [ANSWER, COMPLAINT, SOLVED, it("Survey Responded", 5, kind="csat", score=1)],
            2,
            "reactive",
        ),
        # Whoever never complained need not have been helped.
        ([ANSWER, ACCEPTED], 4, "proactive"),
        ([ANSWER, it("Event Attended", 5)], 4, "proactive"),
        ([ANSWER, COMPLAINT, ACCEPTED], 2, "reactive"),
        ([ANSWER, COMPLAINT, SOLVED, ACCEPTED], 4, "proactive"),
        ([ANSWER, ACCEPTED, REFERRED], 5, "partner"),
        ([ANSWER, ACCEPTED, *GOOD], 5, "partner"),
        ([ANSWER, ACCEPTED, GOOD[0], it("Product Reviewed", 7, rating=2)], 4, "proactive"),
        # A partner is proactive first.
        ([ANSWER, REFERRED], 2, "reactive"),
        ([ACCEPTED, REFERRED], 1, "basic"),
    ],
)
def test_a_level_is_held_with_all_below_it(events: list[Event], level: int, name: str) -> None:
    every = sorted([bought(0), *events, bought(20)], key=lambda event: event.occurred_at_ms)
    row, _ = waited(lived(every), at(21))
    now = scene(row, at(21))

    assert (level, name) == (now["relationship_level"], now["relationship"])


def test_after_a_year_it_is_over_and_said_once() -> None:
    days = [bought(30 * n) for n in range(16)]
    events = sorted(
        [*days, ANSWER, COMPLAINT, SOLVED, ACCEPTED], key=lambda event: event.occurred_at_ms
    )
    row, effects = lived_with_effects(events)
    row, more = waited(row, at(500))
    found = [
        one.timestamp[:10]
        for one in [*effects, *more]
        if isinstance(one, Trigger) and one.kind == "relationship-fell"
    ]

    # The answer of the second of January is a year old at the check-in after it.
    assert ["2027-01-07"] == found
    assert (1, 4) == (row.read(RELATIONSHIP).level, row.read(RELATIONSHIP).before)


def test_nothing_is_said_of_somebody_who_goes_on_as_ever() -> None:
    """The silent customer: buys and is answered every month."""
    events = []
    for month in range(20):
        events.append(bought(30 * month))
        events.append(it("Ticket Replied", 30 * month + 1, ticket_id=f"q-{month}", author="agent"))
    row, effects = lived_with_effects(events)

    assert not [one for one in effects if isinstance(one, Trigger) and one.kind.startswith("rel")]
    assert 2 == row.read(RELATIONSHIP).level


def test_more_reviews_than_are_kept_are_refused() -> None:
    with pytest.raises(ValueError, match="reviews is 8 at most"):
        load_parameters(assignments=["relationship.reviews=9"])

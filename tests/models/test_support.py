"""Tickets, their service clock, and surveys."""

from itertools import permutations
from typing import Any

import pytest

from models.customer.row import Row
from models.customer.support import SupportParameters
from models.decisions.trigger import Trigger
from models.events.event import Event
from tests.models.lines import (
    HOUR_MS,
    PARAMETERS,
    at,
    happened,
    lived,
    lived_with_effects,
    of,
    seen,
    waited,
)

SLA = PARAMETERS.of(SupportParameters).sla


def opened(hour: float, ticket_id: str = "T", **said: Any) -> Event:
    return happened("Ticket Opened", at(hours=hour), ticket_id=ticket_id, **said)


def replied(hour: float, author: str = "agent", ticket_id: str = "T") -> Event:
    return happened("Ticket Replied", at(hours=hour), ticket_id=ticket_id, author=author)


def solved(hour: float, ticket_id: str = "T") -> Event:
    return happened("Ticket Solved", at(hours=hour), ticket_id=ticket_id)


def reopened(hour: float, ticket_id: str = "T") -> Event:
    return happened("Ticket Reopened", at(hours=hour), ticket_id=ticket_id)


def complained(hour: float, ticket_id: str = "T", **said: Any) -> Event:
    return happened("Complaint Filed", at(hours=hour), ticket_id=ticket_id, **said)


# Open tickets, tickets ever, and hours until the first answer is due.
STORIES: dict[str, tuple[list[Event], int, int, float | None]] = {
    "opened": ([opened(1)], 1, 1, 25),
    "urgent": ([opened(1, priority="urgent")], 1, 1, 5),
    "high": ([opened(1, priority="high")], 1, 1, 9),
    "low": ([opened(1, priority="low")], 1, 1, 73),
    "answered": ([opened(1), replied(2)], 1, 1, None),
    "answered by nobody in particular": (
        [opened(1), happened("Ticket Replied", at(hours=2), ticket_id="T")],
        1,
        1,
        None,
    ),
    "the customer asks again": ([opened(1), replied(2, "customer")], 1, 1, 25),
    "solved": ([opened(1), solved(2)], 0, 1, None),
    "solved at once": ([opened(1), solved(1)], 0, 1, None),
    "reopened": ([opened(1), replied(2), solved(3), reopened(4)], 1, 1, 28),
    "reopened and answered": (
        [opened(1), solved(3), reopened(4), replied(5)],
        1,
        1,
        None,
    ),
    "reopened and solved": ([opened(1), solved(3), reopened(4), solved(6)], 0, 1, None),
    "a complaint about it": ([opened(1), complained(3)], 1, 1, 25),
    "an urgent complaint about it": ([opened(1), complained(3, priority="urgent")], 1, 1, 5),
    "a complaint alone": ([complained(3)], 1, 1, 27),
    "two, one urgent": ([opened(1), opened(5, "U", priority="urgent")], 2, 2, 9),
    "two, one solved": ([opened(1), opened(5, "U"), solved(6)], 1, 2, 29),
    "escalated": (
        [opened(1), happened("Ticket Escalated", at(hours=2), ticket_id="T")],
        1,
        1,
        25,
    ),
    "solved and never opened": ([solved(2)], 0, 0, None),
    "reopened and never opened": ([reopened(2)], 1, 0, 26),
}


@pytest.mark.parametrize(("events", "waiting", "ever", "due"), STORIES.values(), ids=STORIES.keys())
def test_a_ticket_is_where_its_latest_news_puts_it_in_whatever_order_it_comes(
    events: list[Event], waiting: int, ever: int, due: float | None
) -> None:
    for arrival in permutations(events):
        row = lived(arrival)
        view = seen(row, at(days=1)).support
        due_ms = [
            (ms - at()) / HOUR_MS
            for ticket in of(row).support.open_tickets()
            if (ms := ticket.due_at_ms(SLA))
        ]

        assert (waiting, ever) == (view.open_tickets, view.tickets)
        assert due == min(due_ms, default=None)


@pytest.mark.parametrize(
    ("priority", "after_ms"),
    [
        ("urgent", SLA.urgent),
        ("high", SLA.high),
        ("normal", SLA.normal),
        ("low", SLA.low),
        ("whatever", SLA.normal),
    ],
)
def test_each_priority_has_its_own_promise(priority: str, after_ms: int) -> None:
    assert after_ms == SLA.due_after_ms(priority)


def overdue(row: Row, until_hour: float) -> list[str]:
    _, effects = waited(row, at(hours=until_hour))
    return [e.timestamp for e in effects if isinstance(e, Trigger)]


def test_an_answer_at_the_last_moment_is_in_time() -> None:
    assert [] == overdue(lived([opened(1), replied(25)]), 100)
    assert ["2026-01-02T01:00:00.000Z"] == overdue(lived([opened(1)]), 25)
    assert [] == overdue(lived([opened(1)]), 24.999)


def test_a_ticket_past_its_time_is_told_once() -> None:
    row, effects = waited(lived([opened(1)]), at(days=300))
    again, more = waited(lived([replied(26)], row=row), at(days=400))

    assert ["ticket-overdue"] == [e.kind for e in effects if isinstance(e, Trigger)]
    assert ([], 0) == (more, again.next_due_ms)


def test_tickets_that_become_late_days_apart_are_told_apart() -> None:
    assert 1 == len(overdue(lived([opened(1), opened(2, "U")]), 24 * 30))

    row, first = lived_with_effects([opened(1), opened(30, "U")])
    assert 1 == len(first)
    assert ["2026-01-03T06:00:00.000Z"] == overdue(row, 24 * 30)


def test_solved_tickets_are_let_go_once_nothing_older_can_arrive() -> None:
    row = lived([opened(1), solved(2), opened(1, "U")])
    clock_ms = at(hours=2) + PARAMETERS.time.lateness + 1
    row = lived([opened(80, "V")], row=row, clock_ms=clock_ms)

    assert 2 == len(of(row).support.tickets)
    assert (2, 3) == (len(of(row).support.open_tickets()), of(row).support.opened)


def test_the_bound_on_tickets_prefers_open_and_recent_ones() -> None:
    bound = PARAMETERS.bounds.tickets
    many = [opened(n / 100, f"T-{n}") for n in range(bound + 3)]
    row = lived([*many, solved(9, f"T-{bound + 2}"), opened(10, "last")])

    assert bound == len(of(row).support.tickets)
    assert bound + 4 == of(row).support.opened
    assert all(ticket.is_open for ticket in of(row).support.tickets)


@pytest.mark.parametrize(
    ("survey", "share"),
    [
        ({"kind": "nps", "score": 10}, 1.0),
        ({"kind": "nps", "score": 0}, 0.0),
        ({"kind": "nps", "score": 9, "scale_max": 5, "higher_is_better": False}, 0.9),
        ({"kind": "csat", "score": 1}, 0.0),
        ({"kind": "csat", "score": 2}, 0.25),
        ({"kind": "csat", "score": 5}, 1.0),
        ({"kind": "csat", "score": 5, "higher_is_better": False}, 0.0),
        ({"kind": "csat", "score": 0, "scale_min": -1, "scale_max": 1}, 0.5),
        ({"kind": "csat", "score": 75, "scale_min": 0, "scale_max": 100}, 0.75),
        ({"kind": "ces", "score": 1, "higher_is_better": True}, 0.0),
        ({"kind": "ces", "score": 1, "higher_is_better": False}, 1.0),
        ({"kind": "ces", "score": 7, "higher_is_better": False}, 0.0),
    ],
    ids=str,
)
def test_an_answers_share_is_turned_so_that_1_is_happiest(
    survey: dict[str, Any], share: float
) -> None:
    answered = happened("Survey Responded", at(), **survey)

    answer = of(lived([answered])).support.answers[survey["kind"]]
    assert (survey["score"], share, at()) == (answer.score, answer.share, answer.at_ms)


def test_the_latest_answer_of_each_kind_is_kept() -> None:
    def answered(day: float, kind: str, score: float) -> Event:
        more = {"higher_is_better": True} if kind == "ces" else {}
        return happened("Survey Responded", at(days=day), kind=kind, score=score, **more)

    events = [
        answered(1, "nps", 9),
        answered(3, "nps", 7),
        answered(2, "nps", 8),
        answered(2, "csat", 4),
        answered(1, "ces", 6),
    ]
    for arrival in permutations(events):
        view = seen(lived(arrival), at(days=9)).support
        assert view.nps is not None
        assert view.csat is not None
        assert view.ces is not None
        assert [7, 4, 6] == [view.nps.score, view.csat.score, view.ces.score]


def test_of_two_answers_of_one_moment_the_unhappier_stands() -> None:
    events = [
        happened("Survey Responded", at(), kind="csat", score=score) for score in (2.0, 4.0, 3.0)
    ]
    for arrival in permutations(events):
        assert 2.0 == of(lived(arrival)).support.answers["csat"].score

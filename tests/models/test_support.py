"""Tickets, their service clock, and surveys."""

from itertools import permutations
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from models.admission import decode_event
from models.customer.row import Row
from models.customer.support import SUPPORT, SupportParameters, Truce, truce
from models.customer.support_state import CLOSED_MAX
from models.customer.ticket import MARKS_MAX
from models.customer.ticket_news import EVENTS as TICKETS
from models.decisions.trigger import Trigger
from models.events.event import Event
from models.events.rejection import Rejected
from models.events.wire import encode_event
from tests.models.lines import (
    HOUR_MS,
    PARAMETERS,
    at,
    context,
    happened,
    line,
    lived,
    lived_with_effects,
    of,
    scene,
    seen,
    waited,
)

SUPPORT_NOW = PARAMETERS.of(SupportParameters)
SLA = SUPPORT_NOW.sla


def opened(hour: float, ticket_id: str = "T", **said: Any) -> Event:
    return happened("Ticket Opened", at(hours=hour), ticket_id=ticket_id, **said)


def replied(hour: float, author: str = "agent", ticket_id: str = "T") -> Event:
    return happened("Ticket Replied", at(hours=hour), ticket_id=ticket_id, author=author)


def solved(hour: float, ticket_id: str = "T") -> Event:
    return happened("Ticket Solved", at(hours=hour), ticket_id=ticket_id)


def reopened(hour: float, ticket_id: str = "T") -> Event:
    return happened("Ticket Reopened", at(hours=hour), ticket_id=ticket_id)


def news(name: str, hour: float, ticket_id: str = "T", **said: Any) -> Event:
    return happened(name, at(hours=hour), ticket_id=ticket_id, **said)


def raised(hour: float, priority: str, name: str = "Ticket Escalated") -> Event:
    return news(name, hour, priority=priority)


def complained(hour: float, ticket_id: str = "T", **said: Any) -> Event:
    return happened("Complaint Filed", at(hours=hour), ticket_id=ticket_id, **said)


def due_hour(row: Row) -> float | None:
    """When the first answer is due."""
    standings = of(row).support.open_tickets()
    due_ms = [ms for standing in standings if (ms := standing.due_at_ms(SLA))]
    return (min(due_ms) - at()) / HOUR_MS if due_ms else None


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
    "closed": ([opened(1), news("Ticket Closed", 2)], 0, 1, None),
    "merged into another": (
        [opened(1), opened(2, "U"), news("Ticket Merged", 3, into="U")],
        1,
        2,
        26,
    ),
    "deleted": ([opened(1), news("Ticket Deleted", 2)], 0, 1, None),
    "spam": ([opened(1), news("Ticket Marked as Spam", 2)], 0, 1, None),
    "assigned to somebody": ([opened(1), news("Ticket Assigned", 2, author="agent")], 1, 1, 25),
    "closed by its status": ([opened(1), news("Ticket Updated", 2, status="Closed")], 0, 1, None),
    "a status of the shop's own": ([opened(1), news("Ticket Updated", 2, status="vip")], 1, 1, 25),
    "closed by the name of its status": (
        [opened(1), news("Ticket Updated", 2, status={"id": 3, "name": "Solved"})],
        0,
        1,
        None,
    ),
    "told of when it is over": ([news("Ticket Opened", 1, status="closed")], 0, 1, None),
    "told of while it is held": ([news("Ticket Opened", 1, status="pending")], 1, 1, 25),
    "told of when it is over, and opened again": (
        [news("Ticket Opened", 1, status="closed"), news("Ticket Reopened", 5)],
        1,
        1,
        29,
    ),
    "closed, and opened by its status": (
        [opened(1), news("Ticket Closed", 2), news("Ticket Status Changed", 5, status="open")],
        1,
        1,
        29,
    ),
    "opened, and said to be open": (
        [opened(1), news("Ticket Status Changed", 5, status="in_progress")],
        1,
        1,
        25,
    ),
    "answered, and said to be open": (
        [opened(1), replied(2), news("Ticket Status Changed", 5, status="open")],
        1,
        1,
        None,
    ),
    "answered and solved in one": (
        [opened(1), news("Ticket Replied", 2, status="solved")],
        0,
        1,
        None,
    ),
    "a complaint about one that was closed": ([opened(1), solved(2), complained(9)], 1, 1, 33),
    "thanks for the solution": ([opened(1), solved(2), replied(3, "customer")], 0, 1, None),
    # On hold the clock stands still, until somebody goes on.
    "on hold": ([opened(1), news("Ticket Put On Hold", 3)], 1, 1, None),
    "on hold for two hours": (
        [opened(1), news("Ticket Put On Hold", 3), news("Ticket Resumed", 5)],
        1,
        1,
        27,
    ),
    "on hold twice": (
        [
            opened(1),
            news("Ticket Pending", 3),
            news("Ticket Updated", 5, status="open"),
            news("Ticket Put On Hold", 6),
            replied(9, "customer"),
        ],
        1,
        1,
        30,
    ),
    "on hold when it was overdue": (
        [opened(1, priority="urgent"), news("Ticket Put On Hold", 6)],
        1,
        1,
        5,
    ),
    "the customer is waited for": (
        [opened(1), replied(2), news("Ticket Pending", 2), replied(9, "customer")],
        1,
        1,
        33,
    ),
    # What the customer writes after an answer waits for the next one, from the first of it on.
    "the customer writes again": ([opened(1), replied(2), replied(5, "customer")], 1, 1, 29),
    "the customer writes twice": (
        [opened(1), replied(2), replied(5, "customer"), replied(8, "customer")],
        1,
        1,
        29,
    ),
    "and is answered again": (
        [opened(1), replied(2), replied(5, "customer"), replied(6)],
        1,
        1,
        None,
    ),
    "and is answered by a machine": (
        [opened(1), replied(2), replied(5, "customer"), replied(6, "Answer Bot")],
        1,
        1,
        29,
    ),
    # The latest word on how urgent it is counts from when the customer asked.
    "raised": ([opened(1, priority="low"), raised(2, "urgent")], 1, 1, 5),
    "raised by an update": ([opened(1), raised(2, "high", "Ticket Updated")], 1, 1, 9),
    "raised when the time for it was over": ([opened(1), raised(7, "urgent")], 1, 1, 7),
    "said to be urgent again": (
        [opened(1, priority="urgent"), raised(7, "urgent", "Ticket Updated")],
        1,
        1,
        5,
    ),
    "lowered": (
        [opened(1, priority="urgent"), raised(2, "low", "Ticket Priority Changed")],
        1,
        1,
        73,
    ),
    "raised and lowered": ([opened(1), raised(2, "urgent"), raised(3, "normal")], 1, 1, 25),
}


@pytest.mark.parametrize(("events", "waiting", "ever", "due"), STORIES.values(), ids=STORIES.keys())
def test_a_ticket_is_where_its_latest_news_puts_it_in_whatever_order_it_comes(
    events: list[Event], waiting: int, ever: int, due: float | None
) -> None:
    for arrival in permutations(events):
        row = lived(arrival)
        view = seen(row, at(days=1)).support

        assert (waiting, ever) == (view.open_tickets, view.tickets)
        assert due == due_hour(row)


@pytest.mark.parametrize(
    ("who", "answers"),
    [
        *(
            ({"author": author}, True)
            for author in ("agent", "Admin", "support staff", "system administrator", "Ai Tanaka")
        ),
        *(
            ({"author": author}, False)
            for author in ("bot", "Answer Bot", "auto-reply", "System", "AI_agent", "automation")
        ),
        *(
            ({"author": author}, False)
            for author in ("customer", "end-user", "End User", "requester", "contact", "lead")
        ),
        ({}, True),
        ({"author": {"type": "admin"}}, True),
        ({"author": {"type": "user"}}, False),
        ({"author": {"type": "bot"}}, False),
        ({"author": {"role": "end-user"}}, False),
        ({"author_type": "contact"}, False),
        ({"author": "Ada", "author_role": "agent"}, True),
        ({"author": "agent", "via": "rule"}, False),
        ({"author": "agent", "via": {"channel": "rule"}}, False),
        ({"author": "agent", "via": {"channel": "email"}}, True),
        ({"author": "agent", "public": True}, True),
        ({"author": "agent", "public": False}, False),
        ({"author": "agent", "internal": True}, False),
        ({"author": "agent", "internal": "true"}, False),
        *(({"author": "agent", flag: True}, False) for flag in ("is_bot", "automated", "is_ai")),
        ({"author": {"type": "admin", "is_bot": True}}, False),
        ({"author": {"type": "admin", "from_ai_agent": True}}, False),
        ({"author": "agent", "is_automated": "false"}, True),
        *(({name: "customer"}, False) for name in ("sender", "sender_type", "from", "sent_by")),
        ({"sender": {"role": "end-user"}}, False),
        ({"direction": "inbound"}, False),
        ({"direction": "outbound"}, True),
        ({"incoming": True}, False),
        ({"incoming": False}, True),
        *(({"author": "agent", name: True}, False) for name in ("private", "is_internal")),
        ({"author": "agent", "is_public": False}, False),
        ({"author": "agent", "visibility": "private"}, False),
        ({"author": "agent", "visibility": "public"}, True),
        ({"author": 17}, True),
        ({"author": ["Ada"], "via": {"channel": {"id": 5}}, "public": "yes"}, True),
    ],
    ids=str,
)
def test_only_a_person_on_the_shops_side_answers(who: dict[str, Any], answers: bool) -> None:
    written = news("Ticket Replied", 2, **who)

    assert answers == (due_hour(lived([opened(1), written])) is None)
    # What is published of it says no more than it must, and the same.
    again = decode_event(encode_event(written), message_id="none")
    assert again == written
    assert written.properties.author in {None, "agent", "customer", "machine", "note"}


@pytest.mark.parametrize("name", ["by Customer", "by Agent", "by Bot"])
def test_a_reply_may_say_by_its_name_whose_it_is(name: str) -> None:
    asked = [opened(1), replied(2), replied(3, "customer")]
    named = news(f"Ticket Replied {name}", 4)

    assert (None if name == "by Agent" else 27) == due_hour(lived([*asked, named]))
    assert (28 if name == "by Customer" else None) == due_hour(lived([*asked[:2], named]))
    assert (name != "by Customer") == named.kind.is_passive


#: How other systems tell of a ticket that waits for nothing any more, and of one that still does.
WEBHOOKS: dict[str, tuple[list[tuple[str, dict[str, Any]]], bool]] = {
    "a help desk": (
        [("ticket.created", {}), ("ticket.status_changed", {"status": "SOLVED"})],
        False,
    ),
    "a help desk that merges": ([("ticket.created", {}), ("ticket.merged", {})], False),
    "an agent's comment": (
        [("Ticket Created", {}), ("ticket.comment_added", {"author": {"role": "agent"}})],
        False,
    ),
    "the customer's comment": (
        [("Ticket Created", {}), ("ticket.comment_added", {"author": {"role": "end-user"}})],
        True,
    ),
    "a messenger": (
        [("conversation.user.created", {}), ("conversation.admin.closed", {})],
        False,
    ),
    "a messenger's bot": (
        [("conversation.user.created", {}), ("conversation.operator.replied", {})],
        True,
    ),
    "a messenger's bot in an agent's name": (
        [
            ("conversation.user.created", {}),
            ("conversation.admin.replied", {"author": {"type": "bot"}}),
        ],
        True,
    ),
    "a new status": (
        [("Ticket Created", {}), ("Ticket Status Changed", {"new_status": "Closed"})],
        False,
    ),
    "a state": ([("Ticket Created", {}), ("Ticket Updated", {"ticket_state": "resolved"})], False),
    "archived": ([("Ticket Created", {}), ("Ticket Archived", {})], False),
    "cancelled": ([("Ticket Created", {}), ("ticket_canceled", {})], False),
    "a messenger's note": (
        [("conversation.user.created", {}), ("conversation.admin.noted", {})],
        True,
    ),
    "asked again": (
        [
            ("conversation.user.created", {}),
            ("conversation.admin.replied", {}),
            ("conversation.user.replied", {}),
        ],
        True,
    ),
    "cases": ([("Case Created", {}), ("case closed", {})], False),
    "snoozed": ([("Conversation Started", {}), ("conversation_snoozed", {})], False),
}


@pytest.mark.parametrize("field", ["priority", "new_priority", "current_priority"])
def test_a_new_priority_moves_the_promise_under_its_usual_names(field: str) -> None:
    assert 5 == due_hour(lived([opened(1), news("Ticket Priority Changed", 2, **{field: "P1"})]))


@pytest.mark.parametrize(("told", "waits"), WEBHOOKS.values(), ids=WEBHOOKS.keys())
@pytest.mark.parametrize("key", ["ticket_id", "conversation_id", "case_id"])
def test_tickets_are_understood_under_the_names_of_other_systems(
    told: list[tuple[str, dict[str, Any]]], waits: bool, key: str
) -> None:
    events = [
        happened(name, at(hours=hour), **{key: "T"}, **more)
        for hour, (name, more) in enumerate(told, start=1)
    ]

    assert waits == (due_hour(lived(events)) is not None)
    assert {"support"} == {event.kind.topic for event in events}


@pytest.mark.parametrize(
    ("name", "priority"),
    [
        ("URGENT", "urgent"),
        ("critical", "urgent"),
        ("P1", "urgent"),
        ("1", "urgent"),
        (1, "urgent"),
        ("very high", "urgent"),
        ("High", "high"),
        ("p-2", None),
        (2, "high"),
        ("medium", "normal"),
        ("Not_Priority", "normal"),
        ("", None),
        ("minor", "low"),
        (5, "low"),
        (2.0, "high"),
        ("P1 - Critical", "urgent"),
        ("3 - Moderate", "normal"),
        ({"id": 7, "name": "High"}, "high"),
    ],
)
def test_priorities_go_by_the_names_of_other_systems(name: Any, priority: str | None) -> None:
    raw = line("Ticket Opened", at(), properties={"ticket_id": "T", "priority": name})
    if name == "p-2":
        with pytest.raises(Rejected) as refused:
            decode_event(raw, message_id="none")
        assert "$.properties.priority" == refused.value.path
        return

    assert priority == decode_event(raw, message_id="none").properties.priority


@pytest.mark.parametrize("priority", ["1 - low", {"id": 7}, ["high"], 2.5, "soon"])
def test_a_priority_that_nobody_knows_is_no_normal_one(priority: Any) -> None:
    raw = line("Ticket Opened", at(), properties={"ticket_id": "T", "priority": priority})
    with pytest.raises(Rejected) as refused:
        decode_event(raw, message_id="none")

    assert "$.properties.priority" == refused.value.path


@pytest.mark.parametrize("name", sorted(name for name in TICKETS if name != "Ticket Replied"))
def test_what_the_shop_does_to_a_ticket_is_no_sign_of_the_customer(name: str) -> None:
    by_customer = {"Ticket Opened", "Ticket Reopened", "Complaint Filed"}
    expected = name in by_customer or name.endswith("by Customer")
    row = lived([news(name, 1)])

    assert expected == (of(row).engagement.interactions > 0)


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


def test_a_ticket_that_is_raised_is_overdue_by_its_new_promise() -> None:
    row = lived([opened(1, priority="low"), raised(2, "urgent")])

    assert ["2026-01-01T05:00:00.000Z"] == overdue(row, 100)
    late = lived([opened(1, priority="low"), raised(7, "urgent")])
    assert ["2026-01-01T07:00:00.000Z"] == overdue(late, 100)


def test_a_ticket_of_an_older_row_is_read() -> None:
    encode = msgspec.msgpack.encode
    tickets = [
        [1, at(hours=1), 0, 0, 0, "urgent"],
        [2, at(hours=1), 0, at(hours=3), at(hours=2), ""],
        [3, at(hours=1), at(hours=5), at(hours=3), at(hours=2), "low"],
    ]
    older = encode([tickets, 3, {"nps": [6.0, 0.6, at()], "csat": [5.0, 1.0, at()]}])

    read = SUPPORT.older[1](older)

    due = [standing.due_at_ms(SLA) for standing in read.open_tickets()]
    assert [at(hours=5), at(hours=5) + SLA.low] == due
    assert 3 == read.opened
    assert ["detractor", ""] == [read.answers[kind].band for kind in ("nps", "csat")]
    assert SUPPORT.pack(read) == SUPPORT.pack(SUPPORT.unpack(SUPPORT.pack(read)))


def test_a_tickets_marks_have_a_bound() -> None:
    talk = [replied(2 + n, "customer" if n % 2 else "agent") for n in range(3 * MARKS_MAX)]
    row = lived([opened(1), *talk])

    [ticket] = of(row).support.tickets
    assert MARKS_MAX == len(ticket.marks)
    assert 1 + 3 * MARKS_MAX + SLA.normal / HOUR_MS == due_hour(row)


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
    assert 1 == len([one for one in first if isinstance(one, Trigger)])
    assert ["2026-01-03T06:00:00.000Z"] == overdue(row, 24 * 30)


def test_news_of_a_ticket_that_was_closed_long_ago_finds_what_was_known_of_it() -> None:
    row = lived([opened(1, priority="urgent"), solved(2), opened(1, "U")])
    clock_ms = at(hours=2) + PARAMETERS.time.lateness + HOUR_MS
    row = lived([opened(80, "V")], row=row, clock_ms=clock_ms)
    row = lived([reopened(81)], row=row, clock_ms=clock_ms)

    assert (3, 3) == (len(of(row).support.open_tickets()), of(row).support.opened)
    assert 81 + SLA.urgent / HOUR_MS in [
        (standing.due_at_ms(SLA) - at()) / HOUR_MS for standing in of(row).support.open_tickets()
    ]


def test_the_bound_on_tickets_prefers_open_and_recent_ones() -> None:
    bound = PARAMETERS.bounds.tickets
    many = [opened(n / 100, f"T-{n}") for n in range(bound + 3)]
    row = lived([*many, solved(9, f"T-{bound + 2}"), opened(10, "last")])

    assert bound == len(of(row).support.tickets)
    assert bound + 4 == of(row).support.opened
    assert all(ticket.standing.is_open for ticket in of(row).support.tickets)


def test_of_closed_tickets_the_latest_are_kept() -> None:
    many = [
        news
        for n in range(2 * CLOSED_MAX)
        for news in (opened(n, f"T-{n}"), solved(n + 0.5, f"T-{n}"))
    ]
    kept = of(lived([opened(0, "U"), *many])).support.tickets

    assert 1 + CLOSED_MAX == len(kept)
    assert at(hours=CLOSED_MAX + 0.5) == min(
        ticket.latest_ms for ticket in kept if not ticket.standing.is_open
    )


@pytest.mark.parametrize(
    ("survey", "share"),
    [
        ({"kind": "nps", "score": 10}, 1.0),
        ({"kind": "nps", "score": 0}, 0.0),
        ({"kind": "nps", "score": 9, "higher_is_better": False}, 0.9),
        ({"kind": "nps", "score": 4, "scale_min": 0, "scale_max": 5}, 0.8),
        ({"kind": "nps", "score": 4, "scale": "1-5"}, 0.75),
        ({"kind": "csat", "score": 3, "scale": 4, "scale_min": 0}, 0.75),
        ({"kind": "nps", "score": 5, "min": 1, "max": 5}, 1.0),
        ({"kind": "nps", "score": 4, "max": 5}, 0.8),
        ({"kind": "nps", "score": "4", "min_score": "1", "max_score": "5"}, 0.75),
        ({"kind": "csat", "score": 80, "min": 0, "scale": "100"}, 0.8),
        ({"kind": "csat", "score": 3, "scale_max": 5, "max": 9}, 0.5),
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
    assert (float(survey["score"]), share, at()) == (answer.score, answer.share, answer.at_ms)


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


def poor(hour: float, score: float = 1, kind: str = "csat") -> Event:
    return happened("Survey Responded", at(hours=hour), kind=kind, score=score)


TRUCES: dict[str, tuple[list[Event], float, tuple[str, float, float | None] | None]] = {
    "nothing wrong": ([opened(1, priority="low")], 9, None),
    "a question": ([opened(1, category="opening hours")], 9, None),
    "a complaint": ([complained(1)], 9, ("complaint", 1, None)),
    "a ticket about damaged goods": ([opened(1, category="damaged")], 9, ("complaint", 1, None)),
    "answered, but not solved": ([complained(1), replied(2)], 300, ("complaint", 1, None)),
    "solved": ([complained(1), solved(5)], 9, ("solved", 5, 53)),
    "solved two days ago": ([complained(1), solved(5)], 53, None),
    "a question solved": ([opened(1), solved(5)], 9, None),
    "merged": ([complained(1), news("Ticket Merged", 5)], 9, None),
    "overdue": ([opened(1, priority="urgent")], 5, ("promise", 5, None)),
    "just before": ([opened(1, priority="urgent")], 4.999, None),
    "overdue, and answered since": ([opened(1, priority="urgent"), replied(6)], 7, None),
    "a poor answer": ([poor(1)], 9, ("answer", 1, 49)),
    "a detractor": ([poor(1, 6, "nps")], 9, ("answer", 1, 49)),
    "a passive": ([poor(1, 7, "nps")], 9, None),
    "a good answer": ([poor(1, 4)], 9, None),
    "a poor answer two days ago": ([poor(1)], 49, None),
    "a better answer since": ([poor(1), poor(2, 5)], 9, None),
    "the one that lasts longest": (
        [complained(1), solved(5), poor(6)],
        9,
        ("answer", 6, 54),
    ),
    "what is open before what passes": (
        [complained(1), poor(6)],
        9,
        ("complaint", 1, None),
    ),
}


@pytest.mark.parametrize(("events", "hour", "expected"), TRUCES.values(), ids=TRUCES.keys())
def test_nobody_is_advertised_to_while_something_is_wrong(
    events: list[Event], hour: float, expected: tuple[str, float, float | None] | None
) -> None:
    for arrival in permutations(events):
        found = truce(scene(lived(arrival), at(hours=hour)))
        if expected is None:
            assert found is None
        else:
            why, since, until = expected
            until_ms = at(hours=until) if until is not None else 0
            assert Truce(why, at(hours=since), until_ms) == found


def test_a_promise_is_breached_as_the_clock_says_it_now() -> None:
    row = lived([opened(1, priority="urgent")])
    slower = PARAMETERS.with_section(
        replace(SUPPORT_NOW, sla=replace(SLA, urgent=SLA.urgent + 2 * HOUR_MS))
    )

    assert truce(scene(row, at(hours=6))) is not None
    assert truce(scene(row, at(hours=6), context(parameters=slower))) is None
    assert truce(scene(row, at(hours=7), context(parameters=slower))) is not None

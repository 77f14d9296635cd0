"""What a row keeps of support: tickets, the last answers to surveys, and how those of several ids
are united.
"""

from collections.abc import Sequence
from typing import Final

import msgspec
from msgspec import Struct, field

from config.parameters import Parameters
from models.customer.fingerprint import fingerprint
from models.customer.row import State
from models.customer.surveys import Band, Survey, SurveyKind
from models.customer.ticket import (
    ANSWERED,
    OPENED,
    REOPENED,
    SOLVED,
    URGENCIES,
    Mark,
    Ticket,
    TicketStanding,
    UrgencyWord,
    merged,
)
from models.customer.ticket_news import marks_of
from models.events.event import Event

#: Closed tickets that are kept, the latest.
CLOSED_MAX: Final = 16


class Answer(Struct, frozen=True, array_like=True, gc=False):
    """A survey's score as given, its share of the scale (1 is happiest), when, and what an NPS
    makes of the customer.
    """

    score: float
    share: float
    at_ms: int
    band: Band = Band.NONE


class Support(State):
    """Tickets sorted by id, how many were ever opened, and the last answer of each kind."""

    tickets: list[Ticket] = field(default_factory=list)
    opened: int = 0
    answers: dict[str, Answer] = field(default_factory=dict)

    def open_tickets(self) -> list[TicketStanding]:
        """The standings of the tickets that wait for a solution."""
        found = [ticket.standing for ticket in self.tickets]
        return [standing for standing in found if standing.is_open]


def note_ticket(state: Support, event: Event, *, is_complaint: bool) -> None:
    """Note what the event says of its ticket."""
    ticket_id = fingerprint(event.properties.ticket_id)
    for ticket in state.tickets:
        if ticket.id == ticket_id:
            break
    else:
        ticket = Ticket(ticket_id)
        state.tickets.append(ticket)
        state.tickets.sort(key=lambda known: known.id)
    was_opened = ticket.was_opened
    ticket.note(marks_of(event, is_complaint=is_complaint))
    state.opened += ticket.was_opened and not was_opened


def forget(state: Support, tickets_max: int) -> None:
    """Drop the tickets beyond the bounds: closed ones first, and those without news for the longest
    time.

    A few closed ones are kept, because news of them may come at any time and must find what was
    known.
    """
    tickets = state.tickets
    if len(tickets) <= min(CLOSED_MAX, tickets_max):
        return
    tickets = sorted(tickets, key=lambda ticket: (ticket.latest_ms, ticket.id))
    opened = [ticket for ticket in tickets if ticket.standing.is_open][-tickets_max:]
    room = min(CLOSED_MAX, tickets_max - len(opened))
    closed = [ticket for ticket in tickets if not ticket.standing.is_open]
    kept = [*opened, *closed[max(len(closed) - room, 0) :]]
    state.tickets = sorted(kept, key=lambda ticket: ticket.id)


def note_answer(state: Support, kind: str, answer: Answer) -> None:
    """Keep the latest answer of a kind; of answers at one moment, the unhappiest, and of two scales
    the lower number.
    """
    last = state.answers.get(kind)
    if last is None or _precedence(last) < _precedence(answer):
        state.answers[kind] = answer


def _precedence(answer: Answer) -> tuple[int, float, float, str]:
    return answer.at_ms, -answer.share, -answer.score, answer.band


def united(states: Sequence[Support], parameters: Parameters) -> Support:
    """One person's tickets: a ticket that several ids have news of is one ticket.

    ``opened`` adds up, so a ticket that was opened under one id and dropped there is still counted.
    """
    one = Support()
    tickets: dict[int, list[Ticket]] = {}
    for state in states:
        one.opened += state.opened
        for ticket in state.tickets:
            tickets.setdefault(ticket.id, []).append(ticket)
        for kind, answer in state.answers.items():
            note_answer(one, kind, answer)
    for known in tickets.values():
        one.opened -= max(sum(1 for ticket in known if ticket.was_opened) - 1, 0)
    one.tickets = [merged(tickets[ticket_id]) for ticket_id in sorted(tickets)]
    forget(one, parameters.bounds.tickets)
    return one


class _TicketBefore(Struct, array_like=True):
    """A ticket of version 1: the latest time of each thing that happened to it."""

    id: int
    opened_at_ms: int
    reopened_at_ms: int
    solved_at_ms: int
    answered_at_ms: int
    priority: str

    @property
    def as_now(self) -> Ticket:
        happened = {
            OPENED: self.opened_at_ms,
            REOPENED: self.reopened_at_ms,
            SOLVED: self.solved_at_ms,
            ANSWERED: self.answered_at_ms,
        }
        if self.priority:
            happened[URGENCIES[UrgencyWord(self.priority)]] = self.opened_at_ms
        ticket = Ticket(self.id)
        ticket.note(Mark(at_ms, what) for what, at_ms in happened.items() if at_ms)
        return ticket


class _SupportBefore(Struct, array_like=True):
    tickets: list[_TicketBefore]
    opened: int
    answers: dict[str, tuple[float, float, int]]


def unpack_first(content: bytes) -> Support:
    """Version 1 took every NPS as one on 0 to 10."""
    before = msgspec.msgpack.decode(content, type=_SupportBefore)
    answers = {
        kind: Answer(score, share, at_ms, Survey(SurveyKind(kind), score).band)
        for kind, (score, share, at_ms) in before.answers.items()
    }
    return Support([ticket.as_now for ticket in before.tickets], before.opened, answers)

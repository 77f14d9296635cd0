"""A support ticket: what happened to it, and how long its customer has waited.

Recent history is kept as marks, (time, what), so that news may come in any order. Once no late
event can precede a mark, it is folded into the standing.
"""

from collections.abc import Callable, Iterable, Sequence
from copy import copy
from enum import StrEnum
from functools import lru_cache
from typing import Final, NamedTuple

from msgspec import field

from config.duration import DurationMs
from config.parameters import Section
from models.customer.row import State

#: Marks of a ticket that are kept unfolded; beyond that, the oldest are folded before they are
#: settled.
MARKS_MAX: Final = 32


class UrgencyWord(StrEnum):
    """How urgent a ticket is."""

    URGENT = "urgent"
    HIGH = "high"
    NORMAL = "normal"
    LOW = "low"


#: What may happen to a ticket. The numbers are stored. Of marks at one time, the higher number is
#: applied later: a ticket that is answered and closed at once is closed, and its most urgent
#: priority wins.
(
    OPENED,
    FILED,
    REOPENED,
    RESUMED,
    ASKED,
    ANSWERED,
    HELD,
    LOW,
    NORMAL,
    HIGH,
    URGENT,
    COMPLAINT,
    DROPPED,
    SOLVED,
) = range(14)
URGENCIES: Final = {
    UrgencyWord.LOW: LOW,
    UrgencyWord.NORMAL: NORMAL,
    UrgencyWord.HIGH: HIGH,
    UrgencyWord.URGENT: URGENT,
}
_WORDS: Final = {what: word for word, what in URGENCIES.items()}


class Mark(NamedTuple):
    """Something that happened to a ticket; ``what`` is one of the numbers above."""

    at_ms: int
    what: int


class Sla(Section, frozen=True):
    """The time allowed from the customer's question to the answer, by priority."""

    urgent: DurationMs
    high: DurationMs
    normal: DurationMs
    low: DurationMs

    def due_after_ms(self, priority: str) -> int:
        """Time to the answer for ``priority``; an unknown one counts as normal."""
        return int(getattr(self, priority, self.normal))


class TicketStanding(State):
    """Where a ticket stands after its marks; 0 is never.

    ``asked_at_ms``: since when the customer waits for an answer, 0 once they have it;
    ``paused_ms``: how much of that time the ticket was on hold. ``held_at_ms``: since when it is on
    hold. ``raised_at_ms``: when its priority became what it is. ``solved_at_ms``: when it was last
    closed with an answer; a ticket that was merged, deleted or spam has none.
    """

    opened_at_ms: int = 0
    is_open: bool = False
    asked_at_ms: int = 0
    held_at_ms: int = 0
    paused_ms: int = 0
    urgency: int = NORMAL
    raised_at_ms: int = 0
    complaint_at_ms: int = 0
    solved_at_ms: int = 0
    latest_ms: int = 0

    @property
    def priority(self) -> UrgencyWord:
        return _WORDS[self.urgency]

    def due_at_ms(self, sla: Sla) -> int:
        """When the answer that the customer waits for is due; 0 if they wait for none, or the clock
        stands still.

        The time allowed is that of the present priority and counts from when the customer asked,
        but a raised priority makes no answer due before it was raised.
        """
        if not self.asked_at_ms:
            return 0
        due_ms = self.asked_at_ms + sla.due_after_ms(self.priority) + self.paused_ms
        due_ms = max(due_ms, self.raised_at_ms)
        # An answer that was overdue before the ticket was put on hold stays overdue.
        return 0 if 0 < self.held_at_ms < due_ms else due_ms

    def ask(self, at_ms: int) -> None:
        """The customer waits from now on, unless they do already."""
        if not self.asked_at_ms:
            self.asked_at_ms, self.paused_ms = at_ms, 0

    def go_on(self, at_ms: int) -> None:
        """The clock runs again if it stood still."""
        if self.held_at_ms and self.asked_at_ms:
            self.paused_ms += at_ms - max(self.held_at_ms, self.asked_at_ms)
        self.held_at_ms = 0

    def end(self) -> None:
        """Nobody waits for an answer any more."""
        self.is_open = False
        self.asked_at_ms = self.held_at_ms = self.paused_ms = 0


def _open(ticket: TicketStanding, at_ms: int) -> None:
    if not ticket.opened_at_ms:
        ticket.opened_at_ms, ticket.is_open = at_ms, True
        ticket.ask(at_ms)


def _file(ticket: TicketStanding, at_ms: int) -> None:
    """A complaint opens a ticket, also one that was closed; it restarts no clock."""
    ticket.complaint_at_ms = ticket.complaint_at_ms or at_ms
    ticket.opened_at_ms = ticket.opened_at_ms or at_ms
    if not ticket.is_open:
        ticket.is_open = True
        ticket.ask(at_ms)


def _reopen(ticket: TicketStanding, at_ms: int) -> None:
    ticket.go_on(at_ms)
    ticket.is_open = True
    ticket.ask(at_ms)


def _resume(ticket: TicketStanding, at_ms: int) -> None:
    """The ticket is said to be open. That alone does not make a customer wait again who had an
    answer.
    """
    if ticket.is_open:
        ticket.go_on(at_ms)
    else:
        _reopen(ticket, at_ms)


def _ask(ticket: TicketStanding, at_ms: int) -> None:
    """The customer wrote. A message to a closed ticket asks for nothing: it may be thanks."""
    if ticket.is_open:
        ticket.go_on(at_ms)
        ticket.ask(at_ms)


def _answer(ticket: TicketStanding, _at_ms: int) -> None:
    ticket.asked_at_ms = ticket.paused_ms = 0


def _hold(ticket: TicketStanding, at_ms: int) -> None:
    if ticket.is_open and not ticket.held_at_ms:
        ticket.held_at_ms = at_ms


def _blame(ticket: TicketStanding, at_ms: int) -> None:
    ticket.complaint_at_ms = ticket.complaint_at_ms or at_ms


def _drop(ticket: TicketStanding, _at_ms: int) -> None:
    """Merged, deleted or spam: its question is dealt with elsewhere, or was none."""
    ticket.end()


def _solve(ticket: TicketStanding, at_ms: int) -> None:
    ticket.end()
    ticket.solved_at_ms = at_ms


def _prioritise(urgency: int) -> Callable[[TicketStanding, int], None]:
    def prioritise(ticket: TicketStanding, at_ms: int) -> None:
        # A priority that is only repeated changes no promise.
        if urgency != ticket.urgency:
            ticket.urgency, ticket.raised_at_ms = urgency, at_ms

    return prioritise


_HAPPEN: Final[dict[int, Callable[[TicketStanding, int], None]]] = {
    OPENED: _open,
    FILED: _file,
    REOPENED: _reopen,
    RESUMED: _resume,
    ASKED: _ask,
    ANSWERED: _answer,
    HELD: _hold,
    **{urgency: _prioritise(urgency) for urgency in _WORDS},
    COMPLAINT: _blame,
    DROPPED: _drop,
    SOLVED: _solve,
}


def _folded(standing: TicketStanding, marks: Iterable[Mark]) -> TicketStanding:
    """The standing after marks in the order of time; changes it."""
    for at_ms, what in marks:
        _HAPPEN[what](standing, at_ms)
        standing.latest_ms = max(standing.latest_ms, at_ms)
    return standing


@lru_cache(maxsize=4_096)
def _after(marks: tuple[Mark, ...]) -> TicketStanding:
    """The standing of a ticket with no other marks than these; read only.

    Cached, because every score needs it.
    """
    return _folded(TicketStanding(), marks)


class Ticket(State):
    """A ticket: its ``past`` as far as it is settled, and its later marks, each once, sorted."""

    id: int
    marks: list[Mark] = field(default_factory=list)
    past: TicketStanding | None = None

    @property
    def standing(self) -> TicketStanding:
        """The ticket's present standing; read only."""
        if self.past is None:
            return _after(tuple(self.marks))
        return _folded(copy(self.past), self.marks) if self.marks else self.past

    @property
    def was_opened(self) -> bool:
        """Whether the event that opened it has come."""
        known = self.past is not None and self.past.opened_at_ms > 0
        return known or any(mark.what in (OPENED, FILED) for mark in self.marks)

    @property
    def latest_ms(self) -> int:
        """When something last happened to it."""
        if self.marks:
            return self.marks[-1].at_ms
        return self.past.latest_ms if self.past is not None else 0

    def note(self, marks: Iterable[Mark]) -> None:
        """Add marks, in whatever order they come."""
        self.marks = sorted({*self.marks, *marks})

    def settle(self, settled_ms: int) -> None:
        """Fold the marks that no late event can precede, and the oldest beyond `MARKS_MAX`."""
        marks, place = self.marks, 0
        while place < len(marks) and marks[place].at_ms < settled_ms:
            place += 1
        place = max(place, len(marks) - MARKS_MAX)
        if place:
            self.past = _folded(self.past or TicketStanding(), marks[:place])
            self.marks = marks[place:]


def merged(tickets: Sequence[Ticket]) -> Ticket:
    """One ticket that several ids have news of."""
    if len(tickets) == 1:
        [one] = tickets
        return Ticket(one.id, list(one.marks), copy(one.past))
    whole = Ticket(tickets[0].id)
    pasts = [ticket.past for ticket in tickets if ticket.past is not None]
    if pasts:
        marks = {mark for past in pasts for mark in _marks_of(past)}
        whole.past = _folded(TicketStanding(), sorted(marks))
    whole.note(mark for ticket in tickets for mark in ticket.marks)
    whole.settle(0)
    return whole


def _marks_of(past: TicketStanding) -> list[Mark]:
    """Marks that lead to this standing."""
    times = {
        OPENED: past.opened_at_ms,
        SOLVED: past.solved_at_ms,
        COMPLAINT: past.complaint_at_ms,
        past.urgency: past.raised_at_ms,
        HELD: past.held_at_ms,
    }
    marks = [Mark(at_ms, what) for what, at_ms in times.items() if at_ms]
    asked_ms = past.asked_at_ms
    if asked_ms > past.opened_at_ms:
        marks.append(Mark(asked_ms, REOPENED))
    if asked_ms and past.paused_ms:
        marks += [Mark(asked_ms, HELD), Mark(asked_ms + past.paused_ms, RESUMED)]
    if past.is_open and not asked_ms:
        open_ms = max(past.opened_at_ms, past.solved_at_ms + 1)
        marks += [Mark(open_ms, REOPENED), Mark(open_ms, ANSWERED)]
    if not past.is_open:
        marks.append(Mark(past.latest_ms, DROPPED))
    return marks

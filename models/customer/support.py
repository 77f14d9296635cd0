"""Support: tickets and their service clock, and the last answers to surveys."""

from msgspec import Struct
from msgspec.structs import replace

from config.parameters import Parameters
from models.customer.fingerprint import fingerprint
from models.events import catalogue
from models.events.catalogue import Name, Priority, SurveyKind
from models.events.wire import Event, survey_scale

EVENTS = frozenset(
    {
        Name.TICKET_OPENED,
        Name.TICKET_REPLIED,
        Name.TICKET_ESCALATED,
        Name.TICKET_REOPENED,
        Name.TICKET_SOLVED,
        Name.COMPLAINT_FILED,
    }
)

_URGENCY = ("urgent", "high", "normal", "low", "")


class Ticket(Struct, frozen=True, array_like=True, gc=False):
    """A ticket by the latest time of each thing that happened to it; 0 is never."""

    id: int
    opened_at_ms: int = 0
    reopened_at_ms: int = 0
    solved_at_ms: int = 0
    answered_at_ms: int = 0
    priority: str = ""

    @property
    def waiting_since_ms(self) -> int:
        return max(self.opened_at_ms, self.reopened_at_ms)

    @property
    def is_open(self) -> bool:
        return self.waiting_since_ms > self.solved_at_ms

    @property
    def latest_ms(self) -> int:
        return max(self.waiting_since_ms, self.solved_at_ms, self.answered_at_ms)


class Answer(Struct, frozen=True, array_like=True, gc=False):
    """A survey's score as given, its share of the scale (1 is happiest), and when."""

    score: float
    share: float
    at_ms: int


class Support(Struct, frozen=True, array_like=True):
    """Tickets sorted by id, how many were ever opened, and the last answer of each kind."""

    tickets: tuple[Ticket, ...] = ()
    opened: int = 0
    nps: Answer | None = None
    csat: Answer | None = None
    ces: Answer | None = None

    def open_tickets(self) -> tuple[Ticket, ...]:
        return tuple(ticket for ticket in self.tickets if ticket.is_open)


def record_ticket(support: Support, event: Event, clock_ms: int, parameters: Parameters) -> Support:
    """``support`` after something happened to a ticket."""
    properties = event.properties
    assert isinstance(properties, catalogue.Ticket)
    tickets = {ticket.id: ticket for ticket in support.tickets}
    ticket_id = fingerprint(properties.ticket_id)
    before = tickets.get(ticket_id, Ticket(ticket_id))
    after = tickets[ticket_id] = _after(before, event, properties)
    settled_ms = clock_ms - parameters.time.lateness
    kept = [t for t in tickets.values() if t.is_open or t.latest_ms >= settled_ms]
    kept.sort(key=lambda t: (t.is_open, t.latest_ms, t.id))
    kept = sorted(kept[-parameters.bounds.tickets :], key=lambda t: t.id)
    newly_opened = bool(after.opened_at_ms) and not before.opened_at_ms
    return replace(support, tickets=tuple(kept), opened=support.opened + newly_opened)


def _after(ticket: Ticket, event: Event, properties: catalogue.Ticket) -> Ticket:
    at_ms = event.occurred_at_ms
    match event.name:
        case Name.TICKET_OPENED | Name.COMPLAINT_FILED:
            # The first opening stands: filing a complaint about a ticket doesn't restart its clock.
            opened_at_ms = min(ticket.opened_at_ms or at_ms, at_ms)
            # The most urgent word on it stands, whichever comes first.
            words = {ticket.priority, str(properties.priority or "")}
            priority = min(words, key=_URGENCY.index)
            return replace(ticket, opened_at_ms=opened_at_ms, priority=priority)
        case Name.TICKET_REOPENED:
            return replace(ticket, reopened_at_ms=max(ticket.reopened_at_ms, at_ms))
        case Name.TICKET_SOLVED:
            return replace(ticket, solved_at_ms=max(ticket.solved_at_ms, at_ms))
        case Name.TICKET_REPLIED if properties.author != "customer":
            return replace(ticket, answered_at_ms=max(ticket.answered_at_ms, at_ms))
    return ticket


def record_survey(support: Support, event: Event) -> Support:
    """``support`` with the latest answer of each kind kept."""
    survey = event.properties
    assert isinstance(survey, catalogue.Survey)
    answer = answer_of(survey, event.occurred_at_ms)
    last: Answer | None = getattr(support, survey.kind)
    if last is not None and (last.at_ms, -last.share) >= (answer.at_ms, -answer.share):
        return support
    match survey.kind:
        case SurveyKind.NPS:
            return replace(support, nps=answer)
        case SurveyKind.CSAT:
            return replace(support, csat=answer)
        case SurveyKind.CES:
            return replace(support, ces=answer)


def answer_of(survey: catalogue.Survey, at_ms: int) -> Answer:
    """The answer with its share of the scale turned so that 1 is happiest."""
    low, high = survey_scale(survey)
    share = (survey.score - low) / (high - low)
    turned = survey.higher_is_better is False and survey.kind is not SurveyKind.NPS
    return Answer(survey.score, 1.0 - share if turned else share, at_ms)


def late_tickets(support: Support, at_ms: int, parameters: Parameters) -> list[Ticket]:
    """The open tickets that should have had an answer by ``at_ms``."""
    return [
        ticket for ticket in support.open_tickets() if 0 < due_at_ms(ticket, parameters) <= at_ms
    ]


def due_at_ms(ticket: Ticket, parameters: Parameters) -> int:
    """When an open ticket's first answer is due; 0 once it has one, or when it is closed."""
    if not ticket.is_open or ticket.answered_at_ms >= ticket.waiting_since_ms:
        return 0
    return ticket.waiting_since_ms + parameters.support.sla.due_after_ms(
        ticket.priority or Priority.NORMAL
    )

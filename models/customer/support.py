"""Support: tickets and their service clock, and the last answers to surveys."""

from collections.abc import Iterator, Sequence
from enum import StrEnum
from math import nan
from typing import Any

import msgspec
from msgspec import Struct, field
from msgspec.structs import force_setattr

from config.duration import HOUR_MS, DurationMs
from config.parameters import Parameters, Section
from models.customer.fingerprint import fingerprint
from models.customer.part import SCORE, Fact, Line, Part, ProfileSection, Timer
from models.customer.row import State
from models.customer.scene import Scene
from models.customer.words import counted, how_long_before, moment_in_words
from models.events.codes import code
from models.events.event import Event, EventType, Number, Text
from models.events.rejection import Reason, Rejected
from models.events.wire import iso, iso_or_none

OPENED, REPLIED, SOLVED = "Ticket Opened", "Ticket Replied", "Ticket Solved"
ESCALATED, REOPENED, COMPLAINT = "Ticket Escalated", "Ticket Reopened", "Complaint Filed"
RESPONDED = "Survey Responded"
TICKET_WAITING, SURVEY = "ticket-waiting", "survey"
_WAITING = "ticket"


class Sla(Section, frozen=True):
    """Time from opening to the first answer, by priority."""

    urgent: DurationMs
    high: DurationMs
    normal: DurationMs
    low: DurationMs

    def due_after_ms(self, priority: str) -> int:
        """Time to the first answer for ``priority``; an unknown one counts as normal."""
        return int(getattr(self, priority, self.normal))


class SupportParameters(Section, frozen=True):
    section = "support"
    sla: Sla


class UrgencyWord(StrEnum):
    """How urgent a ticket is."""

    URGENT = "urgent"
    HIGH = "high"
    NORMAL = "normal"
    LOW = "low"


_BY_URGENCY = (*UrgencyWord, "")


class TicketNews(Struct, frozen=True, omit_defaults=True, gc=False):
    """A support ticket's life; ``author`` tells an agent's reply from the customer's own; a
    complaint may say what it is about in ``complaint``.
    """

    ticket_id: Text
    priority: UrgencyWord | None = None
    author: str | None = None
    category: str | None = None
    resolution: str | None = None
    complaint: str | None = msgspec.field(default=None, name="type")


class SurveyKind(StrEnum):
    NPS = "nps"
    CSAT = "csat"
    CES = "ces"


class Survey(Struct, frozen=True, omit_defaults=True, gc=False):
    """An answer to a survey; the scale of a CSAT is 1 to 5 unless it says otherwise. A reason
    travels if it is a code such as ``too_expensive``; anything else may be personal.
    """

    kind: SurveyKind
    score: Number
    survey_id: str | None = None
    scale_min: Number | None = None
    scale_max: Number | None = None
    higher_is_better: bool | None = None
    ticket_id: str | None = None
    order_id: str | None = None
    reason: str | None = None

    def __post_init__(self) -> None:
        force_setattr(self, "reason", code(self.reason))

    @property
    def scale(self) -> tuple[float, float]:
        """Lowest and highest score: 0 to 10 for NPS whatever it says, else from 1 to 5 (CSAT) or
        7 (CES) unless it says.
        """
        if self.kind is SurveyKind.NPS:
            return 0.0, 10.0
        usual_max = 5.0 if self.kind is SurveyKind.CSAT else 7.0
        low = 1.0 if self.scale_min is None else self.scale_min
        return low, usual_max if self.scale_max is None else self.scale_max

    @property
    def share(self) -> float:
        """How far up its scale the answer is, turned so that 1 is happiest."""
        low, high = self.scale
        share = (self.score - low) / (high - low)
        turned = self.higher_is_better is False and self.kind is not SurveyKind.NPS
        return 1.0 - share if turned else share


def _check_survey(survey: Survey) -> None:
    low, high = survey.scale
    if survey.kind is SurveyKind.CES and survey.higher_is_better is None:
        raise Rejected(
            Reason.REQUIRED_MISSING,
            "$.properties.higher_is_better",
            "the polarity of CES differs by vendor",
        )
    if not low < high:
        raise Rejected(Reason.OUT_OF_RANGE, "$.properties.scale_max", "not above scale_min")
    if not low <= survey.score <= high:
        raise Rejected(Reason.OUT_OF_RANGE, "$.properties.score", f"outside {low:g} to {high:g}")


def _survey_rules() -> list[dict[str, Any]]:
    """Polarity and scales, as far as a schema can say them: one field can't limit another."""
    polarity = {
        "required": ["higher_is_better"],
        "properties": {"higher_is_better": {"type": "boolean"}},
    }
    rules: list[dict[str, Any]] = [{"if": _is_kind(SurveyKind.CES), "then": polarity}]
    no_scale = {"properties": {"scale_min": {"type": "null"}, "scale_max": {"type": "null"}}}
    for kind, low, high in ((SurveyKind.CSAT, 1, 5), (SurveyKind.CES, 1, 7)):
        within = {"properties": {"score": {"minimum": low, "maximum": high}}}
        rules.append({"if": {"allOf": [_is_kind(kind), no_scale]}, "then": within})
    within = {"properties": {"score": {"minimum": 0, "maximum": 10}}}
    return [*rules, {"if": _is_kind(SurveyKind.NPS), "then": within}]


def _is_kind(kind: SurveyKind) -> dict[str, Any]:
    return {"properties": {"kind": {"const": str(kind)}}}


_TICKET = EventType(shape=TicketNews)
EVENTS = {
    **dict.fromkeys((OPENED, REPLIED, ESCALATED, REOPENED, SOLVED, COMPLAINT), _TICKET),
    RESPONDED: EventType(shape=Survey, check=_check_survey, rules={"allOf": _survey_rules()}),
}


class Ticket(State):
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

    def due_at_ms(self, sla: Sla) -> int:
        """When its first answer is due; 0 once it has one, or when it is closed."""
        if not self.is_open or self.answered_at_ms >= self.waiting_since_ms:
            return 0
        return self.waiting_since_ms + sla.due_after_ms(self.priority or UrgencyWord.NORMAL)


class Answer(Struct, frozen=True, array_like=True, gc=False):
    """A survey's score as given, its share of the scale (1 is happiest), and when."""

    score: float
    share: float
    at_ms: int


class Support(State):
    """Tickets sorted by id, how many were ever opened, and the last answer of each kind."""

    tickets: list[Ticket] = field(default_factory=list)
    opened: int = 0
    answers: dict[str, Answer] = field(default_factory=dict)

    def open_tickets(self) -> list[Ticket]:
        """The tickets that wait for a solution."""
        tickets = self.tickets
        return [ticket for ticket in tickets if ticket.is_open] if tickets else []


def _record(state: Support, event: Event, scene: Scene) -> None:
    """Something happened to a ticket, or a survey was answered."""
    if event.name == RESPONDED:
        answer = Answer(event.properties.score, event.properties.share, event.occurred_at_ms)
        _note_answer(state, str(event.properties.kind), answer)
        scene.raise_moment(SURVEY)
        return
    parameters = scene.parameters
    _note_ticket(state, event)
    settled_ms = scene.context.clock_ms - parameters.time.lateness
    _forget(state, settled_ms, parameters.bounds.tickets)
    _wait(scene)
    scene.raise_moment(SCORE)


def _note_ticket(state: Support, event: Event) -> None:
    ticket_id = fingerprint(event.properties.ticket_id)
    for ticket in state.tickets:
        if ticket.id == ticket_id:
            break
    else:
        ticket = Ticket(ticket_id)
        state.tickets.append(ticket)
        state.tickets.sort(key=lambda known: known.id)
    was_opened = ticket.opened_at_ms > 0
    _happen(ticket, event)
    state.opened += ticket.opened_at_ms > 0 and not was_opened


def _happen(ticket: Ticket, event: Event) -> None:
    at_ms, news = event.occurred_at_ms, event.properties
    if event.name in (OPENED, COMPLAINT):
        # The first opening stands: filing a complaint about a ticket doesn't restart its clock.
        ticket.opened_at_ms = min(ticket.opened_at_ms or at_ms, at_ms)
        # The most urgent word on it stands, whichever comes first.
        words = (ticket.priority, str(news.priority or ""))
        ticket.priority = min(words, key=_BY_URGENCY.index)
    elif event.name == REOPENED:
        ticket.reopened_at_ms = max(ticket.reopened_at_ms, at_ms)
    elif event.name == SOLVED:
        ticket.solved_at_ms = max(ticket.solved_at_ms, at_ms)
    elif event.name == REPLIED and news.author != "customer":
        ticket.answered_at_ms = max(ticket.answered_at_ms, at_ms)


def _forget(state: Support, settled_ms: int, tickets_max: int) -> None:
    """Let go of closed tickets that nothing late can reach, and of the oldest beyond the bound."""
    kept = [ticket for ticket in state.tickets if ticket.is_open or ticket.latest_ms >= settled_ms]
    if len(kept) > tickets_max:
        kept.sort(key=lambda ticket: (ticket.is_open, ticket.latest_ms, ticket.id))
        kept = sorted(kept[-tickets_max:], key=lambda ticket: ticket.id)
    state.tickets = kept


def _note_answer(state: Support, kind: str, answer: Answer) -> None:
    """The latest answer of a kind is kept; of one moment, the unhappiest, and the lower number of
    two scales.
    """
    last = state.answers.get(kind)
    if last is None or _precedence(last) < _precedence(answer):
        state.answers[kind] = answer


def _precedence(answer: Answer) -> tuple[int, float, float]:
    return answer.at_ms, -answer.share, -answer.score


def _wait(scene: Scene) -> None:
    """Set the timer to the next ticket that is overdue, after those already dealt with."""
    row, sla = scene.row, scene.parameters.of(SupportParameters).sla
    handled_ms = row.due(_WAITING).handled_ms
    due = [ticket.due_at_ms(sla) for ticket in row.read(SUPPORT).tickets]
    row.set_due(_WAITING, min((due_ms for due_ms in due if due_ms > handled_ms), default=0))


def _be_overdue(scene: Scene) -> None:
    scene.raise_moment(TICKET_WAITING)
    _wait(scene)


def _united(states: Sequence[Support], parameters: Parameters) -> Support:
    """One person's tickets: a ticket that several ids have news of is one ticket.

    ``opened`` adds up: a ticket whose opening came under one id and was closed long ago is only
    counted.
    """
    one = Support()
    tickets: dict[int, Ticket] = {}
    for state in states:
        one.opened += state.opened
        for ticket in state.tickets:
            known = tickets.get(ticket.id)
            if known is not None and known.opened_at_ms and ticket.opened_at_ms:
                one.opened -= 1
            tickets[ticket.id] = _merged(known or Ticket(ticket.id), ticket)
        for kind, answer in state.answers.items():
            _note_answer(one, kind, answer)
    one.tickets = [tickets[ticket_id] for ticket_id in sorted(tickets)]
    _forget(one, 0, parameters.bounds.tickets)
    return one


def _merged(one: Ticket, other: Ticket) -> Ticket:
    opened = [ticket.opened_at_ms for ticket in (one, other) if ticket.opened_at_ms]
    return Ticket(
        one.id,
        min(opened, default=0),
        max(one.reopened_at_ms, other.reopened_at_ms),
        max(one.solved_at_ms, other.solved_at_ms),
        max(one.answered_at_ms, other.answered_at_ms),
        min(one.priority, other.priority, key=_BY_URGENCY.index),
    )


def support(scene: Scene) -> Support:
    """The customer's tickets and answers; read only."""
    return scene.row.read(SUPPORT)


def late_tickets(scene: Scene) -> list[Ticket]:
    """The open tickets that should have had an answer by this moment."""
    sla = scene.parameters.of(SupportParameters).sla
    tickets = scene.row.read(SUPPORT).tickets
    return [ticket for ticket in tickets if 0 < ticket.due_at_ms(sla) <= scene.at_ms]


def unhappiness(scene: Scene) -> float:
    """0 for a content customer or an unknown one, to 1 for the worst last answer."""
    answers = scene.row.read(SUPPORT).answers
    if not answers:
        return 0.0
    shares = [answers[kind].share for kind in (SurveyKind.NPS, SurveyKind.CSAT) if kind in answers]
    return 1.0 - min(shares) if shares else 0.0


def _waiting_hours(scene: Scene) -> float:
    since = [ticket.waiting_since_ms for ticket in scene.of(late_tickets)]
    return (scene.at_ms - min(since, default=scene.at_ms)) / HOUR_MS


def _last(scene: Scene, kind: SurveyKind) -> float:
    answer = scene.row.read(SUPPORT).answers.get(kind)
    return answer.score if answer is not None else nan


def _survey(scene: Scene) -> Survey | None:
    """The answer that this moment is about."""
    said = scene.event.properties if scene.event is not None else None
    return said if isinstance(said, Survey) else None


def _survey_score(scene: Scene) -> float:
    survey = _survey(scene)
    return survey.score if survey is not None else nan


def _survey_share(scene: Scene) -> float:
    survey = _survey(scene)
    return survey.share if survey is not None else nan


def _survey_kind(scene: Scene) -> str:
    survey = _survey(scene)
    return str(survey.kind) if survey is not None else ""


FACTS = {
    "open_tickets": Fact(
        lambda s: float(len(s.row.read(SUPPORT).open_tickets())),
        "{:.0f} open tickets",
        "open tickets",
        least=0.0,
    ),
    "tickets_overdue": Fact(
        lambda s: float(len(s.of(late_tickets))),
        "{:.0f} past the promised time",
        "open tickets without an answer in time",
        least=0.0,
    ),
    "ticket_waiting_hours": Fact(
        _waiting_hours,
        "waiting for {:.1f} hours",
        "hours the longest of them has waited",
        least=0.0,
    ),
    "nps": Fact(lambda s: _last(s, SurveyKind.NPS), "{:g} of 10", "last NPS answer"),
    "csat": Fact(lambda s: _last(s, SurveyKind.CSAT), "CSAT {:g}", "last CSAT answer"),
    "survey_score": Fact(_survey_score, "answered {:g}", "the answer just given", moment=SURVEY),
    "survey_share": Fact(
        _survey_share,
        "{:.0%} of the scale",
        "the answer just given as a share of its scale; 1 is happiest",
        moment=SURVEY,
        least=0.0,
        most=1.0,
    ),
    "survey_kind": Fact(
        _survey_kind,
        "{}",
        "nps, csat or ces",
        str,
        moment=SURVEY,
        values=lambda _: tuple(SurveyKind),
    ),
}


class AnswerView(Struct, frozen=True, rename="camel"):
    score: float
    at: str


class SupportView(Struct, frozen=True, rename="camel"):
    open_tickets: int
    tickets: int
    answer_due_at: str | None
    nps: AnswerView | None
    csat: AnswerView | None
    ces: AnswerView | None


def _view(scene: Scene) -> SupportView:
    state, sla = scene.row.read(SUPPORT), scene.parameters.of(SupportParameters).sla
    waiting = state.open_tickets()
    due = [due_ms for ticket in waiting if (due_ms := ticket.due_at_ms(sla))]
    nps, csat, ces = (state.answers.get(kind) for kind in SurveyKind)
    return SupportView(
        open_tickets=len(waiting),
        tickets=state.opened,
        answer_due_at=iso_or_none(min(due, default=0)),
        nps=_answer_view(nps),
        csat=_answer_view(csat),
        ces=_answer_view(ces),
    )


def _answer_view(answer: Answer | None) -> AnswerView | None:
    return None if answer is None else AnswerView(answer.score, iso(answer.at_ms))


def _in_words(view: SupportView, as_of: str, _currency: str) -> Iterator[Line]:
    due = f", answer due {moment_in_words(view.answer_due_at)}" if view.answer_due_at else ""
    yield Line("support", f"{counted(view.open_tickets, 'open ticket')} of {view.tickets}{due}")
    answers = {"NPS": view.nps, "CSAT": view.csat, "CES": view.ces}
    told = [
        f"{name} {answer.score:g} ({how_long_before(answer.at, as_of)})"
        for name, answer in answers.items()
        if answer is not None
    ]
    if told:
        yield Line("surveys", ", ".join(told))


SUPPORT: Part[Support] = Part(
    name="support",
    code="su",
    about="Tickets that wait for an answer, and what customers last said in surveys.",
    state=Support,
    united=_united,
    parameters=SupportParameters,
    events=EVENTS,
    listens=frozenset(EVENTS),
    record=_record,
    timers=(Timer(_WAITING, _be_overdue),),
    moments={
        TICKET_WAITING: "an open ticket is past the time its priority allows",
        SURVEY: "a survey was answered",
    },
    offers=(support, late_tickets, unhappiness),
    facts=FACTS,
    sections=(ProfileSection("support", SupportView, _view, _in_words, place=440),),
)

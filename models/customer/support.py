"""Support: tickets and their service clock, and the last answers to surveys."""

from collections.abc import Iterator
from math import inf, nan
from typing import NamedTuple

from msgspec import Struct

from config.duration import HOUR_MS
from config.parameters import Section
from models.customer import surveys, ticket_news
from models.customer.edges import first_after, of_timer
from models.customer.evidence_words import EvidenceParameters, kind_of
from models.customer.motion import STILL, Motion, Moves, steps
from models.customer.part import SCORE, Fact, Line, Part, ProfileSection, Timer
from models.customer.scene import Scene
from models.customer.support_state import (
    Answer,
    Support,
    forget,
    note_answer,
    note_ticket,
    united,
    unpack_first,
)
from models.customer.surveys import RESPONDED, Band, Survey, SurveyKind
from models.customer.ticket import Sla, TicketStanding
from models.customer.words import counted, how_long_before, moment_in_words
from models.events.event import Event
from models.events.times import iso, iso_or_none

TICKET_WAITING, SURVEY = "ticket-waiting", "survey"
_WAITING = "ticket"


class SupportParameters(Section, frozen=True):
    section = "support"
    sla: Sla


EVENTS = {**ticket_news.EVENTS, **surveys.EVENTS}


def _record(state: Support, event: Event, scene: Scene) -> None:
    """Something happened to a ticket, or a survey was answered."""
    if event.name == RESPONDED:
        said = event.properties
        answer = Answer(said.score, said.share, event.occurred_at_ms, said.band)
        note_answer(state, str(said.kind), answer)
        scene.raise_moment(SURVEY)
        return
    parameters = scene.parameters
    tuning = parameters.of(EvidenceParameters)
    is_complaint = kind_of(event.properties.subject, tuning) is not None
    note_ticket(state, event, is_complaint=is_complaint)
    settled_ms = scene.context.clock_ms - parameters.time.lateness
    for ticket in state.tickets:
        ticket.settle(settled_ms)
    forget(state, parameters.bounds.tickets)
    _wait(scene)
    scene.raise_moment(SCORE)


def _wait(scene: Scene) -> None:
    """Set the timer to the next ticket that is overdue, after those already dealt with."""
    row, sla = scene.row, scene.parameters.of(SupportParameters).sla
    handled_ms = row.due(_WAITING).handled_ms
    due = [ticket.standing.due_at_ms(sla) for ticket in row.read(SUPPORT).tickets]
    row.set_due(_WAITING, min((due_ms for due_ms in due if due_ms > handled_ms), default=0))


def _be_overdue(scene: Scene) -> None:
    scene.raise_moment(TICKET_WAITING)
    _wait(scene)


def _reunited(scene: Scene, _before: Support, _other: Support, _sign: int) -> None:
    _wait(scene)


def support(scene: Scene) -> Support:
    """The customer's tickets and answers; read only."""
    return scene.row.read(SUPPORT)


def ticket_standings(scene: Scene) -> list[TicketStanding]:
    """The standing of each ticket, computed once for a scene."""
    return [ticket.standing for ticket in scene.row.read(SUPPORT).tickets]


def open_tickets(scene: Scene) -> int:
    """How many tickets wait for a solution."""
    # Most customers have none.
    if not scene.row.read(SUPPORT).tickets:
        return 0
    return len([True for standing in scene.of(ticket_standings) if standing.is_open])


def late_tickets(scene: Scene) -> list[TicketStanding]:
    """The standings of open tickets whose answer is overdue at this moment."""
    sla = scene.parameters.of(SupportParameters).sla
    found = scene.of(ticket_standings)
    return [standing for standing in found if 0 < standing.due_at_ms(sla) <= scene.at_ms]


def unhappiness(scene: Scene) -> float:
    """0 for a content customer or an unknown one, to 1 for the worst last answer."""
    answers = scene.row.read(SUPPORT).answers
    if not answers:
        return 0.0
    shares = [answers[kind].share for kind in (SurveyKind.NPS, SurveyKind.CSAT) if kind in answers]
    return 1.0 - min(shares) if shares else 0.0


class Truce(NamedTuple):
    """A time without marketing: since when, and until when; 0 for no end yet."""

    why: str
    since_ms: int
    until_ms: int


def truce(scene: Scene) -> Truce | None:
    """Why marketing must be silent at this moment: an open complaint, an answer that is overdue, a
    complaint solved a short while ago, or a poor answer to a survey. None if it need not be.

    Of several reasons, the one that lasts longest is returned.
    """
    state, after_ms = scene.row.read(SUPPORT), scene.parameters.truce.after
    sla, at_ms = scene.parameters.of(SupportParameters).sla, scene.at_ms
    lasting: list[Truce] = []
    passing: list[Truce] = []
    for standing in scene.of(ticket_standings):
        due_ms = standing.due_at_ms(sla)
        if standing.is_open and standing.complaint_at_ms:
            lasting.append(Truce("complaint", standing.complaint_at_ms, 0))
        elif 0 < due_ms <= at_ms:
            lasting.append(Truce("promise", due_ms, 0))
        elif standing.solved_at_ms and standing.complaint_at_ms and not standing.is_open:
            passing.append(_short(standing.solved_at_ms, after_ms, "solved"))
    tuning = scene.parameters.of(EvidenceParameters)
    for kind, answer in state.answers.items():
        if is_poor(SurveyKind(kind), answer.band, answer.share, tuning):
            passing.append(_short(answer.at_ms, after_ms, "answer"))
    if lasting:
        return min(lasting, key=lambda one: (one.since_ms, one.why))
    present = [one for one in passing if one.since_ms <= at_ms < one.until_ms]
    return max(present, key=lambda one: (one.until_ms, one.why), default=None)


def _short(since_ms: int, after_ms: int, why: str) -> Truce:
    return Truce(why, since_ms, since_ms + after_ms)


def is_poor(kind: SurveyKind, band: Band, share: float, tuning: EvidenceParameters) -> bool:
    """Whether an answer is a complaint: an NPS of a detractor, any other by its share of the
    scale.
    """
    return band is Band.DETRACTOR if kind is SurveyKind.NPS else share <= tuning.poor


def _waiting_hours(scene: Scene) -> float:
    since = [ticket.asked_at_ms for ticket in scene.of(late_tickets)]
    return (scene.at_ms - min(since, default=scene.at_ms)) / HOUR_MS


def _next_late_ms(scene: Scene) -> int:
    """When the next answer is late."""
    sla = scene.parameters.of(SupportParameters).sla
    found = scene.of(ticket_standings)
    return first_after(scene.at_ms, [standing.due_at_ms(sla) for standing in found])


def _waiting(scene: Scene) -> Motion:
    """The motion of `_waiting_hours`, until another ticket is late, too."""
    per_ms = 1 / HOUR_MS if scene.of(late_tickets) else 0.0
    return Motion(per_ms, _next_late_ms(scene) or inf)


def _last_nps(scene: Scene) -> float:
    """The last NPS converted to 0 to 10, so that rules need not know the scale."""
    answer = scene.row.read(SUPPORT).answers.get(SurveyKind.NPS)
    return round(answer.share * 10, 9) if answer is not None else nan


def _last_csat(scene: Scene) -> float:
    answer = scene.row.read(SUPPORT).answers.get(SurveyKind.CSAT)
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


def _survey_band(scene: Scene) -> str:
    survey = _survey(scene)
    return str(survey.band) if survey is not None else ""


def _survey_kind(scene: Scene) -> str:
    survey = _survey(scene)
    return str(survey.kind) if survey is not None else ""


FACTS = {
    "open_tickets": Fact(
        lambda s: float(open_tickets(s)),
        "{:.0f} open tickets",
        "open tickets",
        least=0.0,
        whole=True,
        moves=STILL,
    ),
    "tickets_overdue": Fact(
        lambda s: float(len(s.of(late_tickets))),
        "{:.0f} past the promised time",
        "open tickets without an answer in time",
        least=0.0,
        whole=True,
        moves=steps(_next_late_ms),
    ),
    "ticket_waiting_hours": Fact(
        _waiting_hours,
        "waiting for {:.1f} hours",
        "hours the longest of them has waited",
        least=0.0,
        moves=Moves(_waiting, is_clock=True),
    ),
    "nps": Fact(
        _last_nps,
        "{:g} of 10",
        "last NPS answer, on a scale from 0 to 10",
        least=0.0,
        most=10.0,
        moves=STILL,
    ),
    "csat": Fact(_last_csat, "CSAT {:g}", "last CSAT answer", moves=STILL),
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
    "survey_band": Fact(
        _survey_band,
        "a {}",
        "promoter, passive or detractor, by the NPS answer just given",
        str,
        moment=SURVEY,
        values=lambda _: ("promoter", "passive", "detractor"),
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
    version=3,
    dense_since=3,
    older={1: unpack_first},
    united=united,
    reunited=_reunited,
    parameters=SupportParameters,
    events=EVENTS,
    listens=frozenset(EVENTS),
    record=_record,
    timers=(Timer(_WAITING, _be_overdue),),
    moments={
        TICKET_WAITING: "an open ticket is past the time its priority allows",
        SURVEY: "a survey was answered",
    },
    offers=(support, ticket_standings, late_tickets, open_tickets, unhappiness, truce),
    facts=FACTS,
    sections=(
        ProfileSection(
            "support", SupportView, _view, _in_words, place=440, edge=of_timer(_WAITING)
        ),
    ),
)

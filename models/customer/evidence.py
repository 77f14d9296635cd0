"""Evidence of reasons to leave: decayed weights of events about price, product and service."""

from collections.abc import Sequence
from math import isfinite, nan
from typing import Annotated, ClassVar, NamedTuple

from msgspec import Meta, Struct, field
from msgspec.structs import force_setattr

from config.duration import DAY_MS
from config.parameters import Parameters
from models.customer.churn_reason import (
    ChurnReason,
    EvidenceKind,
    ReasonKind,
    Sign,
    churn_reason,
    in_words,
)
from models.customer.decay import added
from models.customer.edges import first_after
from models.customer.evidence_words import (
    CANCELLED,
    NAMES,
    REVIEWED,
    EvidenceParameters,
    kind_of,
)
from models.customer.part import Basis, Fact, Part, ProfileSection
from models.customer.purchases import overdue_at, purchases, usual_gap_days
from models.customer.row import State
from models.customer.scene import Scene
from models.customer.scores import churn
from models.customer.support import is_poor, late_tickets
from models.customer.surveys import Survey
from models.customer.ticket_news import TicketNews
from models.events.codes import code
from models.events.event import Event, EventType
from models.events.numbers import number_in

#: Silence can be judged only when there is a gap to compare it with.
_ORDERS_MIN = 2
_NO_WORD = "and nothing heard that says why"


class Review(Struct, frozen=True, omit_defaults=True, gc=False):
    """A product rating, from 1 to 5 or to a maximum of its own; a number, or a number as text.

    The review's text is dropped.
    """

    rating: float | str | None = None
    scale_max: Annotated[float, Meta(gt=1, le=1e12)] | None = None
    dispensable: ClassVar[frozenset[str]] = frozenset({"rating", "scale_max"})

    def __post_init__(self) -> None:
        force_setattr(self, "rating", _finite(self.rating))

    @property
    def share(self) -> float | None:
        """The rating's position on its scale, 0 to 1; None if it is not on the scale."""
        top = 5.0 if self.scale_max is None else self.scale_max
        if not isinstance(self.rating, float) or not 0 <= self.rating <= top:
            return None
        return max(self.rating - 1.0, 0.0) / (top - 1.0)


def _finite(rating: float | str | None) -> float | None:
    said = number_in(rating) if isinstance(rating, str) else None
    try:
        number = said if said is not None else float(nan if rating is None else rating)
    except ValueError:
        return None
    return number if isfinite(number) else None


class Cancellation(Struct, frozen=True, omit_defaults=True, gc=False):
    """A cancelled subscription. A reason is kept if it is a code such as ``too_expensive``;
    anything else may be personal.
    """

    reason: str | None = None

    def __post_init__(self) -> None:
        force_setattr(self, "reason", code(self.reason))


class Evidence(State):
    """Signs sorted by kind and name, at most one for each pair."""

    signs: list[Sign] = field(default_factory=list)

    def add(self, kind: str, name: str, weight: float, at_ms: int, half_life_ms: int) -> None:
        """Add one sign; arrival order doesn't matter."""
        for place, sign in enumerate(self.signs):
            if (sign.kind, sign.name) == (kind, name):
                sign.level = added(sign.level, sign.at_ms, weight, at_ms, half_life_ms)
                sign.at_ms = max(sign.at_ms, at_ms)
                return
            if (sign.kind, sign.name) > (kind, name):
                self.signs.insert(place, Sign(kind, name, weight, at_ms))
                return
        self.signs.append(Sign(kind, name, weight, at_ms))


def _record(state: Evidence, event: Event, scene: Scene) -> None:
    tuning = scene.parameters.of(EvidenceParameters)
    for kind, weight in said_by(event, tuning):
        state.add(str(kind), event.name, weight, event.occurred_at_ms, tuning.half_life)


def said_by(event: Event, tuning: EvidenceParameters) -> list[tuple[EvidenceKind, float]]:
    """The kinds that an event is evidence for, with weights: by its own text if that names a kind,
    else by its name. Good answers and ratings are no evidence.
    """
    if not _is_complaint(event, tuning):
        return []
    kind = kind_of(_word(event), tuning)
    if kind is not None and event.name in tuning.about:
        spoken = [(kind, tuning.about[event.name])]
    else:
        spoken = [(k, tuning.weights_of(k).get(event.name, 0.0)) for k in EvidenceKind]
    return [(kind, weight) for kind, weight in spoken if weight > 0]


def _is_complaint(event: Event, tuning: EvidenceParameters) -> bool:
    match event.properties:
        case Survey():
            survey = event.properties
            return is_poor(survey.kind, survey.band, survey.share, tuning)
        case Review():
            share = event.properties.share
            return share is not None and share <= tuning.poor
    return event.name != REVIEWED


def _word(event: Event) -> str | None:
    match event.properties:
        case TicketNews():
            return event.properties.subject
        case Survey() | Cancellation():
            return event.properties.reason
    return None


def _united(states: Sequence[Evidence], parameters: Parameters) -> Evidence:
    """One person's signs: the levels of all ids added up, as of the latest time."""
    one, half_life_ms = Evidence(), parameters.of(EvidenceParameters).half_life
    for state in states:
        for sign in state.signs:
            one.add(sign.kind, sign.name, sign.level, sign.at_ms, half_life_ms)
    return one


def reason(scene: Scene) -> ChurnReason:
    """Why the customer may leave, with or without a score."""
    tuning = scene.parameters.of(EvidenceParameters)
    return churn_reason(
        scene.row.read(EVIDENCE).signs,
        scene.at_ms,
        tuning.half_life,
        tuning.least,
        late_tickets=(len(scene.of(late_tickets)), tuning.late_ticket),
        silence=lambda: _silence(scene),
    )


class LastSignal(NamedTuple):
    """Why a customer may leave, by their latest evidence, and when that was; 0 without evidence."""

    kind: ReasonKind
    heard_ms: int = 0


def last_signal(scene: Scene) -> LastSignal:
    """The present reason or, once evidence has faded, the reason at the time of the latest
    evidence.

    Evidence fades faster than silence shows: a coupon denied a month before a purchase is overdue
    still says why. The reason holds until the customer buys again.
    """
    now = scene.of(reason).kind
    signs = scene.row.read(EVIDENCE).signs
    heard_ms = max((sign.at_ms for sign in signs), default=0)
    if now not in (ReasonKind.SILENT, ReasonKind.UNKNOWN):
        return LastSignal(now, heard_ms)
    if not scene.of(purchases).last_at_ms < heard_ms <= scene.at_ms:
        return LastSignal(now)
    tuning = scene.parameters.of(EvidenceParameters)
    then = churn_reason(
        signs,
        heard_ms,
        tuning.half_life,
        tuning.least,
        late_tickets=(0, tuning.late_ticket),
        silence=lambda: "",
    )
    return LastSignal(now) if then.kind is ReasonKind.UNKNOWN else LastSignal(then.kind, heard_ms)


def reason_at_last_signal(scene: Scene) -> ReasonKind:
    """The kind of `last_signal`."""
    return scene.of(last_signal).kind


def _silence(scene: Scene) -> str:
    """The customer's silence in words, if they are overdue or likely not to buy; else ""."""
    bought = scene.of(purchases)
    if bought.count < _ORDERS_MIN:
        return ""
    if 0 < scene.of(overdue_at) <= scene.at_ms:
        silent_days = max(scene.at_ms - bought.last_at_ms, 0) / DAY_MS
        usual = scene.of(usual_gap_days)
        return f"usually every {usual:.0f} days, now {silent_days:.0f}, {_NO_WORD}"
    score = scene.of(churn)
    if score is not None and score.probability >= scene.parameters.of(EvidenceParameters).at_risk:
        return f"{score.probability:.0%} likely not to buy, {_NO_WORD}"
    return ""


def _reason_of_buyer(scene: Scene) -> ChurnReason | None:
    """The reason; None for customers without a purchase."""
    return scene.of(reason) if scene.of(churn) is not None else None


EVIDENCE: Part[Evidence] = Part(
    name="evidence",
    code="ev",
    about="Why customers leave: problems they had, what they said, or silence without a reason.",
    version=2,
    dense_since=2,
    state=Evidence,
    united=_united,
    parameters=EvidenceParameters,
    events={
        REVIEWED: EventType(shape=Review),
        CANCELLED: EventType(shape=Cancellation, code=lambda cancelled: cancelled.reason),
    },
    listens=NAMES,
    record=_record,
    offers=(last_signal, reason, reason_at_last_signal),
    reads=(purchases, overdue_at, usual_gap_days, late_tickets, churn),
    facts={
        "churn_reason": Fact(
            lambda s: str(s.of(reason).kind),
            "reason to leave: {}",
            "price, product, service, silent or unknown",
            str,
            values=lambda _: tuple(ReasonKind),
        ),
        "reason_at_last_signal": Fact(
            lambda s: str(s.of(reason_at_last_signal)),
            "reason to leave when last heard of: {}",
            "as churn_reason, and once evidence has faded, what it said last, until a purchase",
            str,
            values=lambda _: tuple(ReasonKind),
        ),
    },
    sections=(
        ProfileSection(
            "churn_reason",
            ChurnReason | None,
            _reason_of_buyer,
            in_words,
            place=210,
            basis=Basis.MODEL,
            edge=lambda scene: first_after(scene.at_ms, (scene.of(overdue_at),)),
        ),
    ),
)

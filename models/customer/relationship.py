"""The level of the relationship with a customer, from one who buys to a partner.

A level requires all levels below it, but a customer who never complained needs no solved complaint.
Signs count if they are of the last year. The level is computed at the end of a purchase day and at
check-ins.
"""

from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from math import nan
from typing import Final

from msgspec import Struct, field

from config.limits import PositiveInt, PositiveMs, Share
from config.parameters import Parameters, Section
from models.customer.edges import of_timer
from models.customer.evidence import Review
from models.customer.evidence_words import REVIEWED, EvidenceParameters
from models.customer.life_stages import is_last_look
from models.customer.motion import FOUND
from models.customer.part import Fact, Line, Part, ProfileSection, Sum, Told, is_joined
from models.customer.purchases import purchases
from models.customer.row import State
from models.customer.scene import Scene
from models.customer.support import is_poor, support, ticket_standings
from models.customer.surveys import RESPONDED, SurveyKind
from models.customer.ticket import TicketStanding
from models.customer.ticket_news import REPLIES, is_answer
from models.customer.words import how_long_before
from models.events.event import Event
from models.events.times import iso
from models.learning.tallies import NO_DAY
from models.measures import Measure, Sample

RELATIONSHIP_CHANGED: Final = "relationship-changed"
_ACCEPTED: Final = frozenset({"Action Accepted", "Event Attended"})
_REFERRED: Final = "Referral Converted"
#: The most reviews that an operator may require.
_REVIEWS_MAX: Final = 8


class Relationship(StrEnum):
    """The levels in their order, from 1."""

    BASIC = "basic"
    REACTIVE = "reactive"
    RESPONSIBLE = "responsible"
    PROACTIVE = "proactive"
    PARTNER = "partner"


_LEVELS: Final = tuple(Relationship)


class RelationshipParameters(Section, frozen=True):
    section = "relationship"
    enabled: bool
    within: PositiveMs
    resolve_within: PositiveMs
    rated_well: Share
    reviews: PositiveInt

    def problems(self) -> Iterator[str]:
        """More reviews than are kept could never be reached."""
        if self.reviews > _REVIEWS_MAX:
            yield f"relationship.reviews is {_REVIEWS_MAX} at most: no more are kept"


class Related(State):
    """The latest time of each sign, ``reviews_ms`` of several, ascending; the ``level`` at the last
    look, since when, and the one ``before``; 0 for none.
    """

    answered_ms: int = 0
    accepted_ms: int = 0
    referred_ms: int = 0
    reviews_ms: list[int] = field(default_factory=list)
    level: int = 0
    since_ms: int = 0
    before: int = 0


def _record(state: Related, event: Event, scene: Scene) -> None:
    name, at_ms = event.name, event.occurred_at_ms
    if name == RESPONDED or is_answer(event):
        state.answered_ms = max(state.answered_ms, at_ms)
    elif name in _ACCEPTED:
        state.accepted_ms = max(state.accepted_ms, at_ms)
    elif name == _REFERRED:
        state.referred_ms = max(state.referred_ms, at_ms)
    elif isinstance(event.properties, Review):
        section, share = scene.parameters.of(RelationshipParameters), event.properties.share
        if share is not None and share >= section.rated_well:
            state.reviews_ms = sorted([*state.reviews_ms, at_ms])[-section.reviews :]


def _look(scene: Scene) -> None:
    """Compute the present level, and report what changed."""
    level, state = _level(scene), scene.row.read(RELATIONSHIP)
    if level == state.level:
        return
    before, state = _sums(state), scene.row.edit(RELATIONSHIP)
    if state.level:
        scene.raise_moment(RELATIONSHIP_CHANGED)
    state.before, state.level, state.since_ms = state.level, level, scene.at_ms
    RELATIONSHIP.tell_changes(scene, before, _sums(state))


def _level(scene: Scene) -> int:
    section, state = scene.parameters.of(RelationshipParameters), scene.row.read(RELATIONSHIP)
    after_ms, bought = scene.at_ms - section.within, scene.of(purchases)
    is_over = is_last_look(bought, scene.at_ms, scene.context.check_in_ms)
    if is_over or bought.last_at_ms <= after_ms:
        return 0
    if state.answered_ms <= after_ms:
        return 1
    mended = _mended(scene, section, after_ms)
    if mended is False:
        return 2
    if state.accepted_ms <= after_ms:
        return 2 if mended is None else 3
    has_reviewed = len(state.reviews_ms) >= section.reviews and state.reviews_ms[0] > after_ms
    return 5 if state.referred_ms > after_ms or has_reviewed else 4


def _mended(scene: Scene, section: RelationshipParameters, after_ms: int) -> bool | None:
    """Whether one of the customer's complaints was solved in time, and not rated poorly since; None
    if there was none.
    """
    known = scene.of(support)
    if not known.tickets:
        return None
    complaints = [one for one in scene.of(ticket_standings) if one.complaint_at_ms > after_ms]
    if not complaints:
        return None
    tuning = scene.parameters.of(EvidenceParameters)
    poor_ms = [
        answer.at_ms
        for kind, answer in known.answers.items()
        if is_poor(SurveyKind(kind), answer.band, answer.share, tuning)
    ]
    return any(_is_mended(one, section, max(poor_ms, default=0)) for one in complaints)


def _is_mended(one: TicketStanding, section: RelationshipParameters, poor_ms: int) -> bool:
    took_ms = one.solved_at_ms - one.complaint_at_ms
    return not one.is_open and 0 <= took_ms <= section.resolve_within and poor_ms < one.solved_at_ms


def _sums(state: Related) -> list[Sum]:
    """One customer's share of the sums."""
    return [(_LEVELS[state.level - 1], NO_DAY, 1)] if state.level else []


def _reunited(scene: Scene, before: Related, other: Related, sign: int) -> None:
    if is_joined(scene, sign):
        state, known = scene.row.edit(RELATIONSHIP), max(before, other, key=_level_of)
        state.level, state.since_ms, state.before = known.level, known.since_ms, known.before
    RELATIONSHIP.tell_anew(scene, before, other, sign, _sums)


def _united(states: Sequence[Related], parameters: Parameters) -> Related:
    """One person: the latest of all signs, and the level of the id with the latest look."""
    one, section = Related(), parameters.of(RelationshipParameters)
    for state in states:
        one.answered_ms = max(one.answered_ms, state.answered_ms)
        one.accepted_ms = max(one.accepted_ms, state.accepted_ms)
        one.referred_ms = max(one.referred_ms, state.referred_ms)
        one.reviews_ms = sorted([*one.reviews_ms, *state.reviews_ms])[-section.reviews :]
        one.since_ms, one.level, one.before = max(
            (one.since_ms, one.level, one.before), (state.since_ms, state.level, state.before)
        )
    return one


def _level_of(state: Related) -> int:
    return state.level


def _known(level: int) -> float:
    return float(level) if level else nan


FACTS = {
    "relationship_level": Fact(
        lambda s: _known(s.row.read(RELATIONSHIP).level),
        "relationship of level {:.0f} of 5",
        "1 to 5: buys, is answered, was helped, takes part, brings others; unknown without a "
        "purchase in a year",
        least=1.0,
        most=5.0,
        whole=True,
        moves=FOUND,
    ),
    "relationship_level_before": Fact(
        lambda s: _known(s.row.read(RELATIONSHIP).before),
        "level {:.0f} before",
        "the level before that one",
        least=1.0,
        most=5.0,
        whole=True,
        moves=FOUND,
    ),
    "relationship": Fact(
        lambda s: _name(s.row.read(RELATIONSHIP).level),
        "{} relationship",
        "the same in a word: basic, reactive, responsible, proactive or partner",
        str,
        values=lambda _: _LEVELS,
        moves=FOUND,
    ),
}


def _name(level: int) -> str:
    return str(_LEVELS[level - 1]) if level else ""


class RelationshipView(Struct, frozen=True, rename="camel"):
    level: int
    name: Relationship
    since: str
    before: int | None


def _view(scene: Scene) -> RelationshipView | None:
    """None before the first look, without a purchase in a year, and if the part is switched off."""
    state = scene.row.read(RELATIONSHIP)
    if not state.level or not RELATIONSHIP.is_on(scene.parameters):
        return None
    name = Relationship(_name(state.level))
    return RelationshipView(state.level, name, iso(state.since_ms), state.before or None)


def _in_words(view: RelationshipView | None, as_of: str, _currency: str) -> Iterator[Line]:
    if view is not None:
        before = f", level {view.before} before" if view.before else ""
        since = how_long_before(view.since, as_of)
        yield Line("relationship", f"{view.name} (level {view.level} of 5), since {since}{before}")


_CUSTOMERS = Measure(
    "keepstream_customers_by_relationship", "Customers by the level of relationship", ("level",)
)


def _samples(sums: Mapping[str, int], _parameters: Parameters) -> Iterator[Sample]:
    for name in _LEVELS:
        yield Sample(_CUSTOMERS, (name,), sums.get(name, 0))


RELATIONSHIP: Part[Related] = Part(
    name="relationship",
    code="rl",
    about="The level of the relationship: from customers who buy to partners who bring others.",
    state=Related,
    united=_united,
    reunited=_reunited,
    parameters=RelationshipParameters,
    has_own_file=True,
    listens=frozenset({RESPONDED, REVIEWED, _REFERRED, *_ACCEPTED, *REPLIES}),
    record=_record,
    look=_look,
    take_up=_look,
    moments={RELATIONSHIP_CHANGED: "the relationship is of another level than before, or of none"},
    reads=(purchases, support, ticket_standings),
    facts=FACTS,
    sections=(
        ProfileSection(
            "relationship",
            RelationshipView | None,
            _view,
            _in_words,
            place=129,
            edge=of_timer("decision"),
        ),
    ),
    population=Told(
        keys=lambda _parameters: [str(name) for name in _LEVELS],
        window_days=lambda _parameters: 0,
        measures=(_CUSTOMERS,),
        samples=_samples,
    ),
)

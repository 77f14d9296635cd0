"""What all customers say in surveys: NPS, CSAT and CES.

A person counts once per kind of survey and touchpoint, by their latest answer in the window. The
sums over all customers add up the answers that rows keep, so that late, repeated and shuffled
answers give the same sums.
"""

from math import nan

from msgspec import Struct
from msgspec.structs import force_setattr

from config.duration import DAY_MS
from models.customer.edges import first_after
from models.customer.motion import steps
from models.customer.part import Basis, Fact, Part, ProfileSection, Told
from models.customer.satisfaction_measures import (
    MEASURES,
    Result,
    difference,
    keys,
    result_of,
    samples,
    sums_of,
    sums_of_opinion,
    totals_of,
)
from models.customer.satisfaction_state import (
    ALL,
    NPS_VERDICTS,
    Opinion,
    Satisfaction,
    SatisfactionParameters,
    SurveyVerdict,
    opinion_key,
    opinion_of,
    touchpoint_of,
    united,
)
from models.customer.satisfaction_words import SatisfactionView, in_words, opinion_view
from models.customer.scene import Scene
from models.customer.surveys import RESPONDED, SurveyKind
from models.events.codes import code
from models.events.event import Event, EventType
from models.learning.tallies import Tallies

REQUESTED = "Survey Requested"
NPS_PASSIVE, NPS_PROMOTER = "nps-passive", "nps-promoter"


class Touchpoint(Struct, frozen=True, omit_defaults=True, gc=False):
    """What a survey was about, such as ``delivery``. It travels if it is a code; anything else may
    be personal.
    """

    touchpoint: str | None = None

    def __post_init__(self) -> None:
        force_setattr(self, "touchpoint", code(self.touchpoint))


class SurveyRequest(Struct, frozen=True, omit_defaults=True, gc=False):
    """The customer was asked to answer a survey: nps, csat or ces. Other kinds are not counted."""

    kind: str | None = None

    def __post_init__(self) -> None:
        if self.kind not in _KINDS:
            force_setattr(self, "kind", None)


_KINDS = frozenset(str(kind) for kind in SurveyKind)


def _record(state: Satisfaction, event: Event, scene: Scene) -> None:
    """A survey was sent, or answered."""
    said, day = event.properties, event.occurred_at_ms // DAY_MS
    if event.name == REQUESTED:
        if said.kind is not None:
            SATISFACTION.tell(scene, [(f"{said.kind}:{ALL}:requested", day, 1)])
        return
    parameters = scene.parameters.of(SatisfactionParameters)
    sums = [(f"{said.kind}:{ALL}:answered", day, 1)]
    key, before = opinion_key(said.kind, said.touchpoint), dict(state.opinions)
    opinion = opinion_of(said, event.occurred_at_ms, parameters.told_as(said.touchpoint))
    state.note(key, opinion)
    if parameters.count == "all":
        sums += sums_of_opinion(key, opinion, 1)
    else:
        sums += difference(before, state.opinions)
    _raise_moment(state, opinion, scene)
    SATISFACTION.tell(scene, sums)


def _raise_moment(state: Satisfaction, opinion: Opinion, scene: Scene) -> None:
    """Raise the moment for an NPS that is the customer's latest answer; a late or repeated one is
    no news.
    """
    latest = state.latest_nps
    if latest is None or latest[1] is not opinion:
        return
    if opinion.verdict is SurveyVerdict.PASSIVE:
        scene.raise_moment(NPS_PASSIVE)
    elif opinion.verdict is SurveyVerdict.PROMOTER:
        scene.raise_moment(NPS_PROMOTER)


def _reunited(scene: Scene, before: Satisfaction, other: Satisfaction, sign: int) -> None:
    """Correct the sums where only the latest answer of each customer counts: a person has one."""
    if _parameters(scene).count != "all":
        SATISFACTION.tell_anew(scene, before, other, sign, sums_of)


def _parameters(scene: Scene) -> SatisfactionParameters:
    return scene.parameters.of(SatisfactionParameters)


def _present_nps(scene: Scene) -> tuple[str, Opinion] | None:
    """The customer's latest NPS answer, if it is within the window."""
    latest = scene.row.read(SATISFACTION).latest_nps
    if latest is None:
        return None
    age_ms = scene.at_ms - latest[1].at_ms
    return latest if 0 <= age_ms < _parameters(scene).window_days * DAY_MS else None


def _nps_edge(scene: Scene) -> int:
    """When the latest NPS answer comes into the window, or leaves it."""
    latest = scene.row.read(SATISFACTION).latest_nps
    if latest is None:
        return 0
    window_ms = _parameters(scene).window_days * DAY_MS
    return first_after(scene.at_ms, (latest[1].at_ms, latest[1].at_ms + window_ms))


def _nps_class(scene: Scene) -> str:
    latest = _present_nps(scene)
    return str(latest[1].verdict) if latest is not None else ""


def _nps_touchpoint(scene: Scene) -> str:
    latest = _present_nps(scene)
    return touchpoint_of(latest[0]) if latest is not None else ""


def _shop(scene: Scene) -> dict[str, Result]:
    """By kind of survey, what all customers answered as of the snapshot."""
    section = _parameters(scene)
    totals = totals_of(scene.snapshot.of(Tallies).parts.get(SATISFACTION.name, {}), section)
    return {
        kind: result_of(kind, place, totals[kind, place], section.answers_min)
        for kind, place in sorted(totals)
        if place == ALL
    }


def _shop_nps(scene: Scene) -> float:
    nps = scene.of(_shop).get(SurveyKind.NPS)
    return nan if nps is None or nps.nps is None else nps.nps


def _shop_nps_answers(scene: Scene) -> float:
    nps = scene.of(_shop).get(SurveyKind.NPS)
    return float(nps.answers) if nps is not None else nan


FACTS = {
    "nps_class": Fact(
        _nps_class,
        "{} by their NPS",
        "promoter (9-10), passive (7-8) or detractor, by the last NPS answer in the window",
        str,
        values=lambda _: NPS_VERDICTS,
        moves=steps(_nps_edge),
    ),
    "nps_touchpoint": Fact(
        _nps_touchpoint,
        "about {}",
        "what that answer was about",
        str,
        moves=steps(_nps_edge),
    ),
    "shop_nps": Fact(
        _shop_nps,
        "{:+.0f} is the shop's NPS",
        "NPS of all customers, from satisfaction.answers_min answers on",
        least=-100.0,
        most=100.0,
    ),
    "shop_nps_answers": Fact(
        _shop_nps_answers,
        "of {:.0f} answers",
        "how many answers that is the NPS of",
        least=0.0,
        whole=True,
    ),
}


def _view(scene: Scene) -> SatisfactionView | None:
    """None before anybody has answered."""
    opinions = scene.row.read(SATISFACTION).opinions
    answers = tuple(opinion_view(key, opinions[key]) for key in sorted(opinions))
    shop = tuple(result for result in scene.of(_shop).values() if result.answers)
    return SatisfactionView(answers, shop) if answers or shop else None


SATISFACTION: Part[Satisfaction] = Part(
    name="satisfaction",
    code="sa",
    about="What customers say in surveys, and the NPS, CSAT and CES of all of them.",
    state=Satisfaction,
    united=united,
    reunited=_reunited,
    parameters=SatisfactionParameters,
    has_own_file=True,
    events={REQUESTED: EventType(shape=SurveyRequest, code=lambda asked: asked.kind)},
    adds={RESPONDED: Touchpoint},
    listens=frozenset({REQUESTED, RESPONDED}),
    record=_record,
    moments={
        NPS_PASSIVE: "the customer's latest NPS answer is a passive's: 7 or 8 of 10",
        NPS_PROMOTER: "the customer's latest NPS answer is a promoter's: 9 or 10 of 10",
    },
    facts=FACTS,
    sections=(
        ProfileSection(
            "satisfaction",
            SatisfactionView | None,
            _view,
            in_words,
            place=445,
            basis=Basis.POPULATION,
        ),
    ),
    population=Told(
        keys=keys,
        window_days=lambda parameters: parameters.of(SatisfactionParameters).window_days,
        measures=MEASURES,
        samples=samples,
    ),
)

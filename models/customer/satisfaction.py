"""What all customers say in surveys: NPS, CSAT and CES.

A person counts once per kind of survey and touchpoint, by their latest answer in the window. The
sums over all customers add up the answers that rows keep, so that late, repeated and shuffled
answers give the same sums.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from math import ceil, floor, nan, sqrt
from typing import Annotated, Literal

from msgspec import Struct, field
from msgspec.structs import force_setattr

from config.duration import DAY_MS
from config.limits import PositiveInt, at_most
from config.parameters import Parameters, Section
from models.customer.edges import first_after
from models.customer.motion import steps
from models.customer.part import Basis, Fact, Line, Part, ProfileSection, Told
from models.customer.row import State
from models.customer.scene import Scene
from models.customer.surveys import RESPONDED, Band, Survey, SurveyKind
from models.customer.words import counted, how_long_before
from models.events.codes import code
from models.events.event import Event, EventType
from models.events.times import iso
from models.learning.tallies import Tallies
from models.measures import Measure, Sample

REQUESTED = "Survey Requested"
NPS_PASSIVE, NPS_PROMOTER = "nps-passive", "nps-promoter"
#: A customer's answers by kind and touchpoint; of more, the oldest goes and no longer counts.
OPINIONS_MAX = 16
#: With three kinds of survey, these make some sixty sums over all customers.
TOUCHPOINTS_MAX = 5
#: The touchpoint of answers that name one which is not listed, of those that name none, and of
#: all answers together.
OTHER, NONE, ALL = "other", "none", "all"
_MILLION = 1_000_000


class SatisfactionParameters(Section, frozen=True):
    section = "satisfaction"
    enabled: bool
    count: Literal["latest", "all"]
    window_days: Annotated[PositiveInt, at_most(366)]
    answers_min: PositiveInt
    touchpoints: tuple[str, ...]

    def problems(self) -> Iterator[str]:
        """Touchpoints must be few, must be codes, and must not be one of the reserved names."""
        name = "satisfaction.touchpoints"
        if len(self.touchpoints) > TOUCHPOINTS_MAX:
            yield f"{name} are {TOUCHPOINTS_MAX} at most"
        if len(set(self.touchpoints)) < len(self.touchpoints):
            yield f"{name} has one twice"
        for touchpoint in self.touchpoints:
            if code(touchpoint) is None:
                yield f"{name}: {touchpoint!r} is no code: letters, - and _, 32 at most"
            elif touchpoint in (OTHER, NONE, ALL):
                yield f"{name}: {touchpoint!r} has a meaning of its own"

    def told_as(self, touchpoint: str | None) -> str:
        """The touchpoint at which an answer is counted."""
        if touchpoint is None:
            return NONE
        return touchpoint if touchpoint in self.touchpoints else OTHER


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


class SurveyVerdict(StrEnum):
    """What an answer counts as: an NPS as one of the first three, a CSAT as satisfied or not."""

    PROMOTER = Band.PROMOTER
    PASSIVE = Band.PASSIVE
    DETRACTOR = Band.DETRACTOR
    SATISFIED = "satisfied"
    NONE = ""


NPS_VERDICTS = (SurveyVerdict.PROMOTER, SurveyVerdict.PASSIVE, SurveyVerdict.DETRACTOR)


class Opinion(Struct, frozen=True, array_like=True, gc=False):
    """An answer: its share of the scale (a million is happiest), and the touchpoint that it was
    counted at, which the list of touchpoints may have changed since.
    """

    at_ms: int
    share_millionths: int
    verdict: SurveyVerdict
    told_as: str

    @property
    def order(self) -> tuple[int, int, str]:
        """The latest answer is the highest; of one moment, the unhappiest."""
        return self.at_ms, -self.share_millionths, self.verdict


class Satisfaction(State):
    """The latest answer by ``kind:touchpoint``."""

    opinions: dict[str, Opinion] = field(default_factory=dict)

    def note(self, key: str, opinion: Opinion) -> None:
        """Keep the latest answer of each key, and the latest `OPINIONS_MAX` of these."""
        opinions = self.opinions
        known = opinions.get(key)
        if known is None or opinion.order > known.order:
            opinions[key] = opinion
        if len(opinions) > OPINIONS_MAX:
            del opinions[min(opinions, key=lambda key: (opinions[key].at_ms, key))]

    @property
    def latest_nps(self) -> tuple[str, Opinion] | None:
        """The latest NPS answer at any touchpoint, with its key."""
        found = [item for item in self.opinions.items() if _kind_of(item[0]) == SurveyKind.NPS]
        return max(found, key=lambda item: (item[1].order, item[0]), default=None)


def _key(kind: str, touchpoint: str | None) -> str:
    return f"{kind}:{touchpoint or ''}"


def _kind_of(key: str) -> str:
    return key.partition(":")[0]


def _touchpoint_of(key: str) -> str:
    return key.partition(":")[2]


def _record(state: Satisfaction, event: Event, scene: Scene) -> None:
    """A survey was sent, or answered."""
    said, day = event.properties, event.occurred_at_ms // DAY_MS
    if event.name == REQUESTED:
        if said.kind is not None:
            SATISFACTION.tell(scene, [(f"{said.kind}:{ALL}:requested", day, 1)])
        return
    parameters = scene.parameters.of(SatisfactionParameters)
    sums = [(f"{said.kind}:{ALL}:answered", day, 1)]
    key, before = _key(said.kind, said.touchpoint), dict(state.opinions)
    opinion = _opinion(said, event.occurred_at_ms, parameters.told_as(said.touchpoint))
    state.note(key, opinion)
    if parameters.count == "all":
        sums += _sums(key, opinion, 1)
    else:
        sums += _difference(before, state.opinions)
    _raise_moment(state, opinion, scene)
    SATISFACTION.tell(scene, sums)


def _opinion(said: Survey, at_ms: int, told_as: str) -> Opinion:
    share_millionths = round(said.share * _MILLION)
    return Opinion(at_ms, share_millionths, _verdict(said, share_millionths), told_as)


def _verdict(said: Survey, share_millionths: int) -> SurveyVerdict:
    """NPS: what the answer makes of the customer. CSAT: the upper half of the scale's steps is
    satisfied, without the middle one: 4 and 5 of 1 to 5.
    """
    if said.kind is SurveyKind.NPS:
        return SurveyVerdict(said.band)
    if said.kind is SurveyKind.CES:
        return SurveyVerdict.NONE
    low, high = said.ends
    steps = floor(high - low) + 1
    upper_half = min(ceil(steps / 2) / (high - low), 1.0)
    is_satisfied = share_millionths >= round(upper_half * _MILLION)
    return SurveyVerdict.SATISFIED if is_satisfied else SurveyVerdict.NONE


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


def _difference(
    before: Mapping[str, Opinion], after: Mapping[str, Opinion]
) -> Iterator[tuple[str, int, int]]:
    """What to add to the sums: answers that are no longer kept, with minus, and new ones."""
    for key, opinion in before.items():
        if after.get(key) is not opinion:
            yield from _sums(key, opinion, -1)
    for key, opinion in after.items():
        if before.get(key) is not opinion:
            yield from _sums(key, opinion, 1)


def _reunited(scene: Scene, before: Satisfaction, other: Satisfaction, sign: int) -> None:
    """Correct the sums where only the latest answer of each customer counts: a person has one."""
    if _parameters(scene).count != "all":
        SATISFACTION.tell_anew(scene, before, other, sign, _sums_of)


def _sums_of(state: Satisfaction) -> Iterator[tuple[str, int, int]]:
    for key, opinion in state.opinions.items():
        yield from _sums(key, opinion, 1)


def _sums(key: str, opinion: Opinion, sign: int) -> Iterator[tuple[str, int, int]]:
    """What an answer adds to the sums, as (``kind:touchpoint:what``, day, amount)."""
    kind, day = _kind_of(key), opinion.at_ms // DAY_MS
    place = f"{kind}:{opinion.told_as}"
    if kind == SurveyKind.NPS:
        yield f"{place}:{opinion.verdict}", day, sign
        return
    yield f"{place}:answers", day, sign
    if opinion.share_millionths:
        yield f"{place}:share", day, sign * opinion.share_millionths
    if opinion.verdict is SurveyVerdict.SATISFIED:
        yield f"{place}:satisfied", day, sign


_COUNTED = {
    SurveyKind.NPS: NPS_VERDICTS,
    SurveyKind.CSAT: ("answers", "share", SurveyVerdict.SATISFIED),
    SurveyKind.CES: ("answers", "share"),
}


def _keys(parameters: Parameters) -> list[str]:
    """Every key that `_sums` may give, and two more of each kind that measure how many customers
    answer.
    """
    places = (*parameters.of(SatisfactionParameters).touchpoints, OTHER, NONE)
    answers = [
        f"{kind}:{place}:{what}"
        for kind, counted_as in _COUNTED.items()
        for place in places
        for what in counted_as
    ]
    rates = [f"{kind}:{ALL}:{what}" for kind in SurveyKind for what in ("requested", "answered")]
    return answers + rates


class Result(Struct, frozen=True, rename="camel", kw_only=True):
    """What all customers answered to a kind of survey; no score and no share of too few answers.

    ``nps`` has a 95 % interval of ``nps_margin`` up and down. ``satisfied_share``: of CSAT answers,
    those in the upper half of the scale. ``mean_share``: of the scale of CSAT or CES; 1 is
    happiest, whichever way it was asked.
    """

    kind: str
    touchpoint: str
    answers: int
    nps: float | None = None
    nps_margin: float | None = None
    satisfied_share: float | None = None
    mean_share: float | None = None


def net_promoter_score(promoters: int, passives: int, detractors: int) -> tuple[float, float]:
    """Promoters less detractors, of a hundred answers, and the margin of error."""
    answers = promoters + passives + detractors
    p, d = promoters / answers, detractors / answers
    score = 100 * (promoters - detractors) / answers
    return score, 1.96 * 100 * sqrt((p + d - (p - d) ** 2) / answers)


def _totals(
    sums: Mapping[str, int], parameters: SatisfactionParameters
) -> dict[tuple[str, str], Counter[str]]:
    """The sums by kind and touchpoint, with `ALL` for those of all touchpoints together."""
    found: dict[tuple[str, str], Counter[str]] = {}
    for key, amount in sums.items():
        kind, place, what = key.split(":")
        if place not in (NONE, ALL):
            # The touchpoint may have been listed when the answer was counted, and no longer be.
            place = parameters.told_as(place)
        # A day is forgotten when it leaves the window. Once the window is made longer, a day may
        # come back from which only replaced answers were taken.
        for at in {place, ALL}:
            found.setdefault((kind, at), Counter())[what] += max(amount, 0)
    return found


def _result(kind: str, place: str, totals: Counter[str], least: int) -> Result:
    if kind == SurveyKind.NPS:
        counts = [totals[verdict] for verdict in NPS_VERDICTS]
        answers = sum(counts)
        score, margin = net_promoter_score(*counts) if answers >= least else (None, None)
        return Result(kind=kind, touchpoint=place, answers=answers, nps=score, nps_margin=margin)
    answers = totals["answers"]
    if answers < least:
        return Result(kind=kind, touchpoint=place, answers=answers)
    return Result(
        kind=kind,
        touchpoint=place,
        answers=answers,
        satisfied_share=totals[SurveyVerdict.SATISFIED] / answers
        if kind == SurveyKind.CSAT
        else None,
        mean_share=totals["share"] / (answers * _MILLION),
    )


_NPS = Measure("keepstream_nps", "Promoters less detractors of 100 answers", ("touchpoint",))
_NPS_MARGIN = Measure(
    "keepstream_nps_margin", "The NPS has a 95 % interval of so much up and down", ("touchpoint",)
)
_NPS_ANSWERS = Measure(
    "keepstream_nps_answers",
    "NPS answers: promoter 9-10, passive 7-8, detractor 0-6",
    ("touchpoint", "verdict"),
)
_ANSWERS = Measure(
    "keepstream_survey_answers",
    "Survey answers that count; at touchpoint all, those of all touchpoints together",
    ("kind", "touchpoint"),
)
_CSAT = Measure(
    "keepstream_csat", "Share of CSAT answers in the upper half of the scale", ("touchpoint",)
)
_CSAT_MEAN = Measure(
    "keepstream_csat_mean_share", "Mean CSAT as a share of its scale", ("touchpoint",)
)
_CES = Measure(
    "keepstream_ces", "Mean CES as a share of its scale; 1 is least effort", ("touchpoint",)
)
_REQUESTS = Measure("keepstream_survey_requests", "Surveys that were sent", ("kind",))
_RESPONSE = Measure(
    "keepstream_survey_response_ratio", "Answers for each survey that was sent", ("kind",)
)


def _samples(sums: Mapping[str, int], parameters: Parameters) -> Iterator[Sample]:
    section = parameters.of(SatisfactionParameters)
    for (kind, place), totals in sorted(_totals(sums, section).items()):
        result = _result(kind, place, totals, section.answers_min)
        yield Sample(_ANSWERS, (kind, place), result.answers)
        for measure, value in _scores(result):
            if value is not None:
                yield Sample(measure, (place,), value)
        if kind == SurveyKind.NPS:
            for verdict in NPS_VERDICTS:
                yield Sample(_NPS_ANSWERS, (place, verdict), totals[verdict])
        if place == ALL:
            yield Sample(_REQUESTS, (kind,), totals["requested"])
            if totals["requested"] >= section.answers_min:
                yield Sample(_RESPONSE, (kind,), totals["answered"] / totals["requested"])


def _scores(result: Result) -> tuple[tuple[Measure, float | None], ...]:
    if result.kind == SurveyKind.CES:
        return ((_CES, result.mean_share),)
    if result.kind == SurveyKind.CSAT:
        return ((_CSAT, result.satisfied_share), (_CSAT_MEAN, result.mean_share))
    return ((_NPS, result.nps), (_NPS_MARGIN, result.nps_margin))


def _united(states: Sequence[Satisfaction], _parameters: Parameters) -> Satisfaction:
    """One person's answers: the latest of all their ids."""
    one = Satisfaction()
    for state in states:
        for key, opinion in state.opinions.items():
            one.note(key, opinion)
    return one


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
    return _touchpoint_of(latest[0]) if latest is not None else ""


def _shop(scene: Scene) -> dict[str, Result]:
    """By kind of survey, what all customers answered as of the snapshot."""
    section = _parameters(scene)
    totals = _totals(scene.snapshot.of(Tallies).parts.get(SATISFACTION.name, {}), section)
    return {
        kind: _result(kind, place, totals[kind, place], section.answers_min)
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


class OpinionView(Struct, frozen=True, rename="camel"):
    """A customer's latest answer; ``share`` is of the scale, 1 is happiest."""

    kind: str
    touchpoint: str | None
    share: float
    verdict: str | None
    at: str


class SatisfactionView(Struct, frozen=True, rename="camel"):
    """The customer's own ``answers``, and what all customers say as of the snapshot."""

    answers: tuple[OpinionView, ...]
    shop: tuple[Result, ...]


def _view(scene: Scene) -> SatisfactionView | None:
    """None before the first answer."""
    opinions = scene.row.read(SATISFACTION).opinions
    answers = tuple(_opinion_view(key, opinions[key]) for key in sorted(opinions))
    shop = tuple(result for result in scene.of(_shop).values() if result.answers)
    return SatisfactionView(answers, shop) if answers or shop else None


def _opinion_view(key: str, opinion: Opinion) -> OpinionView:
    return OpinionView(
        kind=_kind_of(key),
        touchpoint=_touchpoint_of(key) or None,
        share=opinion.share_millionths / _MILLION,
        verdict=opinion.verdict or None,
        at=iso(opinion.at_ms),
    )


def _in_words(view: SatisfactionView | None, as_of: str, _currency: str) -> Iterator[Line]:
    if view is None:
        return
    for said in view.answers:
        score = f"{said.share * 10:g} of 10" if said.kind == SurveyKind.NPS else f"{said.share:.0%}"
        verdict = f", {said.verdict}" if said.verdict else ""
        about = f", about {said.touchpoint}" if said.touchpoint else ""
        words = f"{said.kind.upper()} {score}{verdict}{about}, {how_long_before(said.at, as_of)}"
        yield Line("answer", words)
    for result in view.shop:
        yield Line("all customers", _result_in_words(result))


def _result_in_words(result: Result) -> str:
    told = []
    if result.nps is not None:
        told.append(f"{result.nps:+.0f} ± {result.nps_margin:.0f}")
    if result.satisfied_share is not None:
        told.append(f"{result.satisfied_share:.0%} satisfied")
    if result.mean_share is not None:
        told.append(f"{result.mean_share:.0%} of the scale on average")
    words = ", ".join(told) or "too few to say"
    return f"{result.kind.upper()} {words} ({counted(result.answers, 'answer')})"


SATISFACTION: Part[Satisfaction] = Part(
    name="satisfaction",
    code="sa",
    about="What customers say in surveys, and the NPS, CSAT and CES of all of them.",
    state=Satisfaction,
    united=_united,
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
            _in_words,
            place=445,
            basis=Basis.POPULATION,
        ),
    ),
    population=Told(
        keys=_keys,
        window_days=lambda parameters: parameters.of(SatisfactionParameters).window_days,
        measures=(
            _NPS,
            _NPS_MARGIN,
            _NPS_ANSWERS,
            _ANSWERS,
            _CSAT,
            _CSAT_MEAN,
            _CES,
            _REQUESTS,
            _RESPONSE,
        ),
        samples=_samples,
    ),
)

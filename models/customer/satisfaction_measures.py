"""The sums over all customers of answers to surveys, and the NPS, CSAT and CES by them."""

from collections import Counter
from collections.abc import Iterator, Mapping
from math import sqrt
from typing import Final

from msgspec import Struct

from config.duration import DAY_MS
from config.parameters import Parameters
from models.customer.satisfaction_state import (
    ALL,
    MILLION,
    NONE,
    NPS_VERDICTS,
    OTHER,
    Opinion,
    Satisfaction,
    SatisfactionParameters,
    SurveyVerdict,
    kind_of,
)
from models.customer.surveys import SurveyKind
from models.measures import Measure, Sample


def difference(
    before: Mapping[str, Opinion], after: Mapping[str, Opinion]
) -> Iterator[tuple[str, int, int]]:
    """What to add to the sums: answers that are no longer kept, with minus, and new ones."""
    for key, opinion in before.items():
        if after.get(key) is not opinion:
            yield from sums_of_opinion(key, opinion, -1)
    for key, opinion in after.items():
        if before.get(key) is not opinion:
            yield from sums_of_opinion(key, opinion, 1)


def sums_of(state: Satisfaction) -> Iterator[tuple[str, int, int]]:
    """One customer's share of the sums."""
    for key, opinion in state.opinions.items():
        yield from sums_of_opinion(key, opinion, 1)


def sums_of_opinion(key: str, opinion: Opinion, sign: int) -> Iterator[tuple[str, int, int]]:
    """What an answer adds to the sums, as (``kind:touchpoint:what``, day, amount)."""
    kind, day = kind_of(key), opinion.at_ms // DAY_MS
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


def keys(parameters: Parameters) -> list[str]:
    """Every key that `sums_of_opinion` may give, and two more of each kind that measure how many
    customers answer.
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


def totals_of(
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


def result_of(kind: str, place: str, totals: Counter[str], least: int) -> Result:
    """The result by these totals; without a score if there are fewer than ``least`` answers."""
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
        mean_share=totals["share"] / (answers * MILLION),
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
MEASURES: Final = (
    _NPS,
    _NPS_MARGIN,
    _NPS_ANSWERS,
    _ANSWERS,
    _CSAT,
    _CSAT_MEAN,
    _CES,
    _REQUESTS,
    _RESPONSE,
)


def samples(sums: Mapping[str, int], parameters: Parameters) -> Iterator[Sample]:
    """The metrics computed from the sums."""
    section = parameters.of(SatisfactionParameters)
    for (kind, place), totals in sorted(totals_of(sums, section).items()):
        result = result_of(kind, place, totals, section.answers_min)
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

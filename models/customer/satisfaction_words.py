"""Answers to surveys in a profile, and in words."""

from collections.abc import Iterator

from msgspec import Struct

from models.customer.part import Line
from models.customer.satisfaction_measures import Result
from models.customer.satisfaction_state import MILLION, Opinion, kind_of, touchpoint_of
from models.customer.surveys import SurveyKind
from models.customer.words import counted, how_long_before
from models.events.times import iso


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


def opinion_view(key: str, opinion: Opinion) -> OpinionView:
    return OpinionView(
        kind=kind_of(key),
        touchpoint=touchpoint_of(key) or None,
        share=opinion.share_millionths / MILLION,
        verdict=opinion.verdict or None,
        at=iso(opinion.at_ms),
    )


def in_words(view: SatisfactionView | None, as_of: str, _currency: str) -> Iterator[Line]:
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

"""Answers to surveys, on the scale that each was asked on."""

import re
from collections.abc import Mapping
from enum import StrEnum
from typing import Any, ClassVar, Final

from msgspec import Struct
from msgspec.structs import force_setattr

from models.events.codes import code
from models.events.event import EventType, Number
from models.events.rejection import Reason, Rejected

RESPONDED = "Survey Responded"
#: Scores of an NPS on its own scale of 0 to 10, which is not the same as shares of it: 6.5 is below
#: 7, and so no passive.
_NPS_SCALE: Final = (0.0, 10.0)
_NPS_PASSIVE, _NPS_PROMOTER = 7.0, 9.0
#: On another scale, shares of it; the margin is for steps that are not exact in binary.
_SHARE_DETRACTOR, _SHARE_PROMOTER, _EXACT = 0.6, 0.9, 1e-9


class SurveyKind(StrEnum):
    NPS = "nps"
    CSAT = "csat"
    CES = "ces"


#: The scale that a kind of survey is asked on unless it says otherwise.
_USUAL_SCALES: Final = {
    SurveyKind.NPS: _NPS_SCALE,
    SurveyKind.CSAT: (1.0, 5.0),
    SurveyKind.CES: (1.0, 7.0),
}


class Band(StrEnum):
    """What an answer to an NPS survey makes of the customer; nothing for other kinds."""

    PROMOTER = "promoter"
    PASSIVE = "passive"
    DETRACTOR = "detractor"
    NONE = ""


#: A scale in words, such as "1-5" or "0 to 10", or the highest score of one.
_SCALE_WORDS: Final = r"^ *((-?[0-9]{1,9}) *(-|to|\.\.) *)?(-?[0-9]{1,9}) *$"
_scale_in = re.compile(_SCALE_WORDS).match
#: What the ends of a scale are called in the field: a 5 of 5 that is read as a 5 of 10 makes a
#: detractor of a promoter.
_ENDS: Final = {"scale_min": ("min", "min_score"), "scale_max": ("max", "max_score")}


class Survey(Struct, frozen=True, omit_defaults=True, gc=False):
    """An answer to a survey, on the scale from ``scale_min`` to ``scale_max`` (or ``min`` to
    ``max``): unless they say otherwise, 0 to 10 for an NPS, 1 to 5 for a CSAT and 1 to 7 for a CES.
    ``scale`` says it in one: the highest score, or both, such as "1-5". A reason travels if it is a
    code such as ``too_expensive``; anything else may be personal.
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
    scale: Number | str | None = None
    min: Number | None = None
    max: Number | None = None
    min_score: Number | None = None
    max_score: Number | None = None
    dispensable: ClassVar[frozenset[str]] = frozenset({"survey_id", "ticket_id", "order_id"})
    aliases: ClassVar[Mapping[str, str]] = {"survey_type": "kind", "rating": "score"}

    def __post_init__(self) -> None:
        force_setattr(self, "reason", code(self.reason))
        for end, names in _ENDS.items():
            for name in names:
                if getattr(self, end) is None:
                    force_setattr(self, end, getattr(self, name))
                force_setattr(self, name, None)
        if self.scale is not None:
            self._read_scale()

    def _read_scale(self) -> None:
        """Take the ends from the scale as a whole; one that cannot be read stays, to be refused."""
        low: float | None = None
        if isinstance(self.scale, str):
            found = _scale_in(self.scale)
            if found is None:
                return
            low, high = float(found[2]) if found[2] else None, float(found[4])
        else:
            assert self.scale is not None
            high = self.scale
        force_setattr(self, "scale", None)
        if self.scale_min is None:
            force_setattr(self, "scale_min", low)
        if self.scale_max is None:
            force_setattr(self, "scale_max", high)

    @property
    def ends(self) -> tuple[float, float]:
        """Lowest and highest score of its scale."""
        low, high = _USUAL_SCALES[self.kind]
        return (
            low if self.scale_min is None else self.scale_min,
            high if self.scale_max is None else self.scale_max,
        )

    @property
    def share(self) -> float:
        """How far up its scale the answer is, turned so that 1 is happiest."""
        low, high = self.ends
        share = (self.score - low) / (high - low)
        turned = self.higher_is_better is False and self.kind is not SurveyKind.NPS
        return 1.0 - share if turned else share

    @property
    def band(self) -> Band:
        """An NPS on 0 to 10 by its score: promoters from 9, passives from 7. On any other scale by
        its share: promoters from .9 of it, detractors up to .6.
        """
        if self.kind is not SurveyKind.NPS:
            return Band.NONE
        if self.ends == _NPS_SCALE:
            if self.score >= _NPS_PROMOTER:
                return Band.PROMOTER
            return Band.PASSIVE if self.score >= _NPS_PASSIVE else Band.DETRACTOR
        if self.share >= _SHARE_PROMOTER - _EXACT:
            return Band.PROMOTER
        return Band.DETRACTOR if self.share <= _SHARE_DETRACTOR + _EXACT else Band.PASSIVE


def _check(survey: Survey) -> None:
    if survey.scale is not None:
        raise Rejected(Reason.OUT_OF_RANGE, "$.properties.scale", 'not a scale such as "1-5"')
    low, high = survey.ends
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


def _rules() -> list[dict[str, Any]]:
    """Polarity and scales, as far as a schema can say them: one field can't limit another."""
    polarity = {
        "required": ["higher_is_better"],
        "properties": {"higher_is_better": {"type": "boolean"}},
    }
    scale = {"anyOf": [{"type": ["number", "null"]}, {"pattern": _SCALE_WORDS}]}
    rules: list[dict[str, Any]] = [
        {"if": _is_kind(SurveyKind.CES), "then": polarity},
        {"properties": {"scale": scale}},
    ]
    for kind, (low, high) in _USUAL_SCALES.items():
        for field, end, bound in (("scale_min", low, "minimum"), ("scale_max", high, "maximum")):
            names = (field, *_ENDS[field], "scale")
            unsaid = {"properties": {name: {"type": "null"} for name in names}}
            within = {"properties": {"score": {bound: end}}}
            rules.append({"if": {"allOf": [_is_kind(kind), unsaid]}, "then": within})
    return rules


def _is_kind(kind: SurveyKind) -> dict[str, Any]:
    return {"properties": {"kind": {"const": str(kind)}}}


EVENTS = {
    RESPONDED: EventType(
        shape=Survey,
        check=_check,
        rules={"allOf": _rules()},
        code=lambda survey: survey.reason,
    )
}

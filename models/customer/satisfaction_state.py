"""What a row keeps of a customer's answers to surveys, and the parameters by which they count."""

from collections.abc import Iterator, Sequence
from enum import StrEnum
from math import ceil, floor
from typing import Annotated, Final, Literal

from msgspec import Struct, field

from config.limits import PositiveInt, at_most
from config.parameters import Parameters, Section
from models.customer.row import State
from models.customer.surveys import Band, Survey, SurveyKind
from models.events.codes import code

#: A customer's answers by kind and touchpoint; of more, the oldest goes and no longer counts.
OPINIONS_MAX: Final = 16
#: With three kinds of survey, these make some sixty sums over all customers.
TOUCHPOINTS_MAX: Final = 5
#: The touchpoint of answers that name one which is not listed, of those that name none, and of
#: all answers together.
OTHER, NONE, ALL = "other", "none", "all"
MILLION: Final = 1_000_000


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


class SurveyVerdict(StrEnum):
    """What an answer counts as: an NPS as one of the first three, a CSAT as satisfied or not."""

    PROMOTER = Band.PROMOTER
    PASSIVE = Band.PASSIVE
    DETRACTOR = Band.DETRACTOR
    SATISFIED = "satisfied"
    NONE = ""


NPS_VERDICTS: Final = (SurveyVerdict.PROMOTER, SurveyVerdict.PASSIVE, SurveyVerdict.DETRACTOR)


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
        found = [item for item in self.opinions.items() if kind_of(item[0]) == SurveyKind.NPS]
        return max(found, key=lambda item: (item[1].order, item[0]), default=None)


def opinion_key(kind: str, touchpoint: str | None) -> str:
    """The key of the answers to a kind of survey at a touchpoint."""
    return f"{kind}:{touchpoint or ''}"


def kind_of(key: str) -> str:
    return key.partition(":")[0]


def touchpoint_of(key: str) -> str:
    return key.partition(":")[2]


def opinion_of(said: Survey, at_ms: int, told_as: str) -> Opinion:
    """What is kept of an answer."""
    share_millionths = round(said.share * MILLION)
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
    is_satisfied = share_millionths >= round(upper_half * MILLION)
    return SurveyVerdict.SATISFIED if is_satisfied else SurveyVerdict.NONE


def united(states: Sequence[Satisfaction], _parameters: Parameters) -> Satisfaction:
    """One person's answers: the latest of all their ids."""
    one = Satisfaction()
    for state in states:
        for key, opinion in state.opinions.items():
            one.note(key, opinion)
    return one

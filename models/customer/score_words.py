"""Scores in a profile, and in words."""

from collections.abc import Iterator

from msgspec import Struct

from models.customer.part import Line
from models.customer.scene import Scene
from models.customer.scores import assessment
from models.learning.churn import Source
from models.learning.explanation import Explanation
from models.learning.value import ValueView, Worth
from models.money import digits


class ChurnView(Struct, frozen=True, rename="camel"):
    """P(no purchase within the horizon), where it comes from, and the score of every scorer."""

    probability: float
    horizon_days: float
    source: str
    model_version: int
    scorer: str | None
    scores: dict[str, float]


_SOURCE_WORDS = {
    Source.CHAMPION: "says the model that learnt from this shop",
    Source.BASELINE: "says the formula over the rhythm of purchases",
    Source.PRIOR: "assumed, as nothing was learnt yet",
}
_WORTH_WORDS = {
    Worth.FORMULA: "says the formula over rhythm and amounts (formula)",
    Worth.CHALLENGER: "says the model that learnt from this shop (challenger)",
}


def churn_view(scene: Scene) -> tuple[ChurnView, ...]:
    """The score of each horizon; none without a purchase."""
    found = scene.of(assessment)
    if found is None:
        return ()
    return tuple(
        ChurnView(
            probability=one.probability,
            horizon_days=one.horizon_days,
            source=one.source,
            model_version=one.model_version,
            scorer=one.scorer,
            scores=one.scores(),
        )
        for one in found.churn
    )


def churn_in_words(view: tuple[ChurnView, ...], _as_of: str, _currency: str) -> Iterator[Line]:
    """Each score, and who says so."""
    for one in view:
        words = f"{one.probability:.0%} likely to buy nothing within {one.horizon_days:g} days"
        who = f"{one.source} {one.scorer}" if one.source == Source.CHAMPION else one.source
        version = f", version {one.model_version}" if one.model_version else ""
        yield Line("churn", f"{words}: {_SOURCE_WORDS[Source(one.source)]} ({who}{version})")


def explanations_in_words(
    told: tuple[Explanation, ...], _as_of: str, _currency: str
) -> Iterator[Line]:
    """The contributions that add up to the first score."""
    for one in told[:1]:
        for part in one.groups:
            words = f"{part.contribution:+.2f} {part.group}: {part.words}"
            yield Line(str(part.direction), words)
        yield Line("log odds", f"{one.log_odds:+.2f}, of which everybody has {one.base:+.2f}")


def thinning_in_words(silent_churn: float, _as_of: str, _currency: str) -> Iterator[Line]:
    """By the thresholds of the shipped rule, which fires at 0.8 and rearms at 0.6."""
    words = "keeps to their own rhythm"
    if silent_churn >= 0.6:
        words = "buys less than by their own rhythm"
    if silent_churn >= 0.8:
        words = "is thinning out, by their own rhythm"
    yield Line("silent churn", f"{silent_churn:.2f} of 1: {words}")


def worth_in_words(value: ValueView, _as_of: str, currency: str) -> Iterator[Line]:
    """The lifetime value with each of its terms, and what is expected soon."""
    terms = (
        f"{digits(value.annual_revenue, currency)} a year x {value.gross_margin:.0%} margin x "
        f"{value.lifetime_years:.2f} years - {digits(value.acquisition_cost, currency)} to win them"
    )
    yield Line("lifetime value", f"{digits(value.clv, currency)} {currency} = {terms}")
    for expected in value.horizons:
        words = f"{expected.purchases:.2f} purchases, {digits(expected.spend, currency)} {currency}"
        within = f"within {expected.horizon_days:g} days: {_WORTH_WORDS[expected.source]}"
        yield Line("expected", f"{words} {within}")

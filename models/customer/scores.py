"""Scores of a customer at one moment: churn probability, explanations and expected value."""

from math import nan
from typing import Final

from models.customer.churn_words import Words
from models.customer.engagement import engagement
from models.customer.features import extract
from models.customer.margins import margin_share
from models.customer.purchase_windows import net_until
from models.customer.purchases import clock, history, purchases, silent_days, window_365d
from models.customer.scene import Scene
from models.learning.churn import Assessment, Churn, Seen
from models.learning.explanation import Explanation, explained, parts_of
from models.learning.feature_names import unpack
from models.learning.lapse import Lapse, lapse
from models.learning.population import Population
from models.learning.scoring import assessed, score
from models.learning.silent import has_rhythm, silent_churn
from models.learning.value import (
    Expectation,
    Lifetime,
    ValueView,
    expect,
    expected_spend,
    lifetime,
    value,
)

#: The horizon of the expected spend by which tiers and key customers are chosen.
_VALUE_DAYS: Final = 90.0


def seen(scene: Scene) -> Seen | None:
    """The models' input; None for customers without a purchase."""
    past = scene.of(history)
    if past is None:
        return None
    packed = extract(scene, past)
    return Seen(unpack(packed), past, packed)


def churn(scene: Scene) -> Churn | None:
    """The score for the first horizon, which rules use; None for customers without a purchase."""
    found = scene.of(seen)
    if found is None:
        return None
    parameters = scene.parameters
    return score(found, parameters.churn.horizon_days[0], scene.snapshot, parameters)


def assessment(scene: Scene) -> Assessment | None:
    """Features and the scores of every horizon; None for customers without a purchase."""
    found, first, parameters = scene.of(seen), scene.of(churn), scene.parameters
    if found is None or first is None:
        return None
    others = parameters.churn.horizon_days[1:]
    return assessed(found, first, others, scene.snapshot, parameters)


def churn_within(scene: Scene, horizon_days: float) -> Churn | None:
    """The score for one of the horizons, as it is in the `assessment`; None for customers without
    a purchase.
    """
    first = scene.of(churn)
    if first is None or horizon_days == first.horizon_days:
        return first
    return score(scene.of(seen), horizon_days, scene.snapshot, scene.parameters, (first,))


def net_so_far(scene: Scene) -> int:
    """Net revenue up to this moment, in minor units."""
    return net_until(scene.of(purchases), scene.at_ms)


def expected_within(scene: Scene, horizon_days: float) -> Expectation | None:
    """Purchases and spend expected within a horizon, by that horizon alone. Callers that show
    several horizons make sure that no shorter one expects more. None before there is a model, and
    for customers without a purchase.
    """
    known = scene.of(_expected)
    if horizon_days in known:
        return known[horizon_days]
    past, found = scene.of(history), None
    if past is not None:
        found = expect(past, scene.of(net_so_far), horizon_days, scene.snapshot)
    known[horizon_days] = found
    return found


def _expected(_scene: Scene) -> dict[float, Expectation | None]:
    """The cache of `expected_within` at this moment."""
    return {}


def expected_spend_90d(scene: Scene) -> float | None:
    """The spend expected within 90 days, in minor units; None before there is a model, and for
    customers without a purchase.
    """
    past, known = scene.of(history), scene.of(_expected)
    if past is None:
        return None
    if _VALUE_DAYS in known:
        # It was computed already, for a label.
        found = known[_VALUE_DAYS]
        return None if found is None else found.spend_minor
    return expected_spend(past, scene.of(net_so_far), _VALUE_DAYS, scene.snapshot)


def worth(scene: Scene) -> ValueView | None:
    """The customer's expected value; None before there is a model, and for customers without a
    purchase.
    """
    past = scene.of(history)
    if past is None:
        return None
    channel, margin = scene.of(engagement).first_channel, scene.of(margin_share)
    return value(past, scene.of(net_so_far), channel, margin, scene.snapshot, scene.parameters)


def lifetime_worth(scene: Scene) -> Lifetime | None:
    """The lifetime value in `worth`, without the expected values of each horizon, which cost many
    times as much.
    """
    past = scene.of(history)
    if past is None:
        return None
    channel, margin = scene.of(engagement).first_channel, scene.of(margin_share)
    return lifetime(past, scene.of(net_so_far), channel, margin, scene.snapshot, scene.parameters)


def thinning(scene: Scene) -> float | None:
    """The evidence of silent churn, 0 to 1; None with too little history."""
    past = scene.of(history)
    # The score last: it costs many times as much, and most have too little history.
    if past is None or not has_rhythm(past, scene.at_ms):
        return None
    first = scene.of(churn)
    return None if first is None else silent_churn(past, first.probability, scene.at_ms)


def lapsed(scene: Scene) -> Lapse | None:
    """Whether the customer has lapsed, by what is usual for them; None without a purchase."""
    past, first = scene.of(history), scene.of(churn)
    if past is None or first is None:
        return None
    rhythm = scene.snapshot.of(Population).bgnbd
    return lapse(past, first, rhythm, scene.of(clock).expected_days, scene.of(silent_days))


def is_not_expected_yet(scene: Scene) -> bool:
    """Whether the next purchase is not expected yet: until then `lapsed` sees no risk."""
    return not scene.of(silent_days) >= scene.of(clock).expected_days


def explanations(scene: Scene) -> tuple[Explanation, ...]:
    """Why the scores are what they are, in the order of the assessment's scores."""
    found = scene.of(assessment)
    if found is None:
        return ()
    words, snapshot, parameters = scene.of(Words), scene.snapshot, scene.parameters

    def told(one: Churn) -> Explanation:
        parts = parts_of(found.features, one, snapshot, parameters)
        return explained(parts, lambda group: words.of(group, one))

    return tuple(told(one) for one in found.churn)


def explanation(scene: Scene) -> Explanation | None:
    """Why the first horizon's score is what it is: for receipts, not for rules."""
    found, first = scene.of(seen), scene.of(churn)
    if found is None or first is None:
        return None
    words = scene.of(Words)
    parts = parts_of(found.features, first, scene.snapshot, scene.parameters)
    return explained(parts, lambda group: words.of(group, first))


def value_at_stake(scene: Scene) -> float:
    """Net revenue of the last 365 days times the churn probability, in the shop's currency."""
    first = scene.of(churn)
    return scene.money(scene.of(window_365d)[1]) * first.probability if first is not None else 0.0


def churn_probability(scene: Scene) -> float:
    """The first horizon's; NaN for customers without a purchase."""
    first = scene.of(churn)
    return first.probability if first is not None else nan

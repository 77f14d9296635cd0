"""Churn scores, and the labels that they are learnt from.

A decision point becomes an example when its horizon has passed. Every label is released at the end
of its horizon, whatever happened before: releasing "came back" at the next purchase and "left" only
at the end would leak nothing, but would bias the models towards "came back".
"""

from collections.abc import Callable
from math import nan
from typing import Final, TypeVar

from models.customer import churn_lessons, churn_words, features
from models.customer.churn_lessons import LABEL, example, observation, set_next_label, wait_for
from models.customer.consent import (
    learnt_from_since_ms,
    may_be_learnt_from,
    personalisation_refused,
)
from models.customer.decision_points import is_check_in, next_decision_ms
from models.customer.edges import of_timer
from models.customer.labels import Dropped, Labels, united, unpack_first
from models.customer.margins import margin_share
from models.customer.order_news import CANCELLED, COMPLETED, REFUNDED, UPDATED
from models.customer.part import SCORE, Basis, Fact, Part, ProfileSection, Timer
from models.customer.purchase_windows import last_given_back_ms
from models.customer.purchases import clock, history, purchases, renew_deadline, silent_days
from models.customer.scene import Scene
from models.customer.score_words import (
    ChurnView,
    churn_in_words,
    churn_view,
    explanations_in_words,
    thinning_in_words,
    worth_in_words,
)
from models.customer.scores import (
    assessment,
    churn,
    churn_probability,
    expected_spend_90d,
    explanation,
    explanations,
    is_not_expected_yet,
    lapsed,
    lifetime_worth,
    seen,
    thinning,
    value_at_stake,
    worth,
)
from models.events.event import Event
from models.learning.day_ends import day_end_ms
from models.learning.explanation import Explanation
from models.learning.value import ValueView

T = TypeVar("T")
DECISION: Final = "decision"


def _record(_state: Labels, _event: Event, scene: Scene) -> None:
    """An order may move the next decision point. A customer who gives everything back after a look
    is looked at once more, at the end of that day.
    """
    _set_next_decision(scene)
    bought, handled_ms = scene.of(purchases), scene.row.due(DECISION).handled_ms
    if handled_ms and not bought.last_at_ms:
        given_back_ms = max(scene.at_ms, last_given_back_ms(bought), handled_ms + 1)
        scene.row.set_due(DECISION, day_end_ms(given_back_ms))


def _set_next_decision(scene: Scene) -> None:
    row = scene.row
    handled_ms, bought = row.due(DECISION).handled_ms, scene.of(purchases)
    check_in_ms = scene.context.check_in_ms
    row.set_due(DECISION, next_decision_ms(bought, handled_ms, check_in_ms))


def _decide(scene: Scene) -> None:
    """At a decision point, start to wait for labels, and at a check-in send an observation, if the
    customer may be learnt from. Of a person with several ids, only the person is learnt from.
    """
    past = scene.of(history)
    if past is not None and scene.of(may_be_learnt_from):
        state, teaches = scene.row.edit(CHURN), not scene.context.is_quiet
        if teaches:
            wait_for(state, past, scene)
        bought, check_in_ms = scene.of(purchases), scene.context.check_in_ms
        if is_check_in(bought, scene.at_ms, check_in_ms):
            if teaches:
                scene.teach(observation(state, past, bought, scene))
            scene.of(renew_deadline)
    _set_next_decision(scene)
    scene.raise_moment(SCORE)


def _release(scene: Scene) -> None:
    """Release the labels that are due, except those from before the customer revoked learning."""
    state, bought = scene.row.edit(CHURN), scene.of(purchases)
    ripe = state.release(scene.at_ms)
    set_next_label(state, scene.row)
    revoked_ms = scene.of(learnt_from_since_ms)
    learnt = [one for one in ripe if one.point.at_ms > revoked_ms]
    for one in learnt:
        scene.teach(example(bought, one))
    scene.drop_labels(Dropped.CONSENT, len(ripe) - len(learnt))


def _reunited(scene: Scene, _before: Labels, _other: Labels, _sign: int) -> None:
    set_next_label(scene.row.read(CHURN), scene.row)
    _set_next_decision(scene)


def _silent_churn(scene: Scene) -> float:
    found = scene.of(thinning)
    return nan if found is None else found


def _churn_risk(scene: Scene) -> float:
    if scene.of(history) is None:
        return nan
    if is_not_expected_yet(scene):
        # This needs no score, which costs many times as much: rules ask this of all customers at
        # once.
        return 0.0
    found = scene.of(lapsed)
    return found.risk if found is not None else nan


def _lapse_probability(scene: Scene) -> float:
    found = scene.of(lapsed)
    return found.probability if found is not None else nan


def _clv(scene: Scene) -> float:
    found = scene.of(lifetime_worth)
    return found.clv if found is not None else nan


def _expected_spend(scene: Scene) -> float:
    found = scene.of(worth)
    return found.horizons[0].spend if found is not None else nan


def _personal(read: Callable[[Scene], T], nothing: T) -> Callable[[Scene], T]:
    """A reading that gives ``nothing`` for a customer who refuses personalisation."""
    return lambda scene: nothing if scene.of(personalisation_refused) is not None else read(scene)


_FACTS = {
    "churn_probability": Fact(
        churn_probability,
        "{:.0%} likely not to buy",
        "probability of no purchase within the first horizon",
        least=0.0,
        most=1.0,
    ),
    "churn_risk": Fact(
        _churn_risk,
        "at risk of leaving: {:.2f} of 1",
        "how much speaks for leaving, by what is usual for them: 0 until a purchase is expected",
        least=0.0,
        most=1.0,
    ),
    "lapse_probability": Fact(
        _lapse_probability,
        "{:.0%} likely not to buy within twice their usual gap",
        "probability of no purchase within twice the usual gap, and within the first horizon",
        least=0.0,
        most=1.0,
    ),
    "silent_churn": Fact(
        _silent_churn,
        "buys less than by their own rhythm: {:.2f} of 1",
        "how much speaks for thinning out, 0 to 1; none in the first 84 days and 8 purchase days",
        least=0.0,
        most=1.0,
    ),
    "value_at_stake": Fact(
        lambda s: s.of(value_at_stake),
        "{} at stake",
        "a year's net spend times the churn probability",
        least=0.0,
        is_money=True,
    ),
    "clv": Fact(
        _clv,
        "a lifetime value of {}",
        "margin still to come, less acquisition cost",
        is_money=True,
    ),
    "expected_spend": Fact(
        _expected_spend,
        "expected to spend {}",
        "net spend expected within the first horizon",
        least=0.0,
        is_money=True,
    ),
}


FACTS = {
    name: fact._replace(read=_personal(fact.read, nan), is_personal=True)
    for name, fact in _FACTS.items()
}


CHURN: Part[Labels] = Part(
    name="churn",
    code="la",
    is_apart=True,
    about="Who is leaving, why a score says so, and what would be lost with them.",
    state=Labels,
    version=3,
    dense_since=3,
    older={1: unpack_first},
    united=united,
    reunited=_reunited,
    listens=frozenset({COMPLETED, UPDATED, REFUNDED, CANCELLED}),
    record=_record,
    timers=(
        Timer(LABEL, _release, first=True, may_repeat=True, waits_for_clock=True),
        Timer(DECISION, _decide, last=True, brings_looks=True),
    ),
    moments={SCORE: "the churn score may have changed"},
    offers=(
        seen,
        churn,
        assessment,
        expected_spend_90d,
        explanation,
        lapsed,
        lifetime_worth,
        value_at_stake,
        worth,
        thinning,
    ),
    reads=(
        *features.READS,
        *churn_lessons.READS,
        *churn_words.READS,
        clock,
        history,
        learnt_from_since_ms,
        margin_share,
        may_be_learnt_from,
        personalisation_refused,
        purchases,
        silent_days,
        renew_deadline,
    ),
    facts=FACTS,
    sections=(
        ProfileSection(
            "churn",
            tuple[ChurnView, ...],
            _personal(churn_view, ()),
            churn_in_words,
            place=200,
            basis=Basis.MODEL,
            edge=of_timer(DECISION),
        ),
        ProfileSection(
            "explanations",
            tuple[Explanation, ...],
            _personal(explanations, ()),
            explanations_in_words,
            place=220,
            basis=Basis.MODEL,
            edge=of_timer(DECISION),
        ),
        ProfileSection(
            "silent_churn",
            float | None,
            _personal(thinning, None),
            thinning_in_words,
            place=230,
            basis=Basis.MODEL,
            edge=of_timer(DECISION),
        ),
        ProfileSection(
            "value",
            ValueView | None,
            _personal(worth, None),
            worth_in_words,
            place=300,
            basis=Basis.MODEL,
            edge=of_timer(DECISION),
        ),
    ),
)

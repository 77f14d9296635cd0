"""Churn scores, and the labels that they are learnt from.

A decision point becomes an example when its horizon has passed. Every label is released at the end
of its horizon, whatever happened before: releasing "came back" at the next purchase and "left" only
at the end would leak nothing, but would bias the models towards "came back".
"""

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from math import ceil, nan
from operator import attrgetter
from typing import TypeVar

from msgspec import Struct

from config.duration import DAY_MS
from config.parameters import Parameters
from models.customer import churn_words, features
from models.customer.consent import (
    learnt_from_since_ms,
    may_be_learnt_from,
    personalisation_refused,
)
from models.customer.edges import of_timer
from models.customer.engagement import engagement
from models.customer.fingerprint import fingerprint_once
from models.customer.labels import (
    Days,
    DecisionPoint,
    Dropped,
    Inputs,
    Label,
    Labels,
    Waiting,
    inputs_of,
    narrow,
    unpack_first,
)
from models.customer.margins import margin_share
from models.customer.order_news import CANCELLED, COMPLETED, REFUNDED, UPDATED
from models.customer.part import SCORE, Basis, Fact, Line, Part, ProfileSection, Timer
from models.customer.purchase_state import WINDOW_MS_MAX, Purchases
from models.customer.purchase_windows import (
    begun_within,
    bought_within,
    gaps_days,
    last_given_back_ms,
)
from models.customer.purchases import (
    clock,
    history,
    purchases,
    renew_deadline,
    silent_days,
    window_365d,
)
from models.customer.row import Row
from models.customer.scene import Context, Scene
from models.customer.scores import (
    assessment,
    churn,
    churn_probability,
    churn_within,
    expected_spend_90d,
    expected_within,
    explanation,
    explanations,
    is_not_expected_yet,
    lapsed,
    lifetime_worth,
    net_so_far,
    seen,
    thinning,
    value_at_stake,
    worth,
)
from models.events.event import Event
from models.learning.bgnbd import cell_of
from models.learning.churn import Source
from models.learning.day_ends import day_end_ms
from models.learning.explanation import Explanation
from models.learning.gamma_gamma import cell_of as spend_cell_of
from models.learning.gaps import gap_residuals
from models.learning.history import History
from models.learning.label_sampling import LabelSampling
from models.learning.lessons import Example, Observation, packed_text
from models.learning.scorers import pack_said
from models.learning.value import ValueView, Worth
from models.money import digits

T = TypeVar("T")
DECISION, _LABEL = "decision", "label"
_horizon_days = attrgetter("horizon_days")


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


def next_decision_ms(bought: Purchases, handled_ms: int, check_in_ms: int) -> int:
    """The next decision point after ``handled_ms``: the end of the last purchase day, or the next
    check-in on the grid that begins with the first purchase.

    0 without a purchase, and once the last one is older than `WINDOW_MS_MAX`. When the customer
    buys again after that, the check-ins left out before that purchase are not made up for.
    """
    begun_ms, last_at_ms = bought.sitting
    if not last_at_ms:
        return 0
    first_ms = day_end_ms(bought.first_at_ms)
    purchase_ms = day_end_ms(begun_ms)
    # A purchase in the last second of a day comes after that day's decision point.
    if handled_ms < purchase_ms and begun_ms <= purchase_ms:
        return purchase_ms
    since_ms = handled_ms if handled_ms > purchase_ms else purchase_ms
    due_ms = first_ms + ((since_ms - first_ms) // check_in_ms + 1) * check_in_ms
    return due_ms if due_ms <= last_at_ms + WINDOW_MS_MAX else 0


def has_bought_today(past: History, at_ms: int) -> bool:
    """Whether a decision point ends a purchase day."""
    return bool(past.days) and past.days[-1] == at_ms // DAY_MS


def is_check_in(bought: Purchases, at_ms: int, check_in_ms: int) -> bool:
    """Whether a decision point is on the grid of check-ins, even on a purchase day: check-ins on
    days without a purchase alone would underestimate how much customers buy.
    """
    since_ms = at_ms - day_end_ms(bought.first_at_ms)
    return since_ms > 0 and not since_ms % check_in_ms


def _decide(scene: Scene) -> None:
    """At a decision point, start to wait for labels, and at a check-in send an observation, if the
    customer may be learnt from. Of a person with several ids, only the person is learnt from.
    """
    past = scene.of(history)
    if past is not None and scene.of(may_be_learnt_from):
        state, teaches = scene.row.edit(CHURN), not scene.context.is_quiet
        if teaches:
            _wait_for(state, past, scene)
        bought, check_in_ms = scene.of(purchases), scene.context.check_in_ms
        if is_check_in(bought, scene.at_ms, check_in_ms):
            if teaches:
                scene.teach(_observation(state, past, bought, scene))
            scene.of(renew_deadline)
    _set_next_decision(scene)
    scene.raise_moment(SCORE)


def _wait_for(state: Labels, past: History, scene: Scene) -> None:
    """Wait for a label at each horizon that has room for one. Features are computed only if any
    has.

    Whether a decision point is kept depends on a hash and on earlier events only. Replacing one by
    a later one would bias the sample: customers who come back have more decision points, so those
    of lost customers would be kept more often.
    """
    # An int, because it is packed, and the parameter may be of another type.
    at_ms, delay_ms = scene.at_ms, int(scene.context.label_delay_ms)
    pending_max, check_in_ms = scene.parameters.bounds.pending, scene.context.check_in_ms
    draw = fingerprint_once(f"{scene.customer}:{at_ms}")
    one_in = scene.snapshot.of(LabelSampling).one_in
    labels: list[Label] = []
    inputs: Inputs | None = None
    for horizon_days, days, horizon_ms in scene.context.settled(_horizons):
        wait_ms = horizon_ms + delay_ms
        weight = one_in * _stride(past, at_ms, wait_ms, check_in_ms, pending_max)
        if draw % weight or not state.has_room(days, pending_max):
            continue
        # The score is only needed for a label that is kept.
        score = churn_within(scene, horizon_days)
        assert score is not None
        said = pack_said(score.said)
        expected = expected_within(scene, horizon_days)
        if expected is None:
            labels.append(Label(days, weight, said))
            continue
        forecast = expected.forecast
        inputs = inputs or inputs_of(forecast, past, at_ms, scene.of(net_so_far))
        labels.append(Label(days, weight, said, forecast.formula_minor, forecast.challenger_minor))
    if labels:
        labels.sort(key=_horizon_days)
        bought, packed = has_bought_today(past, at_ms), _packed_features(scene)
        point = DecisionPoint(at_ms, delay_ms, bought, packed, tuple(labels), inputs)
        state.add(point)
        first_ms, known_ms = point.due_ms(labels[0]), scene.row.due(_LABEL).due_ms
        if not known_ms or first_ms < known_ms:
            scene.row.set_due(_LABEL, first_ms, may_repeat=True)


def _horizons(context: Context) -> list[tuple[float, Days, int]]:
    """Each horizon in days, as it is packed, and in ms."""
    horizons = context.parameters.churn.horizon_days
    return [(days, narrow(days), round(narrow(days) * DAY_MS)) for days in horizons]


def _stride(past: History, at_ms: int, wait_ms: int, check_in_ms: int, pending: int) -> int:
    """Keep one in this many decision points, by how many there were in the last ``wait_ms``; an
    eighth of the room is spare, because the hash keeps a random number of them.
    """
    days = len(past.days) - bisect_right(past.days, (at_ms - wait_ms) // DAY_MS)
    return ceil((days + wait_ms / check_in_ms) / (0.875 * pending))


def _labels_thousandths(past: History, scene: Scene) -> int:
    """The expected number of labels of the decision points since the last check-in, in thousandths,
    if none is left out for the trainer's sake; 0 if the trainer takes all there are.
    """
    parameters = scene.parameters
    if not parameters.learning.lessons_per_s:
        return 0
    at_ms, delay_ms = scene.at_ms, int(scene.context.label_delay_ms)
    check_in_ms, pending = scene.context.check_in_ms, parameters.bounds.pending
    since_day = (at_ms - check_in_ms) // DAY_MS
    bought_days = len(past.days) - bisect_right(past.days, since_day)
    points = bought_days + (not has_bought_today(past, at_ms))
    expected = 0
    for _, _, horizon_ms in scene.context.settled(_horizons):
        stride = _stride(past, at_ms, horizon_ms + delay_ms, check_in_ms, pending)
        expected += 1_000 * points // stride
    return expected


def _set_next_label(state: Labels, row: Row) -> None:
    row.set_due(_LABEL, state.next_due_ms(), may_repeat=True)


def _release(scene: Scene) -> None:
    """Release the labels that are due, except those from before the customer revoked learning."""
    state, bought = scene.row.edit(CHURN), scene.of(purchases)
    ripe = state.release(scene.at_ms)
    _set_next_label(state, scene.row)
    revoked_ms = scene.of(learnt_from_since_ms)
    learnt = [one for one in ripe if one.point.at_ms > revoked_ms]
    for one in learnt:
        scene.teach(_example(bought, one))
    scene.drop_labels(Dropped.CONSENT, len(ripe) - len(learnt))


def _example(bought: Purchases, waited: Waiting) -> Example:
    point, label = waited.point, waited.label
    came_back, spent_minor = _bought_within(bought, point.at_ms, point.at_ms + label.horizon_ms)
    return Example(
        timestamp_ms=waited.due_ms,
        horizon_days=float(label.horizon_days),
        kind=point.kind,
        churned=not came_back,
        features=packed_text(point.features),
        weight=label.weight,
        said=packed_text(label.said),
        spent_minor=spent_minor,
        forecast=point.forecast(label),
    )


def _bought_within(bought: Purchases, start_ms: int, end_ms: int) -> tuple[bool, int]:
    """Whether there was another occasion to buy in (start, end], and the net revenue of its orders,
    in minor units.
    """
    count, spent_minor = bought_within(bought, start_ms, end_ms)
    # Orders that only continue the sitting of the decision's day are no other occasion.
    return bool(count) and begun_within(bought, start_ms, end_ms), spent_minor


def _packed_features(scene: Scene) -> bytes:
    """The features, packed as they are kept and taught; only for customers that have any."""
    found = scene.of(seen)
    assert found is not None
    return found.packed


def _observation(state: Labels, past: History, bought: Purchases, scene: Scene) -> Observation:
    """The customer's observation at a check-in; the state remembers the cells it counts them in."""
    at_ms = scene.at_ms
    frequency, monetary_minor = scene.of(window_365d)
    gaps, today = gaps_days(bought), at_ms // DAY_MS
    cell = cell_of(past.repeats, past.last, past.life)
    counted = (*spend_cell_of(past.repeats + 1, scene.of(net_so_far)), monetary_minor)
    first_channel = scene.of(engagement).first_channel
    check_in_days = scene.context.check_in_ms // DAY_MS
    observation = Observation(
        timestamp_ms=at_ms,
        recency_days=past.recency,
        frequency=frequency,
        monetary_minor=monetary_minor,
        gap_days=sorted(gaps)[len(gaps) // 2] if gaps else None,
        enters=cell,
        leaves=state.counted,
        features=packed_text(_packed_features(scene)),
        gap_residuals=gap_residuals(past.days, today - check_in_days, today),
        spend_enters=counted,
        spend_leaves=state.spend_counted,
        acquired=first_channel if state.spend_counted is None else None,
        labels_thousandths=_labels_thousandths(past, scene),
    )
    state.counted, state.spend_counted = cell, counted
    return observation


def _united(states: Sequence[Labels], parameters: Parameters) -> Labels:
    """One person's waiting labels: those of all their ids, the earliest first.

    Not additive: labels beyond the bound are dropped, and the cells are those of the id that was
    counted last, because a table must count a person once.
    """
    one = Labels()
    one.points = sorted(
        (point for state in states for point in state.points), key=lambda point: point.at_ms
    )
    one.limit(parameters.bounds.pending)
    for state in states:
        one.counted = state.counted or one.counted
        one.spend_counted = state.spend_counted or one.spend_counted
    return one


def _reunited(scene: Scene, _before: Labels, _other: Labels, _sign: int) -> None:
    _set_next_label(scene.row.read(CHURN), scene.row)
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
        "{:.2f} at stake",
        "a year's net spend times the churn probability",
        least=0.0,
    ),
    "clv": Fact(_clv, "a lifetime value of {:.2f}", "margin still to come, less acquisition cost"),
    "expected_spend": Fact(
        _expected_spend,
        "expected to spend {:.2f}",
        "net spend expected within the first horizon",
        least=0.0,
    ),
}


FACTS = {
    name: fact._replace(read=_personal(fact.read, nan), is_personal=True)
    for name, fact in _FACTS.items()
}


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


def _churn_view(scene: Scene) -> tuple[ChurnView, ...]:
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


def _churn_in_words(view: tuple[ChurnView, ...], _as_of: str, _currency: str) -> Iterator[Line]:
    for one in view:
        words = f"{one.probability:.0%} likely to buy nothing within {one.horizon_days:g} days"
        who = f"{one.source} {one.scorer}" if one.source == Source.CHAMPION else one.source
        version = f", version {one.model_version}" if one.model_version else ""
        yield Line("churn", f"{words}: {_SOURCE_WORDS[Source(one.source)]} ({who}{version})")


def _explanations_in_words(
    told: tuple[Explanation, ...], _as_of: str, _currency: str
) -> Iterator[Line]:
    """The contributions that add up to the first score."""
    for one in told[:1]:
        for part in one.groups:
            words = f"{part.contribution:+.2f} {part.group}: {part.words}"
            yield Line(str(part.direction), words)
        yield Line("log odds", f"{one.log_odds:+.2f}, of which everybody has {one.base:+.2f}")


def _thinning_in_words(silent_churn: float, _as_of: str, _currency: str) -> Iterator[Line]:
    """By the thresholds of the shipped rule, which fires at 0.8 and rearms at 0.6."""
    words = "keeps to their own rhythm"
    if silent_churn >= 0.6:
        words = "buys less than by their own rhythm"
    if silent_churn >= 0.8:
        words = "is thinning out, by their own rhythm"
    yield Line("silent churn", f"{silent_churn:.2f} of 1: {words}")


def _worth_in_words(value: ValueView, _as_of: str, currency: str) -> Iterator[Line]:
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


CHURN: Part[Labels] = Part(
    name="churn",
    code="la",
    is_apart=True,
    about="Who is leaving, why a score says so, and what would be lost with them.",
    state=Labels,
    version=3,
    dense_since=3,
    older={1: unpack_first},
    united=_united,
    reunited=_reunited,
    listens=frozenset({COMPLETED, UPDATED, REFUNDED, CANCELLED}),
    record=_record,
    timers=(
        Timer(_LABEL, _release, first=True, may_repeat=True, waits_for_clock=True),
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
        *churn_words.READS,
        clock,
        engagement,
        history,
        learnt_from_since_ms,
        margin_share,
        may_be_learnt_from,
        personalisation_refused,
        purchases,
        silent_days,
        renew_deadline,
        window_365d,
    ),
    facts=FACTS,
    sections=(
        ProfileSection(
            "churn",
            tuple[ChurnView, ...],
            _personal(_churn_view, ()),
            _churn_in_words,
            place=200,
            basis=Basis.MODEL,
            edge=of_timer(DECISION),
        ),
        ProfileSection(
            "explanations",
            tuple[Explanation, ...],
            _personal(explanations, ()),
            _explanations_in_words,
            place=220,
            basis=Basis.MODEL,
            edge=of_timer(DECISION),
        ),
        ProfileSection(
            "silent_churn",
            float | None,
            _personal(thinning, None),
            _thinning_in_words,
            place=230,
            basis=Basis.MODEL,
            edge=of_timer(DECISION),
        ),
        ProfileSection(
            "value",
            ValueView | None,
            _personal(worth, None),
            _worth_in_words,
            place=300,
            basis=Basis.MODEL,
            edge=of_timer(DECISION),
        ),
    ),
)

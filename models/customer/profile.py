"""What is read of a customer: everything decayed to one moment, scored and named."""

import msgspec
from msgspec import Struct

from config.duration import DAY_MS
from config.parameters import Parameters
from models.customer import purchases as orders
from models.customer import support as tickets
from models.customer.anomaly import Anomaly, activity_anomaly, purchase_anomaly
from models.customer.churn_reason import ChurnReason, churn_reason
from models.customer.contacts import CONTROL, TREATED, Decided
from models.customer.engagement import intensity_at
from models.customer.row import Row
from models.customer.scores import Segment, rfm_scores
from models.customer.support import Answer
from models.events.wire import iso
from models.learning.churn import Assessment, Churn, assess
from models.learning.explanation import Explanation, explanations
from models.learning.silent import silent_churn
from models.learning.snapshot import Snapshot
from models.learning.value import ValueView, value


class _View(Struct, frozen=True, rename="camel"):
    pass


class Window(_View, frozen=True):
    days: int
    orders: int
    net_minor: int


class Level(_View, frozen=True):
    half_life_days: int
    orders: float
    net_minor: float


class RfmView(_View, frozen=True):
    """``segment`` and the scores are null for somebody who has not bought."""

    recency_days: float | None
    orders: int
    net_minor: int
    first_order_at: str | None
    last_order_at: str | None
    windows: tuple[Window, ...]
    decayed: tuple[Level, ...]
    recency_score: int | None
    frequency_score: int | None
    monetary_score: int | None
    segment: Segment | None


class EngagementView(_View, frozen=True):
    intensity: float
    recent_views: float
    interactions: int
    views: int
    sessions: int
    last_seen_at: str | None
    last_channel: str | None


class CartView(_View, frozen=True):
    items: int
    value_minor: int
    touched_at: str | None


class AnswerView(_View, frozen=True):
    score: float
    at: str


class SupportView(_View, frozen=True):
    open_tickets: int
    tickets: int
    answer_due_at: str | None
    nps: AnswerView | None
    csat: AnswerView | None
    ces: AnswerView | None


class ChurnView(_View, frozen=True):
    """P(no purchase within the horizon), whose word it is, and what every scorer says."""

    probability: float
    horizon_days: float
    source: str
    model_version: int
    scorer: str | None
    scores: dict[str, float]


class DecisionView(_View, frozen=True):
    """An action that was decided, and what became of it."""

    action: str
    channel: str
    at: str
    group: str
    outcome: str


class Profile(_View, frozen=True):
    """A customer as of a moment of event time.

    ``explanations`` are of the scores in ``churn``, in their order.
    """

    user_id: str
    as_of: str
    rfm: RfmView
    engagement: EngagementView
    cart: CartView
    support: SupportView
    churn: tuple[ChurnView, ...]
    decisions: tuple[DecisionView, ...]
    next_deadline_at: str | None
    last_triggers: dict[str, str]
    model_version: int
    explanations: tuple[Explanation, ...] = ()
    churn_reason: ChurnReason | None = None
    silent_churn: float | None = None
    activity_anomaly: Anomaly | None = None
    purchase_anomaly: Anomaly | None = None
    value: ValueView | None = None


def profile(
    customer: str, row: Row, at_ms: int, snapshot: Snapshot, parameters: Parameters
) -> Profile:
    """The customer as of ``at_ms``; windows end and levels have decayed there."""
    assessed = assess(row, at_ms, snapshot, parameters)
    return Profile(
        user_id=customer,
        as_of=iso(at_ms),
        rfm=_rfm(row, at_ms, snapshot, parameters),
        engagement=_engagement(row, at_ms, parameters),
        cart=CartView(len(row.cart.contents()), row.cart.value_minor, _iso(row.cart.touched_at_ms)),
        support=_support(row, parameters),
        churn=tuple(_churn(churn) for churn in assessed.churn) if assessed is not None else (),
        decisions=tuple(_decision(decided) for decided in row.decisions),
        next_deadline_at=_iso(row.next_due_ms),
        last_triggers={str(kind): iso(ms) for kind, ms in sorted(row.fired_ms.items())},
        model_version=snapshot.version,
        explanations=explanations(row, at_ms, assessed, snapshot, parameters) if assessed else (),
        churn_reason=_churn_reason(row, at_ms, assessed, snapshot, parameters),
        silent_churn=_silent(assessed, at_ms),
        activity_anomaly=activity_anomaly(row.engagement.active_days, at_ms),
        purchase_anomaly=purchase_anomaly(assessed.history, at_ms) if assessed else None,
        value=_value(row, assessed, at_ms, snapshot, parameters),
    )


def _silent(assessed: Assessment | None, at_ms: int) -> float | None:
    if assessed is None:
        return None
    return silent_churn(assessed.history, assessed.churn[0].probability, at_ms)


def encode_profile(view: Profile) -> bytes:
    return msgspec.json.encode(view)


def _churn_reason(
    row: Row, at_ms: int, assessed: Assessment | None, snapshot: Snapshot, parameters: Parameters
) -> ChurnReason | None:
    if assessed is None:
        return None
    probability = assessed.churn[0].probability
    return churn_reason(row, at_ms, probability, snapshot.gap_days, parameters)


def _value(
    row: Row, assessed: Assessment | None, at_ms: int, snapshot: Snapshot, parameters: Parameters
) -> ValueView | None:
    if assessed is None:
        return None
    return value(row, assessed.history, at_ms, snapshot, parameters)


def _rfm(row: Row, at_ms: int, snapshot: Snapshot, parameters: Parameters) -> RfmView:
    bought = row.purchases
    windows = tuple(
        Window(days, *orders.window(bought, at_ms, days)) for days in orders.WINDOW_DAYS
    )
    scores = rfm_scores(bought, at_ms, snapshot)
    recency_days = max(at_ms - bought.last_at_ms, 0) / DAY_MS if bought.count else None
    return RfmView(
        recency_days=recency_days,
        orders=bought.count,
        net_minor=bought.net_minor,
        first_order_at=_iso(bought.first_at_ms),
        last_order_at=_iso(bought.last_at_ms),
        windows=windows,
        decayed=tuple(Level(*level) for level in orders.levels(bought, at_ms, parameters)),
        recency_score=scores.recency if scores else None,
        frequency_score=scores.frequency if scores else None,
        monetary_score=scores.monetary if scores else None,
        segment=scores.segment if scores else None,
    )


def _engagement(row: Row, at_ms: int, parameters: Parameters) -> EngagementView:
    seen = row.engagement
    intensity, recent_views = intensity_at(seen, at_ms, parameters)
    return EngagementView(
        intensity=intensity,
        recent_views=recent_views,
        interactions=seen.interactions,
        views=seen.views,
        sessions=seen.session_count,
        last_seen_at=_iso(seen.last_at_ms),
        last_channel=seen.last_channel or None,
    )


def _support(row: Row, parameters: Parameters) -> SupportView:
    helped = row.support
    waiting = helped.open_tickets()
    due = [ms for ticket in waiting if (ms := tickets.due_at_ms(ticket, parameters))]
    return SupportView(
        open_tickets=len(waiting),
        tickets=helped.opened,
        answer_due_at=_iso(min(due, default=0)),
        nps=_answer(helped.nps),
        csat=_answer(helped.csat),
        ces=_answer(helped.ces),
    )


def _churn(churn: Churn) -> ChurnView:
    return ChurnView(
        probability=churn.probability,
        horizon_days=churn.horizon_days,
        source=churn.source,
        model_version=churn.model_version,
        scorer=churn.scorer,
        scores=churn.scores(),
    )


def _decision(decided: Decided) -> DecisionView:
    return DecisionView(
        action=decided.action,
        channel=decided.channel,
        at=iso(decided.at_ms),
        group=TREATED if decided.treated else CONTROL,
        outcome=decided.outcome,
    )


def _answer(answer: Answer | None) -> AnswerView | None:
    return None if answer is None else AnswerView(answer.score, iso(answer.at_ms))


def _iso(moment_ms: int) -> str | None:
    return iso(moment_ms) if moment_ms else None

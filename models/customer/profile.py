"""What is read of a customer: everything decayed to one moment, scored and named."""

from bisect import bisect_left
from enum import StrEnum

import msgspec
from msgspec import Struct

from config.parameters import DAY_MS, Parameters
from models.customer import purchases as orders
from models.customer import support as tickets
from models.customer.engagement import intensity_at
from models.customer.row import Row
from models.customer.support import Answer
from models.events.wire import iso
from models.learning.snapshot import Cuts, Snapshot


class Segment(StrEnum):
    CHAMPIONS = "champions"
    LOYAL = "loyal"
    POTENTIAL = "potential"
    NEW = "new"
    AT_RISK = "at risk"
    CANT_LOSE = "can't lose"
    HIBERNATING = "hibernating"
    LOST = "lost"


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


class Profile(_View, frozen=True):
    """A customer as of a moment of event time."""

    user_id: str
    as_of: str
    rfm: RfmView
    engagement: EngagementView
    cart: CartView
    support: SupportView
    next_deadline_at: str | None
    last_triggers: dict[str, str]
    model_version: int


def profile(
    customer: str, row: Row, at_ms: int, snapshot: Snapshot, parameters: Parameters
) -> Profile:
    """The customer as of ``at_ms``; windows end and levels have decayed there."""
    return Profile(
        user_id=customer,
        as_of=iso(at_ms),
        rfm=_rfm(row, at_ms, snapshot, parameters),
        engagement=_engagement(row, at_ms, parameters),
        cart=CartView(len(row.cart.contents()), row.cart.value_minor, _iso(row.cart.touched_at_ms)),
        support=_support(row, parameters),
        next_deadline_at=_iso(row.next_due_ms),
        last_triggers={str(kind): iso(ms) for kind, ms in sorted(row.fired_ms.items())},
        model_version=snapshot.version,
    )


def encode_profile(view: Profile) -> bytes:
    return msgspec.json.encode(view)


def segment_of(recency: int, frequency: int, monetary: int, count: int) -> Segment:
    """The named segment of three scores: recency against the mean of frequency and money."""
    worth = (frequency + monetary) / 2
    if recency >= 4:
        if count == 1:
            return Segment.NEW
        return (
            Segment.CHAMPIONS if worth >= 4 else Segment.LOYAL if worth >= 3 else Segment.POTENTIAL
        )
    if recency == 3:
        return Segment.LOYAL if worth >= 4 else Segment.POTENTIAL
    if worth >= 4 and recency == 1:
        return Segment.CANT_LOSE
    if recency == 2:
        return Segment.AT_RISK if worth >= 3 else Segment.HIBERNATING
    return Segment.LOST


def _score(value: float, cuts: Cuts) -> int:
    return 1 + bisect_left(cuts, value)


def _rfm(row: Row, at_ms: int, snapshot: Snapshot, parameters: Parameters) -> RfmView:
    bought = row.purchases
    windows = tuple(
        Window(days, *orders.window(bought, at_ms, days)) for days in orders.WINDOW_DAYS
    )
    recency_days = recency = frequency = monetary = segment = None
    if bought.count:
        recency_days = max(at_ms - bought.last_at_ms, 0) / DAY_MS
        recency = 6 - _score(recency_days, snapshot.recency_days_cuts)
        frequency = _score(float(windows[-1].orders), snapshot.frequency_cuts)
        monetary = _score(float(windows[-1].net_minor), snapshot.monetary_minor_cuts)
        segment = segment_of(recency, frequency, monetary, bought.count)
    return RfmView(
        recency_days=recency_days,
        orders=bought.count,
        net_minor=bought.net_minor,
        first_order_at=_iso(bought.first_at_ms),
        last_order_at=_iso(bought.last_at_ms),
        windows=windows,
        decayed=tuple(Level(*level) for level in orders.levels(bought, at_ms, parameters)),
        recency_score=recency,
        frequency_score=frequency,
        monetary_score=monetary,
        segment=segment,
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


def _answer(answer: Answer | None) -> AnswerView | None:
    return None if answer is None else AnswerView(answer.score, iso(answer.at_ms))


def _iso(moment_ms: int) -> str | None:
    return iso(moment_ms) if moment_ms else None

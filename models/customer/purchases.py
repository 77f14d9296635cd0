"""Recency, frequency and money: exact over rolling windows, and decayed; and the customer's own
clock, which says when a purchase is overdue.
"""

from collections.abc import Callable, Iterator
from math import exp2, nan

from msgspec import msgpack

from config.duration import DAY_MS
from config.parameters import Parameters
from models.customer import order_records
from models.customer.anomaly import Anomaly, purchase_anomaly
from models.customer.decay import decayed
from models.customer.edges import first_after, leaves_window, next_day, passes_cut
from models.customer.motion import LEARNT, STILL, Motion, Moves, since, steps
from models.customer.order_news import CANCELLED, EVENTS, REFUNDED
from models.customer.order_state import Order
from models.customer.orders import order_id
from models.customer.part import SCORE, Basis, Fact, Part, ProfileSection, Timer
from models.customer.purchase_state import (
    WINDOW_DAYS,
    PurchaseParameters,
    Purchases,
    days_until,
    kept_order,
    retire,
    standing_orders,
    take_news,
    unpack_first,
)
from models.customer.purchase_union import united
from models.customer.purchase_windows import window, window_edge
from models.customer.purchase_words import (
    DecayedLevel,
    RfmView,
    RhythmView,
    Window,
    anomaly_lines,
    rfm_in_words,
    rhythm_in_words,
)
from models.customer.rfm import RfmScores, Segment, rfm_scores
from models.customer.rhythm import Clock, clock_of, overdue_at_ms
from models.customer.scene import Scene
from models.events.currency import check_currency
from models.events.event import NOTHING, Event
from models.events.rejection import Reason, Rejected
from models.events.times import iso, iso_or_none
from models.learning.history import History, past_at
from models.learning.population import Population

SILENCE = "silence"
_OVERDUE = "overdue"
#: Purchase days in a profile.
_DAYS_TOLD_MAX = 12


def _check(state: Purchases, event: Event, parameters: Parameters) -> None:
    """Refuse an event of an order that is only known as part of a sum, because it would have no
    effect. The same holds for an amount whose currency had a rate when it came in, and has none
    now.
    """
    check_currency(event.properties, event.occurred_at_ms, parameters.money)
    if not state.gone.last_ms or event.name not in (REFUNDED, CANCELLED):
        return
    order = order_id(event)
    if kept_order(state, order) is None and order_records.find(state.records, order) is None:
        raise Rejected(
            Reason.TOO_LATE,
            "$.properties.order_id",
            "an order that is not known, of a customer whose older orders are known as sums alone",
            "raise bounds.order_records, if customers order so much",
        )


def _record(state: Purchases, event: Event, scene: Scene) -> None:
    """Add one event of an order."""
    parameters = scene.parameters
    last_before_ms = state.last_at_ms
    take_news(state, event, parameters)
    settled_ms = scene.context.clock_ms - parameters.time.lateness
    retire(state, settled_ms, parameters, order_id(event))
    # An event of an older order does not restart a silence that has been dealt with.
    last_at_ms, row = state.last_at_ms, scene.row
    if last_at_ms != last_before_ms or row.due(_OVERDUE).due_ms:
        gap_days = scene.snapshot.of(Population).gap_days
        row.set_due(_OVERDUE, overdue_at_ms(last_at_ms, state.days, gap_days, parameters.overdue))
    scene.raise_moment(SCORE)


def _fall_silent(scene: Scene) -> None:
    """Raise the moment if the silence is too long by the present clock, which has learnt since the
    deadline was set.
    """
    due_ms = overdue_at(scene)
    if due_ms > scene.at_ms:
        scene.row.set_due(_OVERDUE, due_ms)
    else:
        scene.raise_moment(SILENCE)


def renew_deadline(scene: Scene) -> None:
    """Set the end of the present silence by the present clock; one that was already handled stays
    so.
    """
    if scene.row.due(_OVERDUE).due_ms:
        scene.row.set_due(_OVERDUE, max(overdue_at(scene), scene.at_ms))


def _reunited(scene: Scene, before: Purchases, _other: Purchases, _sign: int) -> None:
    """The silence is that after the person's last purchase; one that was handled stays so."""
    row = scene.row
    if row.read(PURCHASES).last_at_ms != before.last_at_ms or row.due(_OVERDUE).due_ms:
        row.set_due(_OVERDUE, overdue_at(scene))
    scene.raise_moment(SCORE)


def purchases(scene: Scene) -> Purchases:
    """The customer's purchases; read only."""
    return scene.row.read(PURCHASES)


def order_of_event(scene: Scene) -> Order | None:
    """The order that this moment's event was about, after its news."""
    event = scene.event
    if event is None or event.name not in EVENTS or event.properties is NOTHING:
        return None
    state, order = scene.of(purchases), order_id(event)
    kept = kept_order(state, order)
    if kept is None and (record := order_records.find(state.records, order)) is not None:
        return Order(order, record.at_ms, record.net_minor, record.at_ms)
    return kept


def history(scene: Scene) -> History | None:
    """The purchase days up to this moment; None without a purchase by then."""
    state, at_ms = scene.row.read(PURCHASES), scene.at_ms
    days, earlier = state.days, state.earlier_days
    if state.sitting.last_ms > at_ms:
        sitting_ms = scene.parameters.of(PurchaseParameters).sitting
        days, earlier, _ = days_until(state, at_ms, sitting_ms)
    bought = len(days) + earlier
    if not bought:
        return None
    first_day = state.first_at_ms // DAY_MS
    if days and days[0] < first_day:
        first_day = days[0]
    last_day = days[-1] if days else state.gone.first_ms // DAY_MS
    return past_at(at_ms, days, bought - 1, first_day, last_day)


def levels(scene: Scene) -> tuple[list[float], list[float]]:
    """Decayed orders and net spend in minor units, one level a half-life, of the orders up to this
    moment.
    """
    state, at_ms = scene.row.read(PURCHASES), scene.at_ms
    half_lives = scene.parameters.of(PurchaseParameters).half_lives
    lag_ms = at_ms - state.as_of_ms
    if lag_ms == 0:
        return state.decayed_orders, state.decayed_net_minor
    if lag_ms > 0:
        first, second, third = half_lives
        short, middle, long = exp2(-lag_ms / first), exp2(-lag_ms / second), exp2(-lag_ms / third)
        counts, nets = state.decayed_orders, state.decayed_net_minor
        return (
            [counts[0] * short, counts[1] * middle, counts[2] * long],
            [nets[0] * short, nets[1] * middle, nets[2] * long],
        )
    # The running levels contain orders of after this moment: add up those before it.
    orders, spend = [0.0] * len(half_lives), [0.0] * len(half_lives)
    for placed_at_ms, _, net_minor in standing_orders(state):
        if placed_at_ms <= at_ms:
            for place, half_life_ms in enumerate(half_lives):
                share = decayed(1.0, at_ms - placed_at_ms, half_life_ms)
                orders[place] += share
                spend[place] += share * net_minor
    return orders, spend


def window_30d(scene: Scene) -> tuple[int, int]:
    """(count, net in minor units) of the last 30 days."""
    return window(scene.row.read(PURCHASES), scene.at_ms, 30)


def window_90d(scene: Scene) -> tuple[int, int]:
    """(count, net in minor units) of the last 90 days."""
    return window(scene.row.read(PURCHASES), scene.at_ms, 90)


def window_365d(scene: Scene) -> tuple[int, int]:
    """(count, net in minor units) of the last 365 days."""
    return window(scene.row.read(PURCHASES), scene.at_ms, 365)


def clock(scene: Scene) -> Clock:
    """When the customer is expected to buy again, by their own gaps and the population's."""
    days, gap_days = scene.row.read(PURCHASES).days, scene.snapshot.of(Population).gap_days
    return clock_of(days, gap_days, scene.parameters.overdue)


def usual_gap_days(scene: Scene) -> float:
    """The customer's own usual gap, drawn towards the population's."""
    return scene.of(clock).expected_days


def overdue_at(scene: Scene) -> int:
    """When the silence after the last purchase becomes too long, in ms; 0 without a purchase."""
    state, gap_days = scene.row.read(PURCHASES), scene.snapshot.of(Population).gap_days
    return overdue_at_ms(state.last_at_ms, state.days, gap_days, scene.parameters.overdue)


def silent_days(scene: Scene) -> float:
    """Days since the last purchase; NaN without one."""
    last_ms = scene.row.read(PURCHASES).sitting.last_ms
    if not last_ms:
        return nan
    return (scene.at_ms - last_ms) / DAY_MS if scene.at_ms > last_ms else 0.0


def _last_ms(scene: Scene) -> int:
    return scene.row.read(PURCHASES).sitting.last_ms


def _of_window(days: int) -> Moves:
    """A sum over the purchases of so many days: it changes when one of them leaves."""
    return steps(lambda scene: window_edge(scene.row.read(PURCHASES), scene.at_ms, days))


def _of_silence(per_day: Callable[[Scene], float]) -> Moves:
    """A number that silence changes by so much a day, by what is usual for all customers."""

    def at(scene: Scene) -> Motion:
        last_ms = _last_ms(scene)
        if not last_ms:
            return Motion()
        if last_ms > scene.at_ms:
            return Motion(until_ms=last_ms)
        return Motion(per_day(scene) / DAY_MS)

    return Moves(at, is_clock=True, is_learnt=True)


def _of_clock(read: Callable[[Clock], float]) -> Callable[[Scene], float]:
    """NaN without a purchase."""
    return lambda s: read(s.of(clock)) if s.row.read(PURCHASES).last_at_ms else nan


def _expected_order_days(scene: Scene) -> float:
    return scene.of(clock).expected_days - silent_days(scene)


def _overdue_at(scene: Scene) -> str:
    return iso_or_none(overdue_at(scene)) or ""


def _average_order(scene: Scene) -> float:
    bought = scene.row.read(PURCHASES)
    return scene.money(bought.net_minor) / bought.count if bought.count else 0.0


def _anomaly(scene: Scene) -> Anomaly | None:
    past = scene.of(history)
    return purchase_anomaly(past, scene.at_ms) if past is not None else None


def _deviations(scene: Scene) -> float:
    found = _anomaly(scene)
    return found.deviations if found is not None else nan


def _scores(scene: Scene) -> RfmScores | None:
    state = scene.row.read(PURCHASES)
    if not state.count:
        return None
    count, net_minor = scene.of(window_365d)
    recency_days = max(scene.at_ms - state.last_at_ms, 0) / DAY_MS
    population = scene.snapshot.of(Population)
    return rfm_scores(recency_days, count, net_minor, state.count, population)


def _segment(scene: Scene) -> str:
    scores = scene.of(_scores)
    return str(scores.segment) if scores is not None else ""


def _rfm_fact(read: Callable[[RfmScores], int], letter: str, about: str) -> Fact:
    def score(scene: Scene) -> float:
        scores = scene.of(_scores)
        return float(read(scores)) if scores is not None else nan

    return Fact(
        score,
        f"{letter} {{:.0f}} of 5",
        f"from 1 to 5, by the cut points of all customers: {about}",
        least=1.0,
        most=5.0,
        whole=True,
    )


FACTS = {
    "orders": Fact(
        lambda s: float(s.row.read(PURCHASES).count),
        "{:.0f} purchases so far",
        "purchases ever",
        least=0.0,
        whole=True,
        moves=STILL,
    ),
    "orders_30d": Fact(
        lambda s: float(s.of(window_30d)[0]),
        "{:.0f} in 30 days",
        "purchases, 30 days",
        least=0.0,
        whole=True,
        moves=_of_window(30),
    ),
    "orders_90d": Fact(
        lambda s: float(s.of(window_90d)[0]),
        "{:.0f} in 90 days",
        "purchases, 90 days",
        least=0.0,
        whole=True,
        moves=_of_window(90),
    ),
    "orders_365d": Fact(
        lambda s: float(s.of(window_365d)[0]),
        "{:.0f} in a year",
        "purchases, a year",
        least=0.0,
        whole=True,
        moves=_of_window(365),
    ),
    "net_30d": Fact(
        lambda s: s.money(s.of(window_30d)[1]),
        "spent {} in 30 days",
        "net spend, 30 days",
        least=0.0,
        moves=_of_window(30),
        is_money=True,
    ),
    "net_90d": Fact(
        lambda s: s.money(s.of(window_90d)[1]),
        "spent {} in 90 days",
        "net spend, 90 days",
        least=0.0,
        moves=_of_window(90),
        is_money=True,
    ),
    "net_365d": Fact(
        lambda s: s.money(s.of(window_365d)[1]),
        "spent {} in a year",
        "net spend, a year",
        least=0.0,
        moves=_of_window(365),
        is_money=True,
    ),
    "average_order": Fact(
        _average_order, "{} an order", "net spend an order", least=0.0, moves=STILL, is_money=True
    ),
    "silent_days": Fact(
        silent_days,
        "now {:.0f} days",
        "days since the last purchase",
        least=0.0,
        moves=since(_last_ms, DAY_MS),
    ),
    "typical_gap_days": Fact(
        lambda s: s.of(usual_gap_days),
        "usually every {:.0f} days",
        "the customer's own usual gap",
        least=0.0,
        moves=LEARNT,
    ),
    "overdue_ratio": Fact(
        lambda s: silent_days(s) / s.of(usual_gap_days),
        "{:.1f} times the usual gap",
        "silence over the usual gap",
        least=0.0,
        moves=_of_silence(lambda scene: 1 / scene.of(usual_gap_days)),
    ),
    "expected_order_days": Fact(
        _expected_order_days,
        "the next purchase expected in {:.0f} days",
        "days until the next purchase is expected, below 0 once it should have come",
        moves=_of_silence(lambda _scene: -1.0),
    ),
    "overdue_days": Fact(
        _of_clock(lambda found: found.overdue_days),
        "overdue after {:.0f} days",
        "days of silence from which a purchase is overdue, by the customer's own clock",
        moves=LEARNT,
    ),
    "overdue_at": Fact(
        _overdue_at,
        "overdue at {}",
        "when a purchase is or was overdue, in ISO 8601",
        str,
        moves=LEARNT,
    ),
    "gap_spread": Fact(
        _of_clock(lambda found: found.spread),
        "gaps that vary by {:.2f} of their logarithm",
        "standard deviation of the logarithm of the customer's gaps",
        least=0.0,
        moves=LEARNT,
    ),
    "is_seasonal": Fact(
        _of_clock(lambda found: float(found.is_seasonal)),
        "buys by the year: {:.0f}",
        "1 for somebody who buys at the same time of the year, else 0",
        least=0.0,
        most=1.0,
        whole=True,
        moves=LEARNT,
    ),
    "purchase_anomaly": Fact(
        _deviations,
        "purchases {:+.1f} deviations from their usual",
        "purchase days of the last 14 against the customer's own usual, in standard deviations",
    ),
    "rfm_recency": _rfm_fact(lambda s: s.recency, "R", "5 bought most lately"),
    "rfm_frequency": _rfm_fact(lambda s: s.frequency, "F", "5 buys most often"),
    "rfm_monetary": _rfm_fact(lambda s: s.monetary, "M", "5 spends most"),
    "segment": Fact(
        _segment,
        "{}",
        "named segment, empty for somebody who has not bought",
        str,
        values=lambda _: tuple(Segment),
    ),
}


def _rfm_view(scene: Scene) -> RfmView:
    state, at_ms, scores = scene.row.read(PURCHASES), scene.at_ms, scene.of(_scores)
    return RfmView(
        recency_days=max(at_ms - state.last_at_ms, 0) / DAY_MS if state.count else None,
        orders=state.count,
        net_minor=state.net_minor,
        first_order_at=iso_or_none(state.first_at_ms),
        last_order_at=iso_or_none(state.last_at_ms),
        windows=tuple(Window(days, *window(state, at_ms, days)) for days in WINDOW_DAYS),
        decayed=tuple(_decayed_levels(scene)),
        recency_score=scores.recency if scores else None,
        frequency_score=scores.frequency if scores else None,
        monetary_score=scores.monetary if scores else None,
        segment=scores.segment if scores else None,
        unpriced_refunds=_unpriced_refunds(state),
    )


def _rhythm_view(scene: Scene) -> RhythmView | None:
    state = scene.row.read(PURCHASES)
    if not state.last_at_ms:
        return None
    usual_days = scene.of(clock).expected_days
    return RhythmView(
        days=tuple(iso(day * DAY_MS)[:10] for day in state.days[-_DAYS_TOLD_MAX:]),
        usual_gap_days=usual_days,
        expected_at=iso(state.last_at_ms + round(usual_days * DAY_MS)),
        overdue_at=iso_or_none(overdue_at(scene)),
    )


def _rhythm_edge(scene: Scene) -> int:
    """When the next purchase is expected, and then when it is overdue."""
    state = scene.row.read(PURCHASES)
    if not state.last_at_ms:
        return 0
    expected_ms = state.last_at_ms + round(scene.of(clock).expected_days * DAY_MS)
    return first_after(scene.at_ms, (expected_ms, overdue_at(scene)))


def _rfm_edge(scene: Scene) -> int:
    """When a purchase leaves a window, or silence gives another score."""
    state, at_ms = scene.row.read(PURCHASES), scene.at_ms
    placed_ms = [record.at_ms for record in standing_orders(state)]
    days = [sums[0] for sums in state.day_sums]
    cuts = scene.snapshot.of(Population).recency_days_cuts
    return first_after(
        at_ms,
        (
            leaves_window(placed_ms, days, WINDOW_DAYS, at_ms),
            passes_cut(state.last_at_ms, cuts, at_ms) if state.count else 0,
        ),
    )


def _unpriced_refunds(state: Purchases) -> int:
    refunds = 0
    for order in state.orders:
        refunds += order.detail.unpriced if order.detail is not None else 0
    return refunds


def _decayed_levels(scene: Scene) -> Iterator[DecayedLevel]:
    """Of all orders that are counted, as are ``orders`` and ``net_minor`` beside them."""
    state, parameters = scene.row.read(PURCHASES), scene.parameters
    lag_ms = scene.at_ms - state.as_of_ms
    for place, half_life_ms in enumerate(parameters.of(PurchaseParameters).half_lives):
        yield DecayedLevel(
            half_life_ms // DAY_MS,
            decayed(state.decayed_orders[place], lag_ms, half_life_ms),
            decayed(state.decayed_net_minor[place], lag_ms, half_life_ms),
        )


PURCHASES: Part[Purchases] = Part(
    name="purchases",
    code="pu",
    about="Orders as they stand after refunds and changes: how lately, how often, how much.",
    state=Purchases,
    version=4,
    dense_since=3,
    # Version 3 had no ``currency_at_ms`` at the end of a detail.
    older={1: unpack_first, 3: msgpack.Decoder(Purchases).decode},
    united=united,
    reunited=_reunited,
    parameters=PurchaseParameters,
    events=EVENTS,
    listens=frozenset(EVENTS),
    check=_check,
    record=_record,
    timers=(Timer(_OVERDUE, _fall_silent),),
    moments={SILENCE: "the customer's own clock says that a purchase is overdue"},
    offers=(
        purchases,
        order_of_event,
        history,
        levels,
        window_365d,
        clock,
        renew_deadline,
        silent_days,
        usual_gap_days,
        overdue_at,
    ),
    facts=FACTS,
    sections=(
        ProfileSection(
            "rfm",
            RfmView,
            _rfm_view,
            rfm_in_words,
            place=100,
            basis=Basis.POPULATION,
            edge=_rfm_edge,
        ),
        ProfileSection(
            "rhythm",
            # Profiles by earlier releases do not have it.
            RhythmView | None,
            _rhythm_view,
            rhythm_in_words,
            place=110,
            basis=Basis.POPULATION,
            edge=_rhythm_edge,
        ),
        ProfileSection(
            "purchase_anomaly",
            Anomaly | None,
            _anomaly,
            anomaly_lines,
            place=420,
            edge=next_day,
        ),
    ),
)

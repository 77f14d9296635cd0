"""Recency, frequency and money: exact over rolling windows, and decayed.

An order is what is known of it by now: placed, changed, refunded, cancelled, in whatever order
the news came. Each piece of news replaces what the order contributed before.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Sequence
from math import exp2, nan

import msgspec
from msgspec import Struct, field

from config.duration import DAY_MS
from config.limits import PositiveMs
from config.parameters import Parameters, Section
from models.customer import order_records
from models.customer.anomaly import Anomaly, purchase_anomaly
from models.customer.anomaly import in_words as anomaly_in_words
from models.customer.decay import decayed
from models.customer.edges import first_after, leaves_window, next_day, passes_cut
from models.customer.motion import LEARNT, STILL, Motion, Moves, since, steps
from models.customer.occasions import DAYS_KEPT, Sitting, occasions
from models.customer.order_records import DaySums, OrderRecord
from models.customer.orders import (
    CANCELLATION,
    CANCELLED,
    EVENTS,
    REFUNDED,
    Detail,
    End,
    Order,
    merged,
    order_id,
    sort_key,
    take,
)
from models.customer.part import SCORE, Basis, Fact, Line, Part, ProfileSection, Timer
from models.customer.rfm import SEGMENT_WORDS, RfmScores, Segment, rfm_scores
from models.customer.rhythm import Clock, clock_of, overdue_at_ms, rhythm_of
from models.customer.row import State
from models.customer.scene import Scene
from models.customer.words import counted, moment_in_words
from models.events.currency import check_currency
from models.events.event import NOTHING, Event
from models.events.rejection import Reason, Rejected
from models.events.times import iso, iso_or_none
from models.learning.history import Days, History, past_at
from models.learning.population import Population
from models.money import in_words as money_in_words

SILENCE = "silence"
WINDOW_DAYS = (30, 90, 365)
WINDOW_MS_MAX = WINDOW_DAYS[-1] * DAY_MS
#: Records of orders that are older than the longest window, for what may still be heard of them.
OLD_RECORDS_MAX = 1_024
_OVERDUE = "overdue"
#: Purchase days in a profile.
_DAYS_TOLD_MAX = 12
_NEVER = 1 << 62


class PurchaseParameters(Section, frozen=True):
    """``half_lives`` of the decayed levels, the shortest first; ``sitting``: orders less than this
    apart are one occasion.
    """

    section = "purchases"
    half_lives: tuple[PositiveMs, PositiveMs, PositiveMs]
    sitting: PositiveMs


class Purchases(State):
    """A customer's orders and what they add up to.

    ``orders`` are sorted by (time, id), the latest and those of which there is more to know;
    ``records`` (`order_records`) are the purchases before them, and ``day_sums`` what was bought
    before those, as far back as the longest window. ``days`` are the purchase days (`occasions`)
    as far back, and in any case the latest `DAYS_KEPT`; ``earlier_days`` counts those before them.
    ``sitting`` is the latest occasion. ``gone``: the latest occasion of orders that are no longer
    known by themselves, and ``gone_days`` how many purchase days they made.

    ``decayed_orders`` and ``decayed_net_minor`` hold one level a half-life, as of ``as_of_ms``.
    """

    orders: list[Order] = field(default_factory=list)
    count: int = 0
    net_minor: int = 0
    first_at_ms: int = 0
    decayed_orders: list[float] = field(default_factory=lambda: [0.0, 0.0, 0.0])
    decayed_net_minor: list[float] = field(default_factory=lambda: [0.0, 0.0, 0.0])
    as_of_ms: int = 0
    days: Days = ()
    earlier_days: int = 0
    sitting: Sitting = Sitting()
    records: bytes = b""
    day_sums: DaySums = field(default_factory=list)
    gone: Sitting = Sitting()
    gone_days: int = 0

    @property
    def last_at_ms(self) -> int:
        """Time of the latest purchase; 0 when there is none."""
        return self.sitting.last_ms

    @property
    def last_occasion_ms(self) -> int:
        """Time of the latest occasion's first order; 0 when there is none."""
        return self.sitting.first_ms


def _check(state: Purchases, event: Event, parameters: Parameters) -> None:
    """Refuse what is said of an order that is only known as part of a sum: applied, it would have
    no effect. So would an amount whose currency had a rate when it came in, and has none now.
    """
    check_currency(event.properties, event.occurred_at_ms, parameters.money)
    if not state.gone.last_ms or event.name not in (REFUNDED, CANCELLED):
        return
    order = order_id(event)
    if _kept(state, order) is None and order_records.find(state.records, order) is None:
        raise Rejected(
            Reason.TOO_LATE,
            "$.properties.order_id",
            "an order that is not known, of a customer whose older orders are known as sums alone",
            "raise bounds.order_records, if customers order so much",
        )


def _record(state: Purchases, event: Event, scene: Scene) -> None:
    """Take in one piece of news about an order."""
    parameters = scene.parameters
    last_before_ms = state.last_at_ms
    _take_news(state, event, parameters)
    settled_ms = scene.context.clock_ms - parameters.time.lateness
    _retire(state, settled_ms, parameters)
    # News of an older order doesn't begin again a silence that has been dealt with.
    last_at_ms, row = state.last_at_ms, scene.row
    if last_at_ms != last_before_ms or row.due(_OVERDUE).due_ms:
        gap_days = scene.snapshot.of(Population).gap_days
        row.set_due(_OVERDUE, overdue_at_ms(last_at_ms, state.days, gap_days, parameters.overdue))
    scene.raise_moment(SCORE)


def _take_news(state: Purchases, event: Event, parameters: Parameters) -> None:
    orders, tuning = state.orders, parameters.of(PurchaseParameters)
    order = _taken_out(state, order_id(event))
    was_purchase, net_before_minor = order.is_purchase, order.net_minor
    placed_before_ms = order.placed_at_ms
    take(order, event, parameters.money)
    orders.insert(bisect_left(orders, sort_key(order), key=sort_key), order)

    half_lives = tuning.half_lives
    if was_purchase:
        _shift(state, -1, -net_before_minor, placed_before_ms, half_lives)
    if order.is_purchase:
        _shift(state, 1, order.net_minor, order.placed_at_ms, half_lives)
    state.count += order.is_purchase - was_purchase
    state.net_minor += order.net_minor - net_before_minor
    if order.placed_at_ms:
        state.first_at_ms = min(state.first_at_ms or _NEVER, order.placed_at_ms)
    _note_occasion(state, order, was_purchase, placed_before_ms, tuning.sitting)


def _taken_out(state: Purchases, order: int) -> Order:
    """The order as it is by now, which `Purchases` no longer has; a new one if it is not known."""
    known = _kept(state, order)
    if known is not None:
        state.orders.remove(known)
        return known
    state.records, record = order_records.taken_out(state.records, order)
    if record is None:
        return Order(order)
    return Order(order, record.at_ms, record.net_minor, record.at_ms)


def _kept(state: Purchases, order: int) -> Order | None:
    """The order with all that is known of it; None if it is not among those."""
    for known in reversed(state.orders):
        if known.id == order:
            return known
    return None


def _shift(
    state: Purchases, orders: int, net_minor: int, at_ms: int, half_lives: Sequence[int]
) -> None:
    """Add to the decayed levels, as `decay.added` does, all of them at once."""
    lag_ms = at_ms - state.as_of_ms
    counts, nets = state.decayed_orders, state.decayed_net_minor
    for place, half_life_ms in enumerate(half_lives):
        if lag_ms > 0:
            left = exp2(-lag_ms / half_life_ms)
            counts[place] = counts[place] * left + orders
            nets[place] = nets[place] * left + net_minor
        elif lag_ms == 0:
            counts[place] += orders
            nets[place] += net_minor
        else:
            left = exp2(lag_ms / half_life_ms)
            counts[place] += orders * left
            nets[place] += net_minor * left
    if lag_ms > 0:
        state.as_of_ms = at_ms


def _note_occasion(
    state: Purchases, order: Order, was_purchase: bool, placed_before_ms: int, sitting_ms: int
) -> None:
    """Keep the occasions right once an order has changed."""
    placed_at_ms, latest = order.placed_at_ms, state.sitting
    if not order.is_purchase and not was_purchase:
        return
    if order.is_purchase and was_purchase and placed_before_ms == placed_at_ms:
        return
    if was_purchase or placed_at_ms < latest.last_ms or not latest.last_ms:
        _recount(state, sitting_ms)
        return
    state.sitting = latest.with_order(placed_at_ms, sitting_ms)
    day = state.sitting.first_ms // DAY_MS
    if not state.days or day > state.days[-1]:
        state.days = (*state.days, day)


def _recount(state: Purchases, sitting_ms: int) -> None:
    """Find the occasions anew."""
    state.days, state.earlier_days, state.sitting = _days_until(state, _NEVER, sitting_ms)


def _days_until(state: Purchases, at_ms: int, sitting_ms: int) -> tuple[Days, int, Sitting]:
    """The purchase days up to a moment, how many there were before them, and the latest occasion.

    Of orders that are gone, the days that are kept are known.
    """
    placed_ms = [order.placed_at_ms for order in state.orders if order.is_purchase]
    if state.records:
        placed_ms = sorted([*order_records.times(state.records), *placed_ms])
    gone_day = state.gone.first_ms // DAY_MS if state.gone.last_ms else -1
    gone = state.days[: bisect_right(state.days, gone_day)]
    known = placed_ms[: bisect_right(placed_ms, at_ms)]
    days, latest = occasions(known, sitting_ms, state.gone)
    return (*gone, *days), state.gone_days - len(gone), latest


def _retire(state: Purchases, settled_ms: int, parameters: Parameters) -> None:
    """Pack orders that are older than the longest window or beyond the bounds.

    ``settled_ms``: nothing older can arrive any more.
    """
    orders, bounds = state.orders, parameters.bounds
    horizon_ms = settled_ms - WINDOW_MS_MAX
    is_long = len(orders) > _newest_max(bounds.orders)
    if is_long or orders[0].known_since_ms < horizon_ms:
        _pack(state, horizon_ms, settled_ms, bounds.orders)
        sitting_ms = parameters.of(PurchaseParameters).sitting
        _let_go(state, horizon_ms, bounds.order_records, sitting_ms)
    first_day, days = horizon_ms // DAY_MS, state.days
    if len(days) > DAYS_KEPT and days[0] < first_day:
        past = min(bisect_left(days, first_day), len(days) - DAYS_KEPT)
        state.days, state.earlier_days = days[past:], state.earlier_days + past


def _newest_max(orders_max: int) -> int:
    """How many of the latest orders keep all that is known of them; the rest of the room is for
    earlier ones that were given back in part, which must not be given back twice.
    """
    return max(orders_max // 2, 1)


def _pack(state: Purchases, horizon_ms: int, settled_ms: int, orders_max: int) -> None:
    """Have the orders that are older than the horizon, or not among the newest, be records."""
    newest = len(state.orders) - _newest_max(orders_max)
    kept: list[Order] = []
    packed: list[Order] = []
    for place, order in enumerate(state.orders):
        is_old = order.known_since_ms < horizon_ms
        if place >= newest and not is_old:
            kept.append(order)
        elif order.is_purchase:
            has_ends = order.detail is not None and bool(order.detail.ends)
            (kept if has_ends else packed).append(order)
        elif not (_is_settled(order, settled_ms) and (is_old or not order.placed_at_ms)):
            kept.append(order)
    too_many = max(len(kept) - orders_max, 0)
    packed += [order for order in kept[:too_many] if order.is_purchase]
    state.orders = kept[too_many:]
    if packed:
        new = [OrderRecord(order.placed_at_ms, order.id, order.net_minor) for order in packed]
        state.records = order_records.with_records(state.records, sorted(new))


def _is_settled(order: Order, settled_ms: int) -> bool:
    """Whether its end is told everywhere, and its repeats come too late to count."""
    ends = order.detail.ends if order.detail is not None else []
    return not ends or ends[-1].at_ms < settled_ms


def _let_go(state: Purchases, horizon_ms: int, records_max: int, sitting_ms: int) -> None:
    """Have the oldest records beyond the bound be sums of days, and those of no window nothing."""
    number = order_records.count(state.records)
    too_many = number - records_max
    if number > OLD_RECORDS_MAX:
        too_old = order_records.count_until(state.records, horizon_ms)
        too_many = max(too_many, min(too_old, number - OLD_RECORDS_MAX))
    if too_many > 0:
        gone, state.records = order_records.oldest(state.records, too_many)
        for record in gone:
            if record.at_ms > horizon_ms:
                state.day_sums = order_records.with_day(state.day_sums, record)
            if record.at_ms >= state.gone.last_ms:
                before, state.gone = state.gone, state.gone.with_order(record.at_ms, sitting_ms)
                is_new = state.gone.first_ms // DAY_MS > before.first_ms // DAY_MS
                state.gone_days += is_new or not before.last_ms
    first_day = horizon_ms // DAY_MS
    if state.day_sums and state.day_sums[0][0] < first_day:
        state.day_sums = [sums for sums in state.day_sums if sums[0] >= first_day]


def _fall_silent(scene: Scene) -> None:
    """Told by the clock of now: it has learnt since the deadline was set."""
    due_ms = overdue_at(scene)
    if due_ms > scene.at_ms:
        scene.row.set_due(_OVERDUE, due_ms)
    else:
        scene.raise_moment(SILENCE)


def renew_deadline(scene: Scene) -> None:
    """Set the end of the present silence by what is usual by now; one that was told stays told."""
    if scene.row.due(_OVERDUE).due_ms:
        scene.row.set_due(_OVERDUE, max(overdue_at(scene), scene.at_ms))


def _reunited(scene: Scene, before: Purchases, _other: Purchases, _sign: int) -> None:
    """The silence is that after the person's last purchase; one that was told stays told."""
    row = scene.row
    if row.read(PURCHASES).last_at_ms != before.last_at_ms or row.due(_OVERDUE).due_ms:
        row.set_due(_OVERDUE, overdue_at(scene))
    scene.raise_moment(SCORE)


def _united(states: Sequence[Purchases], parameters: Parameters) -> Purchases:
    """One person's purchases: an order that several ids have news of is one order.

    Exact as long as the ids' orders that are gone are different ones, of different days.
    """
    one, tuning = Purchases(), parameters.of(PurchaseParameters)
    by_id: dict[int, Order] = {}
    packed: dict[int, OrderRecord] = {}
    for state in states:
        # Copies: the ids' own orders go on by themselves.
        for order in PURCHASES.unpack(PURCHASES.pack(state)).orders:
            known = by_id.get(order.id)
            by_id[order.id] = order if known is None else merged(known, order, parameters.money)
        packed |= {record.id: record for record in order_records.listed(state.records)}
        one.gone = max(one.gone, state.gone, key=lambda sitting: sitting.last_ms)
        one.gone_days += state.gone_days
        for day, count, net_minor in state.day_sums:
            one.day_sums = order_records.with_sums(one.day_sums, day, count, net_minor)
    one.orders = sorted(by_id.values(), key=sort_key)
    records = sorted(record for record in packed.values() if record.id not in by_id)
    one.records = order_records.with_records(b"", records) if records else b""
    for record in _standing(one):
        _shift(one, 1, record.net_minor, record.at_ms, tuning.half_lives)
        one.count += 1
        one.net_minor += record.net_minor
    _add_gone(one, states, tuning.half_lives)
    first = [order.placed_at_ms for order in one.orders if order.placed_at_ms]
    first += [state.first_at_ms for state in states if state.first_at_ms]
    one.first_at_ms = min(first, default=0)
    _unite_days(one, states, tuning.sitting)
    return one


def _unite_days(one: Purchases, states: Sequence[Purchases], sitting_ms: int) -> None:
    """The purchase days of all, as far back as every id knows them."""
    one.days = tuple(sorted({day for state in states for day in state.days}))
    _recount(one, sitting_ms)
    begin = max((state.days[0] for state in states if state.days and state.earlier_days), default=0)
    unknown = min(bisect_left(one.days, begin), max(len(one.days) - DAYS_KEPT, 0))
    one.days, one.earlier_days = one.days[unknown:], one.earlier_days + unknown


def _standing(state: Purchases) -> list[OrderRecord]:
    """The purchases that are known by themselves, by time."""
    kept = [
        OrderRecord(order.placed_at_ms, order.id, order.net_minor)
        for order in state.orders
        if order.is_purchase
    ]
    return sorted([*order_records.listed(state.records), *kept])


def _add_gone(one: Purchases, states: Sequence[Purchases], half_lives: Sequence[int]) -> None:
    """Add what each state still counts of orders that are gone."""
    for state in states:
        standing = _standing(state)
        count = state.count - len(standing)
        net_minor = state.net_minor
        for record in standing:
            net_minor -= record.net_minor
        one.count += count
        one.net_minor += net_minor
        if not count:
            # Of most customers all orders are known.
            continue
        rest = Purchases()
        rest.as_of_ms = state.as_of_ms
        rest.decayed_orders = list(state.decayed_orders)
        rest.decayed_net_minor = list(state.decayed_net_minor)
        for record in standing:
            _shift(rest, -1, -record.net_minor, record.at_ms, half_lives)
        _add_levels(one, rest, half_lives)


def _add_levels(one: Purchases, rest: Purchases, half_lives: Sequence[int]) -> None:
    as_of_ms = max(one.as_of_ms, rest.as_of_ms)
    for place, half_life_ms in enumerate(half_lives):
        for mine, theirs in (
            (one.decayed_orders, rest.decayed_orders),
            (one.decayed_net_minor, rest.decayed_net_minor),
        ):
            mine[place] = decayed(mine[place], as_of_ms - one.as_of_ms, half_life_ms) + decayed(
                theirs[place], as_of_ms - rest.as_of_ms, half_life_ms
            )
    one.as_of_ms = as_of_ms


def _unpack_first(content: bytes) -> Purchases:
    """Read version 1: orders of up to a year, by what was left of them, and their UTC days."""
    stored = msgspec.msgpack.decode(content)
    state = Purchases()
    for order, placed_ms, gross_minor, priced_ms, refunded_minor, is_void, ended_ms in stored[0]:
        known = Order(order, placed_ms, gross_minor, priced_ms, refunded_minor, is_void, ended_ms)
        if refunded_minor or is_void:
            ends = [End(ended_ms, CANCELLATION)] if is_void else []
            placements = [(placed_ms, True)] if placed_ms else []
            known.detail = Detail(placements, ends, given_minor=refunded_minor)
        state.orders.append(known)
    state.count, state.net_minor, state.first_at_ms, gone_ms = stored[1:5]
    state.decayed_orders, state.decayed_net_minor, state.as_of_ms = stored[5:8]
    state.gone, state.gone_days = Sitting(gone_ms, gone_ms), stored[8]
    state.days, state.earlier_days = tuple(stored[9]), stored[8]
    last_ms = max((o.placed_at_ms for o in state.orders if o.is_purchase), default=gone_ms)
    # The first order of the day is not known; its last one stands for it.
    state.sitting = Sitting(last_ms, last_ms)
    return state


def purchases(scene: Scene) -> Purchases:
    """The customer's purchases; read only."""
    return scene.row.read(PURCHASES)


def order_of_event(scene: Scene) -> Order | None:
    """The order that this moment's event was about, after its news."""
    event = scene.event
    if event is None or event.name not in EVENTS or event.properties is NOTHING:
        return None
    state, order = scene.of(purchases), order_id(event)
    kept = _kept(state, order)
    if kept is None and (record := order_records.find(state.records, order)) is not None:
        return Order(order, record.at_ms, record.net_minor, record.at_ms)
    return kept


def history(scene: Scene) -> History | None:
    """The purchase days up to this moment; None for somebody who had not bought by then."""
    state, at_ms = scene.row.read(PURCHASES), scene.at_ms
    days, earlier = state.days, state.earlier_days
    if state.sitting.last_ms > at_ms:
        sitting_ms = scene.parameters.of(PurchaseParameters).sitting
        days, earlier, _ = _days_until(state, at_ms, sitting_ms)
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
    # The running levels hold orders that were yet to come: add up those that had come.
    orders, spend = [0.0] * len(half_lives), [0.0] * len(half_lives)
    for placed_at_ms, _, net_minor in _standing(state):
        if placed_at_ms <= at_ms:
            for place, half_life_ms in enumerate(half_lives):
                share = decayed(1.0, at_ms - placed_at_ms, half_life_ms)
                orders[place] += share
                spend[place] += share * net_minor
    return orders, spend


def bought_within(state: Purchases, after_ms: int, until_ms: int) -> tuple[int, int]:
    """(count, net in minor units) of the purchases in (after, until]; to the day where only sums of
    days are known.
    """
    if state.last_at_ms <= until_ms and state.first_at_ms > after_ms and not state.day_sums:
        # All that there ever were: of most customers a year holds them.
        return state.count, state.net_minor
    count = net_minor = 0
    for order in reversed(state.orders):
        placed_at_ms = order.placed_at_ms
        if (placed_at_ms or order.ended_at_ms) <= after_ms:
            break
        if placed_at_ms <= until_ms and order.is_purchase:
            count += 1
            # What `net_minor` says, without asking again whether it is a purchase: lists ask this
            # of every customer.
            net_minor += max(order.gross_minor - order.refunded_minor, 0)
    if state.records:
        more, more_minor = order_records.within(state.records, after_ms, until_ms)
        count, net_minor = count + more, net_minor + more_minor
    if state.day_sums:
        more, more_minor = order_records.within_days(state.day_sums, after_ms, until_ms)
        count, net_minor = count + more, net_minor + more_minor
    return count, net_minor


def begun_within(state: Purchases, after_ms: int, until_ms: int) -> bool:
    """Whether an occasion to buy began in (after, until], the day of the former told apart by its
    latest occasion alone.
    """
    days, day = state.days, after_ms // DAY_MS
    place = bisect_right(days, day)
    if place < bisect_right(days, until_ms // DAY_MS):
        return True
    return after_ms < state.last_occasion_ms <= until_ms


def window(state: Purchases, at_ms: int, days: int) -> tuple[int, int]:
    """(count, net in minor units) of the purchases in (at - days, at]."""
    return bought_within(state, at_ms - days * DAY_MS, at_ms)


def last_until(state: Purchases, at_ms: int) -> int:
    """The time of the latest purchase up to ``at_ms``; 0 without any."""
    if state.last_at_ms <= at_ms:
        return state.last_at_ms
    kept = [o.placed_at_ms for o in state.orders if o.is_purchase and o.placed_at_ms <= at_ms]
    packed_ms = order_records.last_until(state.records, at_ms) if state.records else 0
    return max([*kept[-1:], packed_ms]) or state.gone.last_ms


def window_30d(scene: Scene) -> tuple[int, int]:
    """(count, net in minor units) of the last 30 days."""
    return window(scene.row.read(PURCHASES), scene.at_ms, 30)


def window_90d(scene: Scene) -> tuple[int, int]:
    """(count, net in minor units) of the last 90 days."""
    return window(scene.row.read(PURCHASES), scene.at_ms, 90)


def window_365d(scene: Scene) -> tuple[int, int]:
    """(count, net in minor units) of the last 365 days."""
    return window(scene.row.read(PURCHASES), scene.at_ms, 365)


def net_until(state: Purchases, at_ms: int) -> int:
    """Net revenue of the orders placed by ``at_ms``, in minor units."""
    if state.sitting.last_ms <= at_ms:
        return state.net_minor
    return state.net_minor - bought_within(state, at_ms, _NEVER)[1]


def gaps_days(state: Purchases) -> list[float]:
    """Days between the latest occasions to buy, oldest first; several on one UTC day are one."""
    return list(rhythm_of(state.days).gaps)


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
    """What the purchases of so many days come to: another when one of them leaves."""
    return steps(lambda scene: _window_edge(scene.row.read(PURCHASES), scene.at_ms, days))


def _window_edge(state: Purchases, at_ms: int, days: int) -> int:
    """When the next purchase leaves the window, or one that is dated ahead enters it."""
    size_ms = days * DAY_MS
    after_ms, next_ms = at_ms - size_ms, _NEVER
    for order in state.orders:
        placed_at_ms = order.placed_at_ms
        if placed_at_ms > after_ms and order.is_purchase:
            next_ms = min(next_ms, placed_at_ms if placed_at_ms > at_ms else placed_at_ms + size_ms)
            if placed_at_ms <= at_ms:
                break
    if state.records and (first_ms := order_records.first_after(state.records, after_ms)):
        next_ms = min(next_ms, first_ms + size_ms)
    if state.day_sums:
        leaves_ms = [sums[0] * DAY_MS + size_ms + 1 for sums in state.day_sums]
        next_ms = min(next_ms, first_after(at_ms, leaves_ms) or _NEVER)
    return next_ms if next_ms < _NEVER else 0


def _of_silence(per_day: Callable[[Scene], float]) -> Moves:
    """A number that silence moves by so much a day, by what is usual for all customers."""

    def at(scene: Scene) -> Motion:
        last_ms = _last_ms(scene)
        if not last_ms:
            return Motion()
        if last_ms > scene.at_ms:
            return Motion(until_ms=last_ms)
        return Motion(per_day(scene) / DAY_MS)

    return Moves(at, is_clock=True, is_learnt=True)


def _of_clock(read: Callable[[Clock], float]) -> Callable[[Scene], float]:
    """NaN for somebody who has not bought."""
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
        "spent {:.2f} in 30 days",
        "net spend, 30 days",
        least=0.0,
        moves=_of_window(30),
    ),
    "net_90d": Fact(
        lambda s: s.money(s.of(window_90d)[1]),
        "spent {:.2f} in 90 days",
        "net spend, 90 days",
        least=0.0,
        moves=_of_window(90),
    ),
    "net_365d": Fact(
        lambda s: s.money(s.of(window_365d)[1]),
        "spent {:.2f} in a year",
        "net spend, a year",
        least=0.0,
        moves=_of_window(365),
    ),
    "average_order": Fact(
        _average_order, "{:.2f} an order", "net spend an order", least=0.0, moves=STILL
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


class _View(Struct, frozen=True, rename="camel"):
    pass


class Window(_View, frozen=True):
    """Purchases of the last ``days``."""

    days: int
    orders: int
    net_minor: int


class DecayedLevel(_View, frozen=True):
    """Orders and net spend, each halving within ``half_life_days``."""

    half_life_days: int
    orders: float
    net_minor: float


class RfmView(_View, frozen=True):
    """``segment`` and the scores are null for somebody who has not bought. ``unpriced_refunds``:
    those of products whose price no order told, which took nothing back for them.
    """

    recency_days: float | None
    orders: int
    net_minor: int
    first_order_at: str | None
    last_order_at: str | None
    windows: tuple[Window, ...]
    decayed: tuple[DecayedLevel, ...]
    recency_score: int | None
    frequency_score: int | None
    monetary_score: int | None
    segment: Segment | None
    unpriced_refunds: int = 0


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


class RhythmView(Struct, frozen=True, rename="camel"):
    """When the customer bought lately, by UTC day, the oldest first, and when they are expected to
    buy again: after the usual gap at ``expected_at``, and with nine in ten of their own gaps before
    ``overdue_at`` (`Clock`).
    """

    days: tuple[str, ...]
    usual_gap_days: float
    expected_at: str
    overdue_at: str | None


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


def _rhythm_in_words(found: RhythmView | None, as_of: str, _currency: str) -> Iterator[Line]:
    if found is None or found.overdue_at is None:
        return
    state = "overdue since" if found.overdue_at < as_of else "overdue from"
    yield Line(
        "next purchase",
        f"expected about {found.expected_at[:10]}, {state} {found.overdue_at[:10]}",
    )


def _rhythm_edge(scene: Scene) -> int:
    """When the next purchase should have come, and then when it is overdue."""
    state = scene.row.read(PURCHASES)
    if not state.last_at_ms:
        return 0
    expected_ms = state.last_at_ms + round(scene.of(clock).expected_days * DAY_MS)
    return first_after(scene.at_ms, (expected_ms, overdue_at(scene)))


def _rfm_edge(scene: Scene) -> int:
    """When a purchase leaves a window, or so much silence means another score."""
    state, at_ms = scene.row.read(PURCHASES), scene.at_ms
    placed_ms = [record.at_ms for record in _standing(state)]
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
    """Of all that is counted, as ``orders`` and ``net_minor`` beside them are."""
    state, parameters = scene.row.read(PURCHASES), scene.parameters
    lag_ms = scene.at_ms - state.as_of_ms
    for place, half_life_ms in enumerate(parameters.of(PurchaseParameters).half_lives):
        yield DecayedLevel(
            half_life_ms // DAY_MS,
            decayed(state.decayed_orders[place], lag_ms, half_life_ms),
            decayed(state.decayed_net_minor[place], lag_ms, half_life_ms),
        )


def _rfm_in_words(rfm: RfmView, _as_of: str, currency: str) -> Iterator[Line]:
    if rfm.recency_days is None:
        yield Line("purchases", "none")
        return
    if rfm.segment is not None:
        yield Line("segment", f"{rfm.segment}: {SEGMENT_WORDS[rfm.segment]}")
        scores = (rfm.recency_score, rfm.frequency_score, rfm.monetary_score)
        yield Line("scores", "recency {}, frequency {}, monetary {}, of 5".format(*scores))
    last = moment_in_words(rfm.last_order_at)
    yield Line("last purchase", f"{rfm.recency_days:.1f} days before ({last})")
    net = money_in_words(rfm.net_minor, currency)
    since = moment_in_words(rfm.first_order_at)
    yield Line("purchases", f"{counted(rfm.orders, 'order')}, {net} net, since {since}")
    for span in rfm.windows:
        net = money_in_words(span.net_minor, currency)
        yield Line(f"last {span.days} days", f"{counted(span.orders, 'order')}, {net}")
    if rfm.unpriced_refunds:
        refunds = counted(rfm.unpriced_refunds, "refund")
        yield Line("not taken back", f"{refunds} of products whose price no order told")


def _anomaly_lines(found: Anomaly, _as_of: str, _currency: str) -> Iterator[Line]:
    yield Line("buying", anomaly_in_words(found))


PURCHASES: Part[Purchases] = Part(
    name="purchases",
    code="pu",
    about="Orders as they stand after refunds and changes: how lately, how often, how much.",
    state=Purchases,
    version=3,
    dense_since=3,
    older={1: _unpack_first},
    united=_united,
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
            _rfm_in_words,
            place=100,
            basis=Basis.POPULATION,
            edge=_rfm_edge,
        ),
        ProfileSection(
            "rhythm",
            # Profiles by earlier releases do not have it.
            RhythmView | None,
            _rhythm_view,
            _rhythm_in_words,
            place=110,
            basis=Basis.POPULATION,
            edge=_rhythm_edge,
        ),
        ProfileSection(
            "purchase_anomaly",
            Anomaly | None,
            _anomaly,
            _anomaly_lines,
            place=420,
            edge=next_day,
        ),
    ),
)

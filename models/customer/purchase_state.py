"""What is kept of a customer's orders, and how an event changes it.

An order is what is known of it by now: placed, changed, refunded, cancelled, whatever the order of
arrival. Each event replaces what the order contributed before.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from math import exp2

import msgspec
from msgspec import field

from config.duration import DAY_MS
from config.limits import PositiveMs
from config.parameters import Parameters, Section
from models.customer import order_records
from models.customer.occasions import DAYS_KEPT, Sitting, occasions
from models.customer.order_records import DaySums, OrderRecord
from models.customer.order_state import CANCELLATION, Detail, End, Order, sort_key
from models.customer.orders import order_id, take
from models.customer.row import State
from models.events.event import Event
from models.learning.history import Days

WINDOW_DAYS = (30, 90, 365)
WINDOW_MS_MAX = WINDOW_DAYS[-1] * DAY_MS
#: Records of orders older than the longest window, kept for events that may still come.
OLD_RECORDS_MAX = 1_024
#: Later than anything.
NEVER = 1 << 62


class PurchaseParameters(Section, frozen=True):
    """``half_lives`` of the decayed levels, the shortest first; ``sitting``: orders less than this
    apart are one occasion.
    """

    section = "purchases"
    half_lives: tuple[PositiveMs, PositiveMs, PositiveMs]
    sitting: PositiveMs


class Purchases(State):
    """A customer's orders and their sums.

    ``orders`` are sorted by (time, id): the latest ones, and those of which more is known than fits
    into a record; ``records`` (`order_records`) are the purchases before them, and ``day_sums``
    sums of those before the records, as far back as the longest window. ``days`` are the purchase
    days (`occasions`) as far back, and in any case the latest `DAYS_KEPT`; ``earlier_days`` counts
    those before them. ``sitting`` is the latest occasion. ``gone``: the latest occasion of orders
    that are no longer kept one by one, and ``gone_days`` how many purchase days they made.

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


def take_news(state: Purchases, event: Event, parameters: Parameters) -> None:
    orders, tuning = state.orders, parameters.of(PurchaseParameters)
    order = _taken_out(state, order_id(event))
    was_purchase, net_before_minor = order.is_purchase, order.net_minor
    placed_before_ms = order.placed_at_ms
    take(order, event, parameters.money)
    orders.insert(bisect_left(orders, sort_key(order), key=sort_key), order)

    half_lives = tuning.half_lives
    if was_purchase:
        shift_levels(state, -1, -net_before_minor, placed_before_ms, half_lives)
    if order.is_purchase:
        shift_levels(state, 1, order.net_minor, order.placed_at_ms, half_lives)
    state.count += order.is_purchase - was_purchase
    state.net_minor += order.net_minor - net_before_minor
    if order.placed_at_ms:
        state.first_at_ms = min(state.first_at_ms or NEVER, order.placed_at_ms)
    _note_occasion(state, order, was_purchase, placed_before_ms, tuning.sitting)


def _taken_out(state: Purchases, order: int) -> Order:
    """The order as it is by now, removed from `Purchases`; a new one if it is not known."""
    known = kept_order(state, order)
    if known is not None:
        state.orders.remove(known)
        return known
    state.records, record = order_records.taken_out(state.records, order)
    if record is None:
        return Order(order)
    return Order(order, record.at_ms, record.net_minor, record.at_ms)


def kept_order(state: Purchases, order: int) -> Order | None:
    """The order with everything known of it; None if it is not among those."""
    for known in reversed(state.orders):
        if known.id == order:
            return known
    return None


def shift_levels(
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
    """Correct the occasions after an order has changed."""
    placed_at_ms, latest = order.placed_at_ms, state.sitting
    if not order.is_purchase and not was_purchase:
        return
    if order.is_purchase and was_purchase and placed_before_ms == placed_at_ms:
        return
    if was_purchase or placed_at_ms < latest.last_ms or not latest.last_ms:
        recount(state, sitting_ms)
        return
    state.sitting = latest.with_order(placed_at_ms, sitting_ms)
    day = state.sitting.first_ms // DAY_MS
    if not state.days or day > state.days[-1]:
        state.days = (*state.days, day)


def recount(state: Purchases, sitting_ms: int) -> None:
    """Compute the occasions anew."""
    state.days, state.earlier_days, state.sitting = days_until(state, NEVER, sitting_ms)


def days_until(state: Purchases, at_ms: int, sitting_ms: int) -> tuple[Days, int, Sitting]:
    """The purchase days up to a moment, how many there were before them, and the latest occasion.

    Of orders that are gone, only the kept days are known.
    """
    placed_ms = [order.placed_at_ms for order in state.orders if order.is_purchase]
    if state.records:
        placed_ms = sorted([*order_records.times(state.records), *placed_ms])
    gone_day = state.gone.first_ms // DAY_MS if state.gone.last_ms else -1
    gone = state.days[: bisect_right(state.days, gone_day)]
    known = placed_ms[: bisect_right(placed_ms, at_ms)]
    days, latest = occasions(known, sitting_ms, state.gone)
    return (*gone, *days), state.gone_days - len(gone), latest


def retire(state: Purchases, settled_ms: int, parameters: Parameters, changed: int) -> None:
    """Pack orders that are older than the longest window or beyond the bounds.

    ``settled_ms``: nothing older can arrive any more. ``changed``: the order of this event, which
    is not dropped, because other parts have yet to see it.
    """
    orders, bounds = state.orders, parameters.bounds
    horizon_ms = settled_ms - WINDOW_MS_MAX
    is_long = len(orders) > _newest_max(bounds.orders)
    if is_long or orders[0].known_since_ms < horizon_ms:
        _pack(state, horizon_ms, settled_ms, bounds.orders, changed)
        sitting_ms = parameters.of(PurchaseParameters).sitting
        _let_go(state, horizon_ms, bounds.order_records, sitting_ms)
    first_day, days = horizon_ms // DAY_MS, state.days
    if len(days) > DAYS_KEPT and days[0] < first_day:
        past = min(bisect_left(days, first_day), len(days) - DAYS_KEPT)
        state.days, state.earlier_days = days[past:], state.earlier_days + past


def _newest_max(orders_max: int) -> int:
    """How many of the latest orders are kept in full. The rest of the room is for earlier ones with
    a partial refund, which must not be refunded twice.
    """
    return max(orders_max // 2, 1)


def _pack(
    state: Purchases, horizon_ms: int, settled_ms: int, orders_max: int, changed: int
) -> None:
    """Turn the orders that are older than the horizon, or not among the newest, into records."""
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
    if len(kept) > orders_max:
        too_many = len(kept) - orders_max
        dropped = [order for order in kept if order.id != changed][:too_many]
        packed += [order for order in dropped if order.is_purchase]
        ids = {order.id for order in dropped}
        kept = [order for order in kept if order.id not in ids]
    state.orders = kept
    if packed:
        new = [OrderRecord(order.placed_at_ms, order.id, order.net_minor) for order in packed]
        state.records = order_records.with_records(state.records, sorted(new))


def _is_settled(order: Order, settled_ms: int) -> bool:
    """Whether its end has been seen by all parts, and its repeats would be too late to count."""
    ends = order.detail.ends if order.detail is not None else []
    return not ends or ends[-1].at_ms < settled_ms


def _let_go(state: Purchases, horizon_ms: int, records_max: int, sitting_ms: int) -> None:
    """Turn the oldest records beyond the bound into sums of days, and drop those that are in no
    window.
    """
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


def unpack_first(content: bytes) -> Purchases:
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
    # The day's first order is not known; its last one stands for it.
    state.sitting = Sitting(last_ms, last_ms)
    return state


def standing_orders(state: Purchases) -> list[OrderRecord]:
    """The purchases that are kept one by one, by time."""
    kept = [
        OrderRecord(order.placed_at_ms, order.id, order.net_minor)
        for order in state.orders
        if order.is_purchase
    ]
    return sorted([*order_records.listed(state.records), *kept])

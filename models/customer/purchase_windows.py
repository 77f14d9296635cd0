"""Purchases within a range of time, from what a row keeps of a customer's orders."""

from bisect import bisect_right

from config.duration import DAY_MS
from models.customer import order_records
from models.customer.edges import first_after
from models.customer.purchase_state import NEVER, Purchases
from models.customer.rhythm import rhythm_of


def bought_within(state: Purchases, after_ms: int, until_ms: int) -> tuple[int, int]:
    """(count, net in minor units) of the purchases in (after, until]; to the day where only sums of
    days are known.
    """
    if state.last_at_ms <= until_ms and state.first_at_ms > after_ms and not state.day_sums:
        # All purchases are in the range: those of most customers lie within a year.
        return state.count, state.net_minor
    count = net_minor = 0
    for order in reversed(state.orders):
        placed_at_ms = order.placed_at_ms
        if (placed_at_ms or order.ended_at_ms) <= after_ms:
            break
        if placed_at_ms <= until_ms and order.is_purchase:
            count += 1
            # As `net_minor`, without testing again whether it is a purchase: lists run this for
            # every customer.
            net_minor += max(order.gross_minor - order.refunded_minor, 0)
    if state.records:
        more, more_minor = order_records.within(state.records, after_ms, until_ms)
        count, net_minor = count + more, net_minor + more_minor
    if state.day_sums:
        more, more_minor = order_records.within_days(state.day_sums, after_ms, until_ms)
        count, net_minor = count + more, net_minor + more_minor
    return count, net_minor


def begun_within(state: Purchases, after_ms: int, until_ms: int) -> bool:
    """Whether an occasion to buy began in (after, until]. On the day of ``after``, only the latest
    occasion's time is known.
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


def first_from(state: Purchases, at_ms: int) -> int:
    """The time of the first purchase from ``at_ms`` on; ``at_ms`` if that purchase is no longer
    kept by itself.
    """
    kept = (o.placed_at_ms for o in state.orders if o.is_purchase and o.placed_at_ms >= at_ms)
    packed_ms = order_records.first_after(state.records, at_ms - 1) if state.records else 0
    known = [*filter(None, (next(kept, 0), packed_ms))]
    return at_ms if at_ms <= state.gone.last_ms or not known else min(known)


def first_purchase_ms(state: Purchases) -> int:
    """The time of the first purchase that was not given back; 0 without any."""
    if not state.last_at_ms:
        return 0
    first_ms, orders = state.first_at_ms, state.orders
    if state.gone.last_ms:
        return first_ms
    if orders and orders[0].placed_at_ms == first_ms and orders[0].is_purchase:
        # Nearly always: the first order was not refunded, and is kept by itself.
        return first_ms
    return first_from(state, first_ms)


def last_given_back_ms(state: Purchases) -> int:
    """The latest refund or cancellation of an order that is kept; 0 without any."""
    return max(
        [end.at_ms for o in state.orders if o.detail is not None for end in o.detail.ends],
        default=0,
    )


def net_until(state: Purchases, at_ms: int) -> int:
    """Net revenue of the orders placed by ``at_ms``, in minor units."""
    if state.sitting.last_ms <= at_ms:
        return state.net_minor
    return state.net_minor - bought_within(state, at_ms, NEVER)[1]


def gaps_days(state: Purchases) -> list[float]:
    """Days between the latest occasions to buy, oldest first; several on one UTC day are one."""
    return list(rhythm_of(state.days).gaps)


def window_edge(state: Purchases, at_ms: int, days: int) -> int:
    """When the next purchase leaves the window, or one that is dated ahead enters it."""
    size_ms = days * DAY_MS
    after_ms, next_ms = at_ms - size_ms, NEVER
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
        next_ms = min(next_ms, first_after(at_ms, leaves_ms) or NEVER)
    return next_ms if next_ms < NEVER else 0

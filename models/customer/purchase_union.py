"""The purchases of a person with several ids."""

from bisect import bisect_left
from collections.abc import Sequence

import msgspec

from config.parameters import Parameters
from models.customer import order_records
from models.customer.decay import decayed
from models.customer.occasions import DAYS_KEPT
from models.customer.order_records import OrderRecord
from models.customer.order_state import Order, sort_key
from models.customer.orders import merged
from models.customer.purchase_state import (
    PurchaseParameters,
    Purchases,
    recount,
    shift_levels,
    standing_orders,
)

_encode = msgspec.msgpack.Encoder().encode
_ORDERS = msgspec.msgpack.Decoder(list[Order])


def united(states: Sequence[Purchases], parameters: Parameters) -> Purchases:
    """One person's purchases: an order that several ids have news of is one order.

    Exact as long as the orders that are gone are different ones under each id, on different days.
    """
    one, tuning = Purchases(), parameters.of(PurchaseParameters)
    by_id: dict[int, Order] = {}
    packed: dict[int, OrderRecord] = {}
    for state in states:
        # Copies, because the ids' own orders go on by themselves.
        for order in _ORDERS.decode(_encode(state.orders)):
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
    for record in standing_orders(one):
        shift_levels(one, 1, record.net_minor, record.at_ms, tuning.half_lives)
        one.count += 1
        one.net_minor += record.net_minor
    _add_gone(one, states, tuning.half_lives)
    first = [order.placed_at_ms for order in one.orders if order.placed_at_ms]
    first += [state.first_at_ms for state in states if state.first_at_ms]
    one.first_at_ms = min(first, default=0)
    _unite_days(one, states, tuning.sitting)
    return one


def _unite_days(one: Purchases, states: Sequence[Purchases], sitting_ms: int) -> None:
    """The purchase days of all ids, as far back as every id knows them."""
    one.days = tuple(sorted({day for state in states for day in state.days}))
    recount(one, sitting_ms)
    begin = max((state.days[0] for state in states if state.days and state.earlier_days), default=0)
    unknown = min(bisect_left(one.days, begin), max(len(one.days) - DAYS_KEPT, 0))
    one.days, one.earlier_days = one.days[unknown:], one.earlier_days + unknown


def _add_gone(one: Purchases, states: Sequence[Purchases], half_lives: Sequence[int]) -> None:
    """Add what each state still counts of orders that are gone."""
    for state in states:
        standing = standing_orders(state)
        count = state.count - len(standing)
        net_minor = state.net_minor
        for record in standing:
            net_minor -= record.net_minor
        one.count += count
        one.net_minor += net_minor
        if not count:
            # For most customers all orders are known.
            continue
        rest = Purchases()
        rest.as_of_ms = state.as_of_ms
        rest.decayed_orders = list(state.decayed_orders)
        rest.decayed_net_minor = list(state.decayed_net_minor)
        for record in standing:
            shift_levels(rest, -1, -record.net_minor, record.at_ms, half_lives)
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

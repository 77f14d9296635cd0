"""The events of a loyalty account: orders, redemptions and adjustments, and what is dropped in
time.
"""

from bisect import insort
from collections.abc import Iterable, Sequence
from typing import Annotated, Final

from msgspec import Meta, Struct
from msgspec.structs import force_setattr

from config.parameters import Parameters
from config.topics import TRANSACTIONS
from models.customer.fingerprint import fingerprint
from models.customer.loyalty_account import GIVEN, OPEN, ORDER, Account, Debit, Lot, Loyalty, Sums
from models.customer.loyalty_level import NEVER_MS, LoyaltyParameters
from models.customer.order_news import EVENTS as ORDER_EVENTS
from models.customer.order_state import Order
from models.customer.purchase_state import WINDOW_MS_MAX
from models.customer.purchases import order_of_event
from models.customer.scene import Scene
from models.events.codes import code
from models.events.event import Event, EventType, Text

#: Beyond the bound, this fraction (one in so many) of the lots is dropped at a time.
_SHARE_LET_GO: Final = 8
REDEEMED, ADJUSTED = "Points Redeemed", "Points Adjusted"


class Redemption(Struct, frozen=True, omit_defaults=True, gc=False):
    """Points spent, without fractions. If it names an order, the points come back if that is
    cancelled.
    """

    redemption_id: Text | None = None
    points: Annotated[float, Meta(ge=0, le=1e9)] | None = None
    order_id: Text | None = None


class Adjustment(Struct, frozen=True, omit_defaults=True, gc=False):
    """Points given, or taken if negative. The reason is kept if it is a code."""

    points: Annotated[float, Meta(ge=-1e9, le=1e9)]
    reason: str | None = None

    def __post_init__(self) -> None:
        force_setattr(self, "reason", code(self.reason))


EVENTS = {
    REDEEMED: EventType(shape=Redemption),
    ADJUSTED: EventType(
        shape=Adjustment,
        topic=TRANSACTIONS,
        is_passive=True,
        code=lambda adjusted: adjusted.reason,
    ),
}


def record(state: Loyalty, event: Event, scene: Scene) -> None:
    """Add an event of an order, a redemption or an adjustment."""
    clock_ms, parameters = scene.context.clock_ms, scene.parameters
    if event.name in ORDER_EVENTS:
        order = scene.of(order_of_event)
        if order is not None:
            if order.placed_at_ms > state.settled_ms:
                _note_order(state, order)
            _follow(state, order, clock_ms - parameters.time.lateness)
    elif event.occurred_at_ms > state.settled_ms:
        if event.name == REDEEMED:
            _redeem(state, event)
        else:
            _adjust(state, event)
    settle(state, clock_ms, parameters)


def settle(state: Loyalty, clock_ms: int, parameters: Parameters) -> None:
    """Drop what can no longer change or matter, and the oldest lots and debits beyond the bounds.

    Beyond the bounds, late events of orders of that time no longer change points. Of too many lots,
    what is left of the oldest is added to the next, expires with that, and no longer counts for a
    level. Of too many debits, the oldest stay taken from their lots. A refund of an order of that
    time takes no points: only a lot of its own could tell whether the points left are the order's.
    """
    loyalty = parameters.of(LoyaltyParameters)
    lots, debits = state.lots, state.debits
    del state.cancelled[: -loyalty.debits]
    beyond_ms = -NEVER_MS
    lots_kept = loyalty.lots
    if len(lots) > lots_kept:
        # Many at once, because each time the account is computed anew, in a time that grows with
        # the lots.
        lots_kept -= lots_kept // _SHARE_LET_GO
        beyond_ms = lots[-lots_kept - 1].at_ms
    if len(debits) > loyalty.debits:
        beyond_ms = max(beyond_ms, debits[-loyalty.debits - 1].at_ms)
    if beyond_ms > -NEVER_MS:
        _settle_until(state, beyond_ms, parameters)
        while len(state.lots) > lots_kept:
            _hand_over(state)
        return
    until_ms = clock_ms - parameters.time.lateness - WINDOW_MS_MAX
    matters_ms = loyalty.pending + max(loyalty.expiry, loyalty.level_window + loyalty.level_grace)
    over_ms = until_ms - matters_ms
    if (lots and lots[0].at_ms <= over_ms) or (debits and debits[0].at_ms <= over_ms):
        # A redemption that was undone later is not over yet, nor is anything after it.
        back = [d.at_ms - 1 for d in debits if d.at_ms <= until_ms < d.returned_at_ms]
        _settle_until(state, min([until_ms, *back]), parameters)


def _settle_until(state: Loyalty, at_ms: int, parameters: Parameters) -> None:
    """Replace everything up to ``at_ms`` by the account of that time."""
    account = Account(state, parameters, at_ms)
    loyalty = account.loyalty
    kept = [lot for lot in state.lots if lot.at_ms > at_ms]
    for credit in account.credits:
        left = credit.left if credit.expires_ms > at_ms else 0
        lot = credit.lot._replace(points=credit.points, spent=credit.points - left)
        counts_until_ms = credit.active_ms + loyalty.level_window + loyalty.level_grace
        is_order = lot.source == ORDER
        if left or (is_order and counts_until_ms > at_ms):
            kept.append(lot)
        elif is_order:
            state.past_earned += lot.points
    state.lots = sorted(kept)
    state.debits = [debit for debit in state.debits if debit.at_ms > at_ms]
    state.past_debt, state.past_redeemed = account.debt, account.redeemed
    state.settled_ms = max(state.settled_ms, at_ms)
    state.account = None


def _hand_over(state: Loyalty) -> None:
    """Add what is left of the oldest lot to the next one."""
    oldest, following = state.lots[:2]
    spent = following.spent - (oldest.points - oldest.spent)
    state.lots[:2] = [following._replace(spent=spent)]
    if oldest.source == ORDER:
        state.past_earned += oldest.points


def _note_order(state: Loyalty, order: Order) -> None:
    """Set the order's lot by the order's present net; without any net there is no lot."""
    at_ms, net_minor = order.placed_at_ms, order.net_minor
    lot = _lot_of(state, order.id)
    if lot is None:
        if net_minor:
            _add_lot(state, Lot(at_ms, order.id, net_minor=net_minor))
        return
    # An order that `purchases` had dropped comes back as a new one: then the lot knows better.
    if at_ms > lot.at_ms or (at_ms, net_minor) == (lot.at_ms, lot.net_minor):
        return
    state.lots.remove(lot)
    if net_minor or lot.spent:
        insort(state.lots, lot._replace(at_ms=at_ms, net_minor=net_minor))
    state.account = None


def _lot_of(state: Loyalty, lot_id: int) -> Lot | None:
    account = state.account
    if account is None or lot_id in account.ids:
        for lot in state.lots:
            if lot.id == lot_id:
                return lot
    return None


def _add_lot(state: Loyalty, new: Lot) -> None:
    insort(state.lots, new)
    account = state.account
    if account is not None and not (state.lots[-1] is new and account.add_lot(new)):
        state.account = None


def _add_debit(state: Loyalty, new: Debit) -> None:
    """Add a debit. Of repeats the earlier one counts, of one moment the larger one."""
    debits = state.debits
    for debit in debits:
        if debit.id == new.id:
            if _precedence(debit) <= _precedence(new):
                return
            debits.remove(debit)
            state.account = None
            break
    insort(debits, new)
    account = state.account
    if account is not None:
        if not (debits[-1] is new and account.add_debit(new, len(debits) - 1)):
            state.account = None


def _precedence(debit: Debit) -> tuple[int, int, int]:
    return debit.at_ms, -debit.points, -debit.order


def _redeem(state: Loyalty, event: Event) -> None:
    said = event.properties
    new = Debit(
        event.occurred_at_ms,
        _redemption(event),
        int(said.points or 0),
        is_redemption=True,
        order=fingerprint(said.order_id) if said.order_id is not None else 0,
    )
    if new.points:
        _add_debit(state, _returned(new, state.cancelled))


def _redemption(event: Event) -> int:
    """The key of a redemption: its id, else the points, time and order."""
    said = event.properties
    if said.redemption_id is not None:
        return fingerprint(said.redemption_id)
    return fingerprint(f"{event.occurred_at_ms} {said.points} {said.order_id}")


def _adjust(state: Loyalty, event: Event) -> None:
    """Points given are a lot of their own; points taken are a debit."""
    at_ms, adjustment = event.occurred_at_ms, fingerprint(event.message_id)
    points = int(event.properties.points)
    if points < 0:
        _add_debit(state, Debit(at_ms, adjustment, -points))
    elif points and _lot_of(state, adjustment) is None:
        _add_lot(state, Lot(at_ms, adjustment, GIVEN, points=points))


def _follow(state: Loyalty, order: Order, settled_ms: int) -> None:
    """Give back the points spent on an order that is cancelled, and take them again if it is paid
    after all. An earlier redemption may still arrive, up to ``settled_ms``.
    """
    cancelled = [(at_ms, order.id) for at_ms in order.cancelled_ms()]
    known = [one for one in state.cancelled if one[1] != order.id]
    state.cancelled = sorted(one for one in (*known, *cancelled) if one[0] >= settled_ms)
    debits = [
        _returned(debit._replace(returned_at_ms=0), cancelled) if debit.order == order.id else debit
        for debit in state.debits
    ]
    if debits != state.debits:
        state.debits, state.account = debits, None


def follow_orders(state: Loyalty, orders: Iterable[Order], settled_ms: int) -> None:
    """Bring lots and debits up to date with these orders. A redemption before a cancellation may
    still arrive, up to ``settled_ms``.
    """
    earned = {lot.id for lot in state.lots if lot.source == ORDER and lot.points == OPEN}
    spent_on = {debit.order for debit in state.debits}
    for order in orders:
        if order.id in earned and order.placed_at_ms > state.settled_ms:
            _note_order(state, order)
        if order.id in spent_on:
            _follow(state, order, settled_ms)


def _undo(state: Loyalty, cancelled: Iterable[tuple[int, int]]) -> None:
    """Undo the redemptions of cancelled orders."""
    debits = [_returned(debit, cancelled) for debit in state.debits]
    if debits != state.debits:
        state.debits, state.account = debits, None


def _returned(debit: Debit, cancelled: Iterable[tuple[int, int]]) -> Debit:
    """The debit, undone by the first later cancellation of its order."""
    for at_ms, order in cancelled:
        if order == debit.order and at_ms >= debit.at_ms:
            debit = debit._replace(returned_at_ms=min(debit.returned_at_ms or at_ms, at_ms))
    return debit


def united(states: Sequence[Loyalty], parameters: Parameters) -> Loyalty:
    """One person's points: an order, a redemption or an adjustment that several ids have news of
    is one; of an order, the lowest net stands.

    What was told of each id stays told, so that the next word on the person sets the sums right.
    """
    one = Loyalty()
    lots: dict[int, Lot] = {}
    for state in states:
        for lot in state.lots:
            known = lots.get(lot.id)
            if known is None or _lot_precedence(lot) < _lot_precedence(known):
                lots[lot.id] = lot
        for debit in state.debits:
            _add_debit(one, debit)
        one.cancelled = sorted({*one.cancelled, *state.cancelled})
        one.settled_ms = max(one.settled_ms, state.settled_ms)
        one.past_debt += state.past_debt
        one.past_earned += state.past_earned
        one.past_redeemed += state.past_redeemed
        one.told = _added(one.told, state.told)
        one.told_at_ms = max(one.told_at_ms, state.told_at_ms)
        one.level, one.level_before = max(
            (one.level, one.level_before), (state.level, state.level_before)
        )
    one.lots = sorted(lots.values())
    _undo(one, one.cancelled)
    settle(one, 0, parameters)
    return one


def _added(one: Sums, other: Sums) -> Sums:
    members, active, pending, redeemed, earned = (
        mine + theirs for mine, theirs in zip(one, other, strict=True)
    )
    return members, active, pending, redeemed, earned


def _lot_precedence(lot: Lot) -> tuple[bool, int, int, int, int]:
    """Settled lots before others, then the lowest net, so that no refund is forgotten."""
    return lot.points == OPEN, lot.net_minor, lot.points, -lot.spent, lot.at_ms

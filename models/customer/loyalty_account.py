"""A loyalty account: the points that follow from the orders, redemptions and adjustments so far.

The balance is a function of all known events, whatever their order of arrival. While a row is in
memory, its account is cached beside the state: an event in order of time is added to it, and any
other event makes it be computed anew.
"""

from bisect import bisect_left, insort
from collections.abc import Iterable
from typing import Final, NamedTuple

import msgspec

from config.parameters import Parameters
from models.customer.loyalty_level import NEVER_MS, LoyaltyParameters, Standing
from models.money import minor_per_unit

#: No order earns more: sums of points must fit in 64 bits.
POINTS_MAX: Final = 10**12
#: Points of a unit of money are exact to a millionth, so that 1.15 times 100 is 115.
_MILLION: Final = 1_000_000
#: Stands for points that are computed from what the lot's order brings by now.
OPEN: Final = -1
#: Where a lot comes from: an order, an adjustment, or a redemption whose order was cancelled after
#: the lot that it took from had expired.
ORDER, GIVEN, RETURNED = 0, 1, 2


class Lot(NamedTuple):
    """Points that came together. ``net_minor`` is an order's; ``points`` are `OPEN` until settled,
    and ``spent`` is what was taken of them by then.
    """

    at_ms: int
    id: int
    source: int = ORDER
    net_minor: int = 0
    points: int = OPEN
    spent: int = 0


class Debit(NamedTuple):
    """Points taken: by a redemption, or by an adjustment. ``order``: the fingerprint of the order
    they were spent on, 0 for none; ``returned_at_ms``: when that was cancelled, 0 for never.
    """

    at_ms: int
    id: int
    points: int
    is_redemption: bool = False
    order: int = 0
    returned_at_ms: int = 0


#: Members, then points by what became of them.
Sums = tuple[int, int, int, int, int]


class Loyalty:
    """Lots and debits sorted by (time, id); ``cancelled``: (time, order) of late cancellations.

    Events up to ``settled_ms`` no longer count. Of the lots and debits that were dropped, the
    points owed, earned and redeemed are kept as totals. ``told``, ``level`` and ``level_before``
    (places in the list of levels) are what was last reported to the sums, as of ``told_at_ms``.
    ``account`` follows from all that; it is not stored, and None when it must be computed anew.
    """

    __slots__ = (
        "account",
        "cancelled",
        "debits",
        "level",
        "level_before",
        "lots",
        "past_debt",
        "past_earned",
        "past_redeemed",
        "settled_ms",
        "told",
        "told_at_ms",
    )

    def __init__(self) -> None:
        self.lots: list[Lot] = []
        self.debits: list[Debit] = []
        self.cancelled: list[tuple[int, int]] = []
        self.settled_ms = 0
        self.past_debt = self.past_earned = self.past_redeemed = 0
        self.told: Sums = (0, 0, 0, 0, 0)
        self.told_at_ms = self.level = self.level_before = 0
        self.account: Account | None = None

    @property
    def is_member(self) -> bool:
        """Whether points were ever earned, given or taken."""
        return bool(self.lots or self.debits or self.settled_ms)


#: The fields of the state that are stored, in this order.
_Stored = tuple[
    list[Lot], list[Debit], list[tuple[int, int]], int, int, int, int, Sums, int, int, int
]
_ENCODE = msgspec.msgpack.Encoder().encode
_DECODE = msgspec.msgpack.Decoder(_Stored).decode


def pack(state: Loyalty) -> bytes:
    """The state's stored bytes; the account is left out."""
    past = (state.settled_ms, state.past_debt, state.past_earned, state.past_redeemed)
    told = (state.told, state.told_at_ms, state.level, state.level_before)
    return _ENCODE((state.lots, state.debits, state.cancelled, *past, *told))


def unpack(content: bytes) -> Loyalty:
    """Read what `pack` wrote. Raises what msgspec raises for anything else."""
    state, stored = Loyalty(), _DECODE(content)
    state.lots, state.debits, state.cancelled = stored[:3]
    state.settled_ms, state.past_debt, state.past_earned, state.past_redeemed = stored[3:7]
    state.told, state.told_at_ms, state.level, state.level_before = stored[7:]
    return state


class Credit:
    """A lot in the account: the ``points`` it came with, and how many are ``left``. Of lots with
    equal expiry, the lower ``place`` is spent first.
    """

    __slots__ = ("active_ms", "expires_ms", "left", "lot", "place", "points")

    def __init__(self, lot: Lot, place: int, active_ms: int, expires_ms: int, points: int) -> None:
        self.lot = lot
        self.place = place
        self.active_ms = active_ms
        self.expires_ms = expires_ms
        self.points = points
        self.left = points - lot.spent


#: What happens at one moment, in this order: points begin, are taken, and come back.
_BEGIN, _TAKE, _GIVE_BACK = 0, 1, 2
#: The places of credits that come back are after those of all lots.
_BACK: Final = 1 << 32


class Account:
    """A customer's points at ``at_ms``, by everything known to have happened by then.

    ``active`` points can be spent, ``pending`` ones not yet; ``debt`` are points spent that were
    not, or are no longer, earned. ``earned`` and ``redeemed`` are totals of all time, as far as
    known now. ``to_spend``: (expiry, place, credit) of credits with active points left, the first
    to expire first; empty while there is debt. ``earned_at_ms``: when an order's points last became
    active.
    """

    __slots__ = (
        "_debts",
        "_is_one_rate",
        "_moves",
        "_pieces",
        "_rates",
        "_scale",
        "active",
        "at_ms",
        "credits",
        "debt",
        "earned",
        "earned_at_ms",
        "ids",
        "loyalty",
        "parameters",
        "pending",
        "redeemed",
        "standing",
        "to_spend",
    )

    def __init__(self, state: Loyalty, parameters: Parameters, at_ms: int) -> None:
        self.parameters = parameters
        self.loyalty = loyalty = parameters.of(LoyaltyParameters)
        self._rates = [
            round(loyalty.rate * times * _MILLION) for times in loyalty.level_multipliers
        ]
        self._is_one_rate = len(set(self._rates)) == 1
        self._scale = minor_per_unit(parameters.money.currency) * _MILLION
        self.standing = Standing(loyalty)
        self.credits: list[Credit] = []
        self.to_spend: list[tuple[int, int, Credit]] = []
        self.active = self.pending = self.earned_at_ms = 0
        self.debt, self.earned, self.redeemed = (
            state.past_debt,
            state.past_earned,
            state.past_redeemed,
        )
        #: [place of the debit, points owed], the oldest first.
        self._debts: list[list[int]] = [[-1, state.past_debt]] if state.past_debt else []
        #: By the place of a debit, the credits it took points from, with how many.
        self._pieces: dict[int, list[tuple[Credit, int]]] = {}
        #: What is yet to happen: (when, what, place, which).
        self._moves: list[tuple[int, int, int, Credit | Debit]] = []
        self.ids: set[int] = set()
        self._take_in(state.lots[: bisect_left(state.lots, (at_ms + 1,))])
        for place, debit in enumerate(state.debits):
            self._note(debit, place)
        self._moves.sort()
        self.at_ms = -NEVER_MS
        self.advance(at_ms)

    def add_lot(self, lot: Lot) -> bool:
        """Add the latest lot of all; False if it is too late to be added."""
        is_order = lot.source == ORDER
        active_ms = lot.at_ms + self.loyalty.pending if is_order else lot.at_ms
        if active_ms <= self.at_ms or not (self._is_one_rate or lot.at_ms >= self.at_ms):
            return False
        self._take_in([lot])
        self._moves.sort()
        return True

    def add_debit(self, debit: Debit, place: int) -> bool:
        """Add the latest debit of all; False if it is too late to be added."""
        if debit.at_ms <= self.at_ms:
            return False
        self._note(debit, place)
        self._moves.sort()
        return True

    def _note(self, debit: Debit, place: int) -> None:
        self._moves.append((debit.at_ms, _TAKE, place, debit))
        if debit.returned_at_ms:
            self._moves.append((debit.returned_at_ms, _GIVE_BACK, place, debit))

    def _take_in(self, lots: Iterable[Lot]) -> None:
        """Schedule the time at which each lot's points become active. An order's points are at the
        rate of the level that was held when it was placed.
        """
        loyalty, standing, moves = self.loyalty, self.standing, self._moves
        pending_ms, expiry_ms = loyalty.pending, loyalty.expiry
        rate, scale, is_one_rate = self._rates[0], self._scale, self._is_one_rate
        for lot in lots:
            at_ms, lot_id, source, net_minor, points, spent = lot
            lasts_ms = loyalty.returned if source == RETURNED else expiry_ms
            active_ms = at_ms
            if source == ORDER:
                active_ms += pending_ms
                if points == OPEN:
                    if not is_one_rate:
                        standing.advance(at_ms)
                        rate = self._rates[standing.held(at_ms)]
                    points = min(net_minor * rate // scale, POINTS_MAX)
                standing.add(active_ms, points)
            place = len(self.credits)
            credit = Credit(lot, place, active_ms, active_ms + lasts_ms, points)
            self.credits.append(credit)
            moves.append((active_ms, _BEGIN, place, credit))
            self.ids.add(lot_id)
            self.pending += points - spent

    def advance(self, at_ms: int) -> None:
        """Apply everything that happens by ``at_ms``, in the order of time."""
        done = 0
        for move_ms, kind, place, one in self._moves:
            if move_ms > at_ms:
                break
            done += 1
            if self.to_spend and self.to_spend[0][0] <= move_ms:
                self._expire(move_ms)
            if isinstance(one, Credit):
                self._begin(one)
            elif kind == _TAKE:
                self._take(one, place)
            else:
                self._give_back(one, place)
        del self._moves[:done]
        self._expire(at_ms)
        self.standing.advance(at_ms)
        self.at_ms = at_ms

    def _expire(self, at_ms: int) -> None:
        to_spend = self.to_spend
        while to_spend and to_spend[0][0] <= at_ms:
            self.active -= to_spend[0][2].left
            del to_spend[0]

    def _begin(self, credit: Credit) -> None:
        self.pending -= credit.left
        self.active += credit.left
        if credit.lot.source == ORDER:
            self.earned += credit.points
            if credit.points:
                self.earned_at_ms = credit.active_ms
        self._offer(credit)

    def _offer(self, credit: Credit) -> None:
        """Pay debts from the credit; what is left can be spent from now on."""
        while credit.left and self._debts:
            debt = self._debts[0]
            points = min(debt[1], credit.left)
            credit.left -= points
            self.active -= points
            self.debt -= points
            self._pieces.setdefault(debt[0], []).append((credit, points))
            debt[1] -= points
            if not debt[1]:
                del self._debts[0]
        if credit.left:
            insort(self.to_spend, (credit.expires_ms, credit.place, credit))

    def _take(self, debit: Debit, place: int) -> None:
        """Take points from the credits that expire first; what is missing becomes debt."""
        wanted, pieces = debit.points, self._pieces.setdefault(place, [])
        self.redeemed += wanted if debit.is_redemption else 0
        while wanted and self.to_spend:
            credit = self.to_spend[0][2]
            points = min(wanted, credit.left)
            credit.left -= points
            self.active -= points
            wanted -= points
            pieces.append((credit, points))
            if not credit.left:
                del self.to_spend[0]
        if wanted:
            self._debts.append([place, wanted])
            self.debt += wanted

    def _give_back(self, debit: Debit, place: int) -> None:
        """Undo a redemption: its points return to their lots; where those have expired, they become
        a lot of their own.
        """
        self.redeemed -= debit.points
        for debt in self._debts:
            self.debt -= debt[1] if debt[0] == place else 0
        self._debts = [debt for debt in self._debts if debt[0] != place]
        at_ms, expired = debit.returned_at_ms, 0
        again: list[Credit] = []
        for credit, points in self._pieces.pop(place, []):
            if credit.expires_ms <= at_ms:
                expired += points
                continue
            if not credit.left:
                again.append(credit)
            credit.left += points
            self.active += points
        again.sort(key=lambda credit: credit.place)
        if expired:
            lot = Lot(at_ms, debit.id, RETURNED, points=expired)
            back = _BACK + len(self.credits)
            again.append(Credit(lot, back, at_ms, at_ms + self.loyalty.returned, expired))
            self.credits.append(again[-1])
            self.active += expired
        for credit in again:
            self._offer(credit)

    def expiring(self) -> int:
        """The active points that are about to expire."""
        points, until_ms = 0, self.at_ms + self.loyalty.expiring
        for expires_ms, _, credit in self.to_spend:
            if expires_ms > until_ms:
                break
            points += credit.left
        return points

    def begins_expiring(self) -> bool:
        """Whether at least ``expiring_least`` points are about to expire, some of them as of just
        now.
        """
        at_ms, loyalty = self.at_ms + self.loyalty.expiring, self.loyalty
        place = bisect_left(self.to_spend, (at_ms,))
        if place == len(self.to_spend) or self.to_spend[place][0] != at_ms:
            return False
        return self.expiring() >= loyalty.expiring_least

    def next_ms(self) -> int:
        """When time alone next changes something: points become active, are about to expire or
        expire, or a level falls; `NEVER_MS` for never.
        """
        next_ms = min(self.standing.falls_at_ms(self.at_ms), self._begins_expiring_at_ms())
        if self.to_spend:
            next_ms = min(next_ms, self.to_spend[0][0])
        for move_ms, _, _, one in self._moves:
            if isinstance(one, Credit) and one.points:
                return min(next_ms, move_ms)
        return next_ms

    def _begins_expiring_at_ms(self) -> int:
        """When at least ``expiring_least`` of the points that are active now will next be about to
        expire; `NEVER_MS` for never.
        """
        to_spend, within_ms = self.to_spend, self.loyalty.expiring
        least, soon_ms = self.loyalty.expiring_least, self.at_ms + within_ms
        together = first = 0
        for expires_ms, _, credit in to_spend:
            together += credit.left
            while to_spend[first][0] <= expires_ms - within_ms:
                together -= to_spend[first][2].left
                first += 1
            if together >= least and expires_ms > soon_ms:
                return expires_ms - within_ms
        return NEVER_MS


def current(state: Loyalty, parameters: Parameters, at_ms: int) -> Account:
    """The cached account, brought to ``at_ms``."""
    account = state.account
    is_ahead = bool(state.lots) and state.lots[-1].at_ms > at_ms
    if account is None or is_ahead or account.at_ms > at_ms or account.parameters is not parameters:
        account = Account(state, parameters, at_ms)
        # An account without the lots after its time is not cached.
        state.account = None if is_ahead else account
    elif account.at_ms < at_ms:
        account.advance(at_ms)
    return account

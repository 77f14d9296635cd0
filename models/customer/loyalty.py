"""Loyalty points: what orders earn, what is redeemed of it, and the level that comes of it.

Points follow from the orders, redemptions and adjustments that are known, so any order of arrival
gives one balance. The account that they make is kept beside them while a row is in memory: news in
order of time is added to it, and any other news has it worked out anew. Of ids that turn out to be
one person, an order that one id placed and another had refunded earns too much until its next news.
"""

from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from math import ceil, nan
from typing import Annotated, Final, NamedTuple

import msgspec
from msgspec import Meta, Struct
from msgspec.structs import force_setattr

from config.duration import DurationMs
from config.limits import NOT_EMPTY, NotNegative, PositiveInt, PositiveMs, Share
from config.parameters import Parameters, Section
from config.topics import TRANSACTIONS
from models.customer.fingerprint import fingerprint
from models.customer.orders import EVENTS as ORDER_EVENTS
from models.customer.orders import Order
from models.customer.part import Fact, Line, Part, ProfileSection, Timer, Told
from models.customer.purchases import WINDOW_MS_MAX, order_of_event
from models.customer.scene import Scene
from models.customer.words import counted, moment_in_words
from models.events.codes import code
from models.events.event import Event, EventType, Text
from models.events.times import iso_or_none
from models.learning.lessons import Tally
from models.learning.tallies import NO_DAY
from models.measures import Measure, Sample
from models.money import minor_per_unit

REDEEMED, ADJUSTED = "Points Redeemed", "Points Adjusted"
POINTS_EARNED, POINTS_EXPIRING = "points-earned", "points-expiring"
LEVEL_NEAR, LEVEL_CHANGED = "level-near", "level-changed"
_NAME, _DUE = "loyalty", "loyalty"
#: No order earns more: sums of points must fit in 64 bits.
POINTS_MAX: Final = 10**12
#: Points of a unit of money are exact to a millionth, so that 1.15 times 100 is 115.
_MILLION: Final = 1_000_000
_RATE_MAX: Final = 1_000
NEVER_MS: Final = 1 << 62
#: The points of a lot that follow from what its order brings by now.
OPEN: Final = -1
#: Where a lot comes from: an order, an adjustment, or a redemption whose order was cancelled after
#: the lot that it took from had expired.
ORDER, GIVEN, RETURNED = 0, 1, 2


class LoyaltyParameters(Section, frozen=True):
    """What points are earned at, how long they last, and the levels from the lowest up."""

    section = "loyalty"

    enabled: bool
    rate: NotNegative
    pending: DurationMs
    expiry: PositiveMs
    returned: PositiveMs
    expiring: PositiveMs
    expiring_least: PositiveInt
    levels: Annotated[tuple[str, ...], NOT_EMPTY]
    level_points: tuple[int, ...]
    level_multipliers: tuple[NotNegative, ...]
    level_window: PositiveMs
    level_grace: DurationMs
    level_near: Share
    point_value: NotNegative
    lots: PositiveInt
    debits: PositiveInt

    def problems(self) -> Iterator[str]:
        """The lowest level is everybody's, and each asks for more than the one before."""
        points = self.level_points
        if points[:1] != (0,) or tuple(sorted(set(points))) != points:
            yield "loyalty.level_points must ascend, from 0"
        if not len(self.levels) == len(points) == len(self.level_multipliers):
            yield "loyalty.levels, level_points and level_multipliers are lists of one length"
        if any(self.rate * multiplier > _RATE_MAX for multiplier in self.level_multipliers):
            yield f"loyalty.rate times a multiplier is {_RATE_MAX} at most"


class Redemption(Struct, frozen=True, omit_defaults=True, gc=False):
    """Points spent, of which fractions don't count; on an order, if it names one: should that be
    cancelled, they come back.
    """

    redemption_id: Text | None = None
    points: Annotated[float, Meta(ge=0, le=1e9)] | None = None
    order_id: Text | None = None


class Adjustment(Struct, frozen=True, omit_defaults=True, gc=False):
    """Points given, or taken if negative, for a reason that travels if it is a code."""

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


#: What is told of all customers: members, then points.
_KEYS = ("members", "active", "pending", "redeemed", "earned")
Sums = tuple[int, int, int, int, int]
_FOR_EVER = 0


class Loyalty:
    """Lots and debits sorted by (time, id); ``cancelled``: (time, order) of late cancellations.

    News of up to ``settled_ms`` no longer counts. Of what was let go of, the points that are owed,
    were earned and were redeemed are left. ``told``, ``level`` and ``level_before`` (places in the
    list of levels) are what was last told, as of ``told_at_ms``. ``account`` is what follows from
    all that; it is not stored, and None when it must be worked out anew.
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


#: What is stored of the state, in this order.
_Stored = tuple[
    list[Lot], list[Debit], list[tuple[int, int]], int, int, int, int, Sums, int, int, int
]
_ENCODE = msgspec.msgpack.Encoder().encode
_DECODE = msgspec.msgpack.Decoder(_Stored).decode


def _pack(state: Loyalty) -> bytes:
    past = (state.settled_ms, state.past_debt, state.past_earned, state.past_redeemed)
    told = (state.told, state.told_at_ms, state.level, state.level_before)
    return _ENCODE((state.lots, state.debits, state.cancelled, *past, *told))


def _unpack(content: bytes) -> Loyalty:
    state, stored = Loyalty(), _DECODE(content)
    state.lots, state.debits, state.cancelled = stored[:3]
    state.settled_ms, state.past_debt, state.past_earned, state.past_redeemed = stored[3:7]
    state.told, state.told_at_ms, state.level, state.level_before = stored[7:]
    return state


class Standing:
    """The level by points earned within the window, followed through time.

    A level is held until the grace has gone by since its points were last there. ``earned`` are
    the points that count, ``reached`` is the place of the level that they are enough for, and
    ``near_ms`` is when points last brought the level above near.
    """

    __slots__ = (
        "_bounds",
        "_ceiling",
        "_ended_ms",
        "_entered",
        "_floor",
        "_grace_ms",
        "_left",
        "_marks",
        "_steps",
        "_times",
        "_totals",
        "_window_ms",
        "earned",
        "near_ms",
        "reached",
    )

    def __init__(self, loyalty: LoyaltyParameters) -> None:
        self._window_ms, self._grace_ms = loyalty.level_window, loyalty.level_grace
        self._steps = steps = loyalty.level_points
        share = loyalty.level_near
        #: From how many points on each level is near, seen from the one below.
        self._marks = [0]
        self._marks += [ceil(up - share * (up - low)) for low, up in pairwise(steps)]
        #: Between two of these, points change nothing.
        self._bounds = sorted({*steps, *self._marks})
        self._floor, self._ceiling = 0, [*self._bounds, NEVER_MS][1]
        #: When points begin to count, and how many have come before each.
        self._times: list[int] = []
        self._totals = [0]
        self._entered = self._left = 0
        self._ended_ms = [-NEVER_MS] * len(steps)
        self.earned = self.reached = self.near_ms = 0

    def add(self, active_ms: int, points: int) -> None:
        """Points that count from ``active_ms`` on, which is not before that of those before."""
        self._times.append(active_ms)
        self._totals.append(self._totals[-1] + points)

    def advance(self, at_ms: int) -> None:
        """Count what had come, and had not gone by again, at ``at_ms``."""
        times, totals, window_ms = self._times, self._totals, self._window_ms
        entered, left, before = self._entered, self._left, self.earned
        while True:
            enter_ms = times[entered] if entered < len(times) else NEVER_MS
            leave_ms = times[left] + window_ms if left < entered else NEVER_MS
            next_ms = min(enter_ms, leave_ms)
            if next_ms > at_ms:
                break
            if enter_ms <= leave_ms:
                entered += 1
            else:
                left += 1
            self.earned = earned = totals[entered] - totals[left]
            if not self._floor <= earned < self._ceiling:
                self._cross(next_ms, before)
            before = earned
        self._entered, self._left = entered, left

    def _cross(self, at_ms: int, before: int) -> None:
        """The points have come over a bound, or fallen below one."""
        earned, steps = self.earned, self._steps
        reached = bisect_right(steps, earned) - 1
        for level in range(reached + 1, self.reached + 1):
            self._ended_ms[level] = at_ms
        self.reached = reached
        above = self.held(at_ms) + 1
        if above < len(steps) and before < self._marks[above] <= earned:
            self.near_ms = at_ms
        place = bisect_right(self._bounds, earned)
        self._floor = self._bounds[place - 1]
        self._ceiling = self._bounds[place] if place < len(self._bounds) else NEVER_MS

    def held(self, at_ms: int) -> int:
        """The place of the level that is held at ``at_ms``, up to where it was followed."""
        for level in range(len(self._steps) - 1, self.reached, -1):
            if at_ms < self._ended_ms[level] + self._grace_ms:
                return level
        return self.reached

    def gap(self, at_ms: int) -> int:
        """Points until the level above the one that is held; 0 for the highest."""
        above = self.held(at_ms) + 1
        return self._steps[above] - self.earned if above < len(self._steps) else 0

    def falls_at_ms(self, at_ms: int) -> int:
        """When the level that is held falls if no points come; `NEVER_MS` for the lowest."""
        held = self.held(at_ms)
        if held > self.reached:
            return self._ended_ms[held] + self._grace_ms
        if not held:
            return NEVER_MS
        # The first of the points whose going leaves too few.
        too_many = self._totals[self._entered] - self._steps[held]
        last = bisect_right(self._totals, too_many, self._left) - 1
        return self._times[last] + self._window_ms + self._grace_ms


class Credit:
    """A lot in the account: ``points`` it came with, and how many are ``left``; those of equal
    expiry are spent in the order of ``place``.
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
    """What a customer has of points at ``at_ms``, by all that is known to have come by then.

    ``active`` points can be spent, ``pending`` ones not yet; ``debt`` is what was spent and is not,
    or no longer, earned. ``earned`` and ``redeemed`` are those that ever were, as far as known now.
    ``to_spend``: (expiry, place, credit) of what active points are left of, the first to expire
    first; where there is debt there are none. ``earned_at_ms``: when an order's last became active.
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
        #: By the place of a debit, what was taken of which credit.
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
        """Add the latest lot of all; False if it comes too late for that."""
        is_order = lot.source == ORDER
        active_ms = lot.at_ms + self.loyalty.pending if is_order else lot.at_ms
        if active_ms <= self.at_ms or not (self._is_one_rate or lot.at_ms >= self.at_ms):
            return False
        self._take_in([lot])
        self._moves.sort()
        return True

    def add_debit(self, debit: Debit, place: int) -> bool:
        """Add the latest debit of all; False if it comes too late for that."""
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
        """Have the points of lots begin when they become active: an order's at the rate of the
        level that was held when it was placed.
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
        """Let all happen that comes by ``at_ms``, in the order of time."""
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
        """Have the credit pay what is owed, and spend what is left from now on."""
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
        """Take points from what expires first; what is not there is owed."""
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
        """Undo a redemption: its points go back to their lots, and are a lot of their own where
        those have expired.
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
        """The points to spend that are about to expire."""
        points, until_ms = 0, self.at_ms + self.loyalty.expiring
        for expires_ms, _, credit in self.to_spend:
            if expires_ms > until_ms:
                break
            points += credit.left
        return points

    def begins_expiring(self) -> bool:
        """Whether so many points are about to expire that it is worth a word, some just now."""
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
        """When next so many of those that are active now will be about to expire that it is worth
        a word; `NEVER_MS` for never.
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


def _current(state: Loyalty, parameters: Parameters, at_ms: int) -> Account:
    """The account that is kept, brought to ``at_ms``."""
    account = state.account
    is_ahead = bool(state.lots) and state.lots[-1].at_ms > at_ms
    if account is None or is_ahead or account.at_ms > at_ms or account.parameters is not parameters:
        account = Account(state, parameters, at_ms)
        # An account has no lots that come after it.
        state.account = None if is_ahead else account
    elif account.at_ms < at_ms:
        account.advance(at_ms)
    return account


def settle(state: Loyalty, clock_ms: int, parameters: Parameters) -> None:
    """Let go of what can no longer change or matter, and of the oldest beyond the bounds.

    Beyond them news of orders up to then no longer changes points. Of too many lots, what is left
    of the oldest goes over to the next, to expire with that, and no longer counts for a level; of
    too many debits, the oldest stay taken from the lots that they were taken from.
    """
    loyalty = parameters.of(LoyaltyParameters)
    lots, debits = state.lots, state.debits
    del state.cancelled[: -loyalty.debits]
    beyond_ms = -NEVER_MS
    if len(lots) > loyalty.lots:
        beyond_ms = lots[-loyalty.lots - 1].at_ms
    if len(debits) > loyalty.debits:
        beyond_ms = max(beyond_ms, debits[-loyalty.debits - 1].at_ms)
    if beyond_ms > -NEVER_MS:
        _settle_until(state, beyond_ms, parameters)
        while len(state.lots) > loyalty.lots:
            _hand_over(state)
        return
    until_ms = clock_ms - parameters.time.lateness - WINDOW_MS_MAX
    matters_ms = loyalty.pending + max(loyalty.expiry, loyalty.level_window + loyalty.level_grace)
    over_ms = until_ms - matters_ms
    if (lots and lots[0].at_ms <= over_ms) or (debits and debits[0].at_ms <= over_ms):
        # A redemption that came back since then is not over yet, nor is what came after it.
        back = [d.at_ms - 1 for d in debits if d.at_ms <= until_ms < d.returned_at_ms]
        _settle_until(state, min([until_ms, *back]), parameters)


def _settle_until(state: Loyalty, at_ms: int, parameters: Parameters) -> None:
    """Have the account of ``at_ms`` stand for all that led to it."""
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
    """Add what is left of the oldest lot to the next."""
    oldest, following = state.lots[:2]
    spent = following.spent - (oldest.points - oldest.spent)
    state.lots[:2] = [following._replace(spent=spent)]
    if oldest.source == ORDER:
        state.past_earned += oldest.points


def _record(state: Loyalty, event: Event, scene: Scene) -> None:
    """Take in an order's news, a redemption or an adjustment."""
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
    _tell(state, scene)


def _note_order(state: Loyalty, order: Order) -> None:
    """An order's lot is what the order brings by now; without a cent there is none."""
    at_ms, net_minor = order.placed_at_ms, order.net_minor
    lot = _lot_of(state, order.id)
    if lot is None:
        if net_minor:
            _add_lot(state, Lot(at_ms, order.id, net_minor=net_minor))
        return
    # An order that purchases had let go of comes back as a new one: the lot knows better.
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
    """Note a debit. Told twice, the earlier word counts, and of one moment the larger."""
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
    """What tells a redemption from others: its id, else what was spent when, on which order."""
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
    """Give back what was spent on an order that is cancelled, and take it again should it be paid
    after all; a redemption of before may still be on its way, up to ``settled_ms``.
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


def _undo(state: Loyalty, cancelled: Iterable[tuple[int, int]]) -> None:
    """Have redemptions come back with the orders they were made on."""
    debits = [_returned(debit, cancelled) for debit in state.debits]
    if debits != state.debits:
        state.debits, state.account = debits, None


def _returned(debit: Debit, cancelled: Iterable[tuple[int, int]]) -> Debit:
    """The debit, undone by the first cancellation of its order after it."""
    for at_ms, order in cancelled:
        if order == debit.order and at_ms >= debit.at_ms:
            debit = debit._replace(returned_at_ms=min(debit.returned_at_ms or at_ms, at_ms))
    return debit


def _tell(state: Loyalty, scene: Scene) -> None:
    """Tell what has changed, raise the moments of this time, and wait for the next change that time
    alone brings.
    """
    # What was told is as of a later moment where this event is late: it is told anew as of then.
    now_ms, is_news = max(scene.at_ms, state.told_at_ms), scene.at_ms > state.told_at_ms
    account = _current(state, scene.parameters, now_ms)
    _tell_sums(state, account, scene)
    if is_news:
        # What began while the part was off is old.
        if account.earned_at_ms == now_ms:
            scene.raise_moment(POINTS_EARNED)
        if account.begins_expiring():
            scene.raise_moment(POINTS_EXPIRING)
        if account.standing.near_ms == now_ms:
            scene.raise_moment(LEVEL_NEAR)
    level = account.standing.held(now_ms)
    if level != state.level:
        state.level_before, state.level = state.level, level
        scene.raise_moment(LEVEL_CHANGED)
    state.told_at_ms = now_ms
    next_ms = account.next_ms()
    scene.row.set_due(_DUE, next_ms if next_ms < NEVER_MS else 0)


def _tell_sums(state: Loyalty, account: Account, scene: Scene) -> None:
    """What there is now less what was told: the sums of all customers stay exact."""
    is_member, told = int(state.is_member), state.told
    now: Sums = (is_member, account.active, account.pending, account.redeemed, account.earned)
    if now != told:
        changes = zip(_KEYS, told, now, strict=True)
        sums = tuple((key, NO_DAY, new - old) for key, old, new in changes if new != old)
        scene.teach(Tally(scene.at_ms, _NAME, _FOR_EVER, sums))
        state.told = now


def _wake(scene: Scene) -> None:
    _tell(scene.row.edit(LOYALTY), scene)


def _reunited(scene: Scene, before: Loyalty, other: Loyalty, sign: int) -> None:
    """What was told of an id comes and goes with it, and the rest is told now."""
    state, told = scene.row.edit(LOYALTY), zip(before.told, other.told, strict=True)
    is_member, active, pending, redeemed, earned = (mine + sign * its for mine, its in told)
    state.told = is_member, active, pending, redeemed, earned
    state.account = None
    _tell(state, scene)


def _united(states: Sequence[Loyalty], parameters: Parameters) -> Loyalty:
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


def loyalty_account(scene: Scene) -> Account:
    """The customer's points as of this moment; read only."""
    state, parameters = scene.row.read(LOYALTY), scene.parameters
    account = state.account
    if account is not None and account.at_ms == scene.at_ms and account.parameters is parameters:
        return account
    return Account(state, parameters, scene.at_ms)


def _points(scene: Scene) -> int:
    account = scene.of(loyalty_account)
    return account.active - account.debt


def _expiring(scene: Scene) -> int:
    return scene.of(loyalty_account).expiring()


def _level_name(scene: Scene, level: int) -> str:
    names = scene.parameters.of(LoyaltyParameters).levels
    # A shop may have taken levels away since it was told.
    return names[min(level, len(names) - 1)]


def _level(scene: Scene) -> str:
    return _level_name(scene, scene.of(loyalty_account).standing.held(scene.at_ms))


def _gap(scene: Scene) -> int:
    return scene.of(loyalty_account).standing.gap(scene.at_ms)


def _is_member(scene: Scene) -> bool:
    return scene.row.read(LOYALTY).is_member


def _number(read: Callable[[Scene], int]) -> Callable[[Scene], float]:
    return lambda scene: float(read(scene)) if _is_member(scene) else nan


FACTS = {
    "points": Fact(
        _number(_points), "{:.0f} points", "points that can be spent; what is owed is negative"
    ),
    "points_pending": Fact(
        _number(lambda s: s.of(loyalty_account).pending),
        "{:.0f} on their way",
        "points of orders that may still be returned",
        least=0.0,
    ),
    "points_expiring": Fact(
        _number(_expiring),
        "{:.0f} points about to expire",
        "points that expire within loyalty.expiring",
        least=0.0,
    ),
    "points_debt": Fact(
        _number(lambda s: s.of(loyalty_account).debt),
        "{:.0f} points owed",
        "points that were spent, and whose order was then refunded",
        least=0.0,
    ),
    "level": Fact(
        lambda s: _level(s) if _is_member(s) else "",
        "level {}",
        "loyalty level, empty for somebody without points",
        str,
        values=lambda parameters: parameters.of(LoyaltyParameters).levels,
    ),
    "level_gap": Fact(
        lambda s: float(_gap(s)) if _is_member(s) and _gap(s) else nan,
        "{:.0f} points to the next level",
        "points until the next level, unknown at the highest",
        least=0.0,
    ),
    "level_before": Fact(
        lambda s: _level_name(s, s.row.read(LOYALTY).level_before) if _is_member(s) else "",
        "{} before",
        "the level that was held until now",
        str,
        moment=LEVEL_CHANGED,
        values=lambda parameters: parameters.of(LoyaltyParameters).levels,
    ),
}


class LoyaltyView(Struct, frozen=True, rename="camel"):
    """Points by what can be done with them; ``next_expiry_at`` is that of points that are left."""

    points: int
    pending: int
    expiring: int
    next_expiry_at: str | None
    debt: int
    redeemed: int
    level: str
    level_points: int
    level_gap: int | None


def _view(scene: Scene) -> LoyaltyView | None:
    if not _is_member(scene):
        return None
    account = scene.of(loyalty_account)
    return LoyaltyView(
        points=_points(scene),
        pending=account.pending,
        expiring=_expiring(scene),
        next_expiry_at=iso_or_none(account.to_spend[0][0] if account.to_spend else 0),
        debt=account.debt,
        redeemed=account.redeemed,
        level=_level(scene),
        level_points=account.standing.earned,
        level_gap=_gap(scene) or None,
    )


def _in_words(view: LoyaltyView, _as_of: str, _currency: str) -> Iterator[Line]:
    words = [f"owes {counted(view.debt, 'point')}" if view.debt else counted(view.points, "point")]
    if view.pending:
        words.append(f"{view.pending:,} on their way")
    if view.redeemed:
        words.append(f"{view.redeemed:,} redeemed so far")
    yield Line("loyalty", ", ".join(words))
    if view.expiring:
        first = moment_in_words(view.next_expiry_at)
        yield Line("expiring", f"{counted(view.expiring, 'point')}, the first {first}")
    gap = f", {view.level_gap:,} more to the next" if view.level_gap is not None else ""
    earned = f"{counted(view.level_points, 'point')} earned that count{gap}"
    yield Line("level", f"{view.level}: {earned}")


MEMBERS = Measure("keepstream_loyalty_members", "Customers who ever had points")
POINTS = Measure(
    "keepstream_loyalty_points",
    "Points that can be spent (active), or not yet (pending)",
    ("state",),
)
EARNED = Measure("keepstream_loyalty_points_earned", "Points that ever became active, net")
REDEEMED_SO_FAR = Measure(
    "keepstream_loyalty_points_redeemed", "Points ever redeemed and not given back"
)
LIABILITY = Measure(
    "keepstream_loyalty_liability",
    "What the active points are worth, in the shop's currency",
)


def _samples(sums: Mapping[str, int], parameters: Parameters) -> Iterator[Sample]:
    members, active, pending, redeemed, earned = (sums.get(key, 0) for key in _KEYS)
    yield Sample(MEMBERS, (), members)
    yield Sample(POINTS, ("active",), active)
    yield Sample(POINTS, ("pending",), pending)
    yield Sample(EARNED, (), earned)
    yield Sample(REDEEMED_SO_FAR, (), redeemed)
    yield Sample(LIABILITY, (), active * parameters.of(LoyaltyParameters).point_value)


LOYALTY: Part[Loyalty] = Part(
    name=_NAME,
    code="lo",
    about="Points that orders earn and redemptions spend, and the level that comes of them.",
    state=Loyalty,
    pack=_pack,
    unpack=_unpack,
    united=_united,
    reunited=_reunited,
    parameters=LoyaltyParameters,
    has_own_file=True,
    events=EVENTS,
    listens=frozenset({*EVENTS, *ORDER_EVENTS}),
    record=_record,
    timers=(Timer(_DUE, _wake),),
    moments={
        POINTS_EARNED: "an order's points can be spent from now on",
        POINTS_EXPIRING: "points worth a word are about to expire",
        LEVEL_NEAR: "not many points are missing to the next loyalty level",
        LEVEL_CHANGED: "the customer has reached a loyalty level, or lost one",
    },
    reads=(order_of_event,),
    facts=FACTS,
    sections=(ProfileSection(_NAME, LoyaltyView | None, _view, _in_words, place=450),),
    population=Told(
        keys=lambda _: _KEYS,
        window_days=lambda _: _FOR_EVER,
        measures=(MEMBERS, POINTS, EARNED, REDEEMED_SO_FAR, LIABILITY),
        samples=_samples,
    ),
)

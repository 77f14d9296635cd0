"""Loyalty points: earned by orders, redeemed, and the level that follows."""

from collections.abc import Callable, Iterator, Mapping
from math import nan
from typing import Final

from msgspec import Struct

from config.parameters import Parameters
from models.customer import loyalty_news
from models.customer.edges import first_after
from models.customer.loyalty_account import Account, Loyalty, Sums, current, pack, unpack
from models.customer.loyalty_level import NEVER_MS, LoyaltyParameters
from models.customer.loyalty_news import EVENTS
from models.customer.motion import steps
from models.customer.order_news import EVENTS as ORDER_EVENTS
from models.customer.part import Fact, Line, Part, ProfileSection, Timer, Told
from models.customer.purchases import order_of_event, purchases
from models.customer.scene import Scene
from models.customer.words import counted, moment_in_words
from models.events.event import Event
from models.events.times import iso_or_none
from models.learning.lessons import Tally
from models.learning.tallies import NO_DAY
from models.measures import Measure, Sample

POINTS_EARNED, POINTS_EXPIRING = "points-earned", "points-expiring"
LEVEL_NEAR, LEVEL_CHANGED = "level-near", "level-changed"
_NAME, _DUE = "loyalty", "loyalty"
#: The keys of the sums: members, then points.
_KEYS = ("members", "active", "pending", "redeemed", "earned")
_FOR_EVER: Final = 0


def _record(state: Loyalty, event: Event, scene: Scene) -> None:
    """Add an event of an order, a redemption or an adjustment, and report what follows."""
    loyalty_news.record(state, event, scene)
    _tell(state, scene)


def _tell(state: Loyalty, scene: Scene) -> None:
    """Report what has changed, raise the moments of this time, and wait for the next change by time
    alone.
    """
    # The last report is of a later moment if this event is late: then it is corrected as of that
    # moment.
    now_ms, is_news = max(scene.at_ms, state.told_at_ms), scene.at_ms > state.told_at_ms
    account = current(state, scene.parameters, now_ms)
    _tell_sums(state, account, scene)
    if is_news:
        # What began while the part was switched off is old.
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
    """Correct the sums by the difference to what was last reported, so that they stay exact."""
    is_member, told = int(state.is_member), state.told
    now: Sums = (is_member, account.active, account.pending, account.redeemed, account.earned)
    if now != told:
        changes = zip(_KEYS, told, now, strict=True)
        sums = tuple((key, NO_DAY, new - old) for key, old, new in changes if new != old)
        scene.teach(Tally(scene.at_ms, _NAME, _FOR_EVER, sums))
        state.told = now


def _wake(scene: Scene) -> None:
    _tell(scene.row.edit(LOYALTY), scene)


def _take_up(scene: Scene) -> None:
    """Update the orders that gave points; those that came meanwhile earn none."""
    if not scene.row.has(LOYALTY):
        return
    state = scene.row.edit(LOYALTY)
    settled_ms = scene.context.clock_ms - scene.parameters.time.lateness
    loyalty_news.follow_orders(state, scene.of(purchases).orders, settled_ms)
    _tell(state, scene)


def _reunited(scene: Scene, before: Loyalty, other: Loyalty, sign: int) -> None:
    """What was reported of an id comes and goes with it; the rest is reported now."""
    state, told = scene.row.edit(LOYALTY), zip(before.told, other.told, strict=True)
    is_member, active, pending, redeemed, earned = (mine + sign * its for mine, its in told)
    state.told = is_member, active, pending, redeemed, earned
    state.account = None
    if len(scene.row.ids) > 1:
        # One id may have placed an order whose refund came under another.
        settled_ms = scene.context.clock_ms - scene.parameters.time.lateness
        loyalty_news.follow_orders(state, scene.of(purchases).orders, settled_ms)
    _tell(state, scene)


def loyalty_account(scene: Scene) -> Account:
    """The customer's points at this moment; read only."""
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
    # A shop may have removed levels since the last report.
    return names[min(level, len(names) - 1)]


def _level(scene: Scene) -> str:
    return _level_name(scene, scene.of(loyalty_account).standing.held(scene.at_ms))


def _gap(scene: Scene) -> int:
    return scene.of(loyalty_account).standing.gap(scene.at_ms)


def _is_member(scene: Scene) -> bool:
    return scene.row.read(LOYALTY).is_member


def _number(read: Callable[[Scene], int]) -> Callable[[Scene], float]:
    return lambda scene: float(read(scene)) if _is_member(scene) else nan


def _edge(scene: Scene) -> int:
    """When points become active, are about to expire or expire, or no longer count for a level."""
    if not _is_member(scene):
        return 0
    account = scene.of(loyalty_account)
    within_ms = account.loyalty.expiring
    soon_ms = first_after(scene.at_ms, (lot[0] - within_ms for lot in account.to_spend))
    next_ms = min(account.next_ms(), account.standing.moves_at_ms(), soon_ms or NEVER_MS)
    return next_ms if next_ms < NEVER_MS else 0


#: All facts of points change only then.
_MOVES = steps(_edge)

FACTS = {
    "points": Fact(
        _number(_points),
        "{:.0f} points",
        "points that can be spent; what is owed is negative",
        moves=_MOVES,
    ),
    "points_pending": Fact(
        _number(lambda s: s.of(loyalty_account).pending),
        "{:.0f} on their way",
        "points of orders that may still be returned",
        least=0.0,
        whole=True,
        moves=_MOVES,
    ),
    "points_expiring": Fact(
        _number(_expiring),
        "{:.0f} points about to expire",
        "points that expire within loyalty.expiring",
        least=0.0,
        whole=True,
        moves=_MOVES,
    ),
    "points_debt": Fact(
        _number(lambda s: s.of(loyalty_account).debt),
        "{:.0f} points owed",
        "points that were spent, and whose order was then refunded",
        least=0.0,
        whole=True,
        moves=_MOVES,
    ),
    "level": Fact(
        lambda s: _level(s) if _is_member(s) else "",
        "level {}",
        "loyalty level, empty for somebody without points",
        str,
        values=lambda parameters: parameters.of(LoyaltyParameters).levels,
        moves=_MOVES,
    ),
    "level_gap": Fact(
        lambda s: float(_gap(s)) if _is_member(s) and _gap(s) else nan,
        "{:.0f} points to the next level",
        "points until the next level, unknown at the highest",
        least=0.0,
        whole=True,
        moves=_MOVES,
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
    """Points by what can be done with them; ``next_expiry_at`` is the next expiry of points that
    are left.
    """

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
    version=2,
    dense_since=2,
    state=Loyalty,
    pack=pack,
    unpack=unpack,
    united=loyalty_news.united,
    reunited=_reunited,
    parameters=LoyaltyParameters,
    has_own_file=True,
    events=EVENTS,
    listens=frozenset({*EVENTS, *ORDER_EVENTS}),
    record=_record,
    timers=(Timer(_DUE, _wake),),
    take_up=_take_up,
    moments={
        POINTS_EARNED: "an order's points can be spent from now on",
        POINTS_EXPIRING: "points worth a word are about to expire",
        LEVEL_NEAR: "not many points are missing to the next loyalty level",
        LEVEL_CHANGED: "the customer has reached a loyalty level, or lost one",
    },
    reads=(order_of_event, purchases),
    facts=FACTS,
    sections=(ProfileSection(_NAME, LoyaltyView | None, _view, _in_words, place=450, edge=_edge),),
    population=Told(
        keys=lambda _: _KEYS,
        window_days=lambda _: _FOR_EVER,
        measures=(MEMBERS, POINTS, EARNED, REDEEMED_SO_FAR, LIABILITY),
        samples=_samples,
    ),
)

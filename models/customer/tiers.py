"""Value tiers: VIP, potential and ordinary customers, by what they bring and are expected to bring.

A customer is ranked among all who are not lost: by how often they bought in a year, by the size of
their orders, by the number of the last 28 days on which they came, and by the spend expected of
them. The tier is computed when scores are made for good, at the end of a purchase day and at
check-ins, and `lifecycle.settle` after an order was given back or changed: a VIP who gives the
purchases back is none.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import StrEnum
from math import nan
from operator import gt, lt
from typing import Final

from msgspec import Struct, field, msgpack

from config.duration import DAY_MS
from config.parameters import Parameters
from models.customer.active_days import active_within
from models.customer.edges import of_timer
from models.customer.engagement import engagement
from models.customer.life_stages import (
    CustomerClass,
    LifecycleParameters,
    is_last_look,
    next_look_ms,
)
from models.customer.lifecycle import customer_class
from models.customer.motion import FOUND, since
from models.customer.order_news import CANCELLED, REFUNDED, UPDATED
from models.customer.part import Fact, Line, Part, ProfileSection, Sum, Timer, Told, is_joined
from models.customer.purchases import history, purchases, window_365d
from models.customer.row import State
from models.customer.scene import Context, Scene
from models.customer.scores import expected_spend_90d
from models.customer.words import how_long_before
from models.events.event import Event
from models.events.times import iso
from models.learning.tallies import NO_DAY
from models.learning.tiers import (
    ENDS,
    TIERS_NAME,
    Side,
    TierCuts,
    TierParameters,
    key_of,
)
from models.measures import Measure, Sample
from models.money import minor_per_unit

TIER_CHANGED: Final = "tier-changed"
_TAKEN_BACK: Final = "taken-back"
_ACTIVE_DAYS: Final = 28
_SIDES = tuple(Side)
#: The weights of the score, by `Side`; expected spend is not in it.
_WEIGHTS: Final = (0.4, 0.4, 0.2, 0.0)
#: The keys of bins in the sums over all customers, by side.
_BIN_KEYS = tuple(
    tuple(key_of(side, place) for place in range(len(ends) + 1)) for side, ends in ENDS.items()
)
#: The upper ends of the bins of each side. A value that is not known yet has no bin, and no rank.
_ENDS: Final = tuple(ENDS.values())
_NO_BIN: Final = -1
_UNKNOWN: Final = -1


class Tier(StrEnum):
    VIP = "vip"
    POTENTIAL = "potential"
    ORDINARY = "ordinary"


#: The place of each tier among them, and of none.
_PLACES: Final = {"": 0, Tier.ORDINARY: 1, Tier.POTENTIAL: 2, Tier.VIP: 3}


class TierCause(StrEnum):
    """What moved a customer to another tier. ``activity``: they bought or came more; ``silence``:
    they did less; ``others``: they are where they were, and the cut points have changed.
    """

    ACTIVITY = "activity"
    REFUND = "refund"
    SILENCE = "silence"
    OTHERS = "others"


class Tiered(State):
    """The ``tier`` at the last look, since when, and the one ``before`` it; "" for none.

    ``below_ms``: since when a VIP has had too low a score. ``percents``: the ranks then, by `Side`.
    ``bins`` and ``net_minor`` are this customer's share of the sums; ``orders`` those of the year
    before the look. ``cause`` is the `TierCause` of the latest change, ``below_cause`` that of a
    score too low for a VIP; "" for none.
    """

    tier: str = ""
    since_ms: int = 0
    before: str = ""
    below_ms: int = 0
    percents: list[int] = field(default_factory=list)
    bins: list[int] = field(default_factory=list)
    net_minor: int = 0
    cause: str = ""
    orders: int = 0
    below_cause: str = ""


class TierRanks(Struct, frozen=True, gc=False):
    """A customer's place among all: the bin of each `Side`, and the rank in percent, -1 where it is
    not known; the score, and the rank by ``expected`` spend, NaN before there is a model.
    """

    bins: list[int]
    percents: list[int]
    score: float
    expected: float
    orders: int
    net_minor: int


def _record(_state: Tiered, event: Event, scene: Scene) -> None:
    """Look at a customer with a refund once all news of the order have come."""
    due = scene.row.due(_TAKEN_BACK)
    settle_ms = scene.parameters.of(LifecycleParameters).settle
    scene.row.set_due(_TAKEN_BACK, next_look_ms(due, event.occurred_at_ms, settle_ms))


def _look(scene: Scene) -> None:
    """Compute the customer's tier at the end of a purchase day, or at a check-in."""
    _find(scene, is_taken_back=False)


def _take_back(scene: Scene) -> None:
    """Compute the customer's tier after something was given back."""
    _find(scene, is_taken_back=True)


def _find(scene: Scene, *, is_taken_back: bool) -> None:
    """Compute the customer's present tier, and report what changed."""
    state = scene.row.read(TIERS)
    if is_taken_back and not state.tier:
        # The first look is at the end of the day.
        return
    found = None if _is_gone(scene) else _standing(scene)
    if found is None and not state.tier and not state.bins:
        return
    state = scene.row.edit(TIERS)
    tier, bins, net_minor = state.tier, state.bins, state.net_minor
    if found is None:
        _move(state, "", TierCause.REFUND if is_taken_back else TierCause.SILENCE, scene)
        state.percents, state.bins, state.net_minor, state.orders = [], [], 0, 0
        state.below_ms, state.below_cause = 0, ""
    else:
        now = _tier(state, found, scene, has_grace=not is_taken_back)
        if state.below_ms and not state.below_cause:
            state.below_cause = str(_cause(state, found, scene))
        if now != state.tier:
            cause = TierCause.REFUND if is_taken_back else _cause(state, found, scene)
            _move(state, now, TierCause(state.below_cause or cause), scene)
        if now != Tier.VIP and state.below_ms:
            state.below_ms, state.below_cause = 0, ""
        state.percents = found.percents
        state.bins, state.net_minor, state.orders = found.bins, found.net_minor, found.orders
    if tier != state.tier:
        TIERS.tell_changes(scene, _sums_of(tier, bins, net_minor), _sums(state))
    elif bins != state.bins or net_minor != state.net_minor:
        TIERS.tell(scene, _moved(bins, state, state.net_minor - net_minor))


def _is_gone(scene: Scene) -> bool:
    """Whether the customer bought nothing, is lost, or has no further look before they buy."""
    if is_last_look(scene.of(purchases), scene.at_ms, scene.context.check_in_ms):
        return True
    return scene.of(customer_class) == CustomerClass.LOST


def _standing(scene: Scene) -> TierRanks | None:
    """The customer's place on each side, written without a loop because every check-in needs it."""
    orders, net_minor = scene.of(window_365d)
    if not orders or scene.of(history) is None:
        return None
    context, today = scene.context, scene.at_ms // DAY_MS
    typical_minor, expected_minor = context.settled(_typical_minor), scene.of(expected_spend_90d)
    by_frequency, by_order, by_activity, by_expected = context.of(_ranks)
    days = active_within(scene.of(engagement).active_days, today, _ACTIVE_DAYS)
    order = net_minor / orders / typical_minor
    of_frequency, of_order, of_activity, of_expected = _ENDS
    bins = [bisect_left(of_frequency, orders), bisect_left(of_order, order)]
    bins.append(bisect_left(of_activity, days))
    frequency, size = by_frequency(bins[0], orders), by_order(bins[1], order)
    activity = by_activity(bins[2], days)
    percents = [round(100 * frequency), round(100 * size), round(100 * activity)]
    # Rounded, so that a customer exactly on the cut is in.
    score = round(_WEIGHTS[0] * frequency + _WEIGHTS[1] * size + _WEIGHTS[2] * activity, 9)
    if expected_minor is None:
        # Not known before there is a model.
        bins.append(_NO_BIN)
        percents.append(_UNKNOWN)
        return TierRanks(bins, percents, score, nan, orders, net_minor)
    expected = expected_minor / typical_minor
    bins.append(bisect_left(of_expected, expected))
    rank = by_expected(bins[3], expected)
    percents.append(round(100 * rank))
    return TierRanks(bins, percents, score, rank, orders, net_minor)


def _typical_minor(context: Context) -> float:
    """A typical order of the shop, in minor units."""
    parameters = context.parameters
    return parameters.value.typical_order * minor_per_unit(parameters.money.currency)


#: The rank of a value that is in the bin at a place.
_RankOf = Callable[[int, float], float]


def _ranks(context: Context) -> list[_RankOf]:
    """How each side ranks a value."""
    cuts, parameters = context.snapshot.of(TierCuts), context.parameters
    section, typical = parameters.of(TierParameters), parameters.value.typical_order

    def rank_of(side: Side) -> _RankOf:
        spread = cuts.spread(side)
        if spread is not None:
            return spread.rank
        return lambda _place, value: section.rank(side, value, typical)

    return [rank_of(side) for side in _SIDES]


def _cause(state: Tiered, found: TierRanks, scene: Scene) -> TierCause:
    """What moves the customer, if this look moves them: up because they did more than at the last
    look, down because they did less, or because of other customers.
    """
    if not state.bins:
        return TierCause.ACTIVITY
    before = (state.orders, state.net_minor / max(state.orders, 1), *state.bins[2:])
    now = (found.orders, found.net_minor / found.orders, *found.bins[2:])
    if found.score > _score(state):
        return TierCause.ACTIVITY if any(map(gt, now, before)) else TierCause.OTHERS
    if not any(map(lt, now, before)):
        return TierCause.OTHERS
    bought_today = scene.of(purchases).last_at_ms // DAY_MS == scene.at_ms // DAY_MS
    return TierCause.ACTIVITY if bought_today else TierCause.SILENCE


def _tier(state: Tiered, found: TierRanks, scene: Scene, *, has_grace: bool) -> Tier:
    """The tier by the present ranks, for a customer in the tier of ``state``, in which this counts
    the time below a VIP's score. ``has_grace``: a VIP whose score falls stays one for a while.
    """
    section, at_ms = scene.parameters.of(TierParameters), scene.at_ms
    was_vip, is_frequent = state.tier == Tier.VIP, found.orders >= section.vip_orders
    is_enough = found.score >= (section.vip_until if was_vip else section.vip)
    if is_enough:
        state.below_ms, state.below_cause = 0, ""
    elif was_vip and not state.below_ms and has_grace:
        state.below_ms = at_ms
    is_in_grace = was_vip and at_ms - section.grace < state.below_ms
    if is_frequent and (is_enough or is_in_grace):
        return Tier.VIP
    is_in = state.tier == Tier.POTENTIAL
    limit = section.potential_until if is_in else section.potential
    return Tier.POTENTIAL if found.expected >= limit or found.score >= limit else Tier.ORDINARY


def _move(state: Tiered, tier: str, cause: TierCause, scene: Scene) -> None:
    if tier == state.tier:
        return
    if state.tier:
        scene.raise_moment(TIER_CHANGED)
    state.cause = str(cause)
    state.before, state.tier, state.since_ms = state.tier, str(tier), scene.at_ms


def _sums(state: Tiered) -> list[Sum]:
    """One customer's share of the sums."""
    return _sums_of(state.tier, state.bins, state.net_minor)


def _sums_of(tier: str, bins: Sequence[int], net_minor: int) -> list[Sum]:
    if not tier:
        return []
    sums: list[Sum] = [(f"tier:{tier}", NO_DAY, 1), (f"net:{tier}", NO_DAY, net_minor)]
    for keys, place in zip(_BIN_KEYS, bins, strict=True):
        if place != _NO_BIN:
            sums.append((keys[place], NO_DAY, 1))
    return sums


def _moved(before: Sequence[int], state: Tiered, more_minor: int) -> list[Sum]:
    """The change of the sums for a customer who stays in a tier, in the order of keys."""
    sums: list[Sum] = [(f"net:{state.tier}", NO_DAY, more_minor)] if more_minor else []
    for keys, was, place in zip(_BIN_KEYS, before, state.bins, strict=True):
        if was != place:
            sums += [(keys[was], NO_DAY, -1)] if was != _NO_BIN else ()
            sums += [(keys[place], NO_DAY, 1)] if place != _NO_BIN else ()
    sums.sort()
    return sums


def _reunited(scene: Scene, before: Tiered, other: Tiered, sign: int) -> None:
    if is_joined(scene, sign):
        # That ids are one person is no news of the customer: a VIP who once ordered without logging
        # in is none the less one.
        _go_on(scene.row.edit(TIERS), max(before, other, key=_place))
    TIERS.tell_anew(scene, before, other, sign, _sums)


def _united(states: Sequence[Tiered], _parameters: Parameters) -> Tiered:
    """One person's tier is the highest that an id was found to be in, until they are looked at as
    one.
    """
    one = Tiered()
    _go_on(one, max(states, key=_order, default=one))
    return one


def _go_on(state: Tiered, known: Tiered) -> None:
    state.tier, state.since_ms, state.before = known.tier, known.since_ms, known.before
    state.below_ms, state.below_cause, state.cause = known.below_ms, known.below_cause, known.cause
    state.percents, state.bins = list(known.percents), list(known.bins)
    state.net_minor, state.orders = known.net_minor, known.orders


def _place(state: Tiered) -> int:
    return _PLACES[state.tier]


def _order(state: Tiered) -> tuple[int, int, int, list[int]]:
    return _place(state), state.since_ms, state.net_minor, state.bins


def value_tier(scene: Scene) -> tuple[str, int]:
    """The tier at the last look, and since when; "" and 0 for none, and if the part is switched
    off.
    """
    state = scene.row.read(TIERS)
    is_known = state.tier and scene.parameters.of(TierParameters).enabled
    return (state.tier, state.since_ms) if is_known else ("", 0)


def _days(scene: Scene) -> float:
    since_ms = scene.row.read(TIERS).since_ms
    return max(scene.at_ms - since_ms, 0) / DAY_MS if since_ms else nan


def _since_ms(scene: Scene) -> int:
    return scene.row.read(TIERS).since_ms


def _score(state: Tiered) -> float:
    score = 0.0
    for weight, percent in zip(_WEIGHTS, state.percents, strict=True):
        score += weight * percent / 100 if weight else 0.0
    # Percents have no more digits: .56, and not .5599999999999999.
    return round(score, 3)


def _tier_score(scene: Scene) -> float:
    state = scene.row.read(TIERS)
    return _score(state) if state.percents else nan


def _ranked_by(side: Side) -> Callable[[Scene], float]:
    def rank(scene: Scene) -> float:
        percents = scene.row.read(TIERS).percents
        percent = percents[_SIDES.index(side)] if percents else -1
        return percent / 100 if percent >= 0 else nan

    return rank


def _rank_fact(side: Side, words: str, about: str) -> Fact:
    return Fact(
        _ranked_by(side),
        words,
        f"share of customers with as many {about} or fewer",
        least=0.0,
        most=1.0,
        moves=FOUND,
    )


FACTS = {
    "tier": Fact(
        lambda s: s.row.read(TIERS).tier,
        "{} by value",
        "vip, potential or ordinary; empty for somebody who has not bought, or is lost",
        str,
        values=lambda _: tuple(Tier),
        moves=FOUND,
    ),
    "tier_before": Fact(
        lambda s: s.row.read(TIERS).before,
        "{} before",
        "the tier before that one",
        str,
        values=lambda _: tuple(Tier),
        moves=FOUND,
    ),
    "tier_days": Fact(
        _days,
        "for {:.0f} days",
        "days since the tier last changed",
        least=0.0,
        moves=since(_since_ms, DAY_MS, found=()),
    ),
    "tier_cause": Fact(
        lambda s: s.row.read(TIERS).cause,
        "moved by {}",
        "what moved the customer to that tier: activity, silence, a refund, or others",
        str,
        values=lambda _: tuple(TierCause),
        moves=FOUND,
    ),
    "tier_score": Fact(
        _tier_score,
        "a value score of {:.2f}",
        "0 to 1: .4 by orders in a year, .4 by the average order, .2 by active days in four weeks",
        least=0.0,
        most=1.0,
        moves=FOUND,
    ),
    "tier_rank_frequency": _rank_fact(
        Side.FREQUENCY, "orders: as many as {:.0%} of customers, or more", "orders in a year"
    ),
    "tier_rank_order": Fact(
        _ranked_by(Side.AVERAGE_ORDER),
        "spend an order: as much as {:.0%} of customers, or more",
        "share of customers who spend as much an order, or less",
        least=0.0,
        most=1.0,
        moves=FOUND,
    ),
    "tier_rank_activity": _rank_fact(
        Side.ACTIVE_DAYS, "active days: as many as {:.0%} of customers, or more", "active days"
    ),
    "tier_rank_expected": Fact(
        _ranked_by(Side.EXPECTED),
        "expected spend: as much as {:.0%} of customers, or more",
        "share of customers of whom as much is expected in 90 days, or less",
        least=0.0,
        most=1.0,
        moves=FOUND,
    ),
}


class TierView(Struct, frozen=True, rename="camel"):
    """``ranks``: the shares of customers at or below this one, by side, at the last look."""

    tier: Tier
    since: str
    before: Tier | None
    score: float
    ranks: dict[str, float]


def _view(scene: Scene) -> TierView | None:
    """None before the first look, for lost customers, and if the part is switched off."""
    state = scene.row.read(TIERS)
    if not state.tier or not TIERS.is_on(scene.parameters):
        return None
    percents = zip(_SIDES, state.percents, strict=True)
    return TierView(
        Tier(state.tier),
        iso(state.since_ms),
        Tier(state.before) if state.before else None,
        _score(state),
        {str(side): percent / 100 for side, percent in percents if percent >= 0},
    )


def _in_words(view: TierView | None, as_of: str, _currency: str) -> Iterator[Line]:
    if view is None:
        return
    before = f", {view.before} before" if view.before else ""
    since = how_long_before(view.since, as_of)
    yield Line("value tier", f"{view.tier} (score {view.score:.2f}), since {since}{before}")


_CUSTOMERS = Measure("keepstream_customers_by_tier", "Customers by value tier", ("tier",))
_NET = Measure(
    "keepstream_net_by_tier",
    "Net revenue of a year in the shop's currency, by value tier, as of each customer's last look",
    ("tier",),
)


def _keys(_parameters: Parameters) -> list[str]:
    return [
        *(f"{what}:{tier}" for what in ("tier", "net") for tier in Tier),
        *(key for keys in _BIN_KEYS for key in keys),
    ]


def _samples(sums: Mapping[str, int], parameters: Parameters) -> Iterator[Sample]:
    unit = minor_per_unit(parameters.money.currency)
    for tier in Tier:
        yield Sample(_CUSTOMERS, (tier,), sums.get(f"tier:{tier}", 0))
        yield Sample(_NET, (tier,), sums.get(f"net:{tier}", 0) / unit)


TIERS: Part[Tiered] = Part(
    name=TIERS_NAME,
    code="ti",
    is_apart=True,
    about="Which value tier customers are in: VIP, potential or ordinary.",
    state=Tiered,
    version=2,
    # Version 1 had no causes at the end.
    older={1: msgpack.Decoder(Tiered).decode},
    united=_united,
    reunited=_reunited,
    parameters=TierParameters,
    has_own_file=True,
    listens=frozenset({REFUNDED, CANCELLED, UPDATED}),
    record=_record,
    timers=(Timer(_TAKEN_BACK, _take_back),),
    look=_look,
    take_up=_look,
    offers=(value_tier,),
    moments={TIER_CHANGED: "the customer is in another value tier than before, or in none"},
    reads=(customer_class, engagement, expected_spend_90d, history, purchases, window_365d),
    facts=FACTS,
    sections=(
        ProfileSection(
            "tier",
            TierView | None,
            _view,
            _in_words,
            place=125,
            edge=of_timer("decision"),
        ),
    ),
    population=Told(
        keys=_keys,
        window_days=lambda _parameters: 0,
        measures=(_CUSTOMERS, _NET),
        samples=_samples,
    ),
)

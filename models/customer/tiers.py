"""Value tiers: VIP, potential and ordinary customers, by what they bring and are expected to bring.

A customer is ranked among all who are not lost: by how often they bought in a year, by the size of
their orders, by the number of the last 28 days on which they came, and by the spend expected of
them. The tier is computed when scores are made for good, at the end of a purchase day and at
check-ins, and `lifecycle.settle` after an order was given back or changed: a VIP who gives the
purchases back is none.
"""

from collections.abc import Callable, Iterator
from math import nan
from operator import gt, lt
from typing import Final

from msgspec import Struct, msgpack

from config.duration import DAY_MS
from models.customer import tier_ranks
from models.customer.edges import of_timer
from models.customer.life_stages import (
    CustomerClass,
    LifecycleParameters,
    is_last_look,
    next_look_ms,
)
from models.customer.lifecycle import customer_class
from models.customer.motion import FOUND, since
from models.customer.order_news import CANCELLED, REFUNDED, UPDATED
from models.customer.part import Fact, Line, Part, ProfileSection, Timer, Told, is_joined
from models.customer.purchases import purchases
from models.customer.scene import Scene
from models.customer.tier_measures import MEASURES, keys, moved, samples, sums_of, sums_of_bins
from models.customer.tier_ranks import SIDES, TierRanks, ranked, score_of
from models.customer.tier_state import Tier, TierCause, Tiered, go_on, place, united
from models.customer.words import how_long_before
from models.events.event import Event
from models.events.times import iso
from models.learning.tiers import TIERS_NAME, Side, TierParameters

TIER_CHANGED: Final = "tier-changed"
_TAKEN_BACK: Final = "taken-back"


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
    found = None if _is_gone(scene) else ranked(scene)
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
        TIERS.tell_changes(scene, sums_of_bins(tier, bins, net_minor), sums_of(state))
    elif bins != state.bins or net_minor != state.net_minor:
        TIERS.tell(scene, moved(bins, state, state.net_minor - net_minor))


def _is_gone(scene: Scene) -> bool:
    """Whether the customer bought nothing, is lost, or has no further look before they buy."""
    if is_last_look(scene.of(purchases), scene.at_ms, scene.context.check_in_ms):
        return True
    return scene.of(customer_class) == CustomerClass.LOST


def _cause(state: Tiered, found: TierRanks, scene: Scene) -> TierCause:
    """What moves the customer, if this look moves them: up because they did more than at the last
    look, down because they did less, or because of other customers.
    """
    if not state.bins:
        return TierCause.ACTIVITY
    before = (state.orders, state.net_minor / max(state.orders, 1), *state.bins[2:])
    now = (found.orders, found.net_minor / found.orders, *found.bins[2:])
    if found.score > score_of(state.percents):
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


def _reunited(scene: Scene, before: Tiered, other: Tiered, sign: int) -> None:
    if is_joined(scene, sign):
        # That ids are one person is no news of the customer: a VIP who once ordered without logging
        # in is none the less one.
        go_on(scene.row.edit(TIERS), max(before, other, key=place))
    TIERS.tell_anew(scene, before, other, sign, sums_of)


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


def _tier_score(scene: Scene) -> float:
    state = scene.row.read(TIERS)
    return score_of(state.percents) if state.percents else nan


def _ranked_by(side: Side) -> Callable[[Scene], float]:
    def rank(scene: Scene) -> float:
        percents = scene.row.read(TIERS).percents
        percent = percents[SIDES.index(side)] if percents else -1
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
    percents = zip(SIDES, state.percents, strict=True)
    return TierView(
        Tier(state.tier),
        iso(state.since_ms),
        Tier(state.before) if state.before else None,
        score_of(state.percents),
        {str(side): percent / 100 for side, percent in percents if percent >= 0},
    )


def _in_words(view: TierView | None, as_of: str, _currency: str) -> Iterator[Line]:
    if view is None:
        return
    before = f", {view.before} before" if view.before else ""
    since = how_long_before(view.since, as_of)
    yield Line("value tier", f"{view.tier} (score {view.score:.2f}), since {since}{before}")


TIERS: Part[Tiered] = Part(
    name=TIERS_NAME,
    code="ti",
    is_apart=True,
    about="Which value tier customers are in: VIP, potential or ordinary.",
    state=Tiered,
    version=2,
    # Version 1 had no causes at the end.
    older={1: msgpack.Decoder(Tiered).decode},
    united=united,
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
    reads=(*tier_ranks.READS, customer_class, purchases),
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
        keys=keys,
        window_days=lambda _parameters: 0,
        measures=MEASURES,
        samples=samples,
    ),
)

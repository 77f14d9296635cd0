"""Customer class, and the stage of the lifecycle that is true now.

Both are computed at looks: `settle` after an event that may move them, when late events have come,
and at the millisecond at which time alone does: a class by silence, a stage by signs that fade. A
result holds until the next look. The highest stage ever reached is for the funnel alone.
"""

from collections.abc import Iterator
from copy import copy
from math import nan
from typing import Final, NamedTuple

from msgspec import Struct, msgpack

from config.duration import DAY_MS
from models.customer import winning
from models.customer.decay import added
from models.customer.edges import first_after, of_timer
from models.customer.engagement import engagement
from models.customer.evidence import Review
from models.customer.evidence_words import REVIEWED
from models.customer.identities import is_visitor
from models.customer.life_stages import (
    STAGES_UP_TO,
    Course,
    CustomerClass,
    LifecycleParameters,
    LifeStage,
    advocates_until_ms,
    considers_until_ms,
    loyal_until_ms,
    next_look_ms,
)
from models.customer.lifecycle_measures import (
    MEASURES,
    OTHER,
    SUMS_MAX,
    dwelt,
    keys,
    samples,
    standing,
    sums_of,
)
from models.customer.lifecycle_state import VISITORS, Lifecycle
from models.customer.lifecycle_union import go_on, united
from models.customer.margins import margin_share
from models.customer.motion import FOUND, since
from models.customer.order_news import CANCELLED, COMPLETED, REFUNDED, UPDATED
from models.customer.part import (
    EVERYTHING,
    Fact,
    Line,
    Part,
    ProfileSection,
    Sum,
    Timer,
    Told,
)
from models.customer.purchases import overdue_at, purchases
from models.customer.scene import Scene
from models.customer.scores import lifetime_worth
from models.customer.surveys import RESPONDED, Band, Survey
from models.customer.words import how_long_before
from models.events.event import Event
from models.events.times import iso
from models.learning.population import Population

CLASS_CHANGED: Final = "class-changed"
LIFECYCLE_CHANGED: Final = "lifecycle-changed"
_STAGE: Final = "stage"
_ORDERS = frozenset({COMPLETED, UPDATED, REFUNDED, CANCELLED})
_REFERRALS = frozenset({"Referral Sent", "Referral Converted"})
_WAS_LOST = frozenset({CustomerClass.LOST, CustomerClass.RETURNED})
_SHARES = frozenset({"Product Shared", "Cart Shared"})
#: Events that may be praise of the shop.
_PRAISES = _REFERRALS | {RESPONDED, REVIEWED}


def _record(state: Lifecycle, event: Event, scene: Scene) -> None:
    """Count the event's signs, and look soon if it may move the customer."""
    name, at_ms = event.name, event.occurred_at_ms
    if name in _ORDERS:
        _look_soon(scene, at_ms)
        return
    if event.kind.is_passive:
        return
    # What came before the first purchase may be heard of after the look that found it.
    is_before = not state.won_day or at_ms < (state.won_day + 1) * DAY_MS
    if event.channel and is_before and winning.note_touch(state, event.channel, at_ms, scene):
        _look_soon(scene, scene.row.latest_ms)
    section = scene.parameters.of(LifecycleParameters)
    if points := section.points.get(name):
        state.points = added(state.points, state.points_at_ms, points, at_ms, section.half_life)
        state.points_at_ms = max(state.points_at_ms, at_ms)
        if state.stage == LifeStage.AWARENESS:
            _look_soon(scene, at_ms)
    if name in _SHARES:
        state.shared_ms = sorted([*state.shared_ms, at_ms])[-section.shares :]
        _look_soon(scene, at_ms)
    elif name in _PRAISES and _is_praise(event, section):
        state.praised_ms = max(state.praised_ms, at_ms)
        _look_soon(scene, at_ms)
    elif not state.stage:
        _look_soon(scene, at_ms)
    elif _is_before_the_first(state, at_ms, scene):
        # A look any sooner would find what has yet to settle.
        _look_soon(scene, scene.row.latest_ms)


def _is_before_the_first(state: Lifecycle, at_ms: int, scene: Scene) -> bool:
    """Whether a late event may be the customer's first."""
    return at_ms < scene.row.latest_ms and at_ms // DAY_MS <= state.first_day


def _is_praise(event: Event, section: LifecycleParameters) -> bool:
    said = event.properties
    if isinstance(said, Survey):
        return said.band is Band.PROMOTER
    if isinstance(said, Review):
        return said.share is not None and said.share >= section.rated_well
    return event.name in _REFERRALS


def _look_soon(scene: Scene, at_ms: int) -> None:
    """Look once the event has settled, or earlier if a look is due before."""
    row = scene.row
    settle_ms = scene.parameters.of(LifecycleParameters).settle
    row.set_due(_STAGE, next_look_ms(row.due(_STAGE), at_ms, settle_ms))


def _move(scene: Scene) -> None:
    """Compute the present class and stage, and report what changed."""
    _find(scene, is_followed=True)


def _take_up(scene: Scene) -> None:
    """Find class and stage of customers with any event, and look again once that has settled."""
    if not _has_come(scene):
        return
    _find(scene, is_followed=False)
    settle_ms = scene.parameters.of(LifecycleParameters).settle
    if scene.row.latest_ms + settle_ms > scene.at_ms:
        _look_soon(scene, scene.row.latest_ms)


def _has_come(scene: Scene) -> bool:
    """Whether the customer did anything by which they have a class and a stage."""
    return bool(scene.of(engagement).first_at_ms or scene.of(purchases).first_at_ms)


def _find(scene: Scene, *, is_followed: bool) -> None:
    """Find class and stage. ``is_followed``: they were looked at all the while, so that who was
    lost is known, and how long they stayed at a stage.
    """
    state, at_ms = scene.row.edit(LIFECYCLE), scene.at_ms
    winning.forget_what_is_long_ago(state, scene)
    before, course, times = copy(state), _course(scene), _times(state, scene)
    found, stage = course.class_at(at_ms), _stage(state, times, scene)
    if state.customer_class == CustomerClass.LOST and not _has_bought_since(state, scene):
        # Other customers' purchases move the limit, but bring nobody back.
        found = CustomerClass.LOST
    never_lost = is_followed and state.customer_class not in _WAS_LOST
    if found == CustomerClass.RETURNED and never_lost:
        # Nor can a customer return who was never found to be lost.
        found = CustomerClass.EXISTING
    is_another = found != state.customer_class
    if is_another:
        if state.customer_class:
            scene.raise_moment(CLASS_CHANGED)
        state.class_before, state.customer_class = state.customer_class, str(found)
        state.class_since_ms = at_ms
    left: list[Sum] = []
    if stage != state.stage:
        if state.stage:
            scene.raise_moment(LIFECYCLE_CHANGED)
            left = dwelt(state, at_ms) if is_followed else []
        state.stage_before, state.stage, state.stage_since_ms = state.stage, str(stage), at_ms
    _reach(state, stage, scene)
    winning.note_purchases(state, scene, is_another=is_another)
    if standing(before) != standing(state):
        LIFECYCLE.tell_changes(scene, sums_of(before), [*sums_of(state), *left])
    winning.tell_changes(scene, before, state)
    next_ms = first_after(at_ms, (*course.edges_ms, *times))
    if stage == LifeStage.CONSIDERATION:
        section = scene.parameters.of(LifecycleParameters)
        fades_ms = considers_until_ms(state.points, state.points_at_ms, section)
        next_ms = first_after(at_ms, (next_ms, fades_ms))
    scene.row.set_due(_STAGE, next_ms)


def _course(scene: Scene) -> Course:
    parameters = scene.parameters
    section, gap_days = parameters.of(LifecycleParameters), scene.snapshot.of(Population).gap_days
    return Course(scene.of(purchases), gap_days, parameters.overdue, section)


def _has_bought_since(state: Lifecycle, scene: Scene) -> bool:
    """Whether the purchase before they were lost was given back, or another one came, be it an
    earlier one that was late.
    """
    last_ms = scene.of(purchases).last_at_ms
    lost_after_ms = scene.parameters.of(LifecycleParameters).lost_after
    return not last_ms or last_ms > state.class_since_ms - lost_after_ms


class _Times(NamedTuple):
    """Until when they are loyal, and would be an advocate if they were loyal; 0 for never."""

    loyal_ms: int
    advocates_ms: int


def _times(state: Lifecycle, scene: Scene) -> _Times:
    section, bought = scene.parameters.of(LifecycleParameters), scene.of(purchases)
    loyal_ms = 0
    if len(bought.days) >= section.loyal_days:
        loyal_ms = loyal_until_ms(bought, scene.of(overdue_at), section)
    return _Times(loyal_ms, advocates_until_ms(state.praised_ms, state.shared_ms, section))


def _stage(state: Lifecycle, times: _Times, scene: Scene) -> LifeStage:
    at_ms = scene.at_ms
    if at_ms < times.loyal_ms:
        return LifeStage.ADVOCACY if at_ms < times.advocates_ms else LifeStage.LOYALTY
    if scene.of(purchases).count:
        return LifeStage.PURCHASE
    section = scene.parameters.of(LifecycleParameters)
    # The stage begins by the points at the latest sign, and ends at half of what it takes: one sign
    # that is just enough would else be too little a moment later.
    was_enough = state.points >= section.considers_at
    if was_enough or state.stage == LifeStage.CONSIDERATION:
        until_ms = considers_until_ms(state.points, state.points_at_ms, section)
        return LifeStage.CONSIDERATION if at_ms < until_ms else LifeStage.AWARENESS
    return LifeStage.AWARENESS


def _reach(state: Lifecycle, stage: LifeStage, scene: Scene) -> None:
    """Mark all stages up to this one as reached: a customer who bought in a store has considered,
    too.
    """
    state.reached |= STAGES_UP_TO[stage]
    seen = scene.of(engagement)
    first_day = (seen.first_at_ms or scene.at_ms) // DAY_MS
    is_identified = state.cohort == VISITORS and not scene.of(is_visitor)
    # An earlier event may have come late, and may name another channel.
    is_earlier = first_day < state.first_day
    is_earlier = is_earlier or first_day == state.first_day == seen.first_channel_at_ms // DAY_MS
    if not state.cohort or is_identified or is_earlier:
        state.first_day, state.cohort = first_day, _cohort(scene)


def _cohort(scene: Scene) -> str:
    if scene.of(is_visitor):
        return VISITORS
    return scene.of(engagement).first_channel or OTHER


def _reunited(scene: Scene, before: Lifecycle, other: Lifecycle, sign: int) -> None:
    """Look at the person again: the events of several ids may make another stage. Until then they
    go on from what they were.
    """
    has_come = _has_come(scene)
    if len(scene.row.ids) > 1 and has_come:
        state = scene.row.edit(LIFECYCLE)
        # Of an id that leaves, the person keeps nothing.
        known = (before, other) if sign >= 0 else (before,)
        stage = _stage(state, _times(state, scene), scene)
        go_on(state, known, _course(scene).class_at(scene.at_ms), stage)
    if scene.row.read(LIFECYCLE).cohort == VISITORS:
        # A visitor turned out to be this customer.
        scene.row.edit(LIFECYCLE).cohort = _cohort(scene)
    LIFECYCLE.tell_anew(scene, before, other, sign, sums_of)
    now = scene.row.read(LIFECYCLE)
    states = ((before, -1), (other, -sign), (now, 1))
    winning.tell(scene, ((winning.sums_of(state), by) for state, by in states))
    if has_come:
        # Also of an id that was not looked at yet, of which there is no state.
        _look_soon(scene, scene.at_ms)


def _unpack_first(content: bytes) -> Lifecycle:
    """Read version 1, which reported net revenue instead of a margin."""
    state = msgpack.decode(content, type=Lifecycle)
    state.margin_minor = 0
    return state


def customer_class(scene: Scene) -> str:
    """The class at the last look; "" before the first, and if the part is switched off."""
    is_on = scene.parameters.of(LifecycleParameters).enabled
    return scene.row.read(LIFECYCLE).customer_class if is_on else ""


def _days_since(at_ms: int, since_ms: int) -> float:
    return max(at_ms - since_ms, 0) / DAY_MS if since_ms else nan


FACTS = {
    "customer_class": Fact(
        customer_class,
        "{} customer",
        "potential, new, existing, lost or returned",
        str,
        values=lambda _: tuple(CustomerClass),
        moves=FOUND,
    ),
    "class_before": Fact(
        lambda s: s.row.read(LIFECYCLE).class_before,
        "{} before",
        "the class before that one",
        str,
        values=lambda _: tuple(CustomerClass),
        moves=FOUND,
    ),
    "class_days": Fact(
        lambda s: _days_since(s.at_ms, s.row.read(LIFECYCLE).class_since_ms),
        "for {:.0f} days",
        "days since the class last changed",
        least=0.0,
        moves=since(lambda s: s.row.read(LIFECYCLE).class_since_ms, DAY_MS, found=()),
    ),
    "stage": Fact(
        lambda s: s.row.read(LIFECYCLE).stage,
        "at the stage of {}",
        "awareness, consideration, purchase, loyalty or advocacy: what is true now",
        str,
        values=lambda _: tuple(LifeStage),
        moves=FOUND,
    ),
    "stage_before": Fact(
        lambda s: s.row.read(LIFECYCLE).stage_before,
        "{} before",
        "the stage before that one",
        str,
        values=lambda _: tuple(LifeStage),
        moves=FOUND,
    ),
    "stage_days": Fact(
        lambda s: _days_since(s.at_ms, s.row.read(LIFECYCLE).stage_since_ms),
        "for {:.0f} days",
        "days since the stage last changed",
        least=0.0,
        moves=since(lambda s: s.row.read(LIFECYCLE).stage_since_ms, DAY_MS, found=()),
    ),
}


class LifecycleView(Struct, frozen=True, rename="camel"):
    customer_class: CustomerClass
    class_since: str
    class_before: CustomerClass | None
    stage: LifeStage
    stage_since: str
    stage_before: LifeStage | None


def _view(scene: Scene) -> LifecycleView | None:
    """None before the first look, and if the part is switched off."""
    state = scene.row.read(LIFECYCLE)
    if not state.stage or not LIFECYCLE.is_on(scene.parameters):
        return None
    return LifecycleView(
        CustomerClass(state.customer_class),
        iso(state.class_since_ms),
        CustomerClass(state.class_before) if state.class_before else None,
        LifeStage(state.stage),
        iso(state.stage_since_ms),
        LifeStage(state.stage_before) if state.stage_before else None,
    )


def _in_words(view: LifecycleView | None, as_of: str, _currency: str) -> Iterator[Line]:
    if view is None:
        return
    before = f", {view.class_before} before" if view.class_before else ""
    since = how_long_before(view.class_since, as_of)
    yield Line("class", f"{view.customer_class}, since {since}{before}")
    before = f", {view.stage_before} before" if view.stage_before else ""
    since = how_long_before(view.stage_since, as_of)
    yield Line("stage", f"{view.stage}, since {since}{before}")


LIFECYCLE: Part[Lifecycle] = Part(
    name="lifecycle",
    code="lc",
    is_apart=True,
    version=2,
    older={1: _unpack_first},
    about="What class customers are of, how far they have come, and the funnel of all of them.",
    state=Lifecycle,
    united=united,
    reunited=_reunited,
    parameters=LifecycleParameters,
    has_own_file=True,
    listens=EVERYTHING,
    record=_record,
    timers=(Timer(_STAGE, _move),),
    take_up=_take_up,
    moments={
        CLASS_CHANGED: "the customer is of another class than before",
        LIFECYCLE_CHANGED: "the customer is at another stage of the lifecycle than before",
    },
    offers=(customer_class,),
    reads=(engagement, is_visitor, lifetime_worth, margin_share, overdue_at, purchases),
    facts=FACTS,
    sections=(
        ProfileSection(
            "lifecycle",
            LifecycleView | None,
            _view,
            _in_words,
            place=120,
            edge=of_timer(_STAGE),
        ),
    ),
    population=Told(
        keys=keys,
        keys_max=SUMS_MAX,
        window_days=lambda parameters: parameters.of(LifecycleParameters).funnel_days,
        measures=MEASURES,
        samples=samples,
    ),
)

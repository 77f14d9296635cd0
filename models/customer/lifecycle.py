"""Customer class, and the stage of the lifecycle that is true now.

Both are looked at `settle` after an event that may move them, when late events have come, and at
the millisecond at which time alone does: a class by silence, a stage by signs that fade. What was
found then stands until the next look. The highest stage ever reached is for the funnel alone.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import nan
from typing import Final

from msgspec import Struct, field
from msgspec.structs import replace

from config.duration import DAY_MS
from config.parameters import Parameters
from models.customer.decay import added
from models.customer.edges import first_after, of_timer
from models.customer.engagement import engagement
from models.customer.evidence import Review
from models.customer.evidence_words import REVIEWED
from models.customer.identities import is_visitor
from models.customer.life_stages import (
    STAGES,
    Course,
    CustomerClass,
    LifecycleParameters,
    LifeStage,
    advocates_until_ms,
    considers_until_ms,
    loyal_until_ms,
)
from models.customer.motion import FOUND, since
from models.customer.orders import CANCELLED, COMPLETED, REFUNDED, UPDATED
from models.customer.part import (
    EVERYTHING,
    Fact,
    Line,
    Part,
    ProfileSection,
    Sum,
    Timer,
    Told,
    changed_sums,
)
from models.customer.purchases import overdue_at, purchases
from models.customer.row import State
from models.customer.scene import Scene
from models.customer.surveys import RESPONDED, Band, Survey
from models.customer.words import how_long_before
from models.events.event import Event
from models.events.times import iso
from models.learning.acquisition import CONVERTED, NET, RETURN_DAYS, SEEN, WON
from models.learning.lessons import Tally
from models.learning.population import Population
from models.learning.tallies import ACQUISITION_NAME, NO_DAY
from models.measures import Measure, Sample

CLASS_CHANGED: Final = "class-changed"
LIFECYCLE_CHANGED: Final = "lifecycle-changed"
_STAGE: Final = "stage"
_ORDERS = frozenset({COMPLETED, UPDATED, REFUNDED, CANCELLED})
_REFERRALS = frozenset({"Referral Sent", "Referral Converted"})
_SHARES = frozenset({"Product Shared", "Cart Shared"})
#: What may speak well of the shop.
_PRAISES = _REFERRALS | {RESPONDED, REVIEWED}
#: Whom the funnel tells apart: by the channel of their first event, or visitors who are nobody yet.
_VISITORS, _OTHER = "visitors", "other"
_CHANNELS = ("web", "app", "store", "phone", "email", "social", "third_party", _OTHER, _VISITORS)


class Lifecycle(State):
    """``customer_class`` and ``stage`` when last looked at, "" before that; since when, and what
    they were ``before``. ``reached`` has a bit for each stage ever reached, ``first_day`` and
    ``cohort`` are when and by which channel they came, ``won_day`` when they first bought, and
    ``net_minor`` what they brought: as it was told of all customers.

    ``points`` are signs of interest as of ``points_at_ms``; ``praised_ms`` is the latest time they
    spoke well of the shop, ``shared_ms`` the latest times they shared something.
    """

    customer_class: str = ""
    class_since_ms: int = 0
    class_before: str = ""
    stage: str = ""
    stage_since_ms: int = 0
    stage_before: str = ""
    reached: int = 0
    first_day: int = 0
    cohort: str = ""
    points: float = 0.0
    points_at_ms: int = 0
    praised_ms: int = 0
    shared_ms: list[int] = field(default_factory=list)
    won_day: int = 0
    net_minor: int = 0


def _record(state: Lifecycle, event: Event, scene: Scene) -> None:
    """Count what the event says, and look soon if it may move the customer."""
    name, at_ms = event.name, event.occurred_at_ms
    if name in _ORDERS:
        _look_soon(scene, at_ms)
        return
    if event.kind.is_passive:
        return
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


def _is_praise(event: Event, section: LifecycleParameters) -> bool:
    said = event.properties
    if isinstance(said, Survey):
        return said.band is Band.PROMOTER
    if isinstance(said, Review):
        return said.share is not None and said.share >= section.rated_well
    return event.name in _REFERRALS


def _look_soon(scene: Scene, at_ms: int) -> None:
    """Look once this has settled, or earlier if something else is due before."""
    row = scene.row
    known = row.due(_STAGE)
    settle_ms = scene.parameters.of(LifecycleParameters).settle
    due_ms = max(at_ms + settle_ms, known.handled_ms + 1)
    if not known.due_ms or due_ms < known.due_ms:
        row.set_due(_STAGE, due_ms)


def _move(scene: Scene) -> None:
    """Find class and stage as they are by now, and tell what changed."""
    state, at_ms = scene.row.edit(LIFECYCLE), scene.at_ms
    before = replace(state)
    course, stage = _course(scene), _stage(state, scene)
    found = course.class_at(at_ms)
    if state.customer_class == CustomerClass.LOST and not _has_bought_since(state, scene):
        # What others buy meanwhile moves the limit, and brings nobody back.
        found = CustomerClass.LOST
    if found != state.customer_class:
        if state.customer_class:
            scene.raise_moment(CLASS_CHANGED)
        state.class_before, state.customer_class = state.customer_class, str(found)
        state.class_since_ms = at_ms
    dwelt: list[Sum] = []
    if stage != state.stage:
        if state.stage:
            scene.raise_moment(LIFECYCLE_CHANGED)
            dwelt = _dwelt(state, at_ms)
        state.stage_before, state.stage, state.stage_since_ms = state.stage, str(stage), at_ms
    _reach(state, stage, scene)
    _note_purchases(state, scene)
    if _standing(before) != _standing(state):
        LIFECYCLE.tell_changes(scene, _sums(before), [*_sums(state), *dwelt])
    if _brought(before) != _brought(state):
        _tell_won(scene, ((_won(before), -1), (_won(state), 1)))
    scene.row.set_due(_STAGE, _next_edge(state, course, scene))


def _course(scene: Scene) -> Course:
    parameters = scene.parameters
    section, gap_days = parameters.of(LifecycleParameters), scene.snapshot.of(Population).gap_days
    return Course(scene.of(purchases), gap_days, parameters.overdue, section)


def _has_bought_since(state: Lifecycle, scene: Scene) -> bool:
    last_ms = scene.of(purchases).last_at_ms
    return not last_ms or last_ms > state.class_since_ms


def _stage(state: Lifecycle, scene: Scene) -> LifeStage:
    section, at_ms = scene.parameters.of(LifecycleParameters), scene.at_ms
    bought = scene.of(purchases)
    if at_ms < loyal_until_ms(bought, scene.of(overdue_at), section):
        advocates_ms = advocates_until_ms(state.praised_ms, state.shared_ms, section)
        return LifeStage.ADVOCACY if at_ms < advocates_ms else LifeStage.LOYALTY
    if bought.count:
        return LifeStage.PURCHASE
    # In by what it was at the latest sign, out at half of that: one sign that is just enough
    # would else be too little a moment later.
    was_enough = state.points >= section.considers_at
    if was_enough or state.stage == LifeStage.CONSIDERATION:
        until_ms = considers_until_ms(state.points, state.points_at_ms, section)
        return LifeStage.CONSIDERATION if at_ms < until_ms else LifeStage.AWARENESS
    return LifeStage.AWARENESS


def _next_edge(state: Lifecycle, course: Course, scene: Scene) -> int:
    section = scene.parameters.of(LifecycleParameters)
    bought = scene.of(purchases)
    times = [
        *course.edges_ms(),
        loyal_until_ms(bought, scene.of(overdue_at), section),
        advocates_until_ms(state.praised_ms, state.shared_ms, section),
    ]
    if state.stage == LifeStage.CONSIDERATION:
        times.append(considers_until_ms(state.points, state.points_at_ms, section))
    return first_after(scene.at_ms, times)


def _reach(state: Lifecycle, stage: LifeStage, scene: Scene) -> None:
    """All stages up to this one are reached: who bought in a store has considered, too."""
    state.reached |= (2 << STAGES.index(stage)) - 1
    if not state.cohort:
        seen = scene.of(engagement)
        state.first_day = (seen.first_at_ms or scene.at_ms) // DAY_MS
        state.cohort = _cohort(scene)


def _cohort(scene: Scene) -> str:
    if scene.of(is_visitor):
        return _VISITORS
    return scene.of(engagement).first_channel or _OTHER


def _dwelt(state: Lifecycle, at_ms: int) -> list[Sum]:
    day, hours = at_ms // DAY_MS, round((at_ms - state.stage_since_ms) / 3_600_000)
    return [(f"left:{state.stage}", day, 1), (f"hours:{state.stage}", day, hours)]


def _standing(state: Lifecycle) -> tuple[str, str, int, str]:
    """What `_sums` are made of, besides the day they came, which comes with the cohort."""
    return state.customer_class, state.stage, state.reached, state.cohort


def _brought(state: Lifecycle) -> tuple[str, int, int]:
    """What `_won` is made of, besides that day."""
    return state.cohort, state.won_day, state.net_minor


def _sums(state: Lifecycle) -> list[Sum]:
    """What the sums of all customers hold of one; how long they stayed is told once and for all."""
    if not state.stage:
        return []
    now: list[Sum] = [
        (f"class:{state.customer_class}", NO_DAY, 1),
        (f"stage:{state.stage}", NO_DAY, 1),
    ]
    channel = state.cohort if state.cohort in _CHANNELS else _OTHER
    return now + [
        (f"reached:{stage}:{channel}", state.first_day, 1)
        for place, stage in enumerate(STAGES)
        if state.reached >> place & 1
    ]


def _note_purchases(state: Lifecycle, scene: Scene) -> None:
    bought = scene.of(purchases)
    state.net_minor = bought.net_minor
    if not bought.count:
        # All of it was given back: nobody was won.
        state.won_day = 0
    elif not state.won_day or not bought.earlier_days:
        state.won_day = bought.days[0] if bought.days else bought.first_at_ms // DAY_MS


def _won(state: Lifecycle) -> list[Sum]:
    """What is told of one beside the costs of winning customers; nothing of an unknown visitor."""
    if not state.cohort or state.cohort == _VISITORS:
        return []
    sums: list[Sum] = [(f"{SEEN}:{state.cohort}", state.first_day, 1)]
    if state.won_day:
        sums.append((f"{CONVERTED}:{state.cohort}", state.first_day, 1))
        sums.append((f"{WON}:{state.cohort}", state.won_day, 1))
        sums.append((f"{NET}:{state.cohort}", state.won_day, state.net_minor))
    return sums


def _tell_won(scene: Scene, states: Iterable[tuple[Iterable[Sum], int]]) -> None:
    if told := changed_sums(states):
        scene.teach(Tally(scene.at_ms, ACQUISITION_NAME, RETURN_DAYS, told))


def _reunited(scene: Scene, before: Lifecycle, other: Lifecycle, sign: int) -> None:
    """The person is looked at again: what they did under several ids may be another stage."""
    if scene.row.read(LIFECYCLE).cohort == _VISITORS:
        # Of a visitor who turned out to be a customer.
        scene.row.edit(LIFECYCLE).cohort = _cohort(scene)
    LIFECYCLE.tell_anew(scene, before, other, sign, _sums)
    now = scene.row.read(LIFECYCLE)
    _tell_won(scene, ((_won(before), -1), (_won(other), -sign), (_won(now), 1)))
    if scene.row.has(LIFECYCLE):
        _look_soon(scene, scene.at_ms)


def _united(states: Sequence[Lifecycle], parameters: Parameters) -> Lifecycle:
    """One person: all signs of interest and praise; of what was found at looks, the latest of each,
    until the person is looked at.
    """
    one, section = Lifecycle(), parameters.of(LifecycleParameters)
    for state in states:
        one.class_since_ms, one.customer_class, one.class_before = max(
            (one.class_since_ms, one.customer_class, one.class_before),
            (state.class_since_ms, state.customer_class, state.class_before),
        )
        one.stage_since_ms, one.stage, one.stage_before = max(
            (one.stage_since_ms, one.stage, one.stage_before),
            (state.stage_since_ms, state.stage, state.stage_before),
        )
        one.reached |= state.reached
        if state.cohort and (not one.cohort or _came(state) < _came(one)):
            one.first_day, one.cohort = state.first_day, state.cohort
        one.won_day = min(filter(None, (one.won_day, state.won_day)), default=0)
        one.net_minor += state.net_minor
        one.points = added(
            one.points, one.points_at_ms, state.points, state.points_at_ms, section.half_life
        )
        one.points_at_ms = max(one.points_at_ms, state.points_at_ms)
        one.praised_ms = max(one.praised_ms, state.praised_ms)
        one.shared_ms = sorted([*one.shared_ms, *state.shared_ms])[-section.shares :]
    return one


def _came(state: Lifecycle) -> tuple[int, str]:
    return state.first_day, state.cohort


def customer_class(scene: Scene) -> str:
    """The class when last looked at; "" before that, and if the part is switched off."""
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


_BY_CLASS = Measure("keepstream_customers_by_class", "Customers by class", ("class",))
_BY_STAGE = Measure(
    "keepstream_customers_by_stage",
    "Customers by the stage of the lifecycle they are at",
    ("stage",),
)
_FUNNEL = Measure(
    "keepstream_funnel_customers",
    "Of those who came lately, how many reached a stage, by the channel they came through",
    ("stage", "channel"),
)
_CONVERSION = Measure(
    "keepstream_funnel_conversion_ratio",
    "Of those who reached the stage before this one, how many reached this one",
    ("stage", "channel"),
)
_DWELL = Measure(
    "keepstream_stage_dwell_days", "Mean time at a stage, of those who left it lately", ("stage",)
)


def _keys(_parameters: Parameters) -> list[str]:
    return [
        *(f"class:{one}" for one in CustomerClass),
        *(f"stage:{one}" for one in STAGES),
        *(f"reached:{stage}:{channel}" for stage in STAGES for channel in _CHANNELS),
        # Nobody knows how long the last one lasts.
        *(f"{what}:{stage}" for what in ("left", "hours") for stage in STAGES[:-1]),
    ]


def _samples(sums: Mapping[str, int], _parameters: Parameters) -> Iterator[Sample]:
    for one in CustomerClass:
        yield Sample(_BY_CLASS, (one,), sums.get(f"class:{one}", 0))
    for stage in STAGES:
        yield Sample(_BY_STAGE, (stage,), sums.get(f"stage:{stage}", 0))
        if left := sums.get(f"left:{stage}", 0):
            yield Sample(_DWELL, (stage,), sums.get(f"hours:{stage}", 0) / left / 24)
    for channel in _CHANNELS:
        reached = [sums.get(f"reached:{stage}:{channel}", 0) for stage in STAGES]
        if reached[0]:
            yield from _funnel(channel, reached)


def _funnel(channel: str, reached: Sequence[int]) -> Iterator[Sample]:
    for place, (stage, count) in enumerate(zip(STAGES, reached, strict=True)):
        yield Sample(_FUNNEL, (stage, channel), count)
        if place and reached[place - 1]:
            yield Sample(_CONVERSION, (stage, channel), count / reached[place - 1])


LIFECYCLE: Part[Lifecycle] = Part(
    name="lifecycle",
    code="lc",
    about="What class customers are of, how far they have come, and the funnel of all of them.",
    state=Lifecycle,
    united=_united,
    reunited=_reunited,
    parameters=LifecycleParameters,
    has_own_file=True,
    listens=EVERYTHING,
    record=_record,
    timers=(Timer(_STAGE, _move),),
    moments={
        CLASS_CHANGED: "the customer is of another class than before",
        LIFECYCLE_CHANGED: "the customer is at another stage of the lifecycle than before",
    },
    offers=(customer_class,),
    reads=(engagement, is_visitor, overdue_at, purchases),
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
        keys=_keys,
        window_days=lambda parameters: parameters.of(LifecycleParameters).funnel_days,
        measures=(_BY_CLASS, _BY_STAGE, _FUNNEL, _CONVERSION, _DWELL),
        samples=_samples,
    ),
)

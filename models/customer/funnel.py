"""How far visits go on the way to an order, by channel, of customers and of visitors.

A visit is a session with a step of the way in it. It is reported once, after it is over and late
events have come (`lifecycle.settle`), for the day on which it began. An order that is given back
later still counts. A visit that reached a step counts for all steps before it, so that no step has
more visits than the one before, even where steps are not seen, as in a store.
"""

from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from itertools import pairwise
from typing import Final

from msgspec import field

from config.duration import DAY_MS
from config.limits import PositiveInt
from config.parameters import Parameters, Section
from models.customer.engagement import EngagementParameters, engagement
from models.customer.identities import is_visitor
from models.customer.life_stages import LifecycleParameters
from models.customer.part import Part, Sum, Timer, Told
from models.customer.row import State
from models.customer.scene import Scene
from models.events.event import Event
from models.measures import Measure, Sample

_VISIT: Final = "visit"
#: Visits that were not reported yet; there are more only when a whole year is imported at once.
VISITS_MAX: Final = 32
_OTHER: Final = "other"
_CHANNELS: Final = ("web", "app", "store", "phone", "email", "social", "third_party", _OTHER)
_CUSTOMER, _VISITOR = "customer", "visitor"
_GROUPS: Final = tuple((channel, who) for channel in _CHANNELS for who in (_CUSTOMER, _VISITOR))


class FunnelStep(StrEnum):
    """The steps on the way to an order."""

    VIEWED = "viewed"
    ADDED = "added"
    CHECKOUT = "checkout"
    PAYMENT = "payment"
    ORDERED = "ordered"


_STEPS: Final = tuple(FunnelStep)
#: The keys of the sums over all customers, in the order of steps.
_KEYS: Final = {
    (channel, who): tuple(f"{step}:{channel}:{who}" for step in _STEPS) for channel, who in _GROUPS
}
#: The place of each event on the way.
_PLACES: Final[Mapping[str, int]] = {
    "Product Viewed": 0,
    "Product Added": 1,
    "Checkout Started": 2,
    "Payment Info Entered": 3,
    "Order Completed": 4,
}


class FunnelParameters(Section, frozen=True):
    section = "funnel"
    enabled: bool
    days: PositiveInt


class Visit(State):
    """How far a visit went, as the place of a step, and the first channel that was named."""

    first_ms: int
    last_ms: int
    place: int = 0
    channel: str = ""
    channel_at_ms: int = 0

    def take(self, other: "Visit") -> None:
        """Add another part of the same visit."""
        self.first_ms = min(self.first_ms, other.first_ms)
        self.last_ms = max(self.last_ms, other.last_ms)
        self.place = max(self.place, other.place)
        named = [(one.channel_at_ms, one.channel) for one in (self, other) if one.channel]
        self.channel_at_ms, self.channel = min(named, default=(0, ""))


class Visits(State):
    """Visits that were not reported yet, in the order of time."""

    latest: list[Visit] = field(default_factory=list)


def _record(state: Visits, event: Event, scene: Scene) -> None:
    at_ms, place = event.occurred_at_ms, _PLACES[event.name]
    gap_ms = scene.parameters.of(EngagementParameters).session_gap
    if state.latest:
        visit = state.latest[-1]
        if visit.channel and 0 < at_ms - visit.last_ms < gap_ms:
            # Nearly every event: the visit goes on.
            visit.last_ms = at_ms
            visit.place = max(visit.place, place)
            return
    channel = _channel(event.channel) if event.channel else ""
    new = Visit(at_ms, at_ms, place, channel, at_ms if channel else 0)
    state.latest = _bridged([*state.latest, new], gap_ms)[-VISITS_MAX:]
    _wait(state, scene)


def _channel(name: str) -> str:
    return name if name in _CHANNELS else _OTHER


def _bridged(visits: Sequence[Visit], gap_ms: int) -> list[Visit]:
    """The visits in order, merged where the time between them is below the gap."""
    found: list[Visit] = []
    for visit in sorted(visits, key=_began):
        if found and visit.first_ms < found[-1].last_ms + gap_ms:
            found[-1].take(visit)
        else:
            found.append(_copy(visit))
    return found


def _began(visit: Visit) -> tuple[int, int]:
    return visit.first_ms, visit.last_ms


def _copy(visit: Visit) -> Visit:
    return Visit(visit.first_ms, visit.last_ms, visit.place, visit.channel, visit.channel_at_ms)


def _wait(state: Visits, scene: Scene) -> None:
    """Set the timer to when the first visit is likely to be over, unless it was found to go on."""
    if not state.latest:
        return
    known, parameters = scene.row.due(_VISIT), scene.parameters
    # A visit lasts some minutes, so a look at the earliest time at which it may be over is in vain.
    usual_ms = parameters.of(EngagementParameters).session_gap
    due_ms = state.latest[0].first_ms + usual_ms + _over_after_ms(parameters)
    if due_ms > known.handled_ms or not known.due_ms:
        scene.row.set_due(_VISIT, max(due_ms, known.handled_ms + 1))


def _over_after_ms(parameters: Parameters) -> int:
    """How long after a visit's last event it is over and its late events have come."""
    gap_ms = parameters.of(EngagementParameters).session_gap
    return gap_ms + parameters.of(LifecycleParameters).settle


def _end(scene: Scene) -> None:
    """Report the visits that are over."""
    state, over_after_ms = scene.row.edit(FUNNEL), _over_after_ms(scene.parameters)
    going_on: list[Visit] = []
    told: list[Sum] = []
    next_ms = 0
    for visit in _by_session(state.latest, scene):
        over_ms = visit.last_ms + over_after_ms
        if over_ms <= scene.at_ms:
            told += _sums(visit, scene)
        else:
            going_on.append(visit)
            next_ms = min(next_ms or over_ms, over_ms)
    state.latest = going_on
    if told:
        FUNNEL.tell(scene, told)
    scene.row.set_due(_VISIT, next_ms)


def _take_up(scene: Scene) -> None:
    """Report the known part of visits that ended meanwhile."""
    if scene.row.read(FUNNEL).latest:
        _end(scene)


def _by_session(visits: Sequence[Visit], scene: Scene) -> list[Visit]:
    """The visits merged by sessions, which changes them: a customer who reads for an hour in
    between is not away.
    """
    found: list[Visit] = []
    sessions = scene.of(engagement).sessions
    for one in visits:
        for begin_ms, end_ms in reversed(sessions):
            if begin_ms <= one.first_ms <= end_ms:
                one.last_ms = max(one.last_ms, end_ms)
                if found and found[-1].first_ms >= begin_ms:
                    one.take(found.pop())
                break
        found.append(one)
    return found


def _sums(visit: Visit, scene: Scene) -> list[Sum]:
    who = _VISITOR if scene.of(is_visitor) else _CUSTOMER
    day, keys = visit.first_ms // DAY_MS, _KEYS[visit.channel or _OTHER, who]
    return [(key, day, 1) for key in keys[: visit.place + 1]]


def _reunited(scene: Scene, _before: Visits, _other: Visits, _sign: int) -> None:
    """Visits that were reported stay reported: they took place, whoever the visitor was."""
    _wait(scene.row.read(FUNNEL), scene)


def _united(states: Sequence[Visits], parameters: Parameters) -> Visits:
    """One person's visits: overlapping visits of several ids are one."""
    gap_ms = parameters.of(EngagementParameters).session_gap
    return Visits(_bridged([v for state in states for v in state.latest], gap_ms)[-VISITS_MAX:])


_SESSIONS = Measure(
    "keepstream_session_funnel_sessions",
    "Sessions that came so far on the way to an order, lately",
    ("step", "channel", "who"),
)
_CONVERSION = Measure(
    "keepstream_session_funnel_conversion_ratio",
    "Of the sessions that came to the step before this one, how many came to this one",
    ("step", "channel", "who"),
)


def _keys(_parameters: Parameters) -> list[str]:
    return [key for keys in _KEYS.values() for key in keys]


def _samples(sums: Mapping[str, int], _parameters: Parameters) -> Iterator[Sample]:
    for group in _GROUPS:
        counts = [(step, sums.get(key, 0)) for step, key in zip(_STEPS, _KEYS[group], strict=True)]
        if not counts[0][1]:
            continue
        for step, count in counts:
            yield Sample(_SESSIONS, (step, *group), count)
        for (_, before), (step, count) in pairwise(counts):
            if before:
                yield Sample(_CONVERSION, (step, *group), count / before)


FUNNEL: Part[Visits] = Part(
    name="funnel",
    code="fu",
    is_apart=True,
    about="How far visits go on the way to an order, by channel.",
    state=Visits,
    united=_united,
    reunited=_reunited,
    parameters=FunnelParameters,
    has_own_file=True,
    listens=frozenset(_PLACES),
    record=_record,
    timers=(Timer(_VISIT, _end),),
    take_up=_take_up,
    reads=(engagement, is_visitor),
    population=Told(
        keys=_keys,
        window_days=lambda parameters: parameters.of(FunnelParameters).days,
        measures=(_SESSIONS, _CONVERSION),
        samples=_samples,
    ),
)

"""How active a customer is: decayed intensity, sessions, views, and the channel last used."""

from collections.abc import Iterator, Sequence
from math import exp2, nan

from msgspec import Struct, field, msgpack

from config.duration import DAY_MS
from config.limits import NotNegative, PositiveMs
from config.parameters import Parameters, Section
from config.topics import CLICKSTREAM
from models.customer.active_days import NO_DAYS, ActiveDays, united_days, with_activity
from models.customer.anomaly import Anomaly, activity_anomaly
from models.customer.anomaly import in_words as anomaly_in_words
from models.customer.decay import decayed
from models.customer.edges import next_day
from models.customer.motion import STILL, since
from models.customer.part import INTERACTIONS, SCORE, Fact, Line, Part, ProfileSection
from models.customer.row import State
from models.customer.scene import Scene
from models.customer.touches import ChannelParameters, Touches, is_known, touch, united_touches
from models.customer.words import counted, how_long_before
from models.events.event import Event
from models.events.times import iso_or_none

#: Longer channel names are cut to this many characters.
CHANNEL_LENGTH_MAX = 32
#: Names that count as a view.
VIEWS = frozenset({"page", "screen", "Product Viewed"})
_TICKET_REPLIED = "Ticket Replied"


class EngagementParameters(Section, frozen=True):
    """``weights`` of interactions by event name; ``other`` is the weight of all other names."""

    section = "engagement"
    open_tables = ("weights",)
    half_life: PositiveMs
    session_gap: PositiveMs
    other: NotNegative
    weights: dict[str, NotNegative]


class Engagement(State):
    """The sums of a customer's own interactions.

    ``intensity`` and ``recent_views`` are levels as of ``as_of_ms``. ``sessions`` are those that a
    late event could still change, as (start, end) in ms, in order; ``settled_sessions`` counts
    earlier ones. ``active_days`` are the days of interactions; ``zone``: the latest time zone that
    an interaction named; ``touches``: the latest hours with interactions, by channel.
    """

    intensity: float = 0.0
    recent_views: float = 0.0
    as_of_ms: int = 0
    interactions: int = 0
    views: int = 0
    sessions: list[tuple[int, int]] = field(default_factory=list)
    settled_sessions: int = 0
    first_at_ms: int = 0
    last_at_ms: int = 0
    last_channel: str = ""
    last_channel_at_ms: int = 0
    first_channel: str = ""
    first_channel_at_ms: int = 0
    active_days: ActiveDays = NO_DAYS
    zone: str = ""
    zone_at_ms: int = 0
    touches: Touches = field(default_factory=dict)

    @property
    def session_count(self) -> int:
        return self.settled_sessions + len(self.sessions)


def _record(state: Engagement, event: Event, scene: Scene) -> None:
    """Count one more interaction; arrival order doesn't matter."""
    if event.name == _TICKET_REPLIED and event.properties.author != "customer":
        return
    at_ms, name = event.occurred_at_ms, event.name
    tuning = scene.parameters.of(EngagementParameters)
    is_view = name in VIEWS
    _add_to_levels(state, tuning.weights.get(name, tuning.other), is_view, at_ms, tuning)
    state.interactions += 1
    state.views += is_view
    if not state.first_at_ms or at_ms < state.first_at_ms:
        state.first_at_ms = at_ms
    if at_ms > state.last_at_ms:
        state.last_at_ms = at_ms
    channel = event.channel
    if channel:
        if at_ms > state.last_channel_at_ms and state.first_channel_at_ms:
            # Nearly every event: the latest so far, and not the first.
            state.last_channel, state.last_channel_at_ms = channel[:CHANNEL_LENGTH_MAX], at_ms
        else:
            _note_channel(state, channel, at_ms)
    hours = state.touches.get(channel or "")
    if hours is None or event.kind.topic != CLICKSTREAM or not is_known(hours, at_ms):
        # Nearly every event falls into an hour that is already noted.
        _note_hour(state, event, scene)
    if event.timezone is not None:
        _note_zone(state, event.timezone, at_ms)
    if at_ms // DAY_MS != state.active_days.latest_day:
        state.active_days = with_activity(state.active_days, at_ms)
    # One more page view changes only the state; a score is requested when it may have moved.
    if _begins_session(state, at_ms, tuning.session_gap, scene) or event.kind.topic != CLICKSTREAM:
        scene.raise_moment(SCORE)


def _add_to_levels(
    state: Engagement, weight: float, is_view: bool, at_ms: int, tuning: EngagementParameters
) -> None:
    """As `decay.added`, for both levels at once."""
    lag_ms, view = at_ms - state.as_of_ms, 1.0 if is_view else 0.0
    if lag_ms > 0:
        left = exp2(-lag_ms / tuning.half_life)
        state.intensity = state.intensity * left + weight
        state.recent_views = state.recent_views * left + view
        state.as_of_ms = at_ms
    elif lag_ms == 0:
        state.intensity += weight
        state.recent_views += view
    else:
        left = exp2(lag_ms / tuning.half_life)
        state.intensity += weight * left
        state.recent_views += view * left


def _note_channel(state: Engagement, name: str, at_ms: int) -> None:
    """Keep the channels of the latest and of the earliest event that names one."""
    channel = name[:CHANNEL_LENGTH_MAX]
    if (at_ms, name) > (state.last_channel_at_ms, state.last_channel):
        state.last_channel, state.last_channel_at_ms = channel, at_ms
    first = state.first_channel_at_ms, state.first_channel
    if not first[0] or (at_ms, channel) < first:
        state.first_channel_at_ms, state.first_channel = at_ms, channel


def _note_hour(state: Engagement, event: Event, scene: Scene) -> None:
    if scene.parameters.of(ChannelParameters).enabled:
        touch(state.touches, (event.channel or "")[:CHANNEL_LENGTH_MAX], event)


def _note_zone(state: Engagement, zone: str, at_ms: int) -> None:
    state.zone_at_ms, state.zone = max((state.zone_at_ms, state.zone), (at_ms, zone))


def _begins_session(state: Engagement, at_ms: int, gap_ms: int, scene: Scene) -> bool:
    """Add ``at_ms`` to its session; return whether there is one more session now."""
    sessions = state.sessions
    if sessions:
        start_ms, end_ms = sessions[-1]
        if 0 <= at_ms - end_ms < gap_ms:
            # Nearly every event: the current session goes on.
            sessions[-1] = start_ms, at_ms
            return False
    before = len(sessions)
    state.sessions = _bridged([*sessions, (at_ms, at_ms)], gap_ms)
    more = len(state.sessions) > before
    _settle(state, gap_ms, scene)
    return more


def _settle(state: Engagement, gap_ms: int, scene: Scene) -> None:
    """Reduce to a count the sessions that no late event can change, and those beyond the bound."""
    sessions, parameters = state.sessions, scene.parameters
    settled_ms = scene.context.clock_ms - parameters.time.lateness - gap_ms
    settled = max(len(sessions) - parameters.bounds.sessions, 0)
    while settled < len(sessions) and sessions[settled][1] < settled_ms:
        settled += 1
    if settled:
        del sessions[:settled]
        state.settled_sessions += settled


def _bridged(sessions: list[tuple[int, int]], gap_ms: int) -> list[tuple[int, int]]:
    """The sessions in order, merged where the time between them is below the gap."""
    found: list[tuple[int, int]] = []
    for start_ms, end_ms in sorted(sessions):
        if found and start_ms < found[-1][1] + gap_ms:
            found[-1] = found[-1][0], max(found[-1][1], end_ms)
        else:
            found.append((start_ms, end_ms))
    return found


def _united(states: Sequence[Engagement], parameters: Parameters) -> Engagement:
    """One person's engagement: sessions of several ids that overlap are one session.

    Settled sessions are only counted, so overlapping ones of several ids are counted separately.
    """
    one = Engagement()
    half_life_ms = parameters.of(EngagementParameters).half_life
    gap_ms = parameters.of(EngagementParameters).session_gap
    one.as_of_ms = max((state.as_of_ms for state in states), default=0)
    sessions: list[tuple[int, int]] = []
    for state in states:
        lag_ms = one.as_of_ms - state.as_of_ms
        one.intensity += decayed(state.intensity, lag_ms, half_life_ms)
        one.recent_views += decayed(state.recent_views, lag_ms, half_life_ms)
        one.interactions += state.interactions
        one.views += state.views
        one.settled_sessions += state.settled_sessions
        sessions += state.sessions
        one.last_at_ms = max(one.last_at_ms, state.last_at_ms)
        if state.first_at_ms:
            one.first_at_ms = min(one.first_at_ms or state.first_at_ms, state.first_at_ms)
        if state.last_channel_at_ms:
            _note_channel(one, state.last_channel, state.last_channel_at_ms)
            _note_channel(one, state.first_channel, state.first_channel_at_ms)
        _note_zone(one, state.zone, state.zone_at_ms)
        one.active_days = united_days(one.active_days, state.active_days)
    one.sessions = _bridged(sessions, gap_ms)
    one.touches = united_touches(state.touches for state in states)
    return one


def engagement(scene: Scene) -> Engagement:
    """The customer's engagement; read only."""
    return scene.row.read(ENGAGEMENT)


def customer_zone(scene: Scene) -> str:
    """The time zone that the customer's latest event named, else the shop's."""
    return scene.row.read(ENGAGEMENT).zone or scene.parameters.time.zone


def touches(scene: Scene) -> Touches:
    """The latest hours in which the customer came, by channel; read only."""
    return scene.row.read(ENGAGEMENT).touches


def intensity(scene: Scene) -> tuple[float, float]:
    """(intensity, recent views) as they have decayed by this moment."""
    state = scene.row.read(ENGAGEMENT)
    half_life_ms = scene.parameters.of(EngagementParameters).half_life
    lag_ms = scene.at_ms - state.as_of_ms
    if lag_ms <= 0:
        return state.intensity, state.recent_views
    left = exp2(-lag_ms / half_life_ms)
    return state.intensity * left, state.recent_views * left


def _seen_ms(scene: Scene) -> int:
    return scene.row.read(ENGAGEMENT).last_at_ms


def _unseen_days(scene: Scene) -> float:
    seen_ms = _seen_ms(scene)
    return max(scene.at_ms - seen_ms, 0) / DAY_MS if seen_ms else nan


def _anomaly(scene: Scene) -> Anomaly | None:
    return activity_anomaly(scene.row.read(ENGAGEMENT).active_days, scene.at_ms)


def _deviations(scene: Scene) -> float:
    found = scene.of(_anomaly)
    return found.deviations if found is not None else nan


def _activity_ratio(scene: Scene) -> float:
    found = scene.of(_anomaly)
    return found.ratio if found is not None else nan


FACTS = {
    "anomaly": Fact(
        _deviations,
        "activity {:+.1f} deviations from their usual",
        "active days of the last 14 against the customer's own usual, in standard deviations",
    ),
    "activity_ratio": Fact(
        _activity_ratio,
        "{:.1f} times as active as usual for them",
        "active days of the last 14 over the customer's own usual",
        least=0.0,
    ),
    "intensity": Fact(
        lambda s: s.of(intensity)[0], "activity {:.1f}", "decayed weight of interactions", least=0.0
    ),
    "views": Fact(
        lambda s: s.of(intensity)[1], "{:.1f} recent views", "decayed count of views", least=0.0
    ),
    "sessions": Fact(
        lambda s: float(s.row.read(ENGAGEMENT).session_count),
        "{:.0f} sessions",
        "sessions ever",
        least=0.0,
        whole=True,
        moves=STILL,
    ),
    "unseen_days": Fact(
        _unseen_days,
        "not seen for {:.0f} days",
        "days since the last activity",
        least=0.0,
        moves=since(_seen_ms, DAY_MS),
    ),
    "last_channel": Fact(
        lambda s: s.row.read(ENGAGEMENT).last_channel,
        "last seen on {}",
        "channel last used",
        str,
        moves=STILL,
    ),
}


class EngagementView(Struct, frozen=True, rename="camel"):
    intensity: float
    recent_views: float
    interactions: int
    views: int
    sessions: int
    last_seen_at: str | None
    last_channel: str | None


def _view(scene: Scene) -> EngagementView:
    state, (level, recent_views) = scene.row.read(ENGAGEMENT), scene.of(intensity)
    return EngagementView(
        intensity=level,
        recent_views=recent_views,
        interactions=state.interactions,
        views=state.views,
        sessions=state.session_count,
        last_seen_at=iso_or_none(state.last_at_ms),
        last_channel=state.last_channel or None,
    )


def _in_words(seen: EngagementView, as_of: str, _currency: str) -> Iterator[Line]:
    counts = (
        counted(seen.interactions, "interaction"),
        counted(seen.views, "view"),
        counted(seen.sessions, "session"),
    )
    yield Line("engagement", f"intensity {seen.intensity:.1f}: {', '.join(counts)}")
    channel = f", last by {seen.last_channel}" if seen.last_channel else ""
    last = how_long_before(seen.last_seen_at, as_of)
    yield Line("last seen", f"{last}{channel}" if last else "never")


def _anomaly_lines(found: Anomaly, _as_of: str, _currency: str) -> Iterator[Line]:
    yield Line("activity", anomaly_in_words(found))


ENGAGEMENT: Part[Engagement] = Part(
    name="engagement",
    code="en",
    is_apart=True,
    about="What customers do themselves: how much lately, in which sessions, by which channel.",
    state=Engagement,
    united=_united,
    parameters=EngagementParameters,
    listens=INTERACTIONS,
    record=_record,
    # Earlier versions had fewer fields at the end.
    version=3,
    older=dict.fromkeys((1, 2), msgpack.Decoder(Engagement).decode),
    offers=(customer_zone, engagement, intensity, touches),
    facts=FACTS,
    sections=(
        ProfileSection("engagement", EngagementView, _view, _in_words, place=400),
        ProfileSection(
            "activity_anomaly",
            Anomaly | None,
            _anomaly,
            _anomaly_lines,
            place=410,
            edge=next_day,
        ),
    ),
)

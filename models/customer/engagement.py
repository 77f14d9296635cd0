"""How present a customer is: decayed intensity, sessions, views, and the channel last used."""

from msgspec import Struct
from msgspec.structs import replace

from config.parameters import Parameters
from models.customer.active_days import ActiveDays, with_activity
from models.customer.decay import added, decayed
from models.events.catalogue import PASSIVE, Name
from models.events.wire import Event

#: Longer names of channels are cut.
CHANNEL_MAX = 32
#: Names that count as a view.
VIEWS = frozenset({"page", "screen", str(Name.PRODUCT_VIEWED)})


class Session(Struct, frozen=True, array_like=True, gc=False):
    start_ms: int
    end_ms: int


class Engagement(Struct, frozen=True, array_like=True):
    """What a customer's own interactions add up to.

    ``intensity`` and ``recent_views`` are levels as of ``as_of_ms``. ``sessions`` are those that a
    late event could still change, in order; ``settled_sessions`` counts the ones before.
    ``active_days`` are the days of interactions.
    """

    intensity: float = 0.0
    recent_views: float = 0.0
    as_of_ms: int = 0
    interactions: int = 0
    views: int = 0
    sessions: tuple[Session, ...] = ()
    settled_sessions: int = 0
    first_at_ms: int = 0
    last_at_ms: int = 0
    last_channel: str = ""
    last_channel_at_ms: int = 0
    active_days: ActiveDays = ActiveDays()
    first_channel: str = ""
    first_channel_at_ms: int = 0

    @property
    def session_count(self) -> int:
        return self.settled_sessions + len(self.sessions)


def is_interaction(event: Event) -> bool:
    """Whether the customer did it; what was done to them says nothing about their presence."""
    return event.name not in PASSIVE and not (
        event.name == Name.TICKET_REPLIED
        and getattr(event.properties, "author", None) != "customer"
    )


def record_interaction(
    engagement: Engagement, event: Event, clock_ms: int, parameters: Parameters
) -> Engagement:
    """``engagement`` with one more interaction; arrival order doesn't matter."""
    at_ms = event.occurred_at_ms
    tuning = parameters.engagement
    weight = tuning.weights.get(event.name, tuning.other)
    is_view = event.name in VIEWS
    sessions, settled = _with_session(
        engagement, at_ms, clock_ms - parameters.time.lateness, parameters
    )
    channel, channel_at_ms = engagement.last_channel, engagement.last_channel_at_ms
    if event.channel and (at_ms, event.channel) > (channel_at_ms, channel):
        channel, channel_at_ms = event.channel[:CHANNEL_MAX], at_ms
    first_channel, first_channel_at_ms = _first_channel(engagement, event)
    as_of_ms, half_life_ms = engagement.as_of_ms, tuning.half_life
    return Engagement(
        intensity=added(engagement.intensity, as_of_ms, weight, at_ms, half_life_ms),
        recent_views=added(engagement.recent_views, as_of_ms, float(is_view), at_ms, half_life_ms),
        as_of_ms=max(as_of_ms, at_ms),
        interactions=engagement.interactions + 1,
        views=engagement.views + is_view,
        sessions=sessions,
        settled_sessions=settled,
        first_at_ms=min(engagement.first_at_ms or at_ms, at_ms),
        last_at_ms=max(engagement.last_at_ms, at_ms),
        last_channel=channel,
        last_channel_at_ms=channel_at_ms,
        active_days=with_activity(engagement.active_days, at_ms),
        first_channel=first_channel,
        first_channel_at_ms=first_channel_at_ms,
    )


def _first_channel(engagement: Engagement, event: Event) -> tuple[str, int]:
    """The channel of the earliest event that names one, and when that was."""
    known = engagement.first_channel_at_ms, engagement.first_channel
    if not event.channel:
        return known[1], known[0]
    new = event.occurred_at_ms, event.channel[:CHANNEL_MAX]
    at_ms, channel = min(known, new) if known[0] else new
    return channel, at_ms


def _with_session(
    engagement: Engagement, at_ms: int, settled_ms: int, parameters: Parameters
) -> tuple[tuple[Session, ...], int]:
    """The sessions with one more moment in them, and how many are settled."""
    gap_ms = parameters.engagement.session_gap
    sessions = engagement.sessions
    if sessions and 0 <= at_ms - sessions[-1].end_ms < gap_ms:
        # Nearly every event: the current session goes on.
        sessions = (*sessions[:-1], replace(sessions[-1], end_ms=at_ms))
    else:
        sessions = _joined(sessions, Session(at_ms, at_ms), gap_ms)
    settled = max(len(sessions) - parameters.bounds.sessions, 0)
    while settled < len(sessions) and sessions[settled].end_ms < settled_ms - gap_ms:
        settled += 1
    return sessions[settled:], engagement.settled_sessions + settled


def _joined(sessions: tuple[Session, ...], new: Session, gap_ms: int) -> tuple[Session, ...]:
    """``sessions`` with ``new``, which may bridge two of them into one."""
    before = tuple(s for s in sessions if s.end_ms + gap_ms <= new.start_ms)
    after = tuple(s for s in sessions if s.start_ms >= new.end_ms + gap_ms)
    touched = (*sessions[len(before) : len(sessions) - len(after)], new)
    bridged = Session(min(s.start_ms for s in touched), max(s.end_ms for s in touched))
    return (*before, bridged, *after)


def intensity_at(engagement: Engagement, at_ms: int, parameters: Parameters) -> tuple[float, float]:
    """(intensity, recent views) as they have decayed by ``at_ms``."""
    lag_ms, half_life_ms = at_ms - engagement.as_of_ms, parameters.engagement.half_life
    return (
        decayed(engagement.intensity, lag_ms, half_life_ms),
        decayed(engagement.recent_views, lag_ms, half_life_ms),
    )

"""The channel that a customer prefers, by their own visits, and the hour of their day at which they
come.

Both are computed when scores are made for good, and hold until the next look. A channel is
preferred until another one has been ahead for long enough: two weeks on another channel change
nothing, a quarter of a year does. For visitors, who are never looked at, both are computed when
they are read.
"""

from collections.abc import Iterator, Mapping, Sequence
from math import nan
from operator import add
from typing import Final, NamedTuple

from msgspec import Struct

from config.duration import DAY_MS, HOUR_MS
from config.parameters import Parameters
from models.customer.edges import of_timer
from models.customer.engagement import customer_zone, touches
from models.customer.motion import FOUND, LEARNT, STILL, since
from models.customer.part import Fact, Line, Part, ProfileSection, Sum, Timer, Told, is_joined
from models.customer.row import State
from models.customer.scene import Context, Scene
from models.customer.touches import (
    ChannelParameters,
    ChannelUse,
    channel_use,
    has_bought,
    hour_levels,
    latest_touch_ms,
    leading_channel,
    timed_hours,
)
from models.customer.words import how_long_before
from models.events.times import iso_or_none
from models.learning.tallies import NO_DAY, Tallies
from models.measures import Measure, Sample

CHANNEL_SHIFTED: Final = "channel-shifted"
_LEAD: Final = "channel"
_HOURS: Final = 24
#: The keys of hours in the sums over all customers.
_HOUR_KEYS: Final = tuple(f"hour:{hour:02}" for hour in range(_HOURS))
#: No hour, in stored states.
_NONE: Final = -1
#: The channels that are counted by their names; all others are one.
_OTHER: Final = "other"
_CHANNELS: Final = ("web", "app", "store", "phone", "email", "social", "third_party", _OTHER)


class ChannelPreference(State):
    """The channel that was ``preferred`` at the last look, since when, and the one ``before``; ""
    for none. ``rival``: another one that was ahead then, since ``rival_ms``. ``hour``: of the
    customer's day, -1 if it is not known.
    """

    preferred: str = ""
    since_ms: int = 0
    before: str = ""
    rival: str = ""
    rival_ms: int = 0
    hour: int = _NONE


def _use(scene: Scene) -> ChannelUse:
    return channel_use(scene.of(touches), scene.parameters.of(ChannelParameters))


def _look(scene: Scene) -> None:
    """Look, unless everything known was known at the last look."""
    seen_ms = scene.context.check_in_ms + scene.parameters.time.lateness
    if latest_touch_ms(scene.of(touches)) + HOUR_MS > scene.at_ms - seen_ms:
        _find(scene)


def _take_up(scene: Scene) -> None:
    """Look at customers who were looked at before, or who have bought and would have been."""
    if scene.row.has(CHANNELS) or has_bought(scene.of(touches)):
        _find(scene)


def _find(scene: Scene) -> None:
    """Compute the present channel and hour, and report what changed."""
    state = scene.row.read(CHANNELS)
    found = preferred, rival, rival_ms, hour = _found(state, scene)
    if found == (state.preferred, state.rival, state.rival_ms, state.hour):
        return
    before = _sums(state)
    if state.preferred and preferred != state.preferred:
        scene.raise_moment(CHANNEL_SHIFTED)
    state = scene.row.edit(CHANNELS)
    if preferred != state.preferred:
        state.before, state.preferred, state.since_ms = state.preferred, preferred, scene.at_ms
    state.rival, state.rival_ms, state.hour = rival, rival_ms, hour
    CHANNELS.tell_changes(scene, before, _sums(state))
    due_ms = rival_ms + scene.parameters.of(ChannelParameters).lead_for
    scene.row.set_due(_LEAD, due_ms if rival else 0)


class _Found(NamedTuple):
    """The result of a look."""

    preferred: str
    rival: str
    rival_ms: int
    hour: int


def _held(state: ChannelPreference) -> _Found:
    return _Found(state.preferred, state.rival, state.rival_ms, state.hour)


def _found(state: ChannelPreference, scene: Scene) -> _Found:
    came, section = scene.of(touches), scene.parameters.of(ChannelParameters)
    hour = _hour(scene)
    if state.preferred and state.preferred == leading_channel(came, section):
        # Nearly always.
        return _Found(state.preferred, "", 0, hour)
    use = scene.of(_use)
    leader = use.leader
    preferred = state.preferred or use.first
    if not preferred or leader == preferred or not use.since_ms:
        return _Found(preferred, "", 0, hour)
    since_ms = use.since_ms
    if use.is_cut and leader == state.rival:
        # It was already ahead before the first hour that is kept.
        since_ms = min(since_ms, state.rival_ms)
    if scene.at_ms >= since_ms + section.lead_for:
        return _Found(leader, "", 0, hour)
    return _Found(preferred, leader, since_ms, hour)


def _hour(scene: Scene) -> int:
    """The hour of their day in which the customer comes most, the first of equal ones; -1 with too
    few visits.
    """
    section, hours = scene.parameters.of(ChannelParameters), timed_hours(scene.of(touches))
    if len(hours) < section.hours_min:
        return _NONE
    levels = hour_levels(hours, scene.of(customer_zone), section.hour_half_life)
    usual = scene.context.of(_usual_hours)
    if usual is not None:
        levels = list(map(add, levels, usual))
    return levels.index(max(levels))


def _usual_hours(context: Context) -> list[float] | None:
    """What is added to each hour: the share of customers who come most in it, times its weight;
    None while few customers are known.
    """
    sums = context.snapshot.of(Tallies).parts.get(CHANNELS.name)
    if sums is None:
        return None
    counts = [sums.get(key, 0) for key in _HOUR_KEYS]
    known = 0
    for count in counts:
        known += count
    if known < max(context.parameters.learning.minimum_examples, 1):
        return None
    weight = context.parameters.of(ChannelParameters).usual_weight
    return [weight * (count / known) for count in counts]


def _sums(state: ChannelPreference) -> list[Sum]:
    """One customer's share of the sums."""
    sums: list[Sum] = []
    if state.preferred:
        channel = state.preferred if state.preferred in _CHANNELS else _OTHER
        sums.append((f"channel:{channel}", NO_DAY, 1))
    if state.hour != _NONE:
        sums.append((_HOUR_KEYS[state.hour], NO_DAY, 1))
    return sums


def _reunited(scene: Scene, before: ChannelPreference, other: ChannelPreference, sign: int) -> None:
    if is_joined(scene, sign) and (known := before if before.preferred else other).preferred:
        state = scene.row.edit(CHANNELS)
        state.preferred, state.since_ms, state.before = (
            known.preferred,
            known.since_ms,
            known.before,
        )
        state.rival, state.rival_ms, state.hour = known.rival, known.rival_ms, known.hour
    CHANNELS.tell_anew(scene, before, other, sign, _sums)
    state = scene.row.read(CHANNELS)
    lead_for_ms = scene.parameters.of(ChannelParameters).lead_for
    scene.row.set_due(_LEAD, state.rival_ms + lead_for_ms if state.rival else 0)


def _united(states: Sequence[ChannelPreference], _parameters: Parameters) -> ChannelPreference:
    """One person's preference is that of the id that came to its own last, until they are looked at
    as one; the hour is any id's that has one.
    """
    one = ChannelPreference()
    for state in states:
        one.since_ms, one.preferred, one.before = max(
            (one.since_ms, one.preferred, one.before),
            (state.since_ms, state.preferred, state.before),
        )
        one.rival_ms, one.rival = max((one.rival_ms, one.rival), (state.rival_ms, state.rival))
        one.hour = max(one.hour, state.hour)
    return one


def preferred_channel(scene: Scene) -> str:
    """The channel that the customer prefers; "" for none, and if the part is switched off."""
    if not scene.parameters.of(ChannelParameters).enabled:
        return ""
    return scene.of(_now).preferred


def preferred_hour(scene: Scene) -> int | None:
    """The hour of the customer's day at which they come most; None if it is not known, or the part
    is switched off.
    """
    if not scene.parameters.of(ChannelParameters).enabled:
        return None
    hour = scene.of(_now).hour
    return hour if hour != _NONE else None


def _now(scene: Scene) -> _Found:
    """The result of the last look; for a customer who was never looked at, the channel that is
    ahead.
    """
    state = scene.row.read(CHANNELS)
    if state.preferred or state.hour != _NONE:
        return _held(state)
    use, least = scene.of(_use), scene.parameters.of(ChannelParameters).least
    is_enough = use.leader != "" and use.levels[use.leader] >= least
    return _Found(use.leader if is_enough else "", "", 0, _hour(scene))


def _share(scene: Scene) -> float:
    preferred = scene.of(_now).preferred
    return scene.of(_use).shares.get(preferred, 0.0) if preferred else nan


def _days(scene: Scene) -> float:
    since_ms = scene.row.read(CHANNELS).since_ms
    return max(scene.at_ms - since_ms, 0) / DAY_MS if since_ms else nan


def _best_hour(scene: Scene) -> float:
    hour = scene.of(_now).hour
    return float(hour) if hour != _NONE else nan


FACTS = {
    "channel_preferred": Fact(
        lambda s: s.of(_now).preferred,
        "comes by {} mostly",
        "the channel by which they come themselves; what answers our own messages is not counted",
        str,
        moves=STILL,
    ),
    "channel_before": Fact(
        lambda s: s.row.read(CHANNELS).before,
        "by {} before",
        "the channel that was preferred before that one",
        str,
        moves=FOUND,
    ),
    "channel_days": Fact(
        _days,
        "for {:.0f} days",
        "days since another channel was preferred",
        least=0.0,
        moves=since(lambda s: s.row.read(CHANNELS).since_ms, DAY_MS, found=()),
    ),
    "channel_share": Fact(
        _share,
        "{:.0%} of how they come",
        "share of the preferred channel, by days that fade; one with a purchase counts for several",
        least=0.0,
        most=1.0,
        moves=STILL,
    ),
    "channel_leading": Fact(
        lambda s: s.of(_use).leader,
        "lately by {} most",
        "the channel with the highest share by now, which may not have been ahead for long",
        str,
        moves=STILL,
    ),
    "best_hour": Fact(
        _best_hour,
        "comes at {:.0f} o'clock mostly",
        "hour of their day, 0 to 23, at which they come most; of a few visits, drawn towards the "
        "hour that is usual for all",
        least=0.0,
        most=23.0,
        whole=True,
        moves=LEARNT,
    ),
}


class ChannelsView(Struct, frozen=True, rename="camel"):
    """``shares`` by channel, as of the customer's latest visit; ``best_hour`` is of their day, in
    ``zone``.
    """

    preferred: str | None
    since: str | None
    before: str | None
    shares: dict[str, float]
    best_hour: int | None
    zone: str


def _view(scene: Scene) -> ChannelsView | None:
    """None while nothing is known, and if the part is switched off."""
    if not CHANNELS.is_on(scene.parameters):
        return None
    now, state, use = scene.of(_now), scene.row.read(CHANNELS), scene.of(_use)
    if not use.shares and now.hour == _NONE and not now.preferred:
        return None
    return ChannelsView(
        now.preferred or None,
        iso_or_none(state.since_ms),
        state.before or None,
        use.shares,
        now.hour if now.hour != _NONE else None,
        scene.of(customer_zone),
    )


def _in_words(view: ChannelsView | None, as_of: str, _currency: str) -> Iterator[Line]:
    if view is None:
        return
    shares = sorted(view.shares.items(), key=lambda item: (-item[1], item[0]))
    told = ", ".join(f"{name} {share:.0%}" for name, share in shares)
    if view.preferred is not None:
        since = f", since {how_long_before(view.since, as_of)}" if view.since else ""
        before = f", {view.before} before" if view.before else ""
        yield Line("prefers", f"{view.preferred}{since}{before} ({told})")
    elif told:
        yield Line("comes by", told)
    if view.best_hour is not None:
        yield Line("comes at", f"{view.best_hour}:00 to {view.best_hour + 1}:00, {view.zone}")


_BY_CHANNEL = Measure(
    "keepstream_customers_by_channel", "Customers by the channel that they prefer", ("channel",)
)
_BY_HOUR = Measure(
    "keepstream_customers_by_hour",
    "Customers by the hour of their day at which they come most",
    ("hour",),
)


def _keys(_parameters: Parameters) -> list[str]:
    return [*(f"channel:{name}" for name in _CHANNELS), *_HOUR_KEYS]


def _samples(sums: Mapping[str, int], _parameters: Parameters) -> Iterator[Sample]:
    for name in _CHANNELS:
        yield Sample(_BY_CHANNEL, (name,), sums.get(f"channel:{name}", 0))
    for hour in range(_HOURS):
        yield Sample(_BY_HOUR, (f"{hour:02}",), sums.get(_HOUR_KEYS[hour], 0))


CHANNELS: Part[ChannelPreference] = Part(
    name="channels",
    code="ch",
    about="Which channel customers prefer by what they do themselves, and the hour they come at.",
    state=ChannelPreference,
    united=_united,
    reunited=_reunited,
    parameters=ChannelParameters,
    has_own_file=True,
    timers=(Timer(_LEAD, _find),),
    look=_look,
    take_up=_take_up,
    moments={
        CHANNEL_SHIFTED: "another channel has been ahead of the preferred one for long enough"
    },
    offers=(preferred_channel, preferred_hour),
    reads=(customer_zone, touches),
    facts=FACTS,
    sections=(
        ProfileSection(
            "channels",
            ChannelsView | None,
            _view,
            _in_words,
            place=402,
            edge=of_timer(_LEAD),
        ),
    ),
    population=Told(
        keys=_keys,
        window_days=lambda _parameters: 0,
        measures=(_BY_CHANNEL, _BY_HOUR),
        samples=_samples,
    ),
)

"""When a customer should hear from the shop: after too long without a contact for their value tier,
on the anniversaries of their first purchase, and on named days.

Each decision point sets a timer for what comes before the next one, and for nothing else, so that a
calendar of many days costs a customer no more than one of few. Each occasion is due at the
customer's own hour, which spreads all customers over the day.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime, timedelta, tzinfo
from math import inf, nan
from typing import Final, NamedTuple

from msgspec import Struct

from config.duration import DAY_MS, HOUR_MS, MINUTE_MS, DurationMs, MinuteOfDay
from config.parameters import Parameters, Section
from config.zones import UTC, zone
from models.customer.channels import preferred_hour
from models.customer.consent import personalisation_refused
from models.customer.contacts import OUTCOMES, Outcome
from models.customer.edges import of_timer
from models.customer.engagement import customer_zone
from models.customer.fingerprint import fingerprint
from models.customer.motion import since
from models.customer.named_days import (
    NamedDays,
    Written,
    anniversaries,
    may_be_anniversary,
    problems_in_days,
    yearly,
)
from models.customer.part import Fact, Line, Part, ProfileSection, Sum, Timer, Told
from models.customer.purchase_state import WINDOW_MS_MAX
from models.customer.purchase_windows import first_purchase_ms
from models.customer.purchases import purchases
from models.customer.row import State
from models.customer.scene import Context, Scene
from models.customer.ticket_news import REPLIES, is_answer
from models.customer.tier_state import Tier
from models.customer.tiers import value_tier
from models.customer.words import how_long_before, moment_in_words
from models.events.event import Event
from models.events.times import iso, iso_or_none
from models.learning.tallies import NO_DAY
from models.measures import Measure, Sample

CONTACT_DUE, CALENDAR_DAY = "contact-due", "calendar-day"
ANNIVERSARY: Final = "anniversary"
_NEXT: Final = "day"
#: The key of contacts in the sums over all customers, and the number of days that they cover.
_REACHED_THEM, _CONTACT_DAYS = "reached", 28
#: The ordinal of 1970-01-01.
_EPOCH: Final = 719_163
#: The events which show that an action reached the customer. That it was decided, or failed, does
#: not.
_REACHED: Final = frozenset(
    name
    for name, outcome in OUTCOMES.items()
    if outcome not in (Outcome.NONE, Outcome.WITHDRAWN, Outcome.FAILED)
)


class CalendarParameters(Section, frozen=True):
    section = "calendar"
    open_tables = ("days",)
    enabled: bool
    vip: DurationMs
    potential: DurationMs
    ordinary: DurationMs
    begin: MinuteOfDay
    end: MinuteOfDay
    days: Written

    def cadence_ms(self, tier: str) -> int:
        """How long after a contact another one is due; 0 for never."""
        found: int = getattr(self, tier) if tier else 0
        return found

    def problems(self) -> Iterator[str]:
        """A day that ends before it begins, and dates that do not exist."""
        if self.begin >= self.end:
            yield "calendar.end must be after calendar.begin, as in 09:00 and 18:00"
        yield from problems_in_days(self.days, (ANNIVERSARY,), "calendar.days")


class Reminders(State):
    """``contacted_ms``: the latest contact that reached the customer. ``asked_ms``: when the moment
    of a due contact was last raised, by which ``tier`` until that comes; ``day`` and ``name``: the
    latest named day whose moment was raised.
    """

    contacted_ms: int = 0
    asked_ms: int = 0
    tier: str = ""
    day: int = 0
    name: str = ""


def _record(state: Reminders, event: Event, scene: Scene) -> None:
    if event.name in REPLIES and not is_answer(event):
        return
    CALENDAR.tell(scene, [(_REACHED_THEM, event.occurred_at_ms // DAY_MS, 1)])
    state.contacted_ms = max(state.contacted_ms, event.occurred_at_ms)
    if state.tier and state.contacted_ms >= state.asked_ms:
        before, state.tier = _sums(state), ""
        CALENDAR.tell_changes(scene, before, [])


class _Occasion(NamedTuple):
    """An occasion to contact the customer, and when. ``day``: the ordinal of its date where the
    customer is; ``name``: of the named day, "" for a contact that is due.
    """

    at_ms: int
    day: int
    name: str = ""


class _Place:
    """The customer's time zone, and their own time of the day."""

    __slots__ = ("_scene", "_where")

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        name = scene.of(customer_zone)
        # Days of UTC are all of one length: for most customers nothing is looked up.
        self._where: tzinfo | None = None if name == UTC else zone(name)

    def day_at(self, at_ms: int) -> int:
        """The date there, as an ordinal."""
        if self._where is None:
            return at_ms // DAY_MS + _EPOCH
        return datetime.fromtimestamp(at_ms / 1_000, self._where).toordinal()

    def own_ms(self, day: int) -> int:
        """The customer's own time on a day, which is an ordinal."""
        own_ms = self._scene.of(_own_ms)
        if self._where is None:
            return (day - _EPOCH) * DAY_MS + own_ms
        midnight = datetime.combine(date.fromordinal(day), datetime.min.time(), self._where)
        own = midnight + timedelta(milliseconds=own_ms)
        return round(own.timestamp() * 1_000)


def _own_ms(scene: Scene) -> int:
    """The customer's own time of the day, after midnight by their clock."""
    section = _parameters(scene)
    own, hour = fingerprint(scene.customer), scene.of(preferred_hour)
    if hour is not None:
        return hour * HOUR_MS + own % HOUR_MS
    return section.begin * MINUTE_MS + own % ((section.end - section.begin) * MINUTE_MS)


def _look(scene: Scene) -> None:
    """Set the timer to what comes before the next look."""
    _follow_tier(scene)
    _wait(scene, _occasions(scene, scene.at_ms))


def _take_up(scene: Scene) -> None:
    """Wait for what comes before the next look, if the customer still has looks."""
    if scene.at_ms > scene.of(purchases).last_at_ms + WINDOW_MS_MAX:
        _follow_tier(scene)
    else:
        _look(scene)


def _follow_tier(scene: Scene) -> None:
    """Stop waiting for a contact if the customer's tier asks for none, as for lost customers."""
    asked_by = scene.row.read(CALENDAR).tier
    if not asked_by:
        return
    tier = scene.of(value_tier)[0] if _due_day(scene, scene.of(_Place)) else ""
    if tier != asked_by:
        state = scene.row.edit(CALENDAR)
        before, state.tier = _sums(state), tier
        CALENDAR.tell_changes(scene, before, _sums(state))


def _wait(scene: Scene, occasions: Sequence[_Occasion]) -> None:
    row, at_ms = scene.row, scene.at_ms
    if row.due(_NEXT).due_ms or occasions:
        row.set_due(_NEXT, min([one.at_ms for one in occasions if one.at_ms > at_ms], default=0))


def _waits_until_ms(scene: Scene) -> int:
    """When the time without a contact that the customer's tier allows is over; 0 for never."""
    tier, since_ms = scene.of(value_tier)
    cadence_ms = _parameters(scene).cadence_ms(tier)
    if not cadence_ms:
        return 0
    state = scene.row.read(CALENDAR)
    contacted_ms = state.contacted_ms or since_ms
    return cadence_ms + (contacted_ms if contacted_ms > state.asked_ms else state.asked_ms)


def _parameters(scene: Scene) -> CalendarParameters:
    return scene.parameters.of(CalendarParameters)


def _occasions(scene: Scene, after_ms: int) -> list[_Occasion]:
    """The occasions from today to the next look that are still to come. A contact that has long
    been due comes at the customer's first own time after ``after_ms``. Mostly there are none, which
    comparing numbers finds out.
    """
    bought_ms = first_purchase_ms(scene.of(purchases))
    if not bought_ms:
        return []
    place, at_ms = scene.of(_Place), scene.at_ms
    today = place.day_at(at_ms)
    until = place.day_at(at_ms + scene.context.check_in_ms)
    days = scene.context.settled(_named_days).between(today, until)
    if may_be_anniversary(bought_ms // DAY_MS + _EPOCH, today, until):
        again = anniversaries(place.day_at(bought_ms), today, until)
        days += tuple((day, ANNIVERSARY) for day in again)
    found = list(_named(scene, place, days)) if days else []
    due = _due_day(scene, place, until)
    if due:
        if due <= today and place.own_ms(today) <= after_ms:
            today += 1
        day = max(due, today)
        if day <= until:
            found.append(_Occasion(place.own_ms(day), day))
    return found


def _named_days(context: Context) -> NamedDays:
    """The days that the operator named."""
    return NamedDays(context.parameters.of(CalendarParameters).days)


def _named(scene: Scene, place: _Place, days: Sequence[tuple[int, str]]) -> Iterator[_Occasion]:
    """The named days among these whose moment is still to be raised, each at the customer's own
    time, a minute apart.
    """
    state = scene.row.read(CALENDAR)
    number = before = 0
    for day, name in sorted(days):
        number, before = number + 1 if day == before else 0, day
        if (day, name) > (state.day, state.name):
            yield _Occasion(place.own_ms(day) + number * MINUTE_MS, day, name)


def _due_day(scene: Scene, place: _Place, until: float = inf) -> int:
    """The day of the next contact, as an ordinal; 0 for never, and if it is after the day
    ``until``.
    """
    waits_ms = _waits_until_ms(scene)
    day = place.day_at(waits_ms) if waits_ms else 0
    # For most customers it is too far off for anything else to matter.
    if day > until or scene.of(personalisation_refused) is not None:
        return 0
    return day


def _come(scene: Scene) -> None:
    """Raise the moment of the occasion that is due now. There may be none any more: the customer
    was contacted meanwhile, or is in another zone by now.
    """
    occasions = _occasions(scene, scene.at_ms - 1)
    due = [one for one in occasions if one.at_ms <= scene.at_ms]
    if not due:
        _wait(scene, occasions)
        return
    for one in sorted(due):
        if not one.name:
            _ask(scene)
            continue
        state = scene.row.edit(CALENDAR)
        if (one.day, one.name) > (state.day, state.name):
            state.day, state.name = one.day, one.name
            scene.raise_moment(CALENDAR_DAY)
    _look(scene)


def _ask(scene: Scene) -> None:
    state = scene.row.edit(CALENDAR)
    before = _sums(state)
    state.asked_ms, state.tier = scene.at_ms, scene.of(value_tier)[0]
    scene.raise_moment(CONTACT_DUE)
    CALENDAR.tell_changes(scene, before, _sums(state))


def _sums(state: Reminders) -> list[Sum]:
    """One customer's share of the sums."""
    return [(state.tier, NO_DAY, 1)] if state.tier else []


def _reunited(scene: Scene, before: Reminders, other: Reminders, sign: int) -> None:
    CALENDAR.tell_anew(scene, before, other, sign, _sums)
    _look(scene)


def _united(states: Sequence[Reminders], _parameters: Parameters) -> Reminders:
    """A person was contacted, and reminded of a day, when any of their ids was."""
    one = Reminders()
    for state in states:
        one.contacted_ms = max(one.contacted_ms, state.contacted_ms)
        one.asked_ms, one.tier = max((one.asked_ms, one.tier), (state.asked_ms, state.tier))
        one.day, one.name = max((one.day, one.name), (state.day, state.name))
    if one.contacted_ms >= one.asked_ms:
        one.tier = ""
    return one


def _contacted_ms(scene: Scene) -> int:
    return scene.row.read(CALENDAR).contacted_ms


def _uncontacted_days(scene: Scene) -> float:
    contacted_ms = _contacted_ms(scene)
    return max(scene.at_ms - contacted_ms, 0) / DAY_MS if contacted_ms else nan


def _named_day(scene: Scene) -> str:
    """The named day whose moment this is."""
    return scene.row.read(CALENDAR).name if CALENDAR_DAY in scene.moments else ""


def _years(scene: Scene) -> float:
    first_ms = first_purchase_ms(scene.of(purchases))
    if not first_ms or first_ms > scene.at_ms:
        return nan
    where = zone(scene.of(customer_zone))
    first, now = (
        datetime.fromtimestamp(ms / 1_000, where).date() for ms in (first_ms, scene.at_ms)
    )
    again = yearly(first.month, first.day, now.year)
    return float(now.year - first.year - (now < again))


def _names(parameters: Parameters) -> list[str]:
    return [ANNIVERSARY, *parameters.of(CalendarParameters).days]


FACTS = {
    "uncontacted_days": Fact(
        _uncontacted_days,
        "not contacted for {:.0f} days",
        "days since an action reached them, or somebody of the staff answered them",
        least=0.0,
        moves=since(_contacted_ms, DAY_MS),
    ),
    "calendar_day": Fact(
        _named_day,
        "today is {}",
        "the day that today is: anniversary (of the first purchase), or one of calendar.days",
        str,
        moment=CALENDAR_DAY,
        values=_names,
    ),
    "customer_years": Fact(
        _years,
        "a customer for {:.0f} years",
        "whole years since the first purchase, by the customer's own calendar",
        least=0.0,
        whole=True,
    ),
}


class CalendarView(Struct, frozen=True, rename="camel"):
    """``contacted_at``: the latest contact that reached the customer; ``due_at``: when their tier
    makes the next one due; ``due_since``: since when it has been, without a contact.
    """

    contacted_at: str | None
    due_at: str | None
    due_since: str | None


def _view(scene: Scene) -> CalendarView | None:
    """None without a purchase and without a contact, and if the part is switched off."""
    state, has_bought = scene.row.read(CALENDAR), scene.of(purchases).last_at_ms > 0
    if not CALENDAR.is_on(scene.parameters) or not (has_bought or state.contacted_ms):
        return None
    place = _Place(scene)
    day = _due_day(scene, place)
    return CalendarView(
        iso_or_none(state.contacted_ms),
        iso(place.own_ms(day)) if day else None,
        iso_or_none(state.asked_ms) if state.tier else None,
    )


def _in_words(view: CalendarView | None, as_of: str, _currency: str) -> Iterator[Line]:
    if view is None:
        return
    last = how_long_before(view.contacted_at, as_of) if view.contacted_at else "never"
    due = f", due from {moment_in_words(view.due_at)}" if view.due_at else ""
    if view.due_since:
        due = f", due since {moment_in_words(view.due_since)}"
    yield Line("last contact", f"{last}{due}")


_DUE = Measure(
    "keepstream_contacts_due",
    "Customers whom somebody should contact by now, by value tier",
    ("tier",),
)


_CONTACTS = Measure(
    "keepstream_contacts_reached", "Contacts that reached a customer in the last 28 days"
)


def _samples(sums: Mapping[str, int], _parameters: Parameters) -> Iterator[Sample]:
    yield Sample(_CONTACTS, (), sums.get(_REACHED_THEM, 0))
    for tier in Tier:
        yield Sample(_DUE, (tier,), sums.get(tier, 0))


CALENDAR: Part[Reminders] = Part(
    name="calendar",
    code="cd",
    about="When customers should hear from the shop: by tier, on anniversaries and on named days.",
    state=Reminders,
    united=_united,
    reunited=_reunited,
    parameters=CalendarParameters,
    has_own_file=True,
    listens=_REACHED | REPLIES,
    record=_record,
    timers=(Timer(_NEXT, _come),),
    look=_look,
    unprofiled=_follow_tier,
    take_up=_take_up,
    moments={
        CONTACT_DUE: "nobody has reached the customer for as long as their value tier allows",
        CALENDAR_DAY: "today is the anniversary of their first purchase, or a day of calendar.days",
    },
    reads=(customer_zone, personalisation_refused, preferred_hour, purchases, value_tier),
    facts=FACTS,
    sections=(
        ProfileSection(
            "calendar",
            CalendarView | None,
            _view,
            _in_words,
            place=608,
            edge=of_timer(_NEXT),
        ),
    ),
    population=Told(
        keys=lambda _parameters: [_REACHED_THEM, *map(str, Tier)],
        window_days=lambda _parameters: _CONTACT_DAYS,
        measures=(_DUE, _CONTACTS),
        samples=_samples,
    ),
)

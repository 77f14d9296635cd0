"""When the shop should contact customers: the example by hand, the days, and who is left out."""

from collections import Counter
from collections.abc import Iterable
from datetime import date, datetime
from math import isnan
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from config.duration import DAY_MS, DurationMs
from config.parameters import Parameters
from models.customer.calendar import CALENDAR, CalendarParameters
from models.customer.named_days import (
    NamedDays,
    anniversaries,
    dates_in,
    may_be_anniversary,
    yearly,
)
from models.customer.row import Row
from models.customer.touches import TOUCHES_MAX, ChannelParameters
from models.decisions.trigger import Trigger
from models.engine import Effect
from models.events.event import Event
from models.events.times import iso
from models.learning.lessons import Tally
from models.parameters import load_parameters
from tests.models.lines import (
    PARAMETERS,
    Within,
    at,
    context,
    happened,
    lived_with_effects,
    scene,
    waited,
)

SHIPPED = PARAMETERS.of(CalendarParameters)


def shop(parameters: Parameters = PARAMETERS, **more: Any) -> Within:
    """Customers with a purchase are to be contacted once in 30 days."""
    section = replace(
        SHIPPED,
        **{"ordinary": DurationMs(30 * DAY_MS), "potential": DurationMs(30 * DAY_MS), **more},
    )
    return context(parameters=parameters.with_section(section))


def bought(day: float, hour: float = 10) -> Event:
    return happened("Order Completed", at(day, hours=hour), order_id=f"o-{day}", revenue=40)


def delivered(day: float, name: str = "Action Delivered", **said: Any) -> Event:
    said = said or {"decision_id": f"d-{day}"}
    return happened(name, at(day, hours=12), **said)


def told(
    events: Iterable[Event], until_day: float, within: Within | None = None
) -> tuple[Row, list[Effect]]:
    """The results of a life and the silence after it."""
    within = within or shop()
    row, effects = lived_with_effects(events, within=within)
    row, more = waited(row, at(until_day), within=within)
    return row, [*effects, *more]


def fired(effects: Iterable[Effect], kind: str) -> list[str]:
    found = [one for one in effects if isinstance(one, Trigger)]
    return [one.timestamp[:16] for one in found if one.kind == kind]


def sums(effects: Iterable[Effect]) -> Counter[str]:
    found: Counter[str] = Counter()
    for effect in effects:
        if isinstance(effect, Tally) and effect.part == CALENDAR.name:
            for key, _day, amount in effect.sums:
                found[key] += amount if key != "reached" else 0
    return found


def visits(hour: float) -> list[Event]:
    """Visits, so that the customer's hour of the day is known."""
    return [
        happened("page", at(day, hours=hour), channel="web", message=f"{day}") for day in range(3)
    ]


def test_a_contact_is_due_thirty_days_after_the_last_at_the_hour_at_which_they_come() -> None:
    """Delivered on day 0: due on day 30, by the customer's own hour."""
    events = sorted(
        [*visits(19), *(bought(day, 19) for day in (0, 9, 18)), delivered(0)],
        key=lambda event: event.occurred_at_ms,
    )
    _, effects = told(events, 31)
    [due] = fired(effects, "contact-due")

    assert due.startswith("2026-01-31T19:")


@pytest.mark.parametrize(("bought_on", "due_on"), [(28, 30), (29, 30), (30, 31), (31, 32)])
def test_whose_own_time_of_the_day_is_over_is_due_on_the_next(bought_on: int, due_on: int) -> None:
    """Delivered on day 0, and in a tier from the end of the day on which they bought."""
    _, effects = told([delivered(0), bought(bought_on)], 40)

    assert [iso(at(due_on))[:10]] == [one[:10] for one in fired(effects, "contact-due")]


@pytest.mark.parametrize("first_day", range(-60, 20))
def test_a_day_that_follows_another_one_may_be_of_the_next_year(first_day: int) -> None:
    """A week after the last Thursday of December is a day of January."""
    days = NamedDays({"after-all": "last thursday of december + 7", "new-year": "01-01"})
    new_year = date(2027, 1, 1).toordinal()
    first, last = new_year + first_day, new_year + first_day + 7

    found = days.between(first, last)

    every = [(new_year, "new-year"), (date(2027, 1, 7).toordinal(), "after-all")]
    assert [one for one in every if first <= one[0] <= last] == list(found)


def test_a_day_of_january_that_follows_one_of_december_is_told_on_the_day() -> None:
    days = {"after-all": "last thursday of december + 7"}
    row, _ = told([bought(340)], 372, shop(days=days))

    assert "after-all" == row.read(CALENDAR).name
    assert 372 >= row.read(CALENDAR).day - date(2026, 1, 1).toordinal()


def test_it_is_due_again_after_as_long_and_counted_until_somebody_comes() -> None:
    events = [bought(0), bought(10), bought(20), delivered(20)]
    row, effects = told(events, 90)

    assert ["2026-02-20", "2026-03-22"] == [one[:10] for one in fired(effects, "contact-due")]
    assert 1 == sum(sums(effects).values())
    _, more = lived_with_effects([delivered(91)], row=row, within=shop())
    assert -1 == sum(sums(more).values())


def test_who_should_have_been_contacted_long_ago_is_to_be_at_their_next_time() -> None:
    """They were contacted before their first purchase: due since day 30."""
    row, effects = told([delivered(0), bought(100)], 110)
    [due] = fired(effects, "contact-due")

    assert due.startswith("2026-04-12T")
    # And not looked at each day until then.
    assert {"day"}.isdisjoint(code for code, due_ms, _ in row.packed_timers() if due_ms)


@pytest.mark.parametrize(
    ("name", "said", "is_contact"),
    [
        ("Action Delivered", {"decision_id": "d"}, True),
        ("Action Clicked", {"decision_id": "d"}, True),
        ("Action Rejected", {"decision_id": "d"}, True),
        # Planned, or sent in vain, is not delivered.
        ("Action Failed", {"decision_id": "d"}, False),
        ("Email Delivered", {}, False),
        ("Ticket Replied", {"ticket_id": "t", "author": "agent"}, True),
        ("Ticket Replied", {"ticket_id": "t", "author": "customer"}, False),
        ("Ticket Replied", {"ticket_id": "t", "author": "Answer Bot"}, False),
        ("Ticket Opened", {"ticket_id": "t"}, False),
    ],
)
def test_a_contact_is_what_reached_them(name: str, said: dict[str, Any], is_contact: bool) -> None:
    row, _ = told([bought(0), delivered(5, name, **said)], 6)
    now = scene(row, at(7, hours=12))

    assert is_contact == (2.0 == now["uncontacted_days"])
    assert is_contact != isnan(float(now["uncontacted_days"]))


def test_a_contact_that_comes_first_leaves_nothing_to_say() -> None:
    """The customer without a trigger: they are contacted every three weeks."""
    events = [bought(0)]
    for week in range(1, 12):
        events += [bought(21 * week - 1), delivered(21 * week)]
    _, effects = told(events, 21 * 11 + 20)

    assert [] == fired(effects, "contact-due")


def test_nobody_waits_for_a_contact_by_default_but_good_customers() -> None:
    events = [bought(0), bought(10), bought(20)]
    _, effects = told(events, 80, context(parameters=load_parameters()))

    assert [] == fired(effects, "contact-due")


def test_an_anniversary_is_told_once_a_year_on_the_day() -> None:
    events = [bought(0), *(bought(30 * n) for n in range(1, 26))]
    _, effects = told(events, 760)

    assert ["2027-01-01", "2028-01-01"] == [one[:10] for one in fired(effects, "anniversary")]


def test_a_purchase_on_a_leap_day_has_its_anniversary_at_the_end_of_february() -> None:
    leap = (date(2028, 2, 29) - date(2026, 1, 1)).days
    events = [bought(leap + 60 * n) for n in range(9)]
    _, effects = told(events, leap + 500)

    assert ["2029-02-28"] == [one[:10] for one in fired(effects, "anniversary")]


def with_day(name: str, text: str | tuple[str, ...]) -> Within:
    """A rule of the shop's own, for a day of its own."""
    shipped = PARAMETERS.triggers
    [rule] = [one for one in shipped.triggers if one.name == "anniversary"]
    mine = replace(
        rule, name="greeting", when=f'calendar_day == "{name}" and orders >= 2', because=("orders",)
    )
    rules = replace(shipped, triggers=(*shipped.triggers, mine))
    return shop(replace(PARAMETERS, triggers=rules), days={name: text})


@pytest.mark.parametrize(
    ("text", "days"),
    [
        ("02-14", ["2026-02-14"]),
        (("2026-02-17", "2027-02-06"), ["2026-02-17"]),
        ("last friday of january + 1", ["2026-01-31"]),
        ("2027-02-14", []),
    ],
)
def test_a_named_day_is_told_on_its_day_to_whom_the_rule_is_for(
    text: str | tuple[str, ...], days: list[str]
) -> None:
    row, effects = told([bought(0), bought(9)], 60, with_day("feast", text))
    _, once = told([bought(0)], 60, with_day("feast", text))

    assert days == [one[:10] for one in fired(effects, "greeting")]
    assert [] == fired(once, "greeting")
    assert "" == scene(row, at(60))["calendar_day"]


def test_a_million_customers_do_not_wake_at_midnight() -> None:
    hours: Counter[int] = Counter()
    for number in range(60):
        within = with_day("feast", "02-14")._replace(customer=f"customer-{number}")
        events = [replace(bought(day), customer=within.customer) for day in (0, 9)]
        row, _ = lived_with_effects(events, within=within)
        row, effects = waited(row, at(60), within=within)
        [moment] = fired(effects, "greeting")
        hours[int(moment[11:13])] += 1

    assert set(hours) <= set(range(9, 18))
    assert len(hours) >= 6


def test_a_calendar_costs_no_timer_until_its_day_is_near() -> None:
    within = with_day("feast", "06-01")
    row, _ = lived_with_effects([bought(0), bought(9)], within=within)
    row, _ = waited(row, at(20), within=within)
    before = row.packed_timers()
    assert "day" not in {code for code, due_ms, _ in before if due_ms}

    row, _ = waited(row, at(150), within=within)
    assert "day" in {code for code, due_ms, _ in row.packed_timers() if due_ms}


@pytest.mark.parametrize(
    ("text", "year", "dates"),
    [
        ("12-24", 2026, ["2026-12-24"]),
        ("02-29", 2027, ["2027-02-28"]),
        ("02-29", 2028, ["2028-02-29"]),
        ("4th Thursday of November + 1", 2026, ["2026-11-27"]),
        ("last monday of may", 2026, ["2026-05-25"]),
        ("5th friday of january", 2026, ["2026-01-30"]),
        ("5th friday of february", 2026, []),
        ("2027-02-06", 2026, []),
    ],
)
def test_days_as_they_are_written(text: str, year: int, dates: list[str]) -> None:
    assert dates == [day.isoformat() for day in dates_in(text, year)]


def test_a_leap_day_of_another_year() -> None:
    assert date(2100, 2, 28) == yearly(2, 29, 2100)


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ('calendar.days.feast="13-01"', "'13-01' is no day: write 12-24"),
        ('calendar.days.feast="02-30"', "is no day"),
        ('calendar.days.feast="6th monday of may"', "is no day"),
        ('calendar.days.feast="2026-02-29"', "is no day"),
        ('calendar.days.Feast="12-24"', "lower case letters"),
        ('calendar.days.anniversary="12-24"', "known already"),
        ("calendar.days.feast=[]", "has no date"),
        ('calendar.end="08:00"', "must be after calendar.begin"),
    ],
)
def test_what_is_refused(setting: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        load_parameters(assignments=[setting])


def test_a_rule_for_a_day_that_is_not_in_the_calendar_is_refused() -> None:
    with pytest.raises(ValueError, match="feest"):
        assert misspelt().plan


def misspelt() -> Within:
    right = with_day("feast", "12-24")
    rules = [
        replace(one, when='calendar_day == "feest"') if one.name == "greeting" else one
        for one in right.parameters.triggers.triggers
    ]
    triggers = replace(right.parameters.triggers, triggers=tuple(rules))
    return context(parameters=replace(right.parameters, triggers=triggers))


def test_who_is_in_another_zone_by_then_is_told_at_their_hour_there() -> None:
    """The timer was set by the clock of Berlin; on the day they are in New York."""
    within = with_day("feast", "02-14")
    hours = replace(within.parameters.of(ChannelParameters), hours_min=TOUCHES_MAX)
    within = within._replace(parameters=within.parameters.with_section(hours))
    page = happened("page", at(43, hours=23))
    row, before = lived_with_effects([bought(0), bought(9)], within=within)
    [here] = fired(waited(row, at(60), within=within)[1], "greeting")
    row, effects = lived_with_effects(
        [replace(page, timezone="America/New_York")], row=row, within=within
    )
    [there] = fired(waited(row, at(60), within=within)[1], "greeting")

    assert [] == fired([*before, *effects], "greeting")
    assert (int(there[11:13]), there[13:]) == (int(here[11:13]) + 5, here[13:])


def test_days_of_utc_are_those_of_a_zone_that_is_looked_up() -> None:
    """In UTC no zone is looked up; one that is, and has the same time, must give the same."""
    within = with_day("feast", "02-14")
    told = []
    for zone in ("UTC", "Etc/UTC"):
        parameters = replace(within.parameters, time=replace(within.parameters.time, zone=zone))
        of_zone = within._replace(parameters=parameters)
        row, before = lived_with_effects(
            [bought(0), bought(9), delivered(20), bought(340)], within=of_zone
        )
        row, effects = waited(row, at(400), within=of_zone)
        told.append([one for one in [*before, *effects] if isinstance(one, Trigger)])

    assert told[0] == told[1]
    assert {"greeting", "anniversary", "contact-due"} <= {one.kind for one in told[0]}


@given(
    began=st.integers(date(2015, 1, 1).toordinal(), date(2032, 12, 31).toordinal()),
    later=st.integers(0, 9 * 366),
    days=st.integers(0, 8),
    off=st.sampled_from([-1, 0, 1]),
)
def test_an_anniversary_is_asked_for_wherever_there_may_be_one(
    began: int, later: int, days: int, off: int
) -> None:
    """Without a calendar, by the UTC day, which may be the one before or after."""
    first, last = began + later, began + later + days

    assert may_be_anniversary(began + off, first, last) or not anniversaries(began, first, last)


@pytest.mark.parametrize("zone", ["UTC", "America/New_York", "Pacific/Kiritimati", "Europe/London"])
@pytest.mark.parametrize("hour", [0.5, 12, 20, 23.5])
@pytest.mark.parametrize("day", [0, 59, 88])
def test_every_anniversary_is_told_wherever_and_at_whatever_hour_they_buy(
    zone: str, hour: float, day: int
) -> None:
    """A week's check-ins end within the day; the customer's local calendar differs, or its clock
    changes in between.
    """
    parameters = replace(PARAMETERS, time=replace(PARAMETERS.time, zone=zone))
    weeks = [bought(day + 7 * week, hour) for week in range(110)]
    _, effects = told(weeks, day + 770, context(parameters=parameters))
    first = datetime.fromtimestamp(at(day, hours=hour) / 1_000, ZoneInfo(zone)).date()
    found = [
        datetime.fromisoformat(one.timestamp).astimezone(ZoneInfo(zone)).date()
        for one in effects
        if isinstance(one, Trigger) and one.kind == "anniversary"
    ]

    assert [yearly(first.month, first.day, first.year + years) for years in (1, 2)] == found

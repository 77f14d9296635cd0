"""Contacts that are due, preferred channels and what channels bring, computed once more by what the
documents say of them, from whole histories and in the plainest way.
"""

from collections.abc import Iterable, Sequence
from datetime import date, datetime, time, timedelta
from math import floor
from random import Random
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import orjson
import pytest

from models.admission import decode_event
from models.customer.channels import CHANNELS
from models.customer.fingerprint import fingerprint
from models.decisions.trigger import Trigger
from models.engine import Effect
from models.events.event import Event
from models.events.times import iso
from models.learning.acquisition import AcquisitionLearner
from models.learning.lessons import Cost, Tally
from models.learning.tallies import ACQUISITION_NAME
from tests.models.lines import (
    DAY_MS,
    HOUR_MS,
    PARAMETERS,
    START_MS,
    at,
    happened,
    lived_with_effects,
    waited,
)
from tests.models.test_calendar import shop

ZONES = ("UTC", "Europe/Berlin", "America/Los_Angeles", "Asia/Tokyo", "Pacific/Auckland")


def in_zone(name: str, day: int, zone: str, **said: Any) -> Event:
    """An event at midnight, which says nothing of the hour at which the customer comes."""
    written = {
        "type": "track",
        "event": name,
        "userId": "ada",
        "messageId": f"{name} {day}",
        "timestamp": iso(at(day)),
        "context": {"timezone": zone},
        "properties": said,
    }
    return decode_event(orjson.dumps(written), message_id="none")


def in_order(events: Iterable[Event]) -> list[Event]:
    return sorted(events, key=lambda event: event.occurred_at_ms)


def due(known_ms: int, contacts_ms: Sequence[int], zone: str, end_ms: int) -> list[str]:
    """When contacts are due of a customer who is known since then: on the thirtieth day after the
    latest contact or reminder, at the customer's own time.
    """
    where, own = ZoneInfo(zone), timedelta(milliseconds=fingerprint("ada") % (9 * HOUR_MS))
    earlier = [one for one in contacts_ms if one <= known_ms]
    begin_ms, found = max(earlier, default=known_ms), list[str]()
    while True:
        day = datetime.fromtimestamp((begin_ms + 30 * DAY_MS) / 1_000, where).date()
        while True:
            midnight = datetime.combine(day, time.min, where)
            due_ms = round((midnight + timedelta(hours=9) + own).timestamp() * 1_000)
            if due_ms > known_ms:
                break
            day += timedelta(days=1)
        meanwhile = [one for one in contacts_ms if begin_ms < one <= due_ms and one > known_ms]
        if meanwhile:
            begin_ms = known_ms = min(meanwhile)
        elif due_ms > end_ms:
            return found
        else:
            found.append(iso(due_ms))
            begin_ms = known_ms = due_ms


@pytest.mark.parametrize("seed", range(60))
def test_a_contact_is_due_a_month_after_the_last(seed: int) -> None:
    rng = Random(seed)
    zone, days = rng.choice(ZONES), [rng.randint(0, 40)]
    for _ in range(rng.randint(0, 6)):
        days.append(days[-1] + rng.randint(1, 60))
    contacts = rng.sample(range(-20, days[-1] + 80), rng.randint(0, 8))
    orders = [in_zone("Order Completed", d, zone, order_id=f"o{d}", revenue=40) for d in days]
    reached = [in_zone("Action Delivered", d, zone, decision_id=f"d{d}") for d in contacts]

    row, effects = lived_with_effects(in_order([*orders, *reached]), within=shop())
    _, more = waited(row, at(days[-1] + 85), within=shop())

    # They are in a tier from the end of the day on which they first bought.
    expected = due(at(days[0] + 1) - 1_000, [at(d) for d in contacts], zone, at(days[-1] + 85))
    assert expected == [
        one.timestamp
        for one in (*effects, *more)
        if isinstance(one, Trigger) and one.kind == "contact-due"
    ]


class Visit(NamedTuple):
    """A visit in an hour after the start of the story; a purchase counts for three days."""

    hour: int
    channel: str
    is_purchase: bool

    @property
    def event(self) -> Event:
        at_ms, name = at(hours=self.hour), "Order Completed" if self.is_purchase else "page"
        said = {"order_id": f"o{self.hour}", "revenue": 40} if self.is_purchase else {}
        return happened(name, at_ms, channel=self.channel, message=f"{self}", **said)


def preferred(visits: Sequence[Visit]) -> tuple[str, int]:
    """The preferred channel in the end, and since when if it replaced another one, else 0."""
    levels, leader, chosen = dict[str, float](), "", ""
    since_hour = shifted_hour = before = 0
    for hour, *_ in [*sorted(visits), Visit(10**6, "", is_purchase=False)]:
        if chosen and leader != chosen and since_hour and since_hour + 14 * 24 <= hour:
            chosen, shifted_hour = leader, since_hour + 14 * 24
        day = hour // 24
        so_far = [one for one in visits if one.hour <= hour and one.hour // 24 == day]
        if not so_far:
            break
        for channel in levels:
            levels[channel] *= 0.5 ** ((day - before) / 60)
        # Of this day, what was counted before is counted anew.
        for channel in {one.channel for one in so_far}:
            others = [one for one in so_far if one.channel == channel and one.hour < hour]
            now = [one for one in so_far if one.channel == channel]
            weight = max(3.0 if one.is_purchase else 1.0 for one in now)
            counted = max((3.0 if one.is_purchase else 1.0 for one in others), default=0.0)
            levels[channel] = levels.get(channel, 0.0) + weight - counted
        before = day
        first, *rest = sorted(levels, key=lambda one: (-levels[one], one))
        lead = (levels[first] - (levels[rest[0]] if rest else 0.0)) / sum(levels.values())
        if lead < 0.1 - 1e-12:
            since_hour = 0
        elif first != leader or not since_hour:
            since_hour = min(one.hour for one in so_far if one.channel == first)
        leader = first
        if not chosen and levels[first] >= 2.5:
            chosen = first
    return chosen, START_MS + shifted_hour * HOUR_MS if shifted_hour else 0


@pytest.mark.parametrize("seed", range(60))
def test_a_channel_is_preferred_that_was_ahead_for_two_weeks(seed: int) -> None:
    rng = Random(seed)
    ways = rng.choice([("web", "app"), ("web", "app", "store"), ("app", "web")])
    # At most one visit a day, so that no day is counted before it is over.
    days = rng.sample(range(100), rng.randint(3, 24))
    buys = set(range(0, 120, rng.choice([10, 20, 30])))
    visits = [
        Visit(
            24 * day + rng.randint(0, 20),
            rng.choice(ways) if rng.random() < 0.4 else ways[day * len(ways) // 120],
            day in buys,
        )
        for day in sorted({*days, *buys})
    ]
    row, _ = lived_with_effects(one.event for one in visits)
    row, _ = waited(row, at(180))
    found = row.read(CHANNELS)

    chosen, since_ms = preferred(visits)
    assert chosen == found.preferred
    assert since_ms == (found.since_ms if found.before else 0)


class Life(NamedTuple):
    """A customer's first visit, and their purchases: the time in days, and the net in cents."""

    channel: str
    first_day: float
    purchases: list[tuple[float, int]]

    @property
    def won_day(self) -> int | None:
        """The day of the first purchase of which something is left."""
        return min((floor(day) for day, cents in self.purchases if cents), default=None)

    @property
    def margin(self) -> int:
        return round(0.3 * sum(cents for _, cents in self.purchases))


def life(rng: Random, begin: int, end: int) -> tuple[Life, list[Tally]]:
    """Somebody who buys, and gives some of it back."""
    channel, first = rng.choice(("search", "social")), begin + rng.uniform(0, 80)
    events = [happened("page", at(first), channel=channel)]
    purchases: list[tuple[float, int]] = []
    for number in range(1, rng.randint(1, 5)):
        day, cents = first + rng.choice([0.01, 1, 5, 30]) * number, rng.randint(100, 20_000)
        order, back = f"o{number}", rng.choice([0, 0, 0, cents, rng.randint(1, cents - 1)])
        placed = happened("Order Completed", at(day), order_id=order, revenue=cents / 100)
        returned = happened(
            "Order Refunded", at(day + rng.uniform(0.01, 20)), order_id=order, total=back / 100
        )
        known = [one for one in (placed, returned) if one.occurred_at_ms < at(end) - 2 * HOUR_MS]
        events += known[: 2 if back else 1]
        if known:
            purchases.append((day, cents - (back if returned in known else 0)))
    events = [one for one in events if one.occurred_at_ms < at(end) - 2 * HOUR_MS]
    row, effects = lived_with_effects(in_order(events))
    more = waited(row, at(end))[1] if events else list[Effect]()
    told = [one for one in (*effects, *more) if isinstance(one, Tally)]
    one = Life(channel, first if events else begin - 1_000, purchases)
    return one, [tally for tally in told if tally.part == ACQUISITION_NAME]


def spent_by_day(costs: Iterable[Cost], channel: str) -> dict[int, int]:
    """Each day's share of what is left, so that no cent is lost."""
    found: dict[int, int] = {}
    for cost in costs:
        left = cost.amount_minor
        for number in range(cost.period_days if cost.channel == channel else 0):
            share = left // (cost.period_days - number)
            day, left = (cost.timestamp_ms - START_MS) // DAY_MS + number, left - share
            found[day] = found.get(day, 0) + share
    return found


def month_of(day: int) -> str:
    return f"{date(2026, 1, 1) + timedelta(days=day):%Y-%m}"


@pytest.mark.parametrize("seed", range(60))
def test_a_channel_is_what_was_spent_on_it_and_what_its_customers_brought(seed: int) -> None:
    """Of histories over the end of a year, too."""
    rng = Random(seed)
    begin = rng.choice([-60, 0, 200, 300])
    end = begin + rng.randint(20, 150)
    lives = [life(rng, begin, end) for _ in range(rng.randint(1, 6))]
    costs = [
        Cost(at(begin + rng.randint(0, 100)), channel, rng.randint(0, 100_000), period)
        for channel, period in zip(("search", "social", "search"), (1, 7, 30), strict=True)
    ]
    learner = AcquisitionLearner(None, PARAMETERS)
    for lesson in (*costs, *(tally for _, tallies in lives for tally in tallies)):
        learner.learn(lesson)
    drawn = learner.draw(at(end)).lately

    for channel in drawn:
        spent = {day: minor for day, minor in spent_by_day(costs, channel).items() if day <= end}
        mine = [one for one, _ in lives if one.channel == channel and one.first_day >= begin]
        won = [one for one in mine if one.won_day is not None]
        seen = [one for one in mine if floor(one.first_day) > end - 90]
        view, lately = drawn[channel], sum(m for day, m in spent.items() if day > end - 28)
        assert (lately / 100, sum(one.won_day > end - 28 for one in won)) == (view.spent, view.won)
        conversion = sum(one in won for one in seen) / len(seen) if seen else None
        assert (len(seen), conversion) == (view.seen, view.conversion)
        for month, cohort in view.cohorts.items():
            theirs = [one for one in won if month_of(one.won_day) == month]
            minor = sum(amount for day, amount in spent.items() if month_of(day) == month)
            margin = sum(one.margin for one in theirs)
            returns = (margin - minor) / minor if minor else None
            assert (len(theirs), minor / 100, returns) == (
                cohort.won,
                cohort.spent,
                cohort.returns,
            )
            assert (cohort.payback_weeks is not None) is (0 < minor <= margin)

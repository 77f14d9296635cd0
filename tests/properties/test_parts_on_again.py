"""A part that was off for a while comes true by itself: what it finds of a customer, its deadlines,
and its sums of all customers, whoever is silent, whenever a worker dies.
"""

from collections import Counter
from collections.abc import Iterator
from functools import cache
from random import Random
from typing import Any, NamedTuple

import pytest
from hypothesis import example, given, note
from hypothesis import strategies as st

from config.duration import DAY_MS, MINUTE_MS
from config.parameters import Parameters
from models.counted import held
from models.customer.funnel import FUNNEL
from models.customer.lifecycle import LIFECYCLE
from models.customer.loyalty import LOYALTY
from models.customer.part import Part
from models.customer.registry import PARTS
from models.customer.row import Row
from models.customer.scene import Scene
from models.customer.segments import SEGMENTS
from models.decisions.trigger import Decision
from models.parts_in_force import TAKEN_UP_WITHIN_MS
from models.plan import plan_for
from tests.contract.parts import ALL_ON, alike
from tests.models.lines import START_MS
from tests.models.persons import Deployment, said_by
from tests.properties.test_persons import PARTITIONS, stories, time_of

_SWITCHED = [part for part in PARTS if part.has_switch]
every_switched_part = pytest.mark.parametrize("part", _SWITCHED, ids=[p.name for p in _SWITCHED])
_USERS = ("ada", "bob", "cleo", "dora", "emil")
_CHANNELS = ("web", "app", "store")
#: Those that go by what they hear alone: what came while they were off is not known.
_BY_EVENTS = ("prices", "loyalty", "satisfaction", "channels", "timeline", "lift", "funnel")
#: Facts of when something was found, and why.
_OF_THE_CHANGE = ("_before", "_days", "_cause")
#: What sums hold of what happened, and not of what somebody is by now.
_HAPPENED = {
    "funnel": "",
    "improvements": "",
    "lifecycle": "left:",
    # Whoever was not asked when they bought is not asked later.
    "risk": ("left:", "stayed:"),
}
#: Stories in which ids that were counted by themselves became one person's, or the other way round,
#: while the part was off: seed, size, part.
LINKED_MEANWHILE = ((12, 36, LOYALTY), (4, 36, LIFECYCLE), (7, 36, SEGMENTS))
_OFF_DAY, _LAST_BUY_DAY = 120, 295
#: On again while some are looked at each week, and when everybody has been silent for good.
_ON_DAYS = (300, 800)


class Story(NamedTuple):
    """A shop: what it did ``before`` a part was switched off, and ``meanwhile``."""

    before: list[bytes]
    meanwhile: list[bytes]


def day(number: float) -> int:
    return START_MS + round(number * DAY_MS)


def bought(user: str, at_ms: int, rng: Random) -> Iterator[bytes]:
    """A visit with an order."""
    channel, price = rng.choice(_CHANNELS), rng.choice((20.0, 80.0, 300.0))
    product = {"product_id": "p", "price": price, "quantity": 1}
    yield said_by("Product Added", at_ms, user=user, channel=channel, **product)
    said: dict[str, Any] = {"order_id": f"{user} {at_ms}", "revenue": price, "products": [product]}
    said |= {"discount": price} if rng.random() < 0.4 else {}
    yield said_by("Order Completed", at_ms + 5 * MINUTE_MS, user=user, channel=channel, **said)


@cache
def story(seed: int, *, buys: bool) -> Story:
    """Customers of several rhythms; ``buys``: some buy while the part is off, and not only give
    back what they bought before.
    """
    rng = Random(seed)
    before: list[bytes] = []
    meanwhile: list[bytes] = []
    for user in _USERS:
        at_day, rhythm = rng.uniform(0, 20), rng.choice((6, 20, 45, 400))
        before.append(said_by("identify", day(at_day), user=user, age=rng.choice((20, 34, 70))))
        while at_day < _OFF_DAY - 2:
            at_ms = day(at_day)
            before += bought(user, at_ms, rng)
            if rng.random() < 0.3:
                before.append(
                    said_by("Survey Responded", at_ms + 1, user=user, kind="nps", score=9)
                )
            if rng.random() < 0.15:
                ticket = {"ticket_id": f"{user} {at_ms}"}
                before.append(said_by("Ticket Opened", at_ms + DAY_MS, user=user, **ticket))
            if rng.random() < 0.15:
                back_ms, order = day(rng.uniform(_OFF_DAY + 5, _OFF_DAY + 25)), f"{user} {at_ms}"
                meanwhile.append(said_by("Order Refunded", back_ms, user=user, order_id=order))
            at_day += rhythm * rng.uniform(0.8, 1.2)
        if buys and rng.random() < 0.6:
            meanwhile += bought(user, day(rng.uniform(_OFF_DAY + 5, _LAST_BUY_DAY)), rng)
    return Story(sorted(before, key=time_of), sorted(meanwhile, key=time_of))


def started_with(shop: Deployment, parameters: Parameters) -> None:
    """All workers are started again, with these parameters."""
    shop.plan = plan_for(parameters)
    for number in range(len(shop.lanes)):
        shop.save(number)
        shop.die(number)


def lived(told: Story, on_day: int, part: Part[Any] | None, deaths: Random | None) -> Deployment:
    """The shop, a day and a check-in after the ``part``, if any, was on again."""
    shop = Deployment(1, ALL_ON)

    def tell(events: list[bytes]) -> None:
        for event in events:
            shop.tell(event)
            if deaths is not None and deaths.random() < 0.1:
                shop.die(0)
            elif deaths is not None and deaths.random() < 0.3:
                shop.save(0)

    tell(told.before)
    shop.tick(day(_OFF_DAY))
    if part is not None:
        started_with(shop, part.switched(ALL_ON, on=False))
    tell(told.meanwhile)
    shop.tick(day(on_day))
    if part is not None:
        started_with(shop, ALL_ON)
    for at_ms in (MINUTE_MS, TAKEN_UP_WITHIN_MS // 2, TAKEN_UP_WITHIN_MS + 1):
        shop.tick(day(on_day) + at_ms)
        if deaths is not None and deaths.random() < 0.5:
            shop.die(0)
            shop.settle()
    shop.tick(day(on_day + 9))
    return shop


@cache
def never_off(seed: int, on_day: int, *, buys: bool) -> Deployment:
    return lived(story(seed, buys=buys), on_day, None, None)


def found_of(shop: Deployment, part: Part[Any]) -> dict[str, dict[str, float | str]]:
    """What the part says of everybody, but for when and why it changed."""
    lane, found = shop.lanes[0], dict[str, dict[str, float | str]]()
    names = [name for name, fact in part.facts.items() if fact.moment is None]
    for user, row in shop.everybody():
        scene = Scene(row, user, lane.as_of_ms, lane.context)
        found[user] = {name: scene[name] for name in names if not name.endswith(_OF_THE_CHANGE)}
    return found


def sums_of(shop: Deployment, part: Part[Any], until: int) -> dict[str, int]:
    """The part's sums of all customers within its window, of what was so before a day."""
    assert part.population is not None
    window_days = part.population.window_days(ALL_ON) or until
    sums: Counter[str] = Counter()
    for (name, key, of_day), amount in shop.sums().items():
        is_within = of_day == 0 or until - window_days < of_day <= until
        # Of what is decided while it is off, lift follows nobody.
        is_followed = part.name != "lift" or of_day < day(_OFF_DAY) // DAY_MS
        if name == part.name and is_within and is_followed and not _is_of_the_past(name, key):
            sums[key] += amount
    return {key: amount for key, amount in sums.items() if amount}


def _is_of_the_past(part: str, key: str) -> bool:
    return part in _HAPPENED and key.startswith(_HAPPENED[part])


#: What a part did not hear of that listens to events alone is not known to anybody.
_WAYS = [
    pytest.param(part, buys, id=f"{part.name}-{'bought meanwhile' if buys else 'silent'}")
    for part in _SWITCHED
    for buys in (False, True)
    if not (buys and part.name in _BY_EVENTS)
]


@pytest.mark.parametrize("on_day", _ON_DAYS)
@pytest.mark.parametrize(("part", "buys"), _WAYS)
def test_it_is_found_again_as_if_it_had_never_been_off(
    part: Part[Any], buys: bool, on_day: int
) -> None:
    seed = 1 if buys else 2
    whole = never_off(seed, on_day, buys=buys)
    shop = lived(story(seed, buys=buys), on_day, part, None)

    since = shop.lanes[0].state.in_force[-1].since
    assert all(row.applied >= since for _, row in shop.everybody())
    for user, facts in found_of(whole, part).items():
        found = found_of(shop, part)[user]
        assert {name for name in facts if not alike(facts[name], found[name])} == set(), user
    if part.population is not None:
        today = (START_MS + on_day * DAY_MS) // DAY_MS + 9
        assert sums_of(whole, part, today) == sums_of(shop, part, today)
    # Nothing of what happened while it was off is news.
    rules = {rule.name for rule in ALL_ON.triggers.triggers if rule.moment in part.moments}
    told = {one for one in shop.fired() if one[0] in rules and part.name != "calendar"}
    assert told <= set(whole.fired())


def test_a_visit_during_which_it_was_switched_off_is_told_of_as_far_as_it_was_seen() -> None:
    shop, part = Deployment(1, ALL_ON), FUNNEL
    shop.tell(said_by("Product Viewed", day(1) - MINUTE_MS, user="ada", channel="web"))
    started_with(shop, part.switched(ALL_ON, on=False))
    shop.tell(said_by("Product Added", day(1), user="ada", channel="web"))
    shop.tick(day(30))
    started_with(shop, ALL_ON)
    shop.tick(day(32))

    told = {key: n for (name, key, _), n in shop.sums().items() if name == part.name}
    assert {"viewed:web:customer": 1} == told


def decided_in(shop: Deployment) -> set[str]:
    return {one.id for one in shop.effects if isinstance(one, Decision)}


@every_switched_part
def test_a_worker_that_dies_in_between_changes_nothing(part: Part[Any]) -> None:
    told = story(3, buys=True)
    whole = lived(told, _ON_DAYS[0], part, None)
    for seed in (1, 2):
        died = lived(told, _ON_DAYS[0], part, Random(seed))

        assert whole.rows[0].stored == died.rows[0].stored
        assert whole.sums() == died.sums()
        assert decided_in(whole) == decided_in(died)


@given(
    seed=st.integers(0, 2**32),
    size=st.integers(6, 40),
    part=st.sampled_from(_SWITCHED),
)
@example(*LINKED_MEANWHILE[0])
@example(*LINKED_MEANWHILE[1])
@example(*LINKED_MEANWHILE[2])
def test_the_sums_are_those_of_the_rows(seed: int, size: int, part: Part[Any]) -> None:
    """Also of who is linked to others, or leaves them, while it is off."""
    rng = Random(seed)
    note(part.name)
    shop = Deployment(rng.choice(PARTITIONS), ALL_ON)
    turns = {size // 3: part.switched(ALL_ON, on=False), 2 * size // 3: ALL_ON}
    at_ms = START_MS
    for number, event in enumerate(stories(rng, size, erases=False)):
        note(event.decode())
        if (parameters := turns.get(number)) is not None:
            started_with(shop, parameters)
        shop.publish(event)
        for lane in rng.sample(range(len(shop.logs)), len(shop.logs)):
            shop.fold(lane, rng.choice((0, 1, 3)))
        at_ms = max(at_ms, time_of(event))
        if rng.random() < 0.3:
            shop.clock(at_ms)
    shop.settle()
    shop.tick(at_ms + TAKEN_UP_WITHIN_MS + MINUTE_MS)

    sums: Counter[tuple[str, str, int]] = Counter()
    for user, row in shop.everybody():
        sums.update(_counted(shop, user, row))
    mine = {key: n for key, n in sums.items() if n and key[0] == part.name}
    told = {key: n for key, n in shop.sums().items() if key[0] == part.name}
    assert mine == {key: n for key, n in told.items() if not _is_of_the_past(*key[:2])}


def _counted(shop: Deployment, user: str, row: Row) -> Counter[tuple[str, str, int]]:
    lane, sums = shop.lanes[shop.home(user)], Counter[tuple[str, str, int]]()
    for tally in held(row, user, 1, lane.as_of_ms, lane.context):
        for key, of_day, amount in tally.sums:
            sums[tally.part, key, of_day] += amount
    return sums

"""The steps to an order: how far visits go, each counted once, by channel, for customers and
visitors.
"""

from collections import Counter
from collections.abc import Iterable
from itertools import permutations

import pytest

from models.customer.funnel import FUNNEL, FunnelStep
from models.engine import Effect
from models.events.event import Event
from models.learning.lessons import Tally
from tests.models.lines import (
    DAY_MS,
    PARAMETERS,
    at,
    happened,
    lived,
    lived_with_effects,
    waited,
)
from tests.models.persons import Deployment, said_by

STEPS = [str(step) for step in FunnelStep]
WAY = ("Product Viewed", "Product Added", "Checkout Started", "Payment Info Entered")


def did(name: str, minute: float, channel: str | None = "web") -> Event:
    if name == "Order Completed":
        return ordered(minute, channel)
    return happened(name, at(minutes=minute), channel=channel, product_id="p", price=5.0)


def ordered(minute: float, channel: str | None = "web") -> Event:
    said = {"order_id": f"o-{minute}", "revenue": 5.0}
    return happened("Order Completed", at(minutes=minute), channel=channel, **said)


def sums(effects: Iterable[Effect]) -> Counter[tuple[str, int]]:
    found: Counter[tuple[str, int]] = Counter()
    for effect in effects:
        if isinstance(effect, Tally) and effect.part == FUNNEL.name:
            for key, day, amount in effect.sums:
                found[key, day] += amount
    return found


def told(events: list[Event], minute: float = 24 * 60) -> Counter[str]:
    row, effects = lived_with_effects(events)
    _, more = waited(row, at(minutes=minute))
    found: Counter[str] = Counter()
    for (key, _day), amount in sums([*effects, *more]).items():
        found[key] += amount
    return found


def went(count: int, channel: str = "web", who: str = "customer") -> Counter[str]:
    return Counter(f"{step}:{channel}:{who}" for step in STEPS[:count])


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ([did("Product Viewed", 0)], went(1)),
        ([did(name, 5 * n) for n, name in enumerate(WAY)], went(4)),
        ([*(did(name, 5 * n) for n, name in enumerate(WAY)), ordered(25)], went(5)),
        # Two visits: looked and came back in the evening for it.
        ([did("Product Viewed", 0), did("Product Added", 300), ordered(310)], went(1) + went(5)),
        # Back at the first step after the second: one visit, as far as it went.
        ([did("Product Added", 0), did("Product Viewed", 9)], went(2)),
        # Reading for an hour in between is no other visit.
        (
            [
                did("Product Viewed", 0),
                *(happened("page", at(minutes=n), channel="web") for n in (20, 40, 60)),
                ordered(80),
            ],
            went(5),
        ),
        # The channel that a visit began with.
        ([did("Product Viewed", 0, "social"), ordered(5, "web")], went(5, "social")),
        ([did("Product Viewed", 0, None), ordered(5, "app")], went(5, "app")),
        ([ordered(0, "a fair")], went(5, "other")),
        # In a store nobody sees the way.
        ([ordered(0, "store")], went(5, "store")),
        # What is given back was ordered.
        ([ordered(0), happened("Order Refunded", at(minutes=9), order_id="o-0")], went(5)),
        # Nothing of the way.
        ([happened("page", at(), channel="web")], Counter()),
    ],
)
def test_a_visit_counts_at_every_step_up_to_the_one_it_came_to(
    events: list[Event], expected: Counter[str]
) -> None:
    assert expected == told(events)


def test_it_is_told_once_when_it_is_over_and_late_events_have_come() -> None:
    """Half an hour after its last event, an hour for late events, and the half hour that ends a
    visit.
    """
    row = lived([did("Product Viewed", 0), did("Product Added", 40 / 60)])
    almost, nothing = waited(row, at(minutes=120, ms=-1))
    over, effects = waited(almost, at(minutes=120))
    _, later = waited(over, at(minutes=9_999))

    assert Counter() == sums(nothing)
    assert {(f"{step}:web:customer", at() // DAY_MS): 1 for step in STEPS[:2]} == sums(effects)
    assert Counter() == sums(later)
    assert FUNNEL.empty == FUNNEL.pack(over.read(FUNNEL))


def test_the_order_of_arrival_makes_no_difference() -> None:
    events = [
        did("Product Viewed", 0, None),
        did("Product Added", 20, "social"),
        did("Checkout Started", 40, "web"),
        did("Product Viewed", 80, "app"),
    ]
    for order in permutations(events):
        assert went(3, "social") + went(1, "app") == told(list(order))


def test_visitors_whom_nobody_knows_are_told_apart() -> None:
    shop = Deployment()
    shop.tell(said_by("Product Viewed", at(), visitor="anon-1", channel="web", product_id="p"))
    shop.tick(at(1))
    shop.tell(said_by("identify", at(2), user="ada", visitor="anon-1"))
    shop.tell(said_by("Product Viewed", at(2), visitor="anon-1", channel="web", product_id="p"))
    shop.tick(at(3))

    found = {key: n for (part, key, _), n in shop.sums().items() if part == FUNNEL.name}
    # The visitor's share of the sums stays: that session belonged to no customer.
    assert went(1, who="visitor") + went(1) == found


def test_the_funnel_says_how_many_go_on_from_each_step() -> None:
    """Four sessions that reached five, one, two and three steps."""
    assert FUNNEL.population is not None
    counts = went(5) + went(1) + went(2) + went(3)
    found = {
        (sample.measure.name, sample.labels[0]): sample.value
        for sample in FUNNEL.population.samples(counts, PARAMETERS)
    }
    reached = [found["keepstream_session_funnel_sessions", step] for step in STEPS]
    ratios = [found["keepstream_session_funnel_conversion_ratio", step] for step in STEPS[1:]]

    assert [4, 3, 2, 1, 1] == reached
    assert [0.75, pytest.approx(2 / 3), 0.5, 1.0] == ratios
    assert [] == list(FUNNEL.population.samples({}, PARAMETERS))

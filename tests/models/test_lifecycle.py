"""Class and stage of a customer: what is true now, since when, and the funnel over all
customers.
"""

from collections import Counter
from collections.abc import Iterable
from math import isnan

import pytest
from msgspec.structs import replace

from models.customer.life_stages import STAGES, LifecycleParameters
from models.customer.lifecycle import LIFECYCLE
from models.customer.row import Row
from models.decisions.trigger import Trigger
from models.engine import Effect
from models.events.event import Event
from models.learning.acquisition import CONVERTED, SEEN, WON
from models.learning.lessons import Tally
from models.learning.population import Population
from tests.models.lines import (
    DAY_MS,
    HOUR_MS,
    PARAMETERS,
    PRIOR,
    at,
    context,
    happened,
    lived,
    lived_with_effects,
    scene,
    waited,
)
from tests.models.persons import Deployment, said_by


def bought(day: float) -> Event:
    return happened("Order Completed", at(day), order_id=f"o-{day}", revenue=50.0)


def refunded(day: float, after: float) -> Event:
    return happened("Order Refunded", at(after), order_id=f"o-{day}")


def steps(events: Iterable[Event], until: float) -> tuple[list[tuple[str, float]], list[Effect]]:
    """(stage, the day since when) of each that was found, and all effects."""
    row, effects, found = Row(), list[Effect](), list[tuple[str, float]]()
    ends = [*events, None]
    for event in ends:
        if event is None:
            row, more = waited(row, at(until))
        else:
            # What was due by then is found at its own time.
            row, before = waited(row, event.occurred_at_ms - 1)
            _note(found, row)
            row, more = lived_with_effects([event], row=row)
            effects += before
        effects += more
        _note(found, row)
    return found, effects


def _note(found: list[tuple[str, float]], row: Row) -> None:
    state = row.read(LIFECYCLE)
    day = round((state.stage_since_ms - at()) / at(1, ms=-at()), 3)
    if state.stage and (state.stage, day) not in found[-1:]:
        found.append((state.stage, day))


HOUR = round(1 / 24, 3)
ADA = [
    happened("page", at(0)),
    happened("Product Added", at(1), product_id="p-1", price=10.0),
    *(bought(day) for day in (2, 30, 60)),
    happened("Survey Responded", at(61), kind="nps", score=10),
    refunded(60, 70),
]


def told(effects: Iterable[Effect]) -> Counter[str]:
    sums: Counter[str] = Counter()
    for effect in effects:
        if isinstance(effect, Tally) and effect.part == LIFECYCLE.name:
            for key, _day, amount in effect.sums:
                sums[key] += amount
    return +sums


def fired(effects: Iterable[Effect]) -> list[tuple[str, str]]:
    mine = {"customer-lost", "interest-faded", "became-advocate"}
    found = [one for one in effects if isinstance(one, Trigger) and one.kind in mine]
    return [(one.kind, one.timestamp) for one in found]


def test_each_stage_is_what_is_true_an_hour_after_it_came_true() -> None:
    found, effects = steps(ADA, 71)

    expected = [
        ("awareness", 0),
        ("consideration", 1),
        ("purchase", 2),
        ("loyalty", 60),
        ("advocacy", 61),
        # Two purchase days are left of three.
        ("purchase", 70),
    ]
    assert [(stage, round(day + HOUR, 3)) for stage, day in expected] == found
    assert [("became-advocate", "2026-03-03T01:00:00.000Z")] == fired(effects)


def test_how_long_somebody_stayed_at_a_stage_is_told_when_they_leave_it() -> None:
    sums = told(steps(ADA, 71)[1])

    left = {key: count for key, count in sums.items() if key.startswith("left:")}
    # A day, a day, and 58 of them: by the bins of up to a day and up to sixty.
    assert {"left:awareness:2": 1, "left:consideration:2": 1, "left:purchase:10": 1} == {
        key: count for key, count in left.items() if key.split(":")[1] in STAGES[:3]
    }
    assert LIFECYCLE.population is not None
    # Advocacy, too, was left: nine days after it was reached.
    assert 1 == sums["left:advocacy:6"]
    assert {*sums} <= {*LIFECYCLE.population.keys(PARAMETERS)}
    # What was reached once stays reached, for the funnel alone.
    assert 1 == sums["reached:advocacy:other"]
    assert 1 == sums["stage:purchase"]


def dwell(left: dict[str, int]) -> dict[tuple[str, str], float]:
    assert LIFECYCLE.population is not None
    return {
        (sample.measure.name.removeprefix("keepstream_stage_"), sample.labels[0]): sample.value
        for sample in LIFECYCLE.population.samples(left, PARAMETERS)
        if sample.measure.name.startswith("keepstream_stage_")
    }


@pytest.mark.parametrize(
    ("left", "days", "count"),
    [
        # Three of four left within a day, and one after 58: half of them after two thirds of that.
        ({2: 3, 10: 1}, 0.25 + 0.75 * 2 / 3, 4),
        ({10: 1}, 52.5, 1),
        ({0: 1, 13: 1}, 1 / 24, 2),
        # Of a bin without an end its beginning is all that is known.
        ({14: 5}, 365.0, 5),
    ],
)
def test_the_median_time_at_a_stage_comes_with_the_number_of_those_who_left(
    left: dict[int, int], days: float, count: int
) -> None:
    found = dwell({f"left:purchase:{place}": number for place, number in left.items()})

    assert {
        ("dwell_days", "purchase"): pytest.approx(days),
        ("left_customers", "purchase"): count,
    } == found
    assert {} == dwell({})


def test_a_visitor_whom_nobody_knows_is_counted_in_a_row_of_their_own() -> None:
    """And as one person with the customer they turn out to be, by the channel they came through."""
    shop = Deployment()
    shop.tell(said_by("page", at(0), visitor="anon-1", channel="web"))
    shop.tick(at(1))
    before = counted_by(shop)
    shop.tell(said_by("Order Completed", at(2), user="ada", order_id="o", revenue=5.0))
    shop.tick(at(3))
    apart = counted_by(shop)
    shop.tell(said_by("identify", at(4), user="ada", visitor="anon-1"))
    shop.tick(at(5))

    assert {"class:visitors", "stage:visitors", "reached:awareness:visitors"} == set(before)
    assert (1, 1) == (apart["class:visitors"], apart["class:new"])
    found = counted_by(shop)
    assert {"class:new": 1, "stage:purchase": 1} == {
        key: count for key, count in found.items() if not key.startswith("reached")
    }
    assert 1 == found["reached:purchase:web"]
    assert 0 == found["reached:awareness:visitors"]


def counted_by(shop: Deployment) -> Counter[str]:
    sums: Counter[str] = Counter()
    for (part, key, _day), amount in shop.sums().items():
        if part == LIFECYCLE.name and not key.startswith("left"):
            sums[key] += amount
    return +sums


def test_one_sign_that_is_just_enough_is_consideration_until_half_of_it_is_left() -> None:
    found, effects = steps([*ADA[:2], happened("page", at(5))], 60)

    assert ["awareness", "consideration", "awareness"] == [stage for stage, _ in found]
    # 3 points are 1.25 after 30 · log2(3 / 1.25) = 37.89 days, to the millisecond.
    assert [("interest-faded", "2026-02-08T21:23:05.180Z")] == fired(effects)


def test_three_looks_within_a_week_are_consideration_and_two_are_not() -> None:
    looks = [happened("Product Viewed", at(2 * n), product_id=f"p-{n}") for n in range(3)]
    stages = [waited(lived(looks[:n]), at(2 * n - 1))[0].read(LIFECYCLE).stage for n in range(1, 4)]

    assert ["awareness", "awareness", "consideration"] == stages


@pytest.mark.parametrize(
    ("events", "day", "expected"),
    [
        ([happened("page", at(0))], 1, "potential"),
        ([bought(0)], 89, "new"),
        ([bought(0)], 90.1, "existing"),
        # Of two occasions of one day, the first counts.
        ([bought(0), bought(0.5)], 90.1, "existing"),
        ([bought(0), bought(10)], 11, "existing"),
        # The usual gap of one who bought once is the shop's, of 30 days: lost after four of them.
        ([bought(0)], 119.9, "existing"),
        ([bought(0)], 120.1, "lost"),
        # A weekly buyer: nobody is lost before 90 days.
        ([bought(7 * n) for n in range(10)], 63 + 89.9, "existing"),
        ([bought(7 * n) for n in range(10)], 63 + 90, "lost"),
        ([bought(0), bought(10), bought(200)], 201, "returned"),
        ([bought(0), bought(10), bought(200), bought(220)], 289, "returned"),
        ([bought(0), bought(10), bought(200), bought(280)], 290.1, "existing"),
        # By the year: a year and a half of silence is nothing yet.
        ([bought(0), bought(365), bought(730)], 730 + 500, "existing"),
        ([bought(0), bought(365), bought(730)], 730 + 731, "lost"),
        # Given back, it was no purchase.
        ([bought(0), refunded(0, 5)], 6, "potential"),
    ],
)
def test_a_class_is_by_purchases_and_silence(
    events: list[Event], day: float, expected: str
) -> None:
    row, _ = waited(lived(events), at(day))

    assert expected == scene(row, at(day))["customer_class"]


def test_who_bought_exactly_ninety_days_ago_is_new_for_the_last_time() -> None:
    row, _ = waited(lived([bought(0)]), at(90))
    after, _ = waited(row, at(90, ms=1))

    assert "new" == row.read(LIFECYCLE).customer_class
    assert ("existing", at(90, ms=1)) == (
        after.read(LIFECYCLE).customer_class,
        after.read(LIFECYCLE).class_since_ms,
    )


def test_somebody_is_lost_at_the_millisecond_without_an_event() -> None:
    row, _ = waited(lived([bought(0), bought(10)]), at(50))
    lost_ms = row.due("stage").due_ms
    before, nothing = waited(row, lost_ms - 1)
    after, effects = waited(before, lost_ms)

    assert "existing" == before.read(LIFECYCLE).customer_class
    assert [] == fired(nothing)
    assert ("lost", "existing") == (
        scene(after, lost_ms)["customer_class"],
        scene(after, lost_ms)["class_before"],
    )
    assert ["customer-lost"] == [kind for kind, _ in fired(effects)]


def test_what_others_buy_brings_nobody_back() -> None:
    row, _ = waited(lived([bought(0)]), at(121))
    slower = PRIOR.replace(replace(PRIOR.of(Population), gap_days=90.0), version=1)
    within = context(snapshot=slower)
    # A page later, the shop's usual gap is three times as long.
    row = lived([happened("Product Shared", at(125))], row=row, within=within)
    row, effects = waited(row, at(200), within=within)

    assert "lost" == row.read(LIFECYCLE).customer_class
    assert [] == fired(effects)


def test_nothing_is_said_of_a_loyal_customer_who_is_back_before_their_gap_is_out() -> None:
    monthly = [bought(30 * n) for n in range(6)]
    row, effects = lived_with_effects(monthly)
    back, more = lived_with_effects([bought(150 + 44)], row=row)
    back, after = waited(back, at(200))

    assert [] == fired([*effects, *more, *after])
    assert "loyalty" == back.read(LIFECYCLE).stage
    assert at(60, hours=1) == back.read(LIFECYCLE).stage_since_ms


def test_a_refund_within_the_hour_moves_nobody() -> None:
    found, effects = steps([happened("page", at(0)), bought(3), refunded(3, 3.02)], 10)

    assert [("awareness", HOUR)] == found
    assert 0 == told(effects)["reached:purchase:other"]


def test_two_shares_make_an_advocate_and_one_does_not() -> None:
    loyal = [bought(day) for day in (0, 20, 40)]
    shares = [happened("Product Shared", at(41 + n), product_id="p") for n in range(2)]
    stages = [waited(lived([*loyal, *shares[:n]]), at(45))[0].read(LIFECYCLE).stage for n in (1, 2)]

    assert ["loyalty", "advocacy"] == stages


def test_the_funnel_says_how_many_go_on_from_each_step() -> None:
    """Four customers who reached five, one, two and three stages."""
    assert LIFECYCLE.population is not None
    reached = dict(
        zip(
            ("awareness", "consideration", "purchase", "loyalty", "advocacy"),
            (4, 3, 2, 1, 1),
            strict=True,
        )
    )
    sums = {f"reached:{stage}:web": count for stage, count in reached.items()}
    found = {
        sample.labels: sample.value
        for sample in LIFECYCLE.population.samples(sums, PARAMETERS)
        if sample.measure.name == "keepstream_funnel_conversion_ratio"
    }

    assert {
        ("consideration", "web"): 0.75,
        ("purchase", "web"): pytest.approx(2 / 3),
        ("loyalty", "web"): 0.5,
        ("advocacy", "web"): 1.0,
    } == found


def test_a_buyer_who_was_never_seen_online_has_considered_too() -> None:
    store = happened("Order Completed", at(), channel="store", order_id="o", revenue=5.0)
    sums = told(waited(lived([store]), at(1))[1])

    keys = ("reached:awareness:store", "reached:consideration:store", "reached:purchase:store")
    assert [1, 1, 1] == [sums[key] for key in keys]


@pytest.mark.parametrize("late_days", [0, 0.1, 2])
@pytest.mark.parametrize("first", ["page", "Order Completed", "Product Shared"])
def test_whoever_came_earlier_than_was_heard_is_of_that_day_and_channel(
    first: str, late_days: float
) -> None:
    """In the funnel and among those won, as if everything had been heard in order."""
    shop = Deployment()
    came = said_by(first, at(1, hours=9), user="ada", channel="web", order_id="o-1", revenue=5.0)
    bought_by_app = said_by(
        "Order Completed", at(1, hours=10), user="ada", channel="app", order_id="o-2", revenue=5.0
    )
    if late_days:
        shop.tell(bought_by_app)
        shop.tick(at(1 + late_days, hours=12))
        shop.tell(came)
    else:
        shop.tell(came, bought_by_app)
    shop.tick(at(5))

    found = {(part, key, day): n for (part, key, day), n in shop.sums().items() if ":" in key}
    day = at(1) // DAY_MS
    assert {
        ("lifecycle", f"reached:{stage}:web", day): 1
        for stage in ("awareness", "consideration", "purchase")
    } == {place: n for place, n in found.items() if place[1].startswith("reached")}
    assert {("acquisition", f"{what}:web", day): 1 for what in (SEEN, WON, CONVERTED)} == {
        place: n for place, n in found.items() if place[1].split(":")[0] in (SEEN, WON, CONVERTED)
    }


def test_before_the_first_look_nothing_is_known() -> None:
    row = lived([happened("page", at())])

    assert ("", "") == (scene(row, at())["customer_class"], scene(row, at())["stage"])
    assert isnan(float(scene(row, at())["stage_days"]))
    assert 2.0 == scene(waited(row, at(3))[0], at(2) + HOUR_MS)["stage_days"]


def test_there_are_few_enough_sums_for_metrics() -> None:
    assert LIFECYCLE.population is not None
    keys = LIFECYCLE.population.keys(PARAMETERS)
    assert len(keys) == len(set(keys)) <= LIFECYCLE.population.keys_max
    assert PARAMETERS.of(LifecycleParameters).enabled

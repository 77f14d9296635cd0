"""Bands of churn risk; and who left without a word, once for each time and never by a score."""

from collections import Counter
from collections.abc import Iterable
from math import isnan
from random import Random
from typing import Any, NamedTuple

import pytest
from msgspec import msgpack
from msgspec.structs import replace

from models import engine
from models.customer.risk import RISK, band_of
from models.customer.risk_state import RiskParameters
from models.customer.row import Row
from models.decisions.trigger import Trigger
from models.engine import Effect, Fate
from models.events.event import Event
from models.learning.bgnbd import BgNbd
from models.learning.gamma_gamma import GammaGamma
from models.learning.lessons import Tally
from models.learning.population import Population
from models.parameters import load_parameters
from tests.models.lines import (
    DAY_MS,
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

SECTION = PARAMETERS.of(RiskParameters)
#: A shop that knows how customers usually buy.
TAUGHT = context(
    snapshot=PRIOR.replace(
        replace(
            PRIOR.of(Population),
            bgnbd=BgNbd(0.4, 2.0, 0.7, 2.5),
            gamma_gamma=GammaGamma(2.0, 3.0, 50.0),
        ),
        version=1,
    )
)


def bought(day: float) -> Event:
    return happened("Order Completed", at(day), order_id=f"o-{day}", revenue=50.0)


def told(effects: Iterable[Effect]) -> Counter[str]:
    sums: Counter[str] = Counter()
    for effect in effects:
        if isinstance(effect, Tally) and effect.part == RISK.name:
            for key, _day, amount in effect.sums:
                sums[key] += amount
    return +sums


def fired(effects: Iterable[Effect], kind: str) -> list[str]:
    return [one.timestamp[:10] for one in effects if isinstance(one, Trigger) and one.kind == kind]


@pytest.mark.parametrize(
    ("before", "probabilities", "bands"),
    [
        ("", (0.3,), "low"),
        ("", (0.5, 0.45, 0.4, 0.39), "medium medium medium low"),
        ("", (0.69, 0.7, 0.62, 0.6, 0.59), "medium high high high medium"),
        ("high", (0.39,), "low"),
        ("low", (0.45, 0.5), "low medium"),
        # A score that wavers about a limit moves somebody once.
        ("", (0.72, 0.66, 0.71, 0.62, 0.74, 0.61), "high high high high high high"),
    ],
)
def test_a_band_is_left_at_a_lower_limit_than_it_is_entered(
    before: str, probabilities: tuple[float, ...], bands: str
) -> None:
    found = []
    for probability in probabilities:
        before = band_of(probability, before, SECTION)
        found.append(str(before))

    assert bands.split() == found


def test_a_customer_is_moved_at_check_ins_and_back_at_the_end_of_a_purchase_day() -> None:
    weekly = [bought(7 * n) for n in range(14)]
    row, effects = lived_with_effects(weekly, within=TAUGHT)
    bands = [(row.read(RISK).band, at(91))]
    for day in range(92, 150):
        row, more = waited(row, at(day), within=TAUGHT)
        effects += more
        if row.read(RISK).band != bands[-1][0]:
            bands.append((row.read(RISK).band, row.read(RISK).since_ms))
    row, more = lived_with_effects([bought(150)], row=row, within=TAUGHT)
    row, more = waited(row, at(151), within=TAUGHT)

    assert ["low", "medium", "high"] == [band for band, _ in bands]
    # Each on the grid of check-ins, a second before midnight.
    assert all((since_ms - at(1) + 1_000) % at(7, ms=-at()) == 0 for _, since_ms in bands[1:])
    assert ("low", "high") == (row.read(RISK).band, row.read(RISK).before)
    assert {"band:low": 1} == {
        key: n for key, n in told([*effects, *more]).items() if key.startswith("band")
    }


@pytest.mark.parametrize(
    ("complaint", "is_silent"),
    [
        (None, True),
        (("Ticket Opened", 40 - 59, {"ticket_id": "t"}), False),
        (("Ticket Opened", 40 - 61, {"ticket_id": "t"}), True),
        # Whoever complains after the purchase has said why they do not come back.
        (("Complaint Filed", 45, {"ticket_id": "t"}), False),
        (("Survey Responded", 45, {"kind": "nps", "score": 3}), False),
        (("Survey Responded", 45, {"kind": "nps", "score": 9}), True),
        (("Product Reviewed", 45, {"rating": 1}), False),
        (("Product Reviewed", 45, {"rating": 5}), True),
        # What they ran into is not what they said.
        (("Coupon Denied", 45, {}), True),
    ],
)
def test_who_left_was_silent_if_nothing_bad_was_heard(
    complaint: tuple[str, float, dict[str, Any]] | None, is_silent: bool
) -> None:
    events = [bought(-30), bought(40)]
    if complaint is not None:
        name, day, said = complaint
        events.append(happened(name, at(day), **said))
    events.sort(key=lambda event: event.occurred_at_ms)

    effects = waited(lived(events), at(130))[1]

    assert (1, int(is_silent)) == (told(effects)["episodes"], told(effects)["silent"])


def test_somebody_leaves_once_however_often_they_were_looked_at() -> None:
    row, effects = lived_with_effects([bought(0), bought(10)])
    almost, nothing = waited(row, at(100, ms=-1))
    gone, left = waited(almost, at(100))
    _, later = waited(gone, at(330))
    back, _ = lived_with_effects([bought(101)], row=gone)
    _, again = waited(back, at(191))

    assert 0 == told([*effects, *nothing])["episodes"]
    assert 1 == told(left)["episodes"]
    assert 0 == told(later)["episodes"]
    assert 1 == told(again)["episodes"]


class Arrival(NamedTuple):
    """An event, and when it arrives."""

    at_ms: int
    event: Event


def arrived(arrivals: Iterable[Arrival]) -> tuple[Row, dict[tuple[str, int], int]]:
    """The customer once everything arrived, and two hundred days of silence after it; and how many
    episodes were told of each day, and how many silent ones.
    """
    row, effects = Row(), list[Effect]()
    for one in sorted(arrivals, key=lambda one: one.at_ms):
        within = context(one.at_ms)
        plan, present = within.plan, within.present
        effects += engine.run_due(row, "ada", one.at_ms, present, plan)
        fate, more = engine.step(row, one.event, present, plan)
        assert fate is Fate.APPLIED
        effects += more
    row, more = waited(row, row.latest_ms + 200 * DAY_MS)
    sums: Counter[tuple[str, int]] = Counter()
    for effect in (*effects, *more):
        if isinstance(effect, Tally) and effect.part == RISK.name:
            for key, day, amount in effect.sums:
                if key in ("episodes", "silent"):
                    sums[key, day - at() // DAY_MS] += amount
    return row, {key: count for key, count in sums.items() if count}


def in_time(*events: Event) -> dict[tuple[str, int], int]:
    return arrived(Arrival(event.occurred_at_ms, event) for event in events)[1]


def late(*events: Event, last: Event, days: float = 2) -> dict[tuple[str, int], int]:
    arrivals = [Arrival(event.occurred_at_ms, event) for event in events]
    return arrived([*arrivals, Arrival(last.occurred_at_ms + round(days * DAY_MS), last)])[1]


def complained(day: float) -> Event:
    return happened("Complaint Filed", at(day), ticket_id=f"t-{day}")


def of_order(day: float, what: str, when: float) -> Event:
    said: dict[str, Any] = {"order_id": f"o-{day}"}
    if what == "Completed":
        said["revenue"] = 50.0
    return happened(f"Order {what}", at(when), **said)


SIGNALS = [
    happened("Ticket Opened", at(89), ticket_id="t"),
    happened("Ticket Reopened", at(89), ticket_id="t"),
    happened("Ticket Escalated", at(89), ticket_id="t"),
    complained(89),
    happened("Survey Responded", at(89), kind="nps", score=3),
    happened("Survey Responded", at(89), kind="csat", score=1),
    happened("Product Reviewed", at(89), rating=1),
]


@pytest.mark.parametrize("signal", SIGNALS, ids=lambda signal: signal.name)
def test_a_complaint_that_is_heard_of_late_takes_back_that_somebody_left_silently(
    signal: Event,
) -> None:
    assert {("episodes", 90): 1, ("silent", 90): 1} == in_time(bought(0))
    assert {("episodes", 90): 1} == in_time(bought(0), signal)
    assert {("episodes", 90): 1} == late(bought(0), last=signal)
    # Only of that time, and whatever else is heard first.
    assert {("episodes", 90): 1} == late(bought(0), complained(90.5), last=signal)
    assert in_time(bought(0)) == late(bought(0), last=complained(90.5))


@pytest.mark.parametrize(
    ("events", "last", "told_of"),
    [
        # Somebody had bought once more.
        ([bought(0)], bought(89.5), {179: 0}),
        # What they had bought last had been given back by then.
        ([bought(0), bought(20), complained(15)], of_order(20, "Refunded", 109), {90: 1}),
        ([bought(0), bought(20), complained(95)], of_order(20, "Cancelled", 109), {90: 0}),
        # Or all that they had, so that there was nobody to leave.
        ([bought(20)], of_order(20, "Refunded", 109), {}),
        # Whoever had left before is counted for that time alone.
        ([bought(0), bought(120)], of_order(120, "Refunded", 209), {90: 0}),
        # Whoever gives it back afterwards had left, and still has.
        ([bought(0), bought(20)], of_order(20, "Refunded", 110.5), {110: 0}),
        # What is paid after all was bought.
        (
            [bought(0), bought(20), of_order(20, "Cancelled", 21)],
            of_order(20, "Completed", 89),
            {110: 0},
        ),
    ],
)
def test_an_episode_is_what_it_would_be_if_all_had_been_known_in_time(
    events: list[Event], last: Event, told_of: dict[int, int]
) -> None:
    """``told_of``: by the day, and whether something bad was heard."""
    expected = {("episodes", day): 1 for day in told_of}
    expected |= {("silent", day): 1 for day, is_heard in told_of.items() if not is_heard}

    assert expected == in_time(*events, last)
    assert expected == late(*events, last=last)


def drawn(rng: Random) -> list[Event]:
    """Some months of somebody who buys seldom, complains, and gives things back."""
    events: list[Event] = []
    day = 0.0
    for _ in range(rng.randint(2, 6)):
        events.append(bought(day))
        given_back = day + rng.choice([1, 45, 88, 89, 91])
        if rng.random() < 0.4:
            events.append(of_order(day, rng.choice(["Refunded", "Cancelled"]), given_back))
            if rng.random() < 0.3:
                events.append(of_order(day, "Completed", given_back + rng.choice([1, 44])))
        day += rng.choice([0.5, 30, 89, 91, 92, 200])
    events += [complained(rng.uniform(0, day + 95)) for _ in range(rng.randint(0, 3))]
    # No two of one moment: which of them came first would not be known.
    return [
        replace(event, occurred_at_ms=event.occurred_at_ms + place)
        for place, event in enumerate(events)
    ]


@pytest.mark.parametrize("seed", range(60))
def test_who_left_and_how_does_not_hang_on_the_order_of_arrival(seed: int) -> None:
    rng = Random(seed)
    events = drawn(rng)
    arrivals = [
        Arrival(event.occurred_at_ms + rng.randrange(round(2.9 * DAY_MS)), event)
        for event in events
    ]

    assert in_time(*events) == arrived(arrivals)[1]


@pytest.mark.parametrize(
    ("name", "day", "said", "told_of"),
    [
        ("Complaint Filed", 85, {"ticket_id": "t"}, {90: 1}),
        ("Complaint Filed", 91, {"ticket_id": "t"}, {90: 0}),
        # What they bought under another id is of the time in which they were said to be silent.
        ("Order Completed", 60, {"order_id": "p", "revenue": 9.0}, {150: 0}),
        ("Order Refunded", 88, {"order_id": "o"}, {}),
        ("Order Refunded", 95, {"order_id": "o"}, {90: 0}),
    ],
)
def test_of_several_ids_all_is_known_that_any_of_them_said(
    name: str, day: float, said: dict[str, Any], told_of: dict[int, int]
) -> None:
    """Who logs in when the episode is over by nine days, on a tablet that was used before."""
    shop = Deployment()
    ordered = said_by("Order Completed", at(0), user="ada", order_id="o", revenue=50.0)
    shop.tell(ordered, said_by(name, at(day), visitor="tablet", **said))
    shop.tick(at(99))
    shop.tell(said_by("identify", at(99), user="ada", visitor="tablet"))
    shop.tick(at(160))

    expected = {("episodes", day): 1 for day in told_of}
    expected |= {("silent", day): 1 for day, is_heard in told_of.items() if not is_heard}
    assert expected == {
        (key, day - at() // DAY_MS): count
        for (part, key, day), count in shop.sums().items()
        if part == RISK.name and key in ("episodes", "silent")
    }


def test_a_row_of_before_is_read() -> None:
    stored = msgpack.encode(["low", at(1), "high", at(2), at(90), False, at(3), True])
    for version in (1, 2):
        found = RISK.readers[version](stored)
        assert ([at(2)], at(90), False) == (found.complaints, found.left_ms, found.was_silent)
    assert [] == RISK.readers[1](msgpack.encode(["low", at(1), "", 0, 0, False])).complaints


def test_the_silent_share_is_of_those_who_left_and_comes_with_their_number() -> None:
    assert RISK.population is not None
    samples = {
        (sample.measure.name, *sample.labels): sample.value
        for sample in RISK.population.samples({"episodes": 50, "silent": 19}, PARAMETERS)
    }

    assert 0.38 == samples["keepstream_silent_churn_share",]
    assert 50 == samples["keepstream_churn_episodes", "all"]
    assert 19 == samples["keepstream_churn_episodes", "silent"]
    nobody = [one.measure.name for one in RISK.population.samples({}, PARAMETERS)]
    assert "keepstream_silent_churn_share" not in nobody


def stays(events: list[Event], until: float) -> dict[tuple[str, int], int]:
    """What is told of whether they bought again: by the key and the day of the story."""
    row, effects = lived_with_effects(events, within=TAUGHT)
    _, more = waited(row, at(until), within=TAUGHT)
    return {
        (key, day - at() // DAY_MS): amount
        for effect in [*effects, *more]
        if isinstance(effect, Tally) and effect.part == RISK.name
        for key, day, amount in effect.sums
        if key.startswith(("left", "stayed"))
    }


def for_less(day: float) -> Event:
    return happened("Order Completed", at(day), order_id=f"o-{day}", revenue=60.0, discount=20.0)


@pytest.mark.parametrize(
    ("events", "key"),
    [
        ([bought(0)], "left:others"),
        ([bought(0), bought(89)], "stayed:others"),
        # A day too late.
        ([bought(0), bought(92)], "left:others"),
        # Three quarters of the price once: a sensitivity of .53.
        ([for_less(0)], "left:price-sensitive"),
        ([for_less(0), for_less(50)], "stayed:price-sensitive"),
        ([bought(0), happened("Order Refunded", at(3), order_id="o-0")], None),
    ],
)
def test_whether_somebody_bought_again_is_asked_once_in_ninety_days(
    events: list[Event], key: str | None
) -> None:
    found = stays(events, 99)
    expected = {(key, 90): 1, (f"{key}:year-before", 90 + 365): 1} if key else {}

    assert expected == found


def test_who_is_price_sensitive_is_who_was_when_it_was_asked() -> None:
    """The first order was at full price, and none of the eight that came after it."""
    found = stays([bought(0), *(for_less(14 * n) for n in range(1, 9))], 300)

    assert {("stayed:others", 90): 1, ("stayed:price-sensitive", 98 + 90): 1} == {
        (key, day): count for (key, day), count in found.items() if not key.endswith("before")
    }


def test_price_churn_is_told_with_its_numbers_and_beside_that_of_a_year_before() -> None:
    assert RISK.population is not None
    sums = {"left:price-sensitive": 30, "stayed:price-sensitive": 70, "left:others": 10}
    sums |= {"stayed:others": 90, "left:others:year-before": 2, "stayed:others:year-before": 8}
    found = {
        (sample.measure.name.removeprefix("keepstream_price_churn_"), *sample.labels): sample.value
        for sample in RISK.population.samples(sums, PARAMETERS)
        if "price_churn" in sample.measure.name
    }

    assert {
        ("ratio", "price-sensitive", "now"): 0.3,
        ("customers", "price-sensitive", "now"): 100,
        ("ratio", "others", "now"): 0.1,
        ("customers", "others", "now"): 100,
        ("ratio", "others", "year-before"): 0.2,
        ("customers", "others", "year-before"): 10,
    } == found


def test_who_drifts_is_told_before_anybody_takes_them_for_lost() -> None:
    """Fourteen purchases, one every third day, and then none."""
    row = lived([bought(3 * n) for n in range(14)], within=TAUGHT)
    _, effects = waited(row, at(39 + 60), within=TAUGHT)

    assert ["2026-02-26"] == fired(effects, "drifting")
    assert fired(effects, "drifting") < fired(effects, "churn-risk")


def test_nothing_is_said_of_somebody_who_buys_as_seldom_as_ever() -> None:
    """Every six weeks: fourteen days without a purchase are nothing unusual."""
    row, effects = lived_with_effects([bought(42 * n) for n in range(9)], within=TAUGHT)
    _, more = waited(row, at(42 * 8 + 41), within=TAUGHT)

    assert [] == fired([*effects, *more], "drifting")


def test_of_somebody_unknown_there_is_no_band() -> None:
    row = lived([happened("page", at())])

    assert "" == scene(row, at())["churn_band"]
    assert isnan(float(scene(row, at())["complaint_days"]))
    complained = lived([happened("Complaint Filed", at(), ticket_id="t")])
    assert 3.0 == scene(complained, at(3))["complaint_days"]


def test_limits_that_cross_are_refused() -> None:
    crossed = replace(SECTION, high_until=0.8)
    assert [] == list(SECTION.problems())
    assert len(list(crossed.problems())) == 1
    with pytest.raises(ValueError, match="must ascend"):
        load_parameters(assignments=["risk.medium_until=0.9"])

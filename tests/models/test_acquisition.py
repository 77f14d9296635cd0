"""What customers cost: costs on their way from the log to a snapshot, and whose cost is whose."""

from collections.abc import Iterable
from random import Random
from typing import Any

import orjson
import pytest
from msgspec.structs import replace

from models.admission import admit, decode_event
from models.customer.acquisition import AcquisitionParameters, Touch
from models.customer.engagement import ENGAGEMENT
from models.customer.lifecycle import LIFECYCLE
from models.customer.winning import TOUCHES_MAX
from models.engine import Fate
from models.events.event import Event
from models.events.rejection import Reason, Rejected
from models.events.times import iso
from models.events.wire import encode_event
from models.learning.acquisition import AcquisitionCosts, AcquisitionLearner, samples
from models.learning.channel_days import CHANNELS_MAX, OTHER
from models.learning.lessons import Cost, Observation, Tally, decode_lesson, encode_lesson
from models.learning.tallies import ACQUISITION_NAME
from models.learning.trainer import Trainer
from models.replay import Replay
from tests.models.lines import (
    DAY_MS,
    PARAMETERS,
    at,
    context,
    happened,
    line,
    lived,
    lived_with_effects,
    of,
    step,
    waited,
    watermark,
)
from tests.models.persons import Deployment, said_by


def cost(at_ms: int, message: str = "m", **properties: Any) -> Event:
    said = {
        "type": "track",
        "event": "Campaign Cost",
        "messageId": message,
        "timestamp": iso(at_ms),
        "properties": properties,
    }
    return admit(orjson.dumps(said), PARAMETERS, message_id="none", topic="feedback")


def test_a_cost_needs_no_customer_and_reaches_the_trainer() -> None:
    event = cost(at(1), channel="Search, paid", amount=12.5, currency="eur")
    [effect] = lived_with_effects([event])[1]

    assert Cost(at(1), "Search, paid", 1_250) == effect
    assert decode_lesson(encode_lesson(effect)) == effect
    # In the log it still belongs to no customer, and is the same when it is read again.
    assert not event.identified
    assert event == decode_event(encode_event(event), message_id="none")


def test_a_repeated_cost_counts_once() -> None:
    event = cost(at(1), channel="search", amount=12.5)
    row = lived([event])

    _, fate, effects = step(row, event, context())
    assert (Fate.DUPLICATE, []) == (fate, effects)
    assert event.customer == cost(at(2), "n", channel="search", amount=1).customer


def test_a_cost_is_no_sign_of_life() -> None:
    row = lived([cost(at(1), channel="search", amount=12.5)])

    assert ENGAGEMENT.empty == ENGAGEMENT.pack(of(row).engagement)
    assert not row.next_due_ms


@pytest.mark.parametrize(
    ("properties", "reason"),
    [
        ({"amount": 5}, Reason.REQUIRED_MISSING),
        ({"channel": "search"}, Reason.REQUIRED_MISSING),
        ({"channel": "search", "amount": -1}, Reason.OUT_OF_RANGE),
        ({"channel": "search", "amount": 5, "currency": "USD"}, Reason.OUT_OF_RANGE),
    ],
)
def test_a_cost_that_cannot_be_used_is_refused(properties: Any, reason: Reason) -> None:
    with pytest.raises(Rejected) as refused:
        cost(at(1), **properties)
    assert reason == refused.value.reason


def test_the_channel_of_the_first_event_is_the_one_that_won_the_customer() -> None:
    events = [
        happened("Order Completed", at(0.5), channel="app", revenue=30),
        happened("page", at(0.2), channel="search"),
        happened("page", at(0.1)),
        happened("page", at(0.3), channel="letters"),
    ]
    for order in (events, events[::-1]):
        row, effects = waited(lived(order), at(30))
        first, second, *_ = [e.acquired for e in effects if isinstance(e, Observation)]
        assert ("search", None) == (first, second)
        assert "search" == of(row).engagement.first_channel


def spent(channel: str, amount_minor: int) -> Cost:
    return Cost(at(1), channel, amount_minor)


def won(channel: str | None) -> Observation:
    """A check-in: the first one says the channel."""
    return Observation(
        timestamp_ms=at(8),
        recency_days=7.0,
        frequency=1,
        monetary_minor=3_000,
        gap_days=None,
        enters=(0, 7, 7),
        acquired=channel,
    )


def taught(lessons: Iterable[Cost | Observation]) -> AcquisitionLearner:
    learner = AcquisitionLearner(None, PARAMETERS)
    for lesson in lessons:
        learner.learn(lesson)
    return learner


def costs_minor(learner: AcquisitionLearner) -> dict[str, float]:
    return learner.draw(at(9)).by_channel_minor


def test_costs_are_shared_by_the_customers_of_their_channel() -> None:
    costs = [spent("search", 3_000), spent("search", 1_000), spent("letters", 500)]
    customers = [won("search"), won("search"), won("organic"), won(None), won("")]

    for lessons in ([*costs, *customers], [*customers, *costs]):
        assert {"search": 2_000.0} == costs_minor(taught(lessons))


def test_channels_are_bounded() -> None:
    names = [f"c{number}" for number in range(CHANNELS_MAX + 10)]
    learner = taught(lesson for name in names for lesson in (won(name), spent(name, 100)))
    channels = learner.state().channels

    assert CHANNELS_MAX + 1 == len(channels)
    assert 10 == channels[OTHER].acquired
    assert 100.0 == costs_minor(learner)[OTHER]


def test_a_snapshot_says_what_a_customer_of_each_channel_costs() -> None:
    trainer = Trainer(PARAMETERS)
    events = [happened("Order Completed", at(0.5), channel="search", revenue=30)]
    observed = [e for e in waited(lived(events), at(8))[1] if isinstance(e, Observation)]
    for number, lesson in enumerate([*observed, Cost(at(9), "search", 700, offset=9)]):
        assert trainer.learn(lesson), number
    assert not trainer.learn(Cost(at(9), "search", 700, offset=9))

    assert {"search": 700.0} == trainer.draw().of(AcquisitionCosts).by_channel_minor


def told(effects: Iterable[Any]) -> list[Tally]:
    return [one for one in effects if isinstance(one, Tally) and one.part == ACQUISITION_NAME]


def after(*lessons: Cost | Tally, day: float = 27) -> Any:
    """The state of the channels once these lessons were learnt, in any order."""
    views = []
    for order in (lessons, lessons[::-1]):
        learner = AcquisitionLearner(None, PARAMETERS)
        for lesson in order:
            learner.learn(lesson)
        views.append(learner.draw(at(day)))
    assert views[0] == views[1]
    return views[0]


def came(*sums: tuple[str, int], day: float = 1) -> Tally:
    """So many of each lesson, for the channel search."""
    amounts = tuple((f"{what}:search", at(day) // DAY_MS, amount) for what, amount in sums)
    return Tally(at(day), ACQUISITION_NAME, 365, amounts)


def test_a_customer_costs_what_was_spent_over_those_who_were_won_and_stayed_so() -> None:
    """1,250.00 for 25 first orders, of which one was given back: 52.08, of a thousand seen."""
    spent = Cost(at(1), "search", 125_000)
    view = after(spent, came(("seen", 1_000), ("converted", 25), ("won", 25))).lately["search"]
    assert (50.0, 0.025) == (view.cost, view.conversion)

    back = came(("converted", -1), ("won", -1))
    found = after(spent, came(("seen", 1_000), ("converted", 25), ("won", 25)), back)
    view = found.lately["search"]
    assert pytest.approx(52.08, abs=0.005) == view.cost
    assert (24, 0.024, 1_250.0) == (view.won, view.conversion, view.spent)
    told_of = {sample.measure.name: sample.value for sample in samples(found)}
    assert pytest.approx(52.08, abs=0.005) == told_of["keepstream_acquisition_cost"]


def test_nobody_won_is_no_cost_of_nothing() -> None:
    view = after(Cost(at(1), "search", 125_000)).lately["search"]
    assert (None, None) == (view.cost, view.conversion)
    measures = {sample.measure.name for sample in samples(after(Cost(at(1), "search", 5)))}
    assert "keepstream_acquisition_cost" not in measures


def test_a_cost_counts_on_its_own_days_whenever_it_is_told() -> None:
    won = came(("won", 10), day=40)
    assert 10.0 == after(Cost(at(40), "search", 10_000), won, day=50).lately["search"].cost
    # Told today of a month before: it is not of these four weeks.
    assert after(Cost(at(1), "search", 10_000), won, day=50).lately["search"].cost is None


def test_a_cost_of_a_period_is_spread_over_its_days_to_the_cent() -> None:
    cost = Cost(at(0), "search", 10_000, period_days=30)
    spent = [after(cost, day=day).lately["search"].spent for day in (0, 9, 27, 29)]

    # What is lost in rounding comes with the last days.
    assert [3.33, 33.30, 93.24] == pytest.approx(spent[:3], abs=0.1)
    # The last 28 of 30 days.
    assert pytest.approx(100.0 - 2 * 3.33) == spent[3]
    everything = after(cost, came(("margin", 0)), day=29).lately["search"]
    assert -1.0 == everything.year.returns


def test_what_is_not_spent_yet_is_not_of_the_month_either() -> None:
    """310.00 from 17 January on, for 31 days: 10.00 a day."""
    learner = AcquisitionLearner(None, PARAMETERS)
    learner.learn(Cost(at(16), "search", 31_000, period_days=31))

    for day, by_month in (
        (16, {"2026-01": 10.0}),
        (20, {"2026-01": 50.0}),
        (30, {"2026-01": 150.0}),
        (31, {"2026-01": 150.0, "2026-02": 10.0}),
        (100, {"2026-01": 150.0, "2026-02": 160.0}),
    ):
        found = learner.draw(at(day)).lately["search"]
        assert by_month == {name: cohort.spent for name, cohort in found.cohorts.items()}
        assert sum(by_month.values()) == found.year.spent


def test_what_is_spent_to_keep_customers_wins_none() -> None:
    kept = Cost(at(2), "search", 50_000, is_retention=True)
    found = after(Cost(at(1), "search", 125_000), kept, came(("won", 25)))

    assert (50.0, 0.4) == (found.lately["search"].cost, found.retention_ratio)


def test_what_customers_brought_is_compared_with_what_they_cost() -> None:
    """600.00 left of 2,000.00 for 500.00: a fifth more than was spent."""
    found = after(Cost(at(1), "search", 50_000), came(("won", 10), ("margin", 60_000)))

    assert pytest.approx(0.2) == found.lately["search"].year.returns


#: The first days of January and of February 2026.
JANUARY, FEBRUARY = 0, 31
SPENT = Cost(at(JANUARY + 4), "search", 50_000)


def brought(*by_week: tuple[int, int]) -> Tally:
    """The margin of January's customers, by the week after they were won."""
    return came(*((f"brought{week}", amount) for week, amount in by_week), day=JANUARY)


@pytest.mark.parametrize(
    ("by_week", "weeks"),
    [
        ([(0, 20_000), (2, 20_000)], None),
        ([(0, 20_000), (2, 20_000), (5, 15_000)], 5),
        ([(0, 50_000)], 0),
        # What was given back in the week after: it has not come back yet.
        ([(0, 50_000), (1, -1_000)], None),
        ([(0, 50_000), (1, -1_000), (9, 2_000)], 9),
        # The last week in which they are followed.
        ([(52, 50_000)], 52),
    ],
)
def test_a_cohort_has_paid_back_in_the_first_week_from_which_its_margin_is_what_it_cost(
    by_week: list[tuple[int, int]], weeks: int | None
) -> None:
    found = after(SPENT, came(("won", 10), day=JANUARY + 9), brought(*by_week), day=90)
    cohort = found.lately["search"].cohorts["2026-01"]
    told_of = {sample.measure.name: sample.value for sample in samples(found)}

    assert (10, 500.0, weeks) == (cohort.won, cohort.spent, cohort.payback_weeks)
    assert weeks == told_of.get("keepstream_cohort_payback_weeks")
    assert weeks == told_of.get("keepstream_acquisition_payback_weeks")


def test_each_cohort_pays_back_what_was_spent_in_its_own_month() -> None:
    february = Cost(at(FEBRUARY + 2), "search", 30_000)
    theirs = came(("brought0", 31_000), day=FEBRUARY)
    found = after(SPENT, february, brought((0, 20_000)), theirs, day=60).lately["search"]

    weeks = {name: cohort.payback_weeks for name, cohort in found.cohorts.items()}
    assert {"2026-01": None, "2026-02": 0} == weeks
    # The year's 800.00 are not back.
    assert (800.0, None) == (found.year.spent, found.year.payback_weeks)


def test_without_a_cost_nothing_is_paid_back_and_without_customers_nothing_is_known() -> None:
    nothing_spent = after(came(("won", 10)), brought((0, 20_000))).lately["search"].year
    nobody_won = after(SPENT).lately["search"].year

    assert (None, None, None) == (
        nothing_spent.payback_weeks,
        nothing_spent.returns,
        nothing_spent.value_to_cost,
    )
    assert (None, None, None, -1.0) == (
        nobody_won.payback_weeks,
        nobody_won.lifetime_value,
        nobody_won.value_to_cost,
        nobody_won.returns,
    )


def test_a_lifetime_value_is_compared_with_the_cost_of_one_of_those_of_whom_it_is_known() -> None:
    """Of ten customers who cost 50.00 each, eight have a value, of 150.00 on average: 3 to 1."""
    values = came(("valued", 8), ("worth", 120_000), day=JANUARY)
    found = after(SPENT, came(("won", 10), day=JANUARY + 9), values)
    cohort = found.lately["search"].cohorts["2026-01"]

    assert (150.0, 3.0) == (cohort.lifetime_value, cohort.value_to_cost)
    told_of = {sample.measure.name: sample.value for sample in samples(found)}
    assert 150.0 == told_of["keepstream_cohort_lifetime_value"]
    assert 3.0 == told_of["keepstream_acquisition_value_to_cost_ratio"]


def test_a_cohort_is_followed_for_a_year() -> None:
    won = came(("won", 10), day=JANUARY + 9)
    kept = after(SPENT, won, brought((0, 60_000)), day=364).lately["search"]
    gone = after(SPENT, won, brought((0, 60_000)), day=366)

    assert 0 == kept.cohorts["2026-01"].payback_weeks
    assert all("2026-01" not in view.cohorts for view in gone.lately.values())


def a_buyer(*days: float) -> list[Event]:
    return [
        happened("Order Completed", at(day), channel="search", order_id=f"o-{day}", revenue=100.0)
        for day in days
    ]


def test_what_a_customer_brings_is_told_by_the_week_after_they_were_won() -> None:
    """30.00 of each order of 100.00: two in the first week, one in the fourth, one given back."""
    row, effects = lived_with_effects(a_buyer(4, 5, 27))
    row, more = waited(row, at(28))
    row, back = lived_with_effects([happened("Order Refunded", at(29), order_id="o-5")], row=row)
    _, later = waited(row, at(30))
    spent, won = Cost(at(1), "search", 8_000), told([*effects, *more])

    before = after(spent, *won, day=28).lately["search"].year
    returned = after(spent, *won, *told([*back, *later]), day=30).lately["search"].year
    assert (1, 0.125, 3) == (before.won, before.returns, before.payback_weeks)
    # 60.00 are left.
    assert (1, -0.25, None) == (returned.won, returned.returns, returned.payback_weeks)


LAST = PARAMETERS.with_section(replace(PARAMETERS.of(AcquisitionParameters), touch=Touch.LAST))


@pytest.mark.parametrize(
    ("touches", "won_by"),
    [
        ([(0, "social"), (10, "search")], "search"),
        # By themselves: that is no touch.
        ([(0, "social"), (10, "search"), (12, "web")], "search"),
        # Longer ago than thirty days: by that of their first event.
        ([(-40, "social"), (-20, "search")], "social"),
        ([(0, "web")], "web"),
        # After they bought.
        ([(0, "social"), (14.01, "search")], "social"),
    ],
)
def test_the_last_touch_before_the_first_purchase_wins_the_customer_if_it_is_asked_for(
    touches: list[tuple[float, str]], won_by: str
) -> None:
    within = context(parameters=LAST)
    events = [happened("page", at(day), channel=name) for day, name in touches]
    events.append(happened("Order Completed", at(14), channel="web", order_id="o", revenue=9.0))
    for order in (events, events[::-1]):
        row, effects = lived_with_effects(order, within=within)
        _, more = waited(row, at(15), within=within)
        found = after(*told([*effects, *more]), day=15)
        assert [won_by] == [name for name, view in found.lately.items() if view.won]
        # Who was seen is by the first one in any case.
        assert [touches[0][1]] == [name for name, view in found.lately.items() if view.seen]


def won_by_last_touch(events: Iterable[Event], until: float, settled: float) -> list[str]:
    """The channels that won the customer; the ``events`` come when the others have settled."""
    within = context(parameters=LAST)
    row, effects = lived_with_effects(
        (one for one in events if one.message_id != "late"), within=within
    )
    row, more = waited(row, at(settled), within=within)
    late = [one for one in events if one.message_id == "late"]
    row, of_late = lived_with_effects(late, row=row, within=within)
    _, last = waited(row, at(until), within=within)
    found = after(*told([*effects, *more, *of_late, *last]), day=until)
    return [name for name, view in found.lately.items() if view.won]


def an_order(day: float, order: str = "o", **said: Any) -> Event:
    return happened("Order Completed", at(day), channel="web", order_id=order, revenue=9.0, **said)


def test_visits_after_the_first_purchase_do_not_displace_the_touch_that_won() -> None:
    first, search = (happened("page", at(day), channel=n) for day, n in ((0, "x"), (10, "search")))
    later = [
        happened("page", at(14, minutes=one + 1), channel="social", message=f"{one}")
        for one in range(3 * TOUCHES_MAX)
    ]

    assert ["search"] == won_by_last_touch([first, search, an_order(14), *later], 15, 15)
    assert ["search"] == won_by_last_touch([first, an_order(14), *later, search], 15, 15)


def test_a_touch_that_is_heard_of_late_wins_as_one_in_time() -> None:
    first = happened("page", at(0), channel="x")
    late = happened("page", at(13.9), channel="search", message="late")
    after_it = happened("page", at(14.01), channel="search", message="late")

    assert ["search"] == won_by_last_touch([first, an_order(14), late], 16, 15)
    assert ["x"] == won_by_last_touch([first, an_order(14), after_it], 16, 15)


def test_who_gave_the_first_order_back_is_won_anew() -> None:
    """Two months after their last touch: by the channel of their first event."""
    first, search = (happened("page", at(day), channel=n) for day, n in ((0, "x"), (10, "search")))
    back = happened("Order Refunded", at(16), order_id="o")
    again = happened("Order Completed", at(80), order_id="again", revenue=9.0, message="late")
    events = [first, search, an_order(14), back, again]

    assert ["x"] == won_by_last_touch(events, 82, 20)


def test_what_a_visitor_gave_back_before_they_logged_in_is_brought_by_nobody() -> None:
    """Each id was counted by itself until then."""
    shop = Deployment()
    guest = {"order_id": "guest", "revenue": 100}
    shop.tell(said_by("Order Completed", at(1), visitor="anon-1", channel="web", **guest))
    shop.tell(said_by("Order Completed", at(2), user="ada", order_id="o", revenue=50))
    shop.tick(at(3))
    shop.tell(said_by("Order Refunded", at(10), visitor="anon-1", order_id="guest"))
    shop.tick(at(11))
    shop.tell(said_by("identify", at(20), user="ada", visitor="anon-1"))
    shop.tick(at(30))

    brought = {key: n for (part, key, _), n in shop.sums().items() if part == ACQUISITION_NAME}
    assert 1_500 == brought["margin:web"] == brought["brought0:web"]


def test_the_first_touch_wins_unless_the_last_one_is_asked_for() -> None:
    events = [happened("page", at(0), channel="social"), happened("page", at(1), channel="search")]
    row, effects = lived_with_effects([*events, *a_buyer(2)])
    found = after(*told([*effects, *waited(row, at(3))[1]]), day=3)

    assert ["social"] == [name for name, view in found.lately.items() if view.won]
    assert [] == row.read(LIFECYCLE).touches


def test_a_customer_s_cost_is_of_those_who_were_won_and_not_of_those_who_gave_all_back() -> None:
    learner = taught([spent("search", 3_000), won("search"), won("search")])
    assert {"search": 1_500.0} == costs_minor(learner)
    learner.learn(came(("won", 2)))
    learner.learn(came(("won", -1)))
    assert {"search": 3_000.0} == costs_minor(learner)


def test_a_customer_is_won_by_the_channel_of_their_first_event_until_all_is_given_back() -> None:
    page = happened("page", at(0), channel="search")
    order = happened("Order Completed", at(3), channel="web", order_id="o-1", revenue=80.0)
    row, effects = lived_with_effects([page, order])
    row, settled = waited(row, at(4))
    _, returned = lived_with_effects([happened("Order Refunded", at(5), order_id="o-1")], row=row)
    gone, more = waited(lived([happened("Order Refunded", at(5), order_id="o-1")], row=row), at(6))

    won = after(*told([*effects, *settled]), day=4).lately["search"]
    back = after(*told([*effects, *settled, *returned, *more]), day=6).lately["search"]
    assert (1, 1, 1.0) == (won.seen, won.won, won.conversion)
    assert (1, 0, 0.0) == (back.seen, back.won, back.conversion)
    assert gone.latest_ms == at(5)


def test_purpose_and_period_of_a_cost_reach_the_trainer() -> None:
    event = cost(at(1), channel="letters", amount=30, purpose="retention", period_days=30)
    [effect] = lived_with_effects([event])[1]

    assert Cost(at(1), "letters", 3_000, 30, is_retention=True) == effect
    assert decode_lesson(encode_lesson(effect)) == effect
    for wrong in ({"purpose": "glory"}, {"period_days": 0}, {"period_days": 1.5}):
        with pytest.raises(Rejected):
            cost(at(1), channel="letters", amount=30, **wrong)


@pytest.mark.parametrize("days_late", [0, 2, 30, 300])
def test_what_was_spent_counts_however_late_it_is_told_and_once(days_late: int) -> None:
    """The invoice of a month comes when the month is over; the cost still belongs to its own
    day.
    """
    told_of = cost(at(3), message="march", channel="search", amount=100)
    within = context(at(3 + days_late))
    row, effects = lived_with_effects([told_of], within=within)
    later = context(at(400))
    row, _ = waited(row, at(400), within=later)
    _, fate, again = step(row, told_of, later)

    assert [Cost(at(3), "search", 10_000)] == effects
    # Nothing is taught twice, also once the message itself is no longer remembered.
    assert [] == again
    assert fate in (Fate.DUPLICATE, Fate.APPLIED)


def test_anything_else_may_be_too_late() -> None:
    order = happened("Order Completed", at(3), order_id="o-1", revenue=80.0)

    assert Fate.LATE is step(lived([]), order, context(at(33)))[1]


def test_a_replay_tells_what_customers_cost_as_metrics_do() -> None:
    few = replace(PARAMETERS, learning=replace(PARAMETERS.learning, minimum_examples=1))
    replay = Replay(few)
    bought = [
        line(
            "Order Completed",
            at(2),
            customer=f"c-{number}",
            channel="search",
            properties={"order_id": f"o-{number}", "revenue": 50.0},
        )
        for number in range(10)
    ]
    spent = {"channel": "search", "amount": 100.0}
    late = line("Campaign Cost", at(3), customer="", properties=spent)
    days = [watermark(at(day)) for day in range(4, 21)]
    for number, raw in enumerate([*bought, *days, late, watermark(at(21))], 1):
        replay.feed(raw, number)
    measures = replay.summary().measures

    assert 10.0 == measures['keepstream_acquisition_cost{channel="search"}']
    assert 10 == measures['keepstream_cohort_customers{channel="search",cohort="2026-01"}']


def test_channels_beyond_the_bound_are_counted_together_lately_too() -> None:
    learner = AcquisitionLearner(None, PARAMETERS)
    for number in range(CHANNELS_MAX + 5):
        learner.learn(Cost(at(1), f"c-{number}", 100))
    assert CHANNELS_MAX + 1 >= len(learner.draw(at(2)).lately)
    assert 5.0 == learner.draw(at(2)).lately[OTHER].spent


def test_what_is_drawn_is_the_same_however_often_it_was_drawn_before() -> None:
    """Months of channels without news are remembered, and change no view."""
    rng, often = Random(1), AcquisitionLearner(None, PARAMETERS)
    for day in range(0, 500, 4):
        today = at(day) // DAY_MS
        channel, what = rng.choice("abc"), rng.choice(("won", "margin", "seen", "brought3"))
        sums = ((f"{what}:{channel}", today - rng.randrange(40), rng.choice((1, 2, -1))),)
        often.learn(Tally(at(day), ACQUISITION_NAME, 365, sums))
        if rng.random() < 0.2:
            often.learn(Cost(at(day), rng.choice("abc"), 900, period_days=30))
        drawn = often.draw(at(day))

        assert drawn == AcquisitionLearner(often.state(), PARAMETERS).draw(at(day))

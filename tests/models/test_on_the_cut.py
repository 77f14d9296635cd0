"""A customer's state at the very millisecond it changes, and once its cause is gone."""

from collections import Counter
from collections.abc import Iterable
from fractions import Fraction
from math import isnan
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from msgspec.structs import replace

from config.duration import DAY_MS
from config.parameters import Parameters
from models.customer.calendar import CALENDAR
from models.customer.key_customers import KEY_CUSTOMERS, KeyParameters, mean_of
from models.customer.lifecycle import LIFECYCLE
from models.customer.relationship import RELATIONSHIP
from models.customer.risk import RISK
from models.customer.row import Row
from models.customer.tiers import TIERS
from models.decisions.trigger import Trigger
from models.engine import Effect
from models.events.event import Event
from models.learning.lessons import Tally
from models.learning.population import Population
from models.learning.tallies import NO_DAY
from tests.models.lines import (
    PARAMETERS,
    PRIOR,
    at,
    context,
    happened,
    lived_with_effects,
    scene,
    seen,
    waited,
)

#: The parts that say who a customer is by what looks find.
FOUND = (TIERS, RISK, CALENDAR, KEY_CUSTOMERS, RELATIONSHIP)


def bought(at_ms: int, revenue: float = 120.0) -> Event:
    return happened("Order Completed", at_ms, order_id=f"o-{at_ms}", revenue=revenue)


def given_back(order_ms: int, at_ms: int, **said: Any) -> Event:
    name = said.pop("name", "Order Refunded")
    return happened(name, at_ms, message=f"{at_ms} {said}", order_id=f"o-{order_ms}", **said)


#: Every five days, the last time on day 0 at ten.
REGULAR = [bought(at(day, hours=10)) for day in (-15, -10, -5, 0)]


def told(
    events: Iterable[Event], until_ms: int, parameters: Parameters = PARAMETERS
) -> tuple[Row, list[Effect]]:
    """The results of the events in their order of arrival, with silence after them."""
    within = context(parameters=parameters)
    row, effects = lived_with_effects(events, within=within)
    row, more = waited(row, until_ms, within=within)
    return row, [*effects, *more]


def counted(effects: Iterable[Effect]) -> Counter[tuple[str, str]]:
    """The sums over all customers by then, without those of single days."""
    sums: Counter[tuple[str, str]] = Counter()
    names = {part.name for part in FOUND}
    for effect in effects:
        if isinstance(effect, Tally) and effect.part in names:
            for key, day, amount in effect.sums:
                if day == NO_DAY:
                    sums[effect.part, key] += amount
    return Counter({key: amount for key, amount in sums.items() if amount})


def fired(effects: Iterable[Effect], kind: str) -> list[str]:
    found = [one for one in effects if isinstance(one, Trigger) and one.kind == kind]
    return [one.timestamp[:16] for one in found]


@pytest.mark.parametrize(
    ("after_ms", "customer_class", "lost"),
    [
        (-1, "existing", []),
        # What happens at the very millisecond comes before what silence does.
        (0, "existing", []),
        (1, "returned", ["2026-04-01T10:00"]),
    ],
)
def test_ninety_days_of_silence_and_a_millisecond_are_lost(
    after_ms: int, customer_class: str, lost: list[str]
) -> None:
    row, effects = told([*REGULAR, bought(at(90, hours=10, ms=after_ms))], at(92))

    assert customer_class == row.read(LIFECYCLE).customer_class
    assert lost == fired(effects, "customer-lost")


@pytest.mark.parametrize(
    ("last", "back", "customer_class"),
    [
        # 89 days and an hour: on the calendar, 90 days.
        (at(0, hours=23), at(90), "existing"),
        # The later order of an evening that goes on after midnight.
        (at(1, hours=1), at(91), "existing"),
        (at(0, hours=1), at(90, hours=23), "returned"),
    ],
)
def test_whoever_was_not_lost_has_not_returned(last: int, back: int, customer_class: str) -> None:
    evening = [bought(at(0, hours=22))] if last > at(1) else []
    row, effects = told([*REGULAR[:-1], *evening, bought(last), bought(back)], at(92))

    assert customer_class == row.read(LIFECYCLE).customer_class
    assert (customer_class == "returned") is bool(fired(effects, "customer-lost"))


def test_returned_is_ninety_days_from_the_purchase_on() -> None:
    back = [bought(at(100, hours=15)), bought(at(150))]
    before, _ = told([*REGULAR, *back], at(190, hours=15, ms=-1))
    row, _ = told([*REGULAR, *back], at(191))

    assert "returned" == before.read(LIFECYCLE).customer_class
    assert ("existing", at(190, hours=15)) == (
        row.read(LIFECYCLE).customer_class,
        row.read(LIFECYCLE).class_since_ms,
    )


@pytest.mark.parametrize(
    ("late", "customer_class"),
    [
        # An hour before they were lost, and heard of an hour after: they never were.
        (at(90, hours=9), "existing"),
        (at(90, hours=11), "returned"),
    ],
)
def test_an_order_that_is_heard_of_late_brings_back_whoever_was_lost_meanwhile(
    late: int, customer_class: str
) -> None:
    row, effects = told(REGULAR, at(91))
    assert ["2026-04-01T10:00"] == fired(effects, "customer-lost")

    row, _ = lived_with_effects([bought(late)], row=row, clock_ms=at(91))
    row, _ = waited(row, at(100))

    state = row.read(LIFECYCLE)
    assert (customer_class, "lost") == (state.customer_class, state.class_before)


def test_nobody_returns_whom_only_a_later_model_would_have_lost() -> None:
    """Silence of 165 days: by the figures of that time, that was not long for them."""
    slow, quick = (
        context(snapshot=PRIOR.replace(replace(PRIOR.of(Population), gap_days=days)))
        for days in (200.0, 5.0)
    )
    row, before = lived_with_effects(map(bought, (at(0), at(40), at(80), at(245))), within=slow)
    row, then = waited(row, at(246), within=slow)
    row, now = lived_with_effects([bought(at(250))], row=row, within=quick)
    row, later = waited(row, at(260), within=quick)

    assert ("existing", "new") == (
        row.read(LIFECYCLE).customer_class,
        row.read(LIFECYCLE).class_before,
    )
    assert [] == fired([*before, *then, *now, *later], "customer-lost")


@pytest.mark.parametrize(
    ("late", "left"),
    [(at(90, hours=9), 0), (at(90, hours=10), 0), (at(90, hours=11), 1)],
)
def test_nobody_left_who_bought_in_time_whenever_it_is_heard_of(late: int, left: int) -> None:
    row, before = told(REGULAR, at(91))
    row, effects = lived_with_effects([bought(late)], row=row, clock_ms=at(91))
    _, more = waited(row, at(100))
    kinds: Counter[str] = Counter()
    for effect in (*before, *effects, *more):
        if isinstance(effect, Tally) and effect.part == RISK.name:
            kinds.update({key: amount for key, _day, amount in effect.sums})

    assert (left, left) == (kinds["episodes"], kinds["silent"])


def test_whoever_gives_that_late_order_back_left_after_all() -> None:
    late = at(90, hours=9)
    row, before = told(REGULAR, at(91))
    row, effects = lived_with_effects([bought(late)], row=row, clock_ms=at(91))
    row, back = lived_with_effects([given_back(late, at(92))], row=row, clock_ms=at(92))
    row, more = waited(row, at(100))
    kinds: Counter[str] = Counter()
    for effect in (*before, *effects, *back, *more):
        if isinstance(effect, Tally) and effect.part == RISK.name:
            kinds.update({key: amount for key, _day, amount in effect.sums})

    assert (1, 1) == (kinds["episodes"], kinds["silent"])
    assert at(90, hours=10) == row.read(RISK).left_ms


ONE = at(0, hours=10)
ALL_BACK = [
    [given_back(ONE, at(4))],
    [given_back(ONE, at(4), name="Order Cancelled")],
    # In two parts, of which the first was heard of long before.
    [given_back(ONE, at(1.5), amount=20.0), given_back(ONE, at(4), amount=100.0)],
    # A minute after the end of the day at which they were looked at.
    [given_back(ONE, at(1, minutes=1))],
]


@pytest.mark.parametrize("news", ALL_BACK)
@pytest.mark.parametrize("late_ms", [0, 2 * DAY_MS])
def test_whoever_gave_everything_back_is_as_one_who_never_bought(
    news: list[Event], late_ms: int
) -> None:
    row, effects = told([bought(ONE)], at(1))
    # As of every customer who buys, something is counted.
    parts = {"risk", "relationship", "key_customers", "tiers"}
    assert parts == {part for part, _ in counted(effects)}

    for event in news:
        row, waits = waited(row, event.occurred_at_ms + late_ms)
        clock_ms = event.occurred_at_ms + late_ms
        row, more = lived_with_effects([event], row=row, clock_ms=clock_ms)
        effects += [*waits, *more]
    row, last = waited(row, at(12))
    effects += last
    now = scene(row, at(12))

    assert Counter() == counted(effects)
    facts = {name: now[name] for part in FOUND for name in part.facts}
    assert {} == {n: v for n, v in facts.items() if n not in SAID_OF_NOBODY and not is_nothing(v)}
    view = seen(row, at(12))
    assert [None] * 5 == [view.risk, view.tier, view.relationship, view.key_customer, view.calendar]
    # And they are not looked at for ever.
    assert 0 == row.due("decision").due_ms


#: What is told of the change itself.
SAID_OF_NOBODY = {
    "tier_before",
    "tier_cause",
    "tier_days",
    "relationship_level_before",
    "key_known",
}


def is_nothing(value: float | str) -> bool:
    return value == "" if isinstance(value, str) else isnan(value)


def test_whoever_was_silent_for_a_year_is_counted_nowhere_but_in_their_band() -> None:
    row, effects = told([*REGULAR, happened("Credit Assessed", at(1), score=90)], at(400))
    found = {part for part, _ in counted(effects)}

    assert {"risk"} == found
    assert isnan(scene(row, at(400))["relationship_level"])
    assert isnan(scene(row, at(400))["key_score"])
    assert None is seen(row, at(400)).relationship


SURE = replace(PARAMETERS, churn=replace(PARAMETERS.churn, prior=0.8))
LETTER = happened("Action Delivered", at(60), decision_id="d-1")
NO_PROFILE = happened("Consent Revoked", at(60), purpose="personalisation")


@pytest.mark.parametrize(
    ("events", "days", "waiting"),
    [
        ([], 60, {"vip": 1}),
        ([LETTER], 61, {}),
        ([NO_PROFILE], 70, {}),
        # Lost on day 90: there is nobody to be called by their tier any more.
        ([], 97, {}),
        ([], 400, {}),
    ],
)
def test_nobody_waits_for_a_contact_that_their_tier_does_not_ask_for(
    events: list[Event], days: int, waiting: dict[str, int]
) -> None:
    row, effects = told([*REGULAR, bought(at(0, hours=11)), *events], at(days))
    found = {key: count for (part, key), count in counted(effects).items() if part == "calendar"}

    assert fired(effects, "contact-due")
    assert waiting == found
    view = seen(row, at(days)).calendar
    assert bool(waiting) is bool(view is not None and view.due_since)


def test_whoever_refuses_to_be_profiled_is_in_no_band_and_comes_into_one_anew() -> None:
    row, before = told(REGULAR, at(10), SURE)
    assert 1 == counted(before)["risk", "band:high"]

    within = context(parameters=SURE)
    row, no = lived_with_effects([NO_PROFILE], row=row, within=within)
    row, waits = waited(row, at(70), within=within)
    assert 0 == counted([*before, *no, *waits])["risk", "band:high"]

    yes = happened("Consent Granted", at(71), purpose="personalisation")
    row, again = lived_with_effects([yes, bought(at(72))], row=row, within=within)
    row, end = waited(row, at(80), within=within)
    assert ("", at(73, ms=-1_000)) == (row.read(RISK).before, row.read(RISK).since_ms)
    assert [] == fired([*no, *waits, *again, *end], "risk-recovered")


def test_the_anniversary_is_of_the_first_purchase_that_stands() -> None:
    months = [bought(at(10 + 30 * month, hours=10)) for month in range(12)]
    first = [bought(ONE), given_back(ONE, at(0, hours=12), name="Order Cancelled")]
    row, effects = told([*first, *months], at(380))

    assert ["2027-01-11"] == [when[:10] for when in fired(effects, "anniversary")]
    assert (0.0, 1.0) == tuple(scene(row, at(day))["customer_years"] for day in (374, 376))


PERCENTS = st.integers(0, 100)


@given(percents=st.tuples(*[st.one_of(st.just(-1), PERCENTS)] * 4))
def test_a_key_customer_is_one_from_the_very_score_on(percents: tuple[int, ...]) -> None:
    section = PARAMETERS.of(KeyParameters)
    weights = [Fraction(str(weight)) for weight in section.weights]
    known = [(w, p) for w, p in zip(weights, percents, strict=True) if p >= 0]
    assume(known)
    exact = sum(w * p for w, p in known) / sum(w for w, _ in known)
    found = mean_of(percents, section)

    assert found is not None
    for cut in (section.key, section.key_until):
        assert (exact >= cut) is (found >= cut)

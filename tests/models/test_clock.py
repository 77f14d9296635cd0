"""A customer's own repurchase clock: when the next purchase is expected, and when it is overdue."""

from itertools import accumulate
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from models.customer.rhythm import Clock, clock_of
from models.decisions.trigger import Trigger
from models.engine import Effect
from models.events.event import Event
from models.events.times import iso
from models.learning.population import Population
from models.learning.snapshot import Snapshot
from tests.models.lines import (
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

OVERDUE = PARAMETERS.overdue
MEDIAN_DAYS = 30.0


def after(*gaps: int) -> Clock:
    """The clock of a customer with these gaps, in a shop whose median gap is a month."""
    return clock_of(tuple(accumulate(gaps, initial=20_000)), MEDIAN_DAYS, OVERDUE)


@pytest.mark.parametrize(
    ("gaps", "expected", "overdue", "seasonal"),
    [
        ((7,) * 11, 7.9, 15.4, False),
        ((30,) * 5, 30.0, 54.0, False),
        ((2, 20, 5, 30, 3, 15), 9.7, 41.0, False),
        ((365, 365), 365.0, 410.0, True),
        # Nothing is known yet but what is usual: e^(1.2816 * 0.8 * 2^0.5) months.
        ((), 30.0, 127.9, False),
        # One gap of a year may be a season, and is too long for anything else.
        ((365,), 365.0, 410.0, True),
        ((365, 366, 364, 730), 365.0, 410.0, True),
        ((400, 400), 365.0, 410.0, True),
        ((730, 731, 729), 730.0, 775.0, True),
        # By no year's time, but rarely: never sooner than their own gap.
        ((500, 500), 500.0, 545.0, True),
        ((200, 200), 365.0, 410.0, True),
        ((170, 170, 170), 110.2, 367.7, False),
    ],
)
def test_a_clock_by_hand(
    gaps: tuple[int, ...], expected: float, overdue: float, seasonal: bool
) -> None:
    clock = after(*gaps)

    assert (expected, overdue) == (
        pytest.approx(clock.expected_days, abs=0.06),
        pytest.approx(clock.overdue_days, abs=0.6),
    )
    assert seasonal is clock.is_seasonal


def test_the_spread_is_that_of_the_logarithms_of_the_gaps_drawn_towards_what_is_usual() -> None:
    assert 0.498 == pytest.approx(after(*(7,) * 11).spread, abs=0.0005)
    assert OVERDUE.spread == after().spread


@given(st.lists(st.integers(1, 2_000), max_size=20), st.floats(0.1, 5_000))
def test_a_purchase_is_expected_before_it_is_overdue(gaps: list[int], median_days: float) -> None:
    clock = clock_of(tuple(accumulate(gaps, initial=0)), median_days, OVERDUE)

    assert 0 < clock.expected_days < inf
    assert OVERDUE.floor / 86_400_000 <= clock.overdue_days <= 36_525 + 1e-6
    assert clock.expected_days <= clock.overdue_days or clock.overdue_days >= 36_524


@given(st.integers(180, 3_000), st.integers(1, 12))
def test_whoever_buys_rarely_is_never_overdue_before_their_own_gap(gap: int, count: int) -> None:
    assert after(*(gap,) * count).overdue_days >= gap


def bought(day: float) -> Event:
    return happened("Order Completed", at(days=day), order_id=f"O-{day}", revenue=45.0)


def overdue(effects: list[Effect]) -> list[Trigger]:
    return [e for e in effects if isinstance(e, Trigger) and e.kind == "purchase-overdue"]


def in_a_shop(gap_days: float) -> Snapshot:
    return PRIOR.replace(replace(PRIOR.of(Population), gap_days=gap_days))


def told(trigger: Trigger) -> dict[str, float | str | None]:
    return {reason.code: reason.value for reason in trigger.reasons}


@pytest.mark.parametrize("gap", [365, 400, 730])
def test_from_the_third_purchase_on_a_yearly_buyer_is_not_overdue_before_their_gap(
    gap: int,
) -> None:
    row, effects = lived_with_effects([bought(day) for day in range(0, 6 * gap, gap)])
    _, later = waited(row, at(days=8 * gap))

    silences = [told(one)["silent_days"] for one in overdue([*effects, *later])]
    # The first silence is ended by nothing that is known of them.
    assert len(silences) == 2
    assert pytest.approx(127.9, abs=0.1) == silences[0]
    assert gap <= float(silences[1] or 0) <= gap + 45


def test_a_deadline_follows_what_is_learnt_during_the_silence() -> None:
    row = lived([bought(0), bought(20), bought(40)])
    slower, faster = (context(snapshot=in_a_shop(days)) for days in (90.0, 6.0))

    for within in (slower, faster):
        between, early = waited(row, at(days=48), within=within)
        _, later = waited(between, at(days=300), within=within)
        [trigger] = overdue([*early, *later])
        reasons = told(trigger)
        threshold_days = scene(row, at(days=48), within)["overdue_days"]
        assert threshold_days == reasons["overdue_days"]
        assert 0 <= float(reasons["silent_days"] or 0) - float(reasons["overdue_days"] or 0) < 1e-6


def test_a_deadline_that_has_passed_by_what_is_learnt_is_told_at_the_check_in() -> None:
    row, early = waited(lived([bought(0)]), at(days=60))
    _, later = waited(row, at(days=300), within=context(snapshot=in_a_shop(10.0)))
    [trigger] = overdue(later)
    reasons = told(trigger)

    assert [] == overdue(early)
    # The end of day 63, on the weekly grid from the first purchase; day 43 has passed.
    assert iso(at(days=64, ms=-1_000)) == trigger.timestamp
    assert float(reasons["overdue_days"] or 0) <= float(reasons["silent_days"] or 0)


def test_a_silence_that_was_told_is_not_told_again_however_the_deadline_moves() -> None:
    row, before = waited(lived([bought(0), bought(20)]), at(days=200))
    _, later = waited(row, at(days=700), within=context(snapshot=in_a_shop(200.0)))

    assert (1, 0) == (len(overdue(before)), len(overdue(later)))


def test_the_facts_of_the_clock() -> None:
    now = scene(lived([bought(0), bought(365), bought(730)]), at(days=800))

    assert (295.0, 410.0, 1.0, iso(at(days=1_140))) == (
        now["expected_order_days"],
        now["overdue_days"],
        now["is_seasonal"],
        now["overdue_at"],
    )

"""Behaviour compared with the customer's own past: days are counted exactly, and compared as
shares.
"""

from itertools import permutations
from math import isnan
from random import Random
from statistics import fmean, pstdev

import pytest

from config.duration import DAY_MS
from models.customer.active_days import (
    DAYS_MAX,
    ActiveDays,
    active_until,
    active_within,
    with_activity,
)
from models.customer.anomaly import WINDOW_DAYS, activity_anomaly, anomaly
from models.customer.registry import FACTS
from models.customer.row import Row
from tests.models.lines import at, happened, lived, of, scene, seen


def active(*days: int) -> ActiveDays:
    found = ActiveDays()
    for day in days:
        found = with_activity(found, (20_000 + day) * DAY_MS + 5)
    return found


def test_days_count_once_and_are_exact_as_far_back_as_they_are_kept() -> None:
    rng = Random(1)
    told = sorted(rng.randrange(400) for _ in range(300))
    days = active(*told)
    today = 20_000 + max(told) + 3

    assert len(set(told)) == active_until(days, today)
    for window in (1, 3, 4, 14, DAYS_MAX):
        expected = len({d for d in told if d > max(told) + 3 - window})
        assert expected == active_within(days, today, window)
    assert 20_000 + min(told) == days.first_day
    # A moment before what was heard already.
    earlier = max(told) - 20
    expected = len({d for d in told if earlier - 14 < d <= earlier})
    assert expected == active_within(days, 20_000 + earlier, 14)
    assert len({d for d in told if d <= earlier}) == active_until(days, 20_000 + earlier)


@pytest.mark.parametrize("told", [(0, 1, 5), (0, 60, 62), (3, 3, 9), (0, 30, 62)])
def test_the_order_in_which_days_are_heard_of_makes_no_difference(told: tuple[int, ...]) -> None:
    assert 1 == len({active(*order) for order in map(tuple, permutations(told))} | {active(*told)})


def test_a_gap_longer_than_what_is_kept_loses_no_count() -> None:
    days = active(0, 1, 2, 500)

    assert (3, 1) == (days.earlier, days.recent)
    assert 4 == active_until(days, 20_500)


def test_what_comes_too_late_to_be_placed_is_left_out() -> None:
    assert active(100) == active(100, 100 - DAYS_MAX)


def test_it_is_none_while_the_past_is_too_short() -> None:
    assert anomaly(3, 3, 100) is None
    assert anomaly(3, 30, 41) is None
    assert anomaly(3, 30, 42) is not None


@pytest.mark.parametrize(
    ("lately", "usual", "usual_days", "low", "high", "ratio"),
    [
        (7, 50, 100, -0.2, 0.2, 1.0),
        (3, 50, 100, -2.5, -2.0, 3 / 7),
        (0, 50, 100, -5.0, -4.0, 0.0),
        (14, 50, 100, 4.0, 5.0, 2.0),
        # Daily without fail, then every other day.
        (7, 100, 100, -7.0, -5.0, 0.5),
        # Once a fortnight, then not: no news.
        (0, 7, 98, -1.5, -0.5, 0.0),
    ],
)
def test_deviations_are_signed_and_grow_with_what_was_usual(
    lately: int, usual: int, usual_days: int, low: float, high: float, ratio: float
) -> None:
    found = anomaly(lately, usual, usual_days)

    assert found is not None
    assert low < found.deviations < high
    assert pytest.approx(ratio) == found.ratio


@pytest.mark.parametrize("share", [0.15, 0.5, 0.85])
def test_of_people_who_do_as_usual_the_deviations_are_standard(share: float) -> None:
    rng = Random(7)
    told = []
    for _ in range(4_000):
        days = [rng.random() < share for _ in range(100 + WINDOW_DAYS)]
        found = anomaly(sum(days[100:]), sum(days[:100]), 100)
        told.append(found.deviations if found is not None else 0.0)

    assert pytest.approx(0.0, abs=0.12) == fmean(told)
    assert pytest.approx(1.0, abs=0.12) == pstdev(told)


def paged(*days: int) -> Row:
    return lived(happened("page", at(days=d, hours=1)) for d in days)


def test_facts_and_profile_tell_half_as_active_as_usual() -> None:
    row, now_ms = paged(*range(86), *range(86, 100, 2)), at(days=99, hours=20)
    view = seen(row, now_ms)
    facts = scene(row, now_ms)

    assert view.activity_anomaly == activity_anomaly(of(row).engagement.active_days, now_ms)
    assert view.activity_anomaly is not None
    assert pytest.approx(0.5) == view.activity_anomaly.ratio == facts["activity_ratio"]
    assert view.activity_anomaly.deviations == facts["anomaly"]
    assert -5.5 < view.activity_anomaly.deviations < -4.5
    assert "0.5 times as active as usual for them" == FACTS["activity_ratio"].words.format(
        facts["activity_ratio"]
    )
    # Nothing was bought: there is no usual.
    bought = facts["purchase_anomaly"]
    assert isinstance(bought, float)
    assert isnan(bought)
    assert view.purchase_anomaly is None


def test_purchases_have_an_anomaly_of_their_own() -> None:
    row = lived(
        happened("Order Completed", at(days=d), order_id=f"O-{d}", revenue=9)
        for d in range(0, 120, 2)
    )
    view = seen(row, at(days=133, hours=1)).purchase_anomaly

    assert view is not None
    assert (0.0, True) == (view.ratio, view.deviations < -4)

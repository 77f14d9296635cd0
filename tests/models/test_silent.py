"""Silent churn: less than by the customer's own rhythm, long before silence."""

from math import exp, factorial, isnan, sqrt

import pytest
from msgspec.structs import replace

from models.customer.anomaly import purchase_anomaly
from models.customer.purchases import history
from models.customer.registry import FACTS
from models.customer.row import Row
from models.learning.history import History
from models.learning.silent import LIFE_DAYS_MIN, poisson_tail, rhythm_tails, silent_churn
from tests.models.lines import PARAMETERS, at, happened, lived, scene, seen


def bought(*days: float) -> Row:
    return lived(
        [happened("Order Completed", at(days=d), order_id=f"O-{d}", revenue=9) for d in days]
    )


def past_of(row: Row, at_ms: int) -> History:
    found = history(scene(row, at_ms))
    assert found is not None
    return found


#: Every fourth day for 200 days, and every twentieth; who went on, who thinned out, who stopped.
STEADY = bought(*range(0, 200, 4))
THINNED = bought(*range(0, 150, 4), 170, 190)
STOPPED = bought(*range(0, 150, 4))
RARE = bought(*range(0, 200, 20))
NOW_MS = at(days=199, hours=23)


@pytest.mark.parametrize(("count", "mean"), [(0, 0.5), (3, 2.0), (0, 14.0), (20, 56.0), (56, 50.0)])
def test_the_tail_is_that_of_a_poisson(count: int, mean: float) -> None:
    expected = sum(exp(-mean) * mean**n / factorial(n) for n in range(count + 1))

    assert pytest.approx(expected, rel=1e-9) == poisson_tail(count, mean)


def test_days_are_counted_in_windows_that_end_today() -> None:
    past = past_of(THINNED, NOW_MS)
    rate = 40 / past.life
    # Day 190 is within a fortnight of day 199; 144, 148, 170 and 190 are within eight weeks.
    expected = poisson_tail(1, 14 * rate), poisson_tail(4, 56 * rate)

    assert expected == rhythm_tails(past, NOW_MS)


def test_it_is_bayes_rule_with_the_churn_score_as_the_prior() -> None:
    past = past_of(THINNED, NOW_MS)
    short, long = rhythm_tails(past, NOW_MS)

    assert pytest.approx(0.2 / (0.2 + 0.8 * sqrt(short * long))) == silent_churn(past, 0.2, NOW_MS)


def test_nobody_thins_out_whose_purchase_days_are_no_longer_known() -> None:
    """Of somebody who buys all day, the days that are kept may not fill the windows."""
    lately = History(tuple(range(900, 920)), 400, 400.0, 400.5, 0.5)
    within = History(tuple(range(850, 920)), 400, 400.0, 400.5, 0.5)
    now_ms = 920 * 86_400_000

    assert silent_churn(lately, 0.05, now_ms) is None
    assert (silent_churn(within, 0.05, now_ms) or 0.0) < 0.2
    assert purchase_anomaly(replace(lately, days=lately.days[-10:]), now_ms) is None
    assert purchase_anomaly(within, now_ms) is not None


def test_who_thins_out_is_above_who_keeps_their_own_rhythm_however_rare() -> None:
    told = [
        silent_churn(past_of(row, NOW_MS), 0.2, NOW_MS) or 0.0
        for row in (RARE, STEADY, THINNED, STOPPED)
    ]

    assert max(told[:2]) < 0.35
    assert 0.6 < told[2] < 0.95 < told[3] < 1.0


def test_it_rises_with_the_churn_score_and_stays_within_bounds() -> None:
    past = past_of(THINNED, NOW_MS)
    told = [silent_churn(past, share, NOW_MS) or 0.0 for share in (0.0, 0.01, 0.3, 0.9, 1.0)]

    assert told == sorted(told)
    assert (0.0, 1.0) == (told[0], told[-1])


@pytest.mark.parametrize(
    ("row", "days"),
    [
        (bought(*range(0, 60, 4)), LIFE_DAYS_MIN - 1),
        (bought(0, 20, 40, 60, 80, 100, 120), 125),
        (Row(), 1),
    ],
)
def test_who_has_too_little_history_has_none(row: Row, days: float) -> None:
    at_ms = at(days=days)
    assert seen(row, at_ms).silent_churn is None
    fact = FACTS["silent_churn"].read(scene(row, at_ms))
    assert isinstance(fact, float)
    assert isnan(fact), "which fulfils no condition"


def test_profile_and_rules_see_the_same_number() -> None:
    expected = silent_churn(past_of(THINNED, NOW_MS), PARAMETERS.churn.prior, NOW_MS)

    assert expected == seen(THINNED, NOW_MS).silent_churn
    assert expected == FACTS["silent_churn"].read(scene(THINNED, NOW_MS))


def test_an_order_that_is_yet_to_come_changes_nothing() -> None:
    later = bought(*range(0, 150, 4), 170, 190, 205)
    expected = silent_churn(past_of(THINNED, NOW_MS), 0.2, NOW_MS)

    assert expected == silent_churn(past_of(later, NOW_MS), 0.2, NOW_MS)

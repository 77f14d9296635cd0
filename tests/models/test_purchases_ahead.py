"""Expected purchases and lifetime: published numbers, the model's own definition, its limits."""

from itertools import pairwise
from math import log1p

import pytest
from scipy.integrate import quad
from scipy.stats import beta

from config.duration import DAY_MS
from models.learning.bgnbd import BgNbd
from models.learning.purchases_ahead import (
    expected_purchases,
    lifetime_years,
    p_alive,
    yearly_purchases,
)

#: As fitted to CDNOW by Fader, Hardie and Lee.
CDNOW = BgNbd(0.243, 4.414, 0.793, 2.426)


def integrated(model: BgNbd, repeats: int, last: float, life: float, horizon: float) -> float:
    """By the definition: the purchases of a living customer with the believed rate and dropout."""

    def share(dropout: float) -> float:
        quiet = (model.alpha + life) / (model.alpha + life + dropout * horizon)
        weight = beta.pdf(dropout, model.a, model.b + repeats)
        return float(weight * (1.0 - quiet ** (model.r + repeats)) / dropout)

    edges = (1e-12, 1e-4, 1e-2, 0.1, 0.9, 1.0)
    parts = [quad(share, low, high, limit=200)[0] for low, high in pairwise(edges)]
    return sum(parts) * p_alive(model, repeats, last, life)


def test_the_customer_of_the_published_note_is_expected_to_buy_as_published() -> None:
    # Fader, Hardie and Lee (2005), "Implementing the BG/NBD Model ... in Excel", customer 1.
    assert 1.226 == pytest.approx(expected_purchases(CDNOW, 2, 30.43, 38.86, 39.0), abs=5e-4)


@pytest.mark.parametrize(
    "model",
    [CDNOW, BgNbd(2.0, 5.0, 3.0, 9.0), BgNbd(0.5, 4.0, 1.0, 2.0), BgNbd(0.3, 4.0, 1.0, 0.7)],
)
@pytest.mark.parametrize(
    ("repeats", "last", "life", "horizon"),
    [
        (0, 0.0, 0.14, 260.0),
        (0, 0.0, 50.0, 4.0),
        (2, 30.0, 39.0, 13.0),
        (7, 6.5, 7.0, 260.0),
        (300, 51.0, 52.0, 260.0),
    ],
)
def test_expected_purchases_are_what_the_models_definition_integrates_to(
    model: BgNbd, repeats: int, last: float, life: float, horizon: float
) -> None:
    expected = integrated(model, repeats, last, life, horizon)

    assert expected == pytest.approx(
        expected_purchases(model, repeats, last, life, horizon), rel=1e-4
    )


def test_thousands_of_purchases_are_no_special_case() -> None:
    found = expected_purchases(CDNOW, 3_000, 520.0, 521.0, 260.0)

    assert 0 < found < 3_000 / 521 * 260


def test_rate_times_lifetime_is_what_is_expected_within_the_limit() -> None:
    limit_weeks = 260.0
    rate = yearly_purchases(CDNOW, 5, 30.0)
    years = lifetime_years(CDNOW, 5, 28.0, 30.0, round(limit_weeks * 7 * DAY_MS))

    assert expected_purchases(CDNOW, 5, 28.0, 30.0, limit_weeks) == pytest.approx(rate * years)
    assert 0 < years < limit_weeks * 7 / 365.25
    # Who has been silent for much longer than usual has less of a future.
    assert lifetime_years(CDNOW, 5, 5.0, 30.0, 1826 * DAY_MS) < years / 10


@pytest.mark.parametrize("discount", [0.05, 0.1, 0.5])
def test_a_discounted_lifetime_is_what_discounting_each_moment_integrates_to(
    discount: float,
) -> None:
    """By parts: the purchases of each moment, each at its value by then."""
    limit_weeks, years_a_week = 260.0, 7.0 / 365.25

    def worth(weeks: float) -> float:
        bought = expected_purchases(CDNOW, 5, 28.0, 30.0, weeks)
        return float(bought * (1.0 + discount) ** -(weeks * years_a_week))

    later = quad(worth, 1e-9, limit_weeks, limit=200)[0] * log1p(discount) * years_a_week
    expected = (worth(limit_weeks) + later) / yearly_purchases(CDNOW, 5, 30.0)

    found = lifetime_years(CDNOW, 5, 28.0, 30.0, round(limit_weeks * 7 * DAY_MS), discount)
    assert expected == pytest.approx(found, rel=5e-3)

"""BG/NBD: known parameters are recovered, and probabilities are those of the process."""

from collections import Counter

import numpy as np
import pytest

from models.learning.bgnbd import BgNbd, Cell, cell_of, fit
from models.learning.purchases_ahead import p_alive, p_no_purchase

#: As Fader, Hardie and Lee estimated them for CDNOW.
CDNOW = BgNbd(r=0.243, alpha=4.414, a=0.793, b=2.426)
STEADY = BgNbd(r=1.2, alpha=6.0, a=0.6, b=3.0)


def simulated(model: BgNbd, customers: int, seed: int) -> Counter[Cell]:
    """The count table of customers who buy and leave as the model assumes."""
    rng = np.random.default_rng(seed)
    rates = rng.gamma(model.r, 1 / model.alpha, customers)
    leaving = rng.beta(model.a, model.b, customers)
    counts: Counter[Cell] = Counter()
    for rate, leaves, life in zip(rates, leaving, rng.uniform(20, 60, customers), strict=True):
        repeats, last = 0, 0.0
        now = rng.exponential(1 / rate)
        while now <= life:
            repeats, last = repeats + 1, now
            if rng.random() < leaves:
                break
            now += rng.exponential(1 / rate)
        counts[cell_of(repeats, 7 * last, 7 * life)] += 1
    return counts


@pytest.mark.parametrize("model", [CDNOW, STEADY], ids=["cdnow", "steady"])
def test_a_fit_finds_the_parameters_that_the_customers_were_made_by(model: BgNbd) -> None:
    found = fit(simulated(model, 20_000, seed=3))

    assert found is not None
    for name in ("r", "alpha", "a", "b"):
        assert pytest.approx(getattr(model, name), rel=0.15) == getattr(found, name), name


def test_a_fit_is_the_same_in_whatever_order_the_table_was_filled() -> None:
    counts = simulated(STEADY, 500, seed=4)
    turned = dict(reversed(counts.items()))

    assert fit(counts) == fit(turned)
    assert fit(counts) == fit({**turned, (9, 9, 9): 0})


def test_a_fit_may_begin_anywhere_and_a_table_of_nobody_has_none() -> None:
    counts = simulated(CDNOW, 5_000, seed=5)
    cold, warm = fit(counts), fit(counts, start=STEADY)

    assert cold is not None
    assert warm is not None
    for name in ("r", "alpha", "a", "b"):
        assert pytest.approx(getattr(cold, name), rel=0.05) == getattr(warm, name)
    assert fit({}) is None
    assert fit({(0, 0, 5): 0}) is None


@pytest.mark.parametrize("counts", [{(0, 0, 0): 1}, {(255, 520, 520): 1}, {(0, 0, 520): 9_999}])
def test_a_table_of_few_gives_finite_parameters(counts: dict[Cell, int]) -> None:
    found = fit(counts)

    assert found is not None
    assert 0 < found.r < 1e3
    assert 0 < found.alpha < 1e3
    for horizon in (0.1, 4.0, 52.0):
        assert 0 <= p_no_purchase(found, 3, 10.0, 20.0, horizon) <= 1


def test_probabilities_by_hand() -> None:
    # All parameters 1, one repeat at week 1, week 3 now: the odds of having left are
    # a / (b + x - 1) * ((alpha + T) / (alpha + t_x)) ** (r + x) = 1 * (4 / 2) ** 2 = 4.
    ones = BgNbd(1.0, 1.0, 1.0, 1.0)
    assert pytest.approx(1 / 5, abs=1e-12) == p_alive(ones, 1, 1.0, 3.0)
    # If not, nothing in 4 weeks more has probability ((alpha + T) / (alpha + T + H)) ** (r + x).
    assert pytest.approx(4 / 5 + 1 / 5 * (4 / 8) ** 2, abs=1e-12) == p_no_purchase(
        ones, 1, 1.0, 3.0, 4.0
    )
    # A one-time buyer is alive by construction, and yet more and more likely never to come back.
    assert 1.0 == p_alive(ones, 0, 0.0, 99.0)
    assert pytest.approx(100 / 104, abs=1e-12) == p_no_purchase(ones, 0, 0.0, 99.0, 4.0)


@pytest.mark.parametrize(
    ("repeats", "last", "life", "alive"),
    [(2, 30.43, 38.86, 0.72657857), (1, 1.71, 38.86, 0.21210099), (7, 29.43, 38.86, 0.64175635)],
)
def test_customers_are_as_alive_as_another_implementation_has_it(
    repeats: int, last: float, life: float, alive: float
) -> None:
    # What BetaGeoFitter of lifetimes 0.11.3 says for the same parameters.
    assert pytest.approx(alive, abs=1e-8) == p_alive(CDNOW, repeats, last, life)


@pytest.mark.parametrize("model", [CDNOW, STEADY], ids=["cdnow", "steady"])
@pytest.mark.parametrize(
    ("repeats", "last", "life"), [(0, 0.0, 30.0), (1, 4.0, 30.0), (3, 28.0, 30.0), (12, 25.0, 40.0)]
)
def test_no_purchase_is_as_likely_as_among_simulated_customers_with_the_same_history(
    model: BgNbd, repeats: int, last: float, life: float
) -> None:
    """Customers are drawn, and weighed by how likely each was to have that history."""
    rng = np.random.default_rng(11)
    rate = rng.gamma(model.r, 1 / model.alpha, 1_000_000)
    leaves = rng.beta(model.a, model.b, 1_000_000)
    stayed = (1 - leaves) ** repeats * rate**repeats * np.exp(-rate * life)
    left = np.zeros_like(rate)
    if repeats:
        left = leaves * (1 - leaves) ** (repeats - 1) * rate**repeats * np.exp(-rate * last)
    for horizon in (1.0, 4.0, 13.0):
        quiet = left + stayed * np.exp(-rate * horizon)
        expected = float(quiet.sum() / (left + stayed).sum())
        found = p_no_purchase(model, repeats, last, life, horizon)
        assert pytest.approx(expected, abs=0.01) == found


def test_silence_makes_it_likelier_and_so_does_a_shorter_horizon() -> None:
    by_silence = [p_no_purchase(CDNOW, 4, 20.0, 20.0 + weeks, 4.0) for weeks in range(60)]
    by_horizon = [p_no_purchase(CDNOW, 4, 20.0, 24.0, weeks) for weeks in range(60)]

    assert sorted(by_silence) == by_silence
    assert sorted(by_horizon, reverse=True) == by_horizon
    assert 1.0 == by_horizon[0]
    assert p_no_purchase(CDNOW, 4, 20.0, 24.0, 1e9) < by_horizon[-1] < 1.0


def test_long_lives_and_many_purchases_share_the_last_cell() -> None:
    assert cell_of(9_999, 0.0, 9_999.0) == cell_of(9_998, 0.0, 5_000.0)
    assert (0, 0, 0) == cell_of(0, 0.0, 0.4)
    assert (3, 2, 9) == cell_of(3, 7.0, 9.0)
    # The last purchase is never after the life's end.
    assert (1, 0, 2) == cell_of(1, 2.5, 2.4)
    # Small numbers are exact, of larger ones the first four bits are kept.
    assert list(range(16)) == [cell_of(n, 0.0, 9.0)[0] for n in range(16)]
    assert {16, 18, 20, 22, 24, 26, 28, 30} == {cell_of(n, 0.0, 9.0)[0] for n in range(16, 32)}

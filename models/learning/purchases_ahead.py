"""The probability that a customer buys, expected purchase days and lifetime, by BG/NBD.

The expectation is equation (10) of Fader, Hardie and Lee (2005), see `bgnbd`. Written with Euler's
transformation of the hypergeometric function, its powers of r + x cancel, so that hundreds of
purchase days do not overflow.
"""

from collections.abc import Callable, Iterable
from functools import cache, lru_cache
from math import ceil, exp, log, log1p

from config.duration import DAY_MS
from models.learning.bgnbd import BgNbd
from models.learning.history import History

#: The latest results are cached: features, scores, forecasts and risk of one customer at one moment
#: all need them.
_LATEST = 64
_WEEKS_A_YEAR = 365.25 / 7.0
#: The formula divides by a - 1 and by a + b + x - 1. Where one of them is 0, the formula has a
#: limit, which it practically reaches at this distance from 0.
_NEAR = 1e-5


@lru_cache(_LATEST)
def p_alive(model: BgNbd, repeats: int, last_weeks: float, life_weeks: float) -> float:
    """The probability of not having dropped out; the model says 1 until the first repeat."""
    if repeats == 0:
        return 1.0
    odds_log = (
        log(model.a)
        - log(model.b + repeats - 1)
        + (model.r + repeats) * log((model.alpha + life_weeks) / (model.alpha + last_weeks))
    )
    return 1.0 / (1.0 + exp(min(odds_log, 700.0)))


@lru_cache(_LATEST)
def p_no_purchase(
    model: BgNbd, repeats: int, last_weeks: float, life_weeks: float, horizon_weeks: float
) -> float:
    """P0(H): the probability of no purchase within the horizon, dropped out or not.

    This is not 1 - P(alive): for a one-time buyer P(alive) is always 1, however long ago they
    bought.
    """
    alive = p_alive(model, repeats, last_weeks, life_weeks)
    quiet = exp(-(model.r + repeats) * log1p(horizon_weeks / (model.alpha + life_weeks)))
    return 1.0 - alive + alive * quiet


def baseline(past: History, model: BgNbd, horizon_days: float) -> float:
    """`p_no_purchase` of a customer with this past, within a horizon in days."""
    return p_no_purchase(model, past.repeats, past.last / 7.0, past.life / 7.0, horizon_days / 7.0)


def expected_purchases(
    model: BgNbd, repeats: int, last_weeks: float, life_weeks: float, horizon_weeks: float
) -> float:
    """The purchase days expected in (T, T + horizon], not assuming that the customer is alive."""
    return expected_by(model, repeats, last_weeks, life_weeks, (horizon_weeks,))[0]


def expected_by(
    model: BgNbd, repeats: int, last_weeks: float, life_weeks: float, ends: Iterable[float]
) -> list[float]:
    """`expected_purchases` within each of these horizons, in weeks."""
    a, total = _poles_avoided(model, repeats)
    first, second, series_of = a + model.b - 1.0 - model.r, a - 1.0, _hyp2f1()
    alive = p_alive(model, repeats, last_weeks, life_weeks)
    found: list[float] = []
    for weeks in ends:
        left = weeks / (model.alpha + life_weeks + weeks)
        series = series_of(first, second, total, left)
        bought = total / second * (1.0 - (1.0 - left) ** second * series)
        # Compared by hand: every label, tier and lifetime value asks.
        found.append(alive * (0.0 if bought < 0.0 else bought))
    return found


@cache
def _hyp2f1() -> Callable[[float, float, float, float], float]:
    """SciPy's function for one number: the one for arrays takes five times as long, to the same
    bits.
    """
    # It takes as long to import as all that a command needs, and many commands ask for no score.
    from scipy.special.cython_special import hyp2f1  # noqa: PLC0415

    found: Callable[[float, float, float, float], float] = hyp2f1
    return found


def _poles_avoided(model: BgNbd, repeats: int) -> tuple[float, float]:
    """a, and a + b + x, off the values at which the formula divides by 0."""
    a = _off(model.a, 1.0)
    return a, _off(a + model.b + repeats - 1.0, 0.0)


def yearly_purchases(model: BgNbd, repeats: int, life_weeks: float) -> float:
    """Purchase days a year for as long as the customer stays: the mean of the rate's posterior."""
    return (model.r + repeats) / (model.alpha + life_weeks) * _WEEKS_A_YEAR


def lifetime_years(
    model: BgNbd,
    repeats: int,
    last_weeks: float,
    life_weeks: float,
    limit_ms: int,
    discount: float = 0.0,
) -> float:
    """The expected years of buying within ``limit_ms``.

    The purchases expected within the limit, divided by the yearly rate of a customer who stays, so
    that rate times lifetime gives these purchases. Without a limit the mean is infinite for a <= 1,
    because too many customers of the model never leave. ``discount``: a purchase in one year counts
    1 / (1 + discount), each dated to the middle of its quarter of a year.
    """
    weeks = limit_ms / (7 * DAY_MS)
    ends = [weeks] if not discount else _quarters(weeks)
    begin, before, counted = 0.0, 0.0, 0.0
    all_bought = expected_by(model, repeats, last_weeks, life_weeks, ends)
    for end, bought in zip(ends, all_bought, strict=True):
        years = (begin + end) / 2.0 / _WEEKS_A_YEAR
        counted += (bought - before) * (1.0 + discount) ** -years
        begin, before = end, bought
    return counted / yearly_purchases(model, repeats, life_weeks)


def _quarters(weeks: float) -> list[float]:
    """The ends of the quarters of a year up to ``weeks``; the last one may be shorter."""
    quarter = _WEEKS_A_YEAR / 4.0
    whole = [quarter * number for number in range(1, ceil(weeks / quarter))]
    return [*whole, weeks]


def _off(value: float, pole: float) -> float:
    return pole + _NEAR if abs(value - pole) < _NEAR else value

"""Forecasts of customers' spend, made at the end of one day and judged by the next 90 days."""

from collections.abc import Mapping

import numpy as np
from msgspec import Struct

from agents.trials.evaluation import bgnbd, gammagamma
from agents.trials.evaluation.batch import Lessons, Model
from agents.trials.evaluation.buying import histories, most_likely
from agents.trials.evaluation.decisions import Decisions, Floats, Past, PurchaseTable, past, spent
from agents.trials.evaluation.features import Features

GAMMA_GAMMA = "BG/NBD x gamma-gamma"
POISSON = "batch Poisson regression"
_DECILES = 10


class ValueTold(Struct, frozen=True, rename="camel"):
    """The results of one forecast; all None if the forecaster has none.

    ``total_error``: the forecast total divided by the actual total, minus 1. ``correlation``:
    Pearson's, over customers. ``decile_error``: customers are put in ten groups of equal count by
    their forecast; the mean absolute difference between a group's mean forecast and mean spend,
    divided by everybody's mean spend.
    """

    scorer: str
    total_error: float | None = None
    correlation: float | None = None
    decile_error: float | None = None


class ValueComparison(Struct, frozen=True, rename="camel"):
    """Forecasts for the same customers; ``spend_mean`` is the actual spend per customer, in major
    units.
    """

    day: int
    horizon_days: int
    customers: int
    spend_mean: float
    scorers: tuple[ValueTold, ...]


def compare_values(
    bought: PurchaseTable, at: Decisions, horizon_days: int, forecasts: Mapping[str, Floats]
) -> ValueComparison:
    """Judge forecasts of the spend in (day, day + horizon], in major units, one for each row of
    ``at``.
    """
    actual = spent(bought, at, horizon_days)
    return ValueComparison(
        day=int(at.day[0]),
        horizon_days=horizon_days,
        customers=len(actual),
        spend_mean=float(actual.mean()),
        scorers=tuple(judge_value(name, said, actual) for name, said in forecasts.items()),
    )


def judge_value(scorer: str, forecast: Floats, actual: Floats) -> ValueTold:
    """The results of a forecast; a forecaster that leaves out a single customer has none."""
    if not np.isfinite(forecast).all():
        return ValueTold(scorer)
    groups = np.array_split(np.argsort(forecast, kind="stable"), _DECILES)
    gaps = [abs(forecast[group].mean() - actual[group].mean()) for group in groups]
    return ValueTold(
        scorer,
        total_error=float(forecast.sum() / actual.sum() - 1.0),
        correlation=float(np.corrcoef(forecast, actual)[0, 1]),
        decile_error=float(np.mean(gaps) / actual.mean()),
    )


def formula_forecast(bought: PurchaseTable, at: Decisions, horizon_days: int) -> Floats:
    """Expected purchase days times the expected spend of each, both fitted on the day itself."""
    seen = past(bought, at)
    parameters = most_likely(bgnbd.log_likelihood, histories(seen), bgnbd.BEGIN)
    mean = _repeat_spend(bought, at, seen)
    spend = gammagamma.fit(seen.repeats, mean)
    found: Floats = bgnbd.expected_purchases(
        parameters, seen, horizon_days
    ) * gammagamma.expected_spend(spend, seen.repeats, mean)
    return found


def _repeat_spend(bought: PurchaseTable, at: Decisions, seen: Past) -> Floats:
    """The mean spend of the repeat purchase days, as gamma-gamma defines it; 0 without any."""
    total = np.concatenate([[0.0], np.cumsum(bought.spend)])
    repeated = total[seen.place + 1] - total[bought.starts[at.customer] + 1]
    mean: Floats = np.maximum(repeated, 0.0) / np.maximum(seen.repeats, 1.0)
    return mean


def regression_forecast(
    bought: PurchaseTable, asked: Decisions, lessons: Lessons, check_in_days: int
) -> Floats:
    """Poisson regression with a log link, fitted to the spend after every customer's latest
    check-in whose horizon had ended: the same question, asked one horizon earlier.
    """
    day = int(asked.day[0])
    fit = [fit for fit in lessons.made if fit.day <= day][-1]
    at, matured = lessons.at, lessons.matured(day)
    rows = matured & at.is_check_in & (at.day + lessons.horizon_days > day - check_in_days)
    spend = spent(bought, at.only(rows), lessons.horizon_days)
    # In units of the mean, so that the penalty is the same in every currency.
    unit = float(spend.mean())
    model = _poisson().fit(lessons.features.table(fit)[rows], spend / unit)
    table = Features(bought, asked, lessons.horizon_days).table(fit)
    found: Floats = model.predict(table) * unit
    return found


def _poisson() -> Model:
    from sklearn.linear_model import PoissonRegressor  # noqa: PLC0415 - optional
    from sklearn.pipeline import make_pipeline  # noqa: PLC0415
    from sklearn.preprocessing import StandardScaler  # noqa: PLC0415

    return make_pipeline(StandardScaler(), PoissonRegressor(alpha=0.1, max_iter=1_000))

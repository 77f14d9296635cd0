"""Evaluates one data set, from purchases to verdicts."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import NamedTuple

import numpy as np
from msgspec import Struct

from agents.trials.evaluation import batch, paretonbd
from agents.trials.evaluation.batch import one_thread
from agents.trials.evaluation.buying import histories, most_likely, p_no_purchase
from agents.trials.evaluation.comparison import (
    BGNBD,
    BOOSTING,
    KEEPSTREAM,
    LOGISTIC,
    PARETONBD,
    RECENCY,
    Comparison,
    JudgedRows,
    compare,
    rows_to_judge,
)
from agents.trials.evaluation.datasets import DataSet
from agents.trials.evaluation.decisions import (
    Bools,
    Decisions,
    Floats,
    Outcomes,
    PurchaseTable,
    decisions,
    outcomes,
    past,
    purchases,
)
from agents.trials.evaluation.features import Features, bgnbd_scores, fits
from agents.trials.evaluation.log import everybody, log_lines
from agents.trials.evaluation.perturbation import Guise, disguise
from agents.trials.evaluation.served import Served, Tell, dealt, serve
from agents.trials.evaluation.thinning import ThinningComparison, compare_thinning, thinning
from agents.trials.evaluation.value import (
    GAMMA_GAMMA,
    POISSON,
    ValueComparison,
    compare_values,
    formula_forecast,
    regression_forecast,
)
from models.learning.churn_models import Quality
from models.parameters import load_parameters

PARETO_REFIT_DAYS = 56
SILENT_CHURN, CHURN = "Keepstream, silent churn", "Keepstream, churn"
#: Opens a progress bar for (the work, its number of steps), and yields the function that moves it.
Watch = Callable[[str, int], AbstractContextManager[Tell]]


class Options(NamedTuple):
    """``seed``: disguise the log with it; None leaves the log unchanged. ``deals_labels``: learn
    from, and be judged by, randomly permuted outcomes.
    """

    seed: int | None = None
    deals_labels: bool = False


class EvaluationVerdict(Struct, frozen=True, rename="camel"):
    """All results for one data set. ``quality`` is what the trainer measured of its own scores."""

    name: str
    title: str
    horizon_days: int
    customers: int
    orders: int
    days: int
    guise: Guise | None
    labels_dealt: bool
    rows_asked: int
    rows_matured: int
    rows_warm: int
    rows_unanswered: int
    churn: tuple[Comparison, ...]
    value: ValueComparison | None
    thinning: ThinningComparison | None
    quality: tuple[Quality, ...]


class Judged(NamedTuple):
    """The judged rows, from which plots are drawn."""

    at: Decisions
    churned: Bools
    scores: dict[str, Floats]


class Material(NamedTuple):
    """A data set, seen from its decision points."""

    data: DataSet
    bought: PurchaseTable
    at: Decisions
    outcome: Outcomes
    lessons: batch.Lessons
    seed: int
    labels_dealt: bool


def evaluate(data: DataSet, options: Options, watch: Watch) -> tuple[EvaluationVerdict, Judged]:
    """Score every decision point with Keepstream and the others, and judge them by the outcomes.

    Raises ``EvaluationFailed`` without scikit-learn.
    """
    guise = None
    if options.seed is not None:
        data, guise = disguise(data, options.seed)
    with one_thread():
        material = prepare(data, options)
        return _evaluated(material, options, guise, watch)


def _evaluated(
    material: Material, options: Options, guise: Guise | None, watch: Watch
) -> tuple[EvaluationVerdict, Judged]:
    data = material.data
    served, value = ask(material, options, watch)
    with watch(f"{data.name}: the others", 4) as tell:
        scores = {KEEPSTREAM: served.churn, **competitors(material, tell)}
        values = None if options.deals_labels else _values(material, value)
    rows = rows_to_judge(material.at, material.outcome, scores, data.horizon_days)
    judged = Judged(
        material.at.only(rows.judged),
        material.outcome.churned[rows.judged],
        {name: said[rows.judged] for name, said in scores.items()},
    )
    with watch(f"{data.name}: intervals", 2) as tell:
        churn = compare(*judged, material.seed)
        tell(1)
        silent = _thinning(material, served, scores)
    return _verdict(material, options, guise, rows, churn, values, silent, served), judged


def prepare(data: DataSet, options: Options) -> Material:
    """Decision points, what is known at each, the outcomes, and the features of batch models."""
    seed = options.seed or 0
    bought = purchases(data.orders)
    at = decisions(bought, data.check_in_days)
    outcome = outcomes(bought, at, data.horizon_days)
    if options.deals_labels:
        outcome = deal(outcome, seed)
    features = Features(bought, at, data.horizon_days)
    lessons = batch.Lessons(at, features, fits(bought), outcome.churned, data.horizon_days)
    return Material(data, bought, at, outcome, lessons, seed, options.deals_labels)


def deal(outcome: Outcomes, seed: int) -> Outcomes:
    """The known outcomes, randomly permuted among the decisions with a known outcome."""
    churned = outcome.churned.copy()
    known = churned[outcome.is_known]
    churned[outcome.is_known] = np.random.default_rng(seed).permutation(known)
    return outcome._replace(churned=churned)


def ask(material: Material, options: Options, watch: Watch) -> tuple[Served, Floats]:
    """Keepstream's scores at the decision points, and its values on the day of the forecast."""
    data, bought, at = material.data, material.bought, material.at
    parameters = load_parameters(None, data.assignments)
    asked = at
    if data.value_day is not None:
        # Appended out of the order of days: questions are sorted into the log.
        more = everybody(bought, data.value_day)
        asked = Decisions(*(np.concatenate(pair) for pair in zip(at, more, strict=True)))
    lines = list(log_lines(data, bought, asked))
    trainer = None
    if options.deals_labels:
        plain = log_lines(data, bought, at.only(np.zeros(len(at.day), dtype=np.bool_)))
        trainer = dealt(plain, parameters, material.seed)
    with watch(f"{data.name}: Keepstream", len(lines)) as tell:
        served = serve(lines, len(asked.day), parameters, trainer, tell)
    rows = len(at.day)
    first = Served(served.churn[:rows], served.value[:rows], served.silent[:rows], served.summary)
    return first, served.value[rows:]


def competitors(material: Material, tell: Tell) -> dict[str, Floats]:
    """The scores of all other models, by name; NaN before a model's first fit."""
    lessons = material.lessons
    at, seen = lessons.at, lessons.features.seen
    scores = {RECENCY: seen.recency}
    scores[BGNBD] = bgnbd_scores(at, seen, lessons.made, lessons.horizon_days)
    tell(1)
    scores[PARETONBD] = _pareto_scores(material)
    tell(2)
    scores[LOGISTIC] = batch.refit_scores(batch.logistic, lessons, batch.LOGISTIC_REFIT_DAYS)
    tell(3)
    scores[BOOSTING] = batch.refit_scores(batch.boosting, lessons, batch.BOOSTING_REFIT_DAYS)
    tell(4)
    return scores


def _pareto_scores(material: Material) -> Floats:
    bought, at, seen = material.bought, material.at, material.lessons.features.seen
    scores = np.full(len(at.day), np.nan)
    for day in range(PARETO_REFIT_DAYS, bought.last_day + 1, PARETO_REFIT_DAYS):
        known = histories(past(bought, everybody(bought, day)))
        parameters = most_likely(paretonbd.log_likelihood, known, paretonbd.BEGIN)
        rows = (at.day >= day) & (at.day < day + PARETO_REFIT_DAYS)
        scores[rows] = p_no_purchase(
            paretonbd.log_likelihood, parameters, seen.only(rows), material.data.horizon_days
        )
    return scores


def _values(material: Material, served: Floats) -> ValueComparison | None:
    data, bought = material.data, material.bought
    if data.value_day is None:
        return None
    asked = everybody(bought, data.value_day)
    forecasts = {
        KEEPSTREAM: served,
        GAMMA_GAMMA: formula_forecast(bought, asked, data.horizon_days),
        POISSON: regression_forecast(bought, asked, material.lessons, data.check_in_days),
    }
    return compare_values(bought, asked, data.horizon_days, forecasts)


def _thinning(
    material: Material, served: Served, scores: dict[str, Floats]
) -> ThinningComparison | None:
    days = material.data.silent_days
    if days is None:
        return None
    outcome = thinning(material.bought, material.at, material.lessons.features.seen, days)
    if material.labels_dealt:
        outcome = deal(outcome, material.seed)
    judged = outcome.is_known & np.isfinite(scores[KEEPSTREAM])
    # Two orders around midnight are two days here but one occasion in the engine, so a customer
    # with just enough days may have no score yet: all scorers are judged on the rows that have one.
    if np.isfinite(served.silent[judged]).any():
        judged &= np.isfinite(served.silent)
    told = {CHURN: scores[KEEPSTREAM], SILENT_CHURN: served.silent, RECENCY: scores[RECENCY]}
    return compare_thinning(
        material.at.only(judged),
        outcome.churned[judged],
        {name: said[judged] for name, said in told.items()},
        days,
        material.seed,
    )


def _verdict(
    material: Material,
    options: Options,
    guise: Guise | None,
    rows: JudgedRows,
    churn: list[Comparison],
    values: ValueComparison | None,
    silent: ThinningComparison | None,
    served: Served,
) -> EvaluationVerdict:
    data, bought = material.data, material.bought
    return EvaluationVerdict(
        name=data.name,
        title=data.title,
        horizon_days=data.horizon_days,
        customers=len(bought.customers),
        orders=len(data.orders),
        days=bought.last_day + 1,
        guise=guise,
        labels_dealt=options.deals_labels,
        rows_asked=rows.asked,
        rows_matured=rows.matured,
        rows_warm=rows.warm,
        rows_unanswered=rows.unanswered,
        churn=tuple(churn),
        value=values,
        thinning=silent,
        quality=served.summary.quality,
    )

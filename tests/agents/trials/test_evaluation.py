"""The evaluation: whether its figures are right, on hand-made tables and on CDNOW."""

from collections import Counter
from itertools import product
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from msgspec.structs import replace
from rich.console import Console
from scipy.integrate import quad
from scipy.special import gammaln
from scipy.stats import norm
from sklearn.metrics import roc_auc_score
from typer.testing import CliRunner

from agents.cli import app
from agents.trials.evaluation import batch, bgnbd, datasets, gammagamma, paretonbd
from agents.trials.evaluation.buying import histories, most_likely, p_no_purchase
from agents.trials.evaluation.comparison import KEEPSTREAM, RECENCY, WARM_UP_DAYS
from agents.trials.evaluation.datasets import DataSet, PastOrder, cdnow, read_cdnow
from agents.trials.evaluation.decisions import (
    CHECK_IN,
    PURCHASE,
    Past,
    PurchaseTable,
    days_bought,
    decisions,
    outcomes,
    past,
    purchases,
    spent,
)
from agents.trials.evaluation.evaluation import Options, deal, evaluate, prepare
from agents.trials.evaluation.failure import EvaluationFailed
from agents.trials.evaluation.features import NAMES, Features, Fit, bgnbd_scores
from agents.trials.evaluation.log import everybody, log_lines
from agents.trials.evaluation.metrics import (
    Bootstrap,
    Ranking,
    auc,
    calibration_error,
    interval,
    log_loss,
)
from agents.trials.evaluation.perturbation import disguise
from agents.trials.evaluation.plots import draw
from agents.trials.evaluation.report import WIDTH, show, write_results
from agents.trials.evaluation.thinning import compare_thinning, thinning
from agents.trials.evaluation.value import formula_forecast, judge_value
from config.duration import DAY_MS
from models.learning.lessons import Example, Lesson
from models.learning.trainer import Trainer
from models.parameters import load_parameters
from models.replay import Replay

FIRST_DAY = 20_000


def order(customer: str, day: int, minor: int = 1_000, number: int = 0) -> PastOrder:
    at_ms = (FIRST_DAY + day) * DAY_MS + 36_000_000 + number
    return PastOrder(at_ms, f"{customer}-{day}-{number}", customer, minor)


#: Ada buys on days 0, 3 (twice) and 10, Bob on day 1; the data goes on to day 20.
TINY = (
    order("ada", 0),
    order("bob", 1, 0),
    order("ada", 3),
    order("ada", 3, 500, number=1),
    order("ada", 10),
    order("eve", 20),
)


class Told:
    """A progress display that is never shown."""

    def __init__(self, *_: object) -> None:
        pass

    def __enter__(self) -> Any:
        return lambda _: None

    def __exit__(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def shop() -> DataSet:
    """Every twelfth customer of CDNOW."""
    data = cdnow()
    return replace(
        data,
        orders=tuple(o for o in data.orders if int(o.customer.rpartition("-")[2]) % 12 == 0),
    )


@pytest.fixture(scope="module")
def lessons(shop: DataSet) -> batch.Lessons:
    return prepare(shop, Options()).lessons


# Metrics


def test_auc_counts_pairs_and_half_of_ties() -> None:
    scores = np.array([0.1, 0.4, 0.4, 0.4, 0.8, 0.8])
    came_true = np.array([False, False, True, False, True, False])

    pairs = [
        1.0 if p > n else 0.5 if p == n else 0.0
        for p, n in product(scores[came_true], scores[~came_true])
    ]
    assert auc(scores, came_true) == pytest.approx(sum(pairs) / len(pairs))
    assert np.isnan(auc(scores, np.ones(6, dtype=np.bool_)))


def test_auc_with_weights_is_that_of_rows_said_so_often() -> None:
    chance = np.random.default_rng(3)
    scores = chance.integers(0, 20, 400) / 20.0
    came_true = chance.random(400) < scores
    weights = chance.integers(0, 4, 400).astype(np.float64)

    found = Ranking(scores, came_true).auc(weights)
    assert found == pytest.approx(roc_auc_score(came_true, scores, sample_weight=weights))
    assert auc(scores, came_true) == pytest.approx(roc_auc_score(came_true, scores))


def test_calibration_error_is_the_mean_gap_of_bins_of_equal_count() -> None:
    # 15 bins of two: seven of who stayed, one of each, seven of who left; half was said of all.
    scores = np.full(30, 0.5)
    came_true = np.arange(30) >= 15
    assert calibration_error(scores, came_true) == pytest.approx(0.5 * 28 / 30)

    said = np.repeat([0.1, 0.6], 15)
    true = np.concatenate([np.zeros(15), np.ones(15)]).astype(np.bool_)
    # Bins of two, of which the eighth has one of either.
    expected = (14 * 0.1 + 14 * 0.4 + abs(0.7 - 1.0)) / 30
    assert calibration_error(said, true) == pytest.approx(expected)


def test_log_loss_is_that_of_what_happened() -> None:
    found = log_loss(np.array([0.2, 0.9]), np.array([False, True]))

    assert found == pytest.approx(-(np.log(0.8) + np.log(0.9)) / 2)
    assert np.isfinite(log_loss(np.array([0.0]), np.array([True])))


def test_intervals_cover_the_truth_though_rows_of_a_customer_are_alike() -> None:
    chance = np.random.default_rng(11)
    truth = float(norm.cdf(1.0 / np.sqrt(2.0)))
    covered = by_row = 0
    for _ in range(100):
        came_true = chance.random(120) < 0.4
        scores = chance.normal(came_true.astype(np.float64), 1.0)
        # Each customer six times over: that says nothing new of anybody.
        rows = np.repeat(np.arange(120), 6)
        ranking = Ranking(scores[rows], came_true[rows])
        for customers in (rows, np.arange(len(rows))):
            drawn = Bootstrap(customers, seed=1, replicates=100).aucs(ranking)
            found = interval(ranking.auc(), drawn)
            is_in = found.low <= truth <= found.high
            covered += is_in and customers is rows
            by_row += is_in and customers is not rows

    assert covered >= 87
    assert by_row < 80


# Decision points and outcomes


def rows_of(bought: PurchaseTable, customer: str) -> dict[int, int]:
    """The row of each decision day of a customer; there is one every 7 days."""
    code = bought.customers.index(customer)
    at = decisions(bought, 7)
    return {int(at.day[row]): int(row) for row in np.flatnonzero(at.customer == code)}


def test_decisions_are_purchase_days_and_check_ins() -> None:
    bought = purchases(TINY)
    at = decisions(bought, 7)
    ada, bob = rows_of(bought, "ada"), rows_of(bought, "bob")

    assert [0, 3, 7, 10, 14] == sorted(ada)
    assert [1, 8, 15] == sorted(bob)
    assert [20] == sorted(rows_of(bought, "eve"))
    assert list(at.of_kind(PURCHASE)[[ada[0], ada[3], ada[7]]]) == [True, True, False]
    assert list(at.is_check_in[[ada[0], ada[3], ada[7], ada[10]]]) == [False, False, True, False]
    assert (at.of_kind(PURCHASE) ^ at.of_kind(CHECK_IN)).all()


def test_what_came_of_a_decision_by_hand() -> None:
    bought = purchases(TINY)
    at = decisions(bought, 7)
    found = outcomes(bought, at, 7)
    ada, bob = rows_of(bought, "ada"), rows_of(bought, "bob")

    # The last day of the horizon counts, the day of the decision does not.
    assert [False, False, False, True] == [bool(found.churned[ada[day]]) for day in (0, 3, 7, 10)]
    assert [True, True] == [bool(found.churned[bob[day]]) for day in (1, 8)]
    assert [True, True, False] == [bool(found.is_known[ada[d]]) for d in (7, 10, 14)]
    assert [2, 1, 1, 0, 0] == list(days_bought(bought, at, 20)[[ada[day] for day in sorted(ada)]])
    assert spent(bought, at, 7)[ada[0]] == pytest.approx(15.0)


def test_what_is_seen_at_a_decision_by_hand() -> None:
    bought = purchases(TINY)
    seen = past(bought, decisions(bought, 7))
    row = rows_of(bought, "ada")[14]

    # Two orders of one day are one purchase day.
    assert (2.0, 10.0, 14.0, 4.0) == (
        seen.repeats[row],
        seen.last[row],
        seen.life[row],
        seen.recency[row],
    )


def test_nothing_is_seen_of_the_future_and_nothing_is_judged_by_the_past(shop: DataSet) -> None:
    whole = purchases(shop.orders)
    first_day, cut = whole.first_day, int(max(day for day in whole.days if day <= 250))
    until = purchases([o for o in shop.orders if o.placed_at_ms // DAY_MS - first_day <= cut])
    assert whole.customers == until.customers
    at = decisions(whole, 28)
    early = at.only(at.day <= cut)
    fit = Fit(0, bgnbd.BEGIN, 20.0)

    assert [list(column) for column in early] == [list(c) for c in decisions(until, 28)]
    seen = Features(whole, early, 90).table(fit)
    assert (seen == Features(until, early, 90).table(fit)).all()
    # The same outcomes, had everybody bought every day until the decision.
    late = at.only((at.day == cut + 1) & at.is_check_in)
    assert len(late.day)
    busy = [
        PastOrder((first_day + day) * DAY_MS, f"{c}-{day}", c, 100)
        for c in whole.customers
        for day in range(90, cut)
    ]
    often = purchases([*shop.orders, *busy])
    assert (days_bought(whole, late, 90) == days_bought(often, late, 90)).all()
    assert (past(whole, late).repeats < past(often, late).repeats).all()


def test_the_engine_finds_the_same_outcomes(shop: DataSet) -> None:
    """All decision points of customers who buy seldom are kept, so the two must agree on each."""
    orders = Counter(o.customer for o in shop.orders)
    data = replace(shop, orders=tuple(o for o in shop.orders if orders[o.customer] <= 3))
    bought = purchases(data.orders)
    at = decisions(bought, data.check_in_days)
    found = outcomes(bought, at, data.horizon_days)
    # After a year of silence nobody is looked at.
    rows = found.is_known & (past(bought, at).recency <= 365)
    expected = Counter(zip(at.day[rows].tolist(), found.churned[rows].tolist(), strict=True))

    class Writing(Trainer):
        def learn(self, lesson: Lesson) -> bool:
            if isinstance(lesson, Example):
                day = lesson.timestamp_ms // DAY_MS - data.horizon_days - bought.first_day
                assert 1 == lesson.weight
                written[day, lesson.churned] += 1
            return False

    written: Counter[tuple[int, bool]] = Counter()
    parameters = load_parameters(None, data.assignments)
    engine = Replay(parameters, trainer=Writing(parameters))
    nobody = at.only(np.zeros(len(at.day), dtype=np.bool_))
    for number, line in enumerate(log_lines(data, bought, nobody), start=1):
        engine.feed(line, number)

    assert sum(expected.values()) > 1_000
    assert expected == written


# Perturbations


def test_a_disguise_keeps_who_bought_when_in_the_week_and_for_how_much_in_proportion(
    shop: DataSet,
) -> None:
    disguised, guise = disguise(shop, 5)
    moved_ms = guise.weeks * 7 * DAY_MS
    back = [
        o._replace(placed_at_ms=o.placed_at_ms - moved_ms, revenue_minor=0)
        for o in disguised.orders
    ]

    assert guise.weeks
    assert [o._replace(revenue_minor=0) for o in shop.orders] == sorted(back)
    amounts = {o.order_id: o.revenue_minor for o in shop.orders}
    assert all(
        abs(o.revenue_minor - guise.factor * amounts[o.order_id]) <= 0.5 for o in disguised.orders
    )
    days = [o.placed_at_ms // DAY_MS for o in disguised.orders]
    assert days == sorted(days)
    assert [o.order_id for o in disguised.orders] != [o.order_id for o in shop.orders]


def test_a_disguise_follows_from_its_seed(shop: DataSet) -> None:
    assert disguise(shop, 5) == disguise(shop, 5)
    assert disguise(shop, 5)[1] != disguise(shop, 6)[1]


def test_labels_that_are_dealt_are_the_same_labels(shop: DataSet) -> None:
    bought = purchases(shop.orders)
    true = outcomes(bought, decisions(bought, 28), 90)
    false = deal(true, 3)

    assert true.churned[true.is_known].sum() == false.churned[true.is_known].sum()
    assert (true.churned[~true.is_known] == false.churned[~true.is_known]).all()
    assert (true.churned != false.churned).mean() > 0.2


# The formulas, against what their authors published


@pytest.fixture(scope="module")
def weeks_39() -> tuple[PurchaseTable, Past]:
    """CDNOW as it is published: 39 weeks to fit to."""
    bought = purchases(cdnow().orders)
    return bought, past(bought, everybody(bought, 272))


def test_bgnbd_finds_the_published_parameters(weeks_39: tuple[PurchaseTable, Past]) -> None:
    found = most_likely(bgnbd.log_likelihood, histories(weeks_39[1]), bgnbd.BEGIN)

    assert found == pytest.approx([0.243, 4.414, 0.793, 2.426], abs=0.005)


def test_paretonbd_finds_the_published_parameters(weeks_39: tuple[PurchaseTable, Past]) -> None:
    found = most_likely(paretonbd.log_likelihood, histories(weeks_39[1]), paretonbd.BEGIN)

    assert found == pytest.approx([0.553, 10.578, 0.606, 11.669], rel=0.002)


def test_gamma_gamma_finds_the_published_parameters(weeks_39: tuple[PurchaseTable, Past]) -> None:
    bought, seen = weeks_39
    total = np.concatenate([[0.0], np.cumsum(bought.spend)])
    repeated = total[seen.place + 1] - total[bought.starts[:-1] + 1]
    found = gammagamma.fit(seen.repeats, repeated / np.maximum(seen.repeats, 1.0))

    assert found == pytest.approx([6.25, 3.74, 15.44], rel=0.01)


def test_expected_purchases_are_those_of_the_published_example() -> None:
    seen = Past(*(np.array([v]) for v in (0, 2.0, 30.43 * 7, 38.86 * 7, 8.43 * 7)))
    parameters = np.array([0.243, 4.414, 0.793, 2.426])

    assert bgnbd.expected_purchases(parameters, seen, 39 * 7)[0] == pytest.approx(1.226, abs=0.002)


@pytest.mark.parametrize(
    "parameters",
    [
        (0.55, 10.5, 0.6, 11.6),
        (0.55, 11.6, 0.6, 10.5),
        (2.0, 30.0, 0.3, 3.0),
        (2.0, 3.0, 5.0, 90.0),
    ],
)
@pytest.mark.parametrize(
    "history", [(0, 0, 30), (3, 20, 30), (200, 50, 51), (200, 20, 51), (300, 51, 51)]
)
def test_paretonbd_is_the_integral_over_the_time_of_dropping_out(
    parameters: tuple[float, ...], history: tuple[float, ...]
) -> None:
    (r, alpha, s, beta), (x, last, life) = parameters, map(float, history)

    def power_log(at: float) -> float:
        return float(-(r + x) * np.log(alpha + at) - s * np.log(beta + at))

    alive = np.exp(power_log(life) - power_log(last))
    left, _ = quad(lambda at: s * np.exp(power_log(at) - power_log(last)) / (beta + at), last, life)
    constant = gammaln(r + x) - gammaln(r) + r * np.log(alpha) + s * np.log(beta)
    expected = constant + power_log(last) + np.log(alive + left)
    arrays = (np.array([value]) for value in (x, last, life))
    found = paretonbd.log_likelihood(np.array(parameters), *arrays)[0]
    assert found == pytest.approx(expected, abs=1e-7)


@pytest.mark.parametrize("model", [bgnbd, paretonbd])
def test_p0_falls_with_the_horizon_and_is_far_from_one_minus_p_alive(model: Any) -> None:
    seen = Past(
        *(np.array(v) for v in ([0, 0], [0.0, 4.0], [0.0, 60.0], [70.0, 70.0], [70.0, 10.0]))
    )
    near, far = (p_no_purchase(model.log_likelihood, model.BEGIN, seen, days) for days in (28, 90))

    assert (far < near).all()
    assert near[0] > near[1]
    assert (far > 0).all()


def test_bgnbd_scores_come_from_the_latest_fit_and_before_the_first_from_nobody(
    lessons: batch.Lessons,
) -> None:
    at, made, seen = lessons.at, lessons.made, lessons.features.seen
    scores = bgnbd_scores(at, seen, made, 90)

    assert (np.isnan(scores) == (at.day < made[0].day)).all()
    rows = at.day == made[3].day + 5
    expected = p_no_purchase(bgnbd.log_likelihood, made[3].parameters, seen.only(rows), 90)
    assert scores[rows] == pytest.approx(expected)


# What the batch models see, and when


def test_features_by_hand() -> None:
    bought = purchases(TINY)
    at = decisions(bought, 7)
    fit = Fit(0, bgnbd.BEGIN, 28.0)
    row = Features(bought, at, 28).table(fit)[rows_of(bought, "ada")[14]]
    told = dict(zip(NAMES, row, strict=True))

    ages = {14: (1, 10.0), 11: (2, 15.0), 4: (1, 10.0)}
    for days in (7, 28, 84):
        orders = sum(n * 0.5 ** (age / days) for age, (n, _) in ages.items())
        spend = sum(s * 0.5 ** (age / days) for age, (_, s) in ages.items())
        assert told[f"orders_{days}d"] == pytest.approx(np.log1p(orders))
        assert told[f"spend_{days}d"] == pytest.approx(np.log1p(spend))
    # Gaps of 3 and 7 days; two of the population's 28 beside them.
    typical = (2 * 5 + 2 * 28) / 4
    assert told["recency_over_gap"] == pytest.approx(np.log(5 / (typical + 1)))
    assert told["gap_variation"] == pytest.approx(2 / 6)
    assert told["overdue"] == pytest.approx((4 - 5) / np.sqrt(5))
    assert told["spend"] == pytest.approx(np.log1p(35.0))
    assert told["one_timer"] == 0.0


@pytest.mark.parametrize("make", [batch.logistic, batch.boosting])
def test_a_batch_model_knows_labels_from_the_end_of_their_horizon_on(
    lessons: batch.Lessons, make: Any
) -> None:
    at, day = lessons.at, 336
    later = at.day + lessons.horizon_days > day
    flipped = lessons._replace(churned=lessons.churned ^ later)

    with batch.one_thread():
        before, after = (batch.refit_scores(make, told, 56) for told in (lessons, flipped))
    until = np.isfinite(before) & (at.day < day + 56)
    assert until.sum() > 1_000
    assert (before[until] == after[until]).all()
    assert (before[at.day >= day + 56] != after[at.day >= day + 56]).any()


# Value and silent churn


def test_value_is_judged_in_total_and_by_tenths() -> None:
    actual = np.repeat([0.0, 10.0], 50)
    told = judge_value("x", np.repeat([1.0, 12.0], 50), actual)

    assert told.total_error == pytest.approx(0.3)
    assert told.correlation == pytest.approx(1.0)
    assert told.decile_error == pytest.approx((5 * 1 + 5 * 2) / 10 / 5)
    assert judge_value("x", np.full(100, np.nan), actual).total_error is None


def test_the_formula_forecasts_about_what_came() -> None:
    bought = purchases(cdnow().orders)
    at = everybody(bought, 272)
    found = judge_value("formula", formula_forecast(bought, at, 90), spent(bought, at, 90))

    assert found.total_error is not None
    assert found.correlation is not None
    assert abs(found.total_error) < 0.25
    assert found.correlation > 0.4


def test_thinning_out_by_hand() -> None:
    # Every fourth day for 112 days, then: Ada goes on, Bob comes once, Cid is new.
    often = [order(c, day) for c in ("ada", "bob") for day in range(0, 113, 4)]
    later = [order("ada", day) for day in range(116, 200, 4)] + [order("bob", 130)]
    bought = purchases([*often, *later, order("cid", 105), order("cid", 112)])
    at = decisions(bought, 7)
    found = thinning(bought, at, past(bought, at), 56)
    rows = {bought.customers[at.customer[r]]: r for r in np.flatnonzero(at.day == 112)}

    # 29 purchase days in 113 promise 14.4 in the 56 to come.
    assert [True, True, False] == [bool(found.is_known[rows[c]]) for c in ("ada", "bob", "cid")]
    assert [False, True] == [bool(found.churned[rows[c]]) for c in ("ada", "bob")]


def test_a_score_that_nobody_gives_is_told_as_such() -> None:
    bought = purchases(TINY)
    at = decisions(bought, 7)
    thinned = at.day > 7
    scores = {"a": at.day.astype(np.float64), "b": np.full(len(at.day), np.nan)}
    told = compare_thinning(at, thinned, scores, 56, seed=0).scorers

    assert ("a", 1.0) == (told[0].scorer, told[0].auc.estimate if told[0].auc else None)
    assert (None, None) == (told[1].auc, told[1].gain)


# The whole of it


@pytest.fixture(scope="module")
def evaluated(shop: DataSet) -> Any:
    return evaluate(shop, Options(), Told)


def test_every_scorer_is_judged_on_the_same_rows(evaluated: Any) -> None:
    verdict, judged = evaluated
    everything = verdict.churn[0]

    assert len(judged.at.day) == everything.rows == sum(c.rows for c in verdict.churn[1:])
    assert judged.at.day.min() >= verdict.horizon_days + WARM_UP_DAYS
    assert all(np.isfinite(said).all() for said in judged.scores.values())
    for told in everything.scorers:
        expected = roc_auc_score(judged.churned, judged.scores[told.scorer])
        assert told.auc.estimate == pytest.approx(expected)
        assert told.auc.low < expected < told.auc.high
        assert (told.log_loss is None) == (told.scorer == RECENCY)
    ours = next(told for told in everything.scorers if told.scorer == KEEPSTREAM)
    assert ours.auc.estimate > 0.7


def test_figures_are_printed_and_written(evaluated: Any, tmp_path: Path) -> None:
    verdict, judged = evaluated
    with (tmp_path / "printed").open("w") as file:
        show(verdict, Console(file=file, width=WIDTH))
    printed = (tmp_path / "printed").read_text()
    write_results([verdict], tmp_path)
    [written] = msgspec.json.decode((tmp_path / "results.json").read_bytes())
    pictures = draw(verdict, judged, tmp_path)

    for comparison in written["churn"]:
        for told in comparison["scorers"]:
            assert f"{told['auc']['estimate']:.4f}" in printed
    assert "no value model" in printed or written["value"]["scorers"][0]["totalError"] is not None
    assert 3 == len(pictures)
    assert all(p.read_bytes().startswith(b"\x89PNG") for p in pictures)


def test_with_labels_dealt_out_at_random_nobody_can_tell(shop: DataSet) -> None:
    verdict, _ = evaluate(shop, Options(seed=1, deals_labels=True), Told)

    assert verdict.labels_dealt
    for told in verdict.churn[0].scorers:
        assert abs(told.auc.estimate - 0.5) < 0.04
    for quality in verdict.quality:
        if quality.kind == "all":
            assert quality.auc is not None
            assert abs(quality.auc - 0.5) < 0.04


# What may be missing


@pytest.mark.parametrize("name", ["cdnow", "journey"])
def test_missing_data_names_the_command_that_brings_it(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(datasets, "find_spec", lambda _: None)
    ran = CliRunner().invoke(app, ["evaluate", "--data", name, "--out", str(tmp_path / "out")])

    assert 2 == ran.exit_code
    assert "make evaluate" in ran.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("text", ["1 2 19970101 1", "1 2 1997-01-01 1 9.99", "1 2 19970101 1 x"])
def test_a_line_that_is_no_purchase_is_named(text: str, tmp_path: Path) -> None:
    file = tmp_path / "sample.txt"
    file.write_text(f"1 1 19970101 1 11.77\n{text}\n")

    with pytest.raises(EvaluationFailed, match="line 2"):
        read_cdnow(file)

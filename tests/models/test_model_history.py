"""The quality of the models over time equals that of a table of only those scores."""

from random import Random

import msgspec
import pytest

from config.duration import DAY_MS
from models.learning.churn_learner import ChurnState
from models.learning.churn_models import CHAMPION
from models.learning.feature_names import NAMES
from models.learning.online import OnlineState
from models.learning.reliability import Reliability
from models.learning.score_table import ScoreTable
from models.learning.snapshot import Snapshot, encode_snapshot
from models.learning.trainer import TrainerState
from models.model_history import POINTS_MAX, WINDOW_MS, ModelHistory
from tests.models.lines import PARAMETERS, PRIOR, START_MS

SERVED, KIND = f"28 check-in {CHAMPION}", ("28", CHAMPION)
Score = tuple[int, float, bool]


def scores(days: int, a_day: int = 20) -> list[Score]:
    """Scores that get better with time: the day, the prediction, and the outcome."""
    chance = Random(7)
    found = []
    for day in range(days):
        for _ in range(a_day):
            came_true = chance.random() < 0.4
            skill = min(day / days, 0.9)
            said = skill * (0.9 if came_true else 0.1) + (1 - skill) * chance.random()
            found.append((day, min(max(said, 0.01), 0.99), came_true))
    return found


def table(found: list[Score]) -> Reliability:
    told = ScoreTable()
    for _, said, came_true in found:
        told.learn(said, came_true)
    return told.state()


def snapshot(version: int, day: int, found: list[Score], mean: float = 0.0) -> bytes:
    """A version drawn at the end of a day, from all scores up to then."""
    counted = [one for one in found if one[0] <= day]
    features = (mean,) * len(NAMES)
    online = OnlineState(len(counted), features, (1.0,) * len(NAMES))
    state = ChurnState({"28": online}, {SERVED: table(counted)})
    learners = {"churn": msgspec.Raw(msgspec.json.encode(state))}
    trainer = msgspec.json.encode(TrainerState(learners=learners))
    drawn = Snapshot(version, START_MS + day * DAY_MS, PRIOR.drawn, trainer)
    return encode_snapshot(drawn)[0]


def history(found: list[Score], days: int) -> ModelHistory:
    told = ModelHistory(PARAMETERS)
    for day in range(days):
        told.add(snapshot(day + 1, day, found))
    return told


def test_each_version_tells_how_the_scores_of_the_last_four_weeks_did() -> None:
    found, days = scores(90), WINDOW_MS // DAY_MS
    points = history(found, 90).points

    assert list(range(1, 91)) == [one.version for one in points]
    for day in (5, 27, 28, 40, 89):
        recent = table([one for one in found if day - days < one[0] <= day])
        judged = points[day].judged[KIND]
        assert recent.examples == judged.examples
        assert recent.auc == judged.auc
        assert pytest.approx(recent.mean_log_loss, rel=1e-9) == judged.log_loss
        assert pytest.approx(recent.calibration_error, rel=1e-6) == judged.calibration_error
    first, last = points[30].judged[KIND], points[89].judged[KIND]
    assert first.log_loss is not None
    assert last.log_loss is not None
    assert first.log_loss > last.log_loss


def test_few_scores_are_not_judged() -> None:
    assert {} == history(scores(2, a_day=3), 2).points[-1].judged


def test_no_more_is_kept_than_is_shown_and_the_ends_stay() -> None:
    told = ModelHistory(PARAMETERS)
    nothing = scores(1)
    for day in range(POINTS_MAX * 2):
        told.add(snapshot(day + 1, day, nothing))

    versions = [one.version for one in told.points]
    assert len(versions) <= POINTS_MAX
    assert (1, POINTS_MAX * 2) == (versions[0], versions[-1])
    assert sorted(versions) == versions


def test_learning_that_starts_over_begins_anew() -> None:
    told = history(scores(40), 40)
    again = scores(1)
    told.add(snapshot(1, 41, again))

    [point] = told.points
    assert table(again).examples == 20
    assert {} == point.judged


@pytest.mark.parametrize("content", [b"", b"{}", b"null", b'{"format":3}', b"\xff"])
def test_what_is_no_snapshot_is_passed_over(content: bytes) -> None:
    told = history(scores(1), 1)
    told.add(content)

    assert 1 == len(told.points)


def test_a_feature_that_moves_is_told_in_its_deviations() -> None:
    found, told = scores(60), ModelHistory(PARAMETERS)
    assert [] == told.shifts("28")
    for day in range(60):
        told.add(snapshot(day + 1, day, found, mean=0.0 if day < 40 else 1.0))

    # Half of what is counted is of the last four weeks, and pulled the mean from 0 to 1.
    shifts = told.shifts("28")
    assert len(NAMES) == len(shifts)
    recent = 60 * 20 / (WINDOW_MS // DAY_MS * 20)
    assert pytest.approx(recent) == shifts[0].deviations
    assert [] == told.shifts("90")


def test_what_was_counted_since_is_what_was_counted_less_what_was() -> None:
    found = scores(10)
    early, late = table(found[:77]), table(found[77:])
    since = table(found).since(early)

    assert since is not None
    assert (late.count, late.positives, late.auc) == (since.count, since.positives, since.auc)
    assert late.bins.keys() == since.bins.keys()
    assert early.since(table(found)) is None

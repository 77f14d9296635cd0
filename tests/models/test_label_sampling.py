"""The number of labels for one trainer is bounded: fewer points are kept, with higher weights."""

from random import Random

import pytest
from msgspec.structs import replace

from agents.trials.demo.shop import ShopConfig, simulate
from config.duration import DAY_MS
from models.learning.label_sampling import LabelSampling, LabelSamplingLearner
from models.learning.lessons import Example, Lesson
from models.learning.trainer import Trainer
from models.parameters import load_parameters
from models.replay import Replay
from tests.models.lines import PARAMETERS, at
from tests.models.test_learners import observation

SHOP = ShopConfig(seed=11, customers=50, start_ms=1_700_000_000_000, days=170)


def learner(most_per_s: float) -> LabelSamplingLearner:
    learning = replace(PARAMETERS.learning, lessons_per_s=most_per_s)
    return LabelSamplingLearner(None, replace(PARAMETERS, learning=learning))


def heard(one: LabelSamplingLearner, start_ms: int, labels_per_s: float) -> LabelSampling:
    """What is drawn after a day at that rate."""
    rng, count = Random(1), 24
    thousandths = round(labels_per_s * DAY_MS / count)
    for hour in range(count):
        lesson = observation(rng, start_ms + hour * DAY_MS // count)
        one.learn(replace(lesson, labels_thousandths=thousandths))
    return one.draw(start_ms + DAY_MS)


@pytest.mark.parametrize(
    ("most_per_s", "rates", "kept"),
    [
        pytest.param(0, [500], [1], id="no bound"),
        pytest.param(10, [9.9], [1], id="within the bound"),
        pytest.param(10, [10.1], [2], id="just above it"),
        pytest.param(10, [20], [2], id="half of them fit"),
        pytest.param(10, [1_000], [128], id="a hundred times too many"),
        pytest.param(10, [25, 19, 15], [4, 4, 2], id="back only with room to spare"),
        pytest.param(10, [25, 3], [4, 1], id="all of them fit again"),
        pytest.param(0.5, [3, 0], [8, 1], id="less than one a second, then none"),
    ],
)
def test_the_share_kept_follows_the_rate(
    most_per_s: float, rates: list[float], kept: list[int]
) -> None:
    one = learner(most_per_s)

    found = [heard(one, at(days=day), rate).one_in for day, rate in enumerate(rates)]

    assert kept == found


def test_without_a_bound_nothing_is_counted() -> None:
    one = learner(10)
    heard(one, at(days=0), 100.0)
    unbound = LabelSamplingLearner(one.state(), PARAMETERS)

    assert LabelSampling() == heard(unbound, at(days=1), 100.0)


class Listening(Trainer):
    """A trainer that keeps its lessons."""

    def __init__(self, *assignments: str) -> None:
        super().__init__(load_parameters(None, assignments), partitions=1)
        self.heard: list[Lesson] = []

    def learn(self, lesson: Lesson, place: int = 0) -> bool:
        self.heard.append(lesson)
        return super().learn(lesson, place)

    @property
    def examples(self) -> list[Example]:
        return [lesson for lesson in self.heard if isinstance(lesson, Example)]


def taught(*assignments: str) -> Listening:
    """The trainer after half a year of a shop."""
    trainer = Listening(*assignments)
    replay = Replay(load_parameters(None, assignments), trainer=trainer)
    for number, record in enumerate(simulate(SHOP), 1):
        replay.feed(record.value, number)
    return trainer


def test_fewer_labels_stand_for_all_of_them() -> None:
    """Some 170 days of 50 customers bring about 15 labels a day."""
    every, some = taught(), taught("learning.lessons_per_s=0.00003")
    sampling = some.snapshot.of(LabelSampling)

    assert 1 < sampling.one_in
    assert sampling.one_in / 2 < sampling.labels_per_s / 0.00003 / 0.8
    # The bound holds from the first snapshot on; a label comes a horizon later.
    since_ms = SHOP.start_ms + 60 * DAY_MS
    wanted = [one for one in every.examples if one.timestamp_ms > since_ms]
    found = [one for one in some.examples if one.timestamp_ms > since_ms]
    assert len(found) < 0.6 * len(wanted)
    assert any(one.weight % sampling.one_in == 0 for one in found)
    for is_lost in (True, False):
        stood_for = [
            sum(one.weight for one in ones if one.churned is is_lost) for ones in (wanted, found)
        ]
        assert stood_for[1] == pytest.approx(stood_for[0], rel=0.2)

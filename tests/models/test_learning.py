"""The trainer: histograms, snapshots, and a state that can be stopped and resumed anywhere."""

from bisect import bisect_left
from hashlib import sha256
from itertools import pairwise
from random import Random
from typing import Any

import msgspec
import numpy as np
import pytest
from msgspec.structs import replace

from config.duration import DAY_MS
from models.learning.bgnbd import cell_of
from models.learning.day_ends import day_end_ms
from models.learning.histogram import (
    Histogram,
    bin_of,
    cut_points,
    last_of,
    middle_of,
    observe,
    quantiles,
)
from models.learning.lessons import DayEnd, Example, Observation, decode_lesson, encode_lesson
from models.learning.population import Population
from models.learning.snapshot import (
    SNAPSHOT_FORMAT,
    Snapshot,
    SnapshotError,
    decode_snapshot,
    encode_snapshot,
    prior_snapshot,
)
from models.learning.trainer import Trainer
from tests.models.lines import PARAMETERS, PRIOR, at

SHARES = (0.2, 0.4, 0.5, 0.6, 0.8)
MINIMUM = PARAMETERS.learning.minimum_examples


def observations(
    count: int, *, seed: int = 7, partition: int = 0, every_ms: int = DAY_MS // 100
) -> list[Observation]:
    rng = Random(seed)
    # Each is somebody's first check-in, so that nobody leaves a cell.
    return [
        Observation(
            timestamp_ms=at() + n * every_ms,
            recency_days=rng.expovariate(1 / 40),
            frequency=rng.randint(1, 9),
            monetary_minor=round(rng.lognormvariate(9, 1)),
            gap_days=rng.choice([None, rng.uniform(1, 90)]),
            enters=cell_of(rng.randint(0, 4), rng.uniform(0, 20), rng.uniform(20, 40)),
            partition=partition,
            offset=n // 3,
            index=n % 3,
        )
        for n in range(count)
    ]


@pytest.mark.parametrize(
    "draw",
    [
        lambda rng: rng.expovariate(0.02),
        lambda rng: rng.lognormvariate(9, 2),
        lambda rng: float(rng.randint(0, 5)),
        lambda rng: 42.0,
        lambda rng: rng.uniform(0, 0.01),
    ],
    ids=["exponential", "lognormal", "small counts", "constant", "tiny"],
)
@pytest.mark.parametrize("count", [1, 2, 5, 100, 4999])
def test_a_quantile_lies_in_the_bin_of_the_exact_one(draw: object, count: int) -> None:
    assert callable(draw)
    rng = Random(count)
    values = [draw(rng) for _ in range(count)]
    histogram: Histogram = {}
    for value in values:
        observe(histogram, value)

    exact = np.quantile(values, SHARES, method="inverted_cdf")

    assert [bin_of(float(value)) for value in exact] == [
        bin_of(found) for found in quantiles(histogram, SHARES)
    ]


@pytest.mark.parametrize("most", [1, 2, 3, 4, 6, 14])
@pytest.mark.parametrize("seed", range(5))
def test_whole_numbers_are_on_the_side_of_a_cut_point_that_the_exact_one_puts_them(
    most: int, seed: int
) -> None:
    chance = Random(seed)
    weights = [chance.random() ** 3 for _ in range(most)]
    values = [float(one) for one in chance.choices(range(1, most + 1), weights, k=300)]
    histogram: Histogram = {}
    for value in values:
        observe(histogram, value)
    exact = np.quantile(values, SHARES, method="inverted_cdf").tolist()

    cuts = cut_points(histogram, SHARES)

    for value in range(most + 2):
        assert bisect_left(exact, value) == bisect_left(cuts, value)


def test_the_last_of_a_bin_is_in_it_and_what_is_above_is_not() -> None:
    lasts = [last_of(index) for index in range(400)]

    assert list(range(400)) == [bin_of(last) for last in lasts]
    assert list(range(1, 401)) == [bin_of(last + 1e-11 * (1.0 + last)) for last in lasts]


def test_what_is_in_one_bin_is_on_one_side_of_every_cut_point() -> None:
    chance = Random(1)
    values = [chance.lognormvariate(3, 2) for _ in range(2_000)]
    histogram: Histogram = {}
    for value in values:
        observe(histogram, value)

    cuts = cut_points(histogram, SHARES)

    sides: dict[int, set[int]] = {}
    for value in values:
        sides.setdefault(bin_of(value), set()).add(bisect_left(cuts, value))
    assert all(len(found) == 1 for found in sides.values())
    assert list(range(len(SHARES) + 1)) == sorted(set().union(*sides.values()))


@pytest.mark.parametrize("value", [0.0, 0.09, 1.0, 7.0, 1e3, 1e6, 1e15])
def test_a_bins_middle_is_within_a_tenth_of_what_is_in_it(value: float) -> None:
    assert abs(middle_of(bin_of(value)) - value) <= 0.1 * (1 + value)


def test_bins_are_in_order_and_each_middle_is_in_its_own() -> None:
    middles = [middle_of(index) for index in range(400)]

    assert list(range(400)) == [bin_of(middle) for middle in middles]
    assert all(lower < higher for lower, higher in pairwise(middles))
    assert 0 == bin_of(0.0) == bin_of(-5.0)


def test_a_snapshot_is_named_by_its_bytes() -> None:
    trainer = Trainer(PARAMETERS)
    for observation in observations(50):
        trainer.learn(observation)
    snapshot = trainer.draw(consumed=50)
    content, name = encode_snapshot(snapshot)

    assert sha256(content).hexdigest() == name
    for read in (decode_snapshot(content, name), decode_snapshot(content)):
        assert (content, name) == encode_snapshot(read)
        assert (snapshot.version, snapshot.created_at_ms) == (read.version, read.created_at_ms)
        assert (snapshot.drawn, snapshot.trainer) == (read.drawn, read.trainer)


def test_an_altered_snapshot_is_refused() -> None:
    content, name = encode_snapshot(PRIOR)

    with pytest.raises(SnapshotError, match="differs from the one the log announced"):
        decode_snapshot(content.replace(b"30", b"31"), name)


def written(**changed: Any) -> bytes:
    """The prior as it is written, with some fields changed."""
    return msgspec.json.encode(msgspec.json.decode(encode_snapshot(PRIOR)[0]) | changed)


def test_a_newer_snapshot_is_refused_and_says_what_to_do() -> None:
    newer = written(version=9, format=SNAPSHOT_FORMAT + 1)

    with pytest.raises(SnapshotError, match="snapshot 9 .* newer release; upgrade"):
        decode_snapshot(newer)


#: As earlier releases wrote it, with a field for each model; the first ones without a format.
OLDER = {
    "version": 9,
    "createdAtMs": 0,
    "recencyDaysCuts": [14.0, 30.0, 60.0, 120.0],
    "frequencyCuts": [1.0, 2.0, 4.0, 8.0],
    "monetaryMinorCuts": [5_000.0, 10_000.0, 25_000.0, 50_000.0],
    "gapDays": 30.0,
    "churn": {},
    "trainer": None,
}


@pytest.mark.parametrize(("said", "told"), [({}, 1), ({"format": 1}, 1), ({"format": 2}, 2)])
def test_an_older_snapshot_is_refused_and_says_what_to_do(said: dict[str, int], told: int) -> None:
    with pytest.raises(SnapshotError) as refused:
        decode_snapshot(msgspec.json.encode(OLDER | said))

    words = str(refused.value)
    assert f"snapshot 9 is in format {told}, which this release does not read" in words
    assert "start over with another KEEPSTREAM_TOPIC_PREFIX" in words


def test_a_snapshot_from_before_there_was_a_learner_says_nothing_of_what_it_draws() -> None:
    drawn = msgspec.json.decode(encode_snapshot(PRIOR)[0])["drawn"]
    earlier = {"population": drawn["population"]}
    # Nor did it know all that a learner draws by now.
    del earlier["population"]["bgnbd"]

    assert PRIOR.drawn == decode_snapshot(written(drawn=earlier)).drawn


def test_a_snapshot_without_what_nobody_can_do_without_is_none() -> None:
    lacking = msgspec.json.decode(encode_snapshot(PRIOR)[0])["drawn"]
    del lacking["population"]["gapDays"]

    with pytest.raises(SnapshotError, match="not a snapshot: .*`gapDays`"):
        decode_snapshot(written(drawn=lacking))


@pytest.mark.parametrize("content", [b"", b"{}", b"[1]", b"\xff", b'{"format":3,"version":1}'])
def test_what_is_no_snapshot_is_refused(content: bytes) -> None:
    with pytest.raises(SnapshotError, match="not a snapshot"):
        decode_snapshot(content)


def test_an_observation_is_read_as_it_was_written() -> None:
    for observation in observations(20):
        assert observation == decode_lesson(encode_lesson(observation))


def test_the_prior_says_what_the_parameters_say() -> None:
    prior = prior_snapshot(PARAMETERS)
    population = prior.of(Population)

    assert (0, 30.0) == (prior.version, population.gap_days)
    assert PARAMETERS.rfm.recency_days == population.recency_days_cuts


def trainer_of_two() -> Trainer:
    """A trainer with lessons of two partitions."""
    trainer = Trainer(PARAMETERS, partitions=2)
    for partition in (0, 1):
        trainer.learn(DayEnd(day_end_ms(at()), partition=partition))
    assert not trainer.learn_next()
    return trainer


def told_days(trainer: Trainer, days: range, partitions: tuple[int, ...]) -> list[tuple[int, int]]:
    """Teach some lessons of each partition for each day; returns the (day, partition) whose end of
    a day made a snapshot due.
    """
    drawn: list[tuple[int, int]] = []
    for day in days:
        for partition in partitions:
            end_ms = day_end_ms(at(days=day))
            for place, lesson in enumerate(observations(MINIMUM, seed=day)):
                lesson.timestamp_ms, lesson.partition = end_ms, partition
                lesson.offset, lesson.index = day, place
                trainer.learn(lesson)
                assert not trainer.learn_next()
            trainer.learn(DayEnd(end_ms, partition=partition, offset=day, index=MINIMUM))
            while trainer.learn_next():
                if trainer.is_due:
                    drawn.append((day, partition))
                    trainer.draw()
    return drawn


def test_a_snapshot_holds_the_days_lessons_of_every_partition() -> None:
    trainer = trainer_of_two()

    assert [(1, 1), (2, 1), (3, 1)] == told_days(trainer, range(1, 4), (0, 1))


def test_who_is_days_behind_is_not_waited_for() -> None:
    trainer = trainer_of_two()

    # The first two days when the third has ended, each with a snapshot of its own.
    assert [(3, 0), (3, 0), (3, 0), (4, 0)] == told_days(trainer, range(1, 5), (0,))
    assert 4 * MINIMUM == trainer.lessons


def test_the_end_of_a_day_is_heard_again_after_a_restart() -> None:
    trainer = trainer_of_two()
    told_days(trainer, range(1, 3), (0, 1))
    resumed = Trainer(PARAMETERS, trainer.draw(), partitions=2)

    assert day_end_ms(at(days=2)) == resumed.clock_ms(1) == trainer.clock_ms(1)
    assert 0 == resumed.clock_ms(7)


def test_a_day_that_is_half_learnt_is_not_told_as_learnt() -> None:
    trainer = trainer_of_two()
    before_ms, end_ms = day_end_ms(at()), day_end_ms(at(days=1))
    for partition in (0, 1):
        for index, lesson in enumerate(observations(MINIMUM)):
            lesson.partition, lesson.offset, lesson.index = partition, 1, index
            trainer.learn(lesson)
        trainer.learn(DayEnd(end_ms, partition=partition, offset=2))

    assert before_ms == trainer.clock_ms(0) == trainer.clock_ms(1)
    learnt = 0
    while trainer.learn_next():
        learnt += 1
        # Whoever waits for the day would go on before the model that is due was drawn.
        assert learnt == 2 * MINIMUM or before_ms == trainer.clock_ms(0)
        assert trainer.is_due is (learnt == 2 * MINIMUM)
    assert 2 * MINIMUM == learnt
    assert end_ms == trainer.clock_ms(0) == trainer.clock_ms(1)


def told_of_days(partition: int, days: range, ended: range) -> list[Observation | DayEnd]:
    """Some lessons of each day, and the ends of days that the partition announces."""
    told: list[Observation | DayEnd] = []
    for day in days:
        end_ms = day_end_ms(at(days=day))
        lessons = [replace(o, timestamp_ms=end_ms) for o in observations(MINIMUM, seed=day)]
        told += [*lessons, *[DayEnd(end_ms)][: day in ended]]
    for offset, lesson in enumerate(told):
        lesson.partition, lesson.offset, lesson.index = partition, offset, 0
    return told


def drawn_from(
    topic: list[Observation | DayEnd], begin: Snapshot | None = None
) -> list[tuple[int, Snapshot]]:
    """The snapshots from two partitions' lessons, with the number of lessons in each."""
    trainer = Trainer(PARAMETERS, begin, partitions=2)
    found: list[tuple[int, Snapshot]] = []
    for place in range(trainer.consumed, len(topic)):
        trainer.learn(topic[place], place)
        while trainer.learn_next():
            if trainer.is_due:
                found.append((trainer.lessons, trainer.draw(place + 1)))
    return found


def test_a_restart_between_two_days_that_became_whole_at_once_changes_nothing() -> None:
    # The second partition tells the first day's end with the second's.
    topic = [*told_of_days(0, range(2), range(2)), *told_of_days(1, range(2), range(1, 2))]
    steady = drawn_from(topic)
    (_, first), (_, second) = steady

    assert [MINIMUM, 4 * MINIMUM] == [lessons for lessons, _ in steady]
    [(lessons, again)] = drawn_from(topic, decode_snapshot(*encode_snapshot(first)))
    assert 4 * MINIMUM == lessons
    assert encode_snapshot(second) == encode_snapshot(again)


def test_the_state_of_a_release_that_let_nothing_wait_is_gone_on_from() -> None:
    trainer = trainer_of_two()
    told_days(trainer, range(1, 3), (0, 1))
    state = msgspec.json.decode(trainer.draw().trainer)
    assert state.pop("beganMs")
    older = trainer.snapshot.replace(trainer=msgspec.json.encode(state))
    resumed = Trainer(PARAMETERS, older, partitions=2)

    assert [(3, 1), (4, 1)] == told_days(resumed, range(3, 5), (0, 1))
    assert trainer.lessons + 4 * MINIMUM == resumed.lessons


def test_a_lesson_that_cannot_be_learnt_does_not_keep_the_others_from_it() -> None:
    trainer = Trainer(PARAMETERS, partitions=1)
    lessons = observations(3)
    broken = Example(at(), 28.0, "check-in", churned=True, features="AAAA", offset=9)
    for lesson in (*lessons, broken, DayEnd(day_end_ms(at(days=9)), offset=10)):
        assert trainer.learn(lesson)
    learnt = refused = 0
    while True:
        try:
            if not trainer.learn_next():
                break
            learnt += 1
        except ValueError:
            refused += 1

    assert (3, 1) == (learnt, refused)


def test_a_snapshot_is_due_after_enough_examples_and_enough_event_time() -> None:
    trainer = Trainer(PARAMETERS)
    moments = observations(MINIMUM * 3, every_ms=DAY_MS // MINIMUM)
    due_at: list[int] = []
    for n, observation in enumerate(moments):
        trainer.learn(observation)
        if trainer.is_due:
            due_at.append(n)
            trainer.draw()

    # The first with the minimum, then each with a day more of event time.
    assert [MINIMUM - 1, 2 * MINIMUM - 1, 3 * MINIMUM - 1] == due_at
    assert 3 == trainer.snapshot.version


def test_cut_points_come_from_the_population_and_gaps_only_from_who_has_any() -> None:
    trainer = Trainer(PARAMETERS)
    for n in range(1, 101):
        trainer.learn(
            Observation(
                timestamp_ms=at(),
                recency_days=float(n),
                frequency=1,
                monetary_minor=n * 100,
                gap_days=None,
                enters=(0, 0, 1),
                offset=n,
            )
        )
    population = trainer.draw().of(Population)

    assert [bin_of(float(n)) for n in (20, 40, 60, 80)] == [
        bin_of(cut) for cut in population.recency_days_cuts
    ]
    assert len(set(population.frequency_cuts)) == 1
    assert PRIOR.of(Population).gap_days == population.gap_days


def test_a_repeat_is_dropped() -> None:
    trainer = Trainer(PARAMETERS)
    first, second, third = observations(3)

    assert [True, True, False, False, True, False] == [
        trainer.learn(o) for o in (first, second, first, second, third, third)
    ]
    assert 3 == trainer.lessons


def test_a_place_is_of_its_partition_alone() -> None:
    trainer = Trainer(PARAMETERS)
    (one,) = observations(1)

    assert trainer.learn(one)
    assert trainer.learn(replace(one, partition=1))
    assert not trainer.learn(replace(one, partition=1))


def test_a_trainer_resumed_from_a_snapshot_goes_on_as_if_it_had_never_stopped() -> None:
    moments = observations(400)
    steady = Trainer(PARAMETERS)
    for observation in moments[:200]:
        steady.learn(observation)
    content, name = encode_snapshot(steady.draw())
    resumed = Trainer(PARAMETERS, decode_snapshot(content, name))
    # It may read again what the snapshot has seen.
    for observation in moments[150:]:
        resumed.learn(observation)
    for observation in moments[200:]:
        steady.learn(observation)

    assert encode_snapshot(steady.draw()) == encode_snapshot(resumed.draw())


def test_a_snapshot_does_not_change_when_the_trainer_goes_on() -> None:
    trainer = Trainer(PARAMETERS)
    moments = observations(60)
    for observation in moments[:30]:
        trainer.learn(observation)
    snapshot = trainer.draw()
    before = encode_snapshot(snapshot)
    for observation in moments[30:]:
        trainer.learn(observation)

    assert before == encode_snapshot(snapshot)

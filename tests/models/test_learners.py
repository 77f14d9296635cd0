"""Every learner, by its registration: taught, stopped, restored, drawn and shown."""

from math import isfinite
from random import Random
from typing import Any, get_args

import msgspec
import pytest
from msgspec.structs import replace

from models.learning.acquisition import (
    CONVERTED,
    MARGIN,
    SEEN,
    VALUED,
    WON,
    WORTH,
    brought_in,
    cohort_of,
)
from models.learning.bgnbd import cell_of
from models.learning.feature_names import NAMES, pack
from models.learning.gamma_gamma import cell_of as spend_cell_of
from models.learning.improvements import IMPROVEMENTS_NAME
from models.learning.lessons import (
    Cost,
    DayEnd,
    Example,
    Forecast,
    Lesson,
    Observation,
    Tally,
    packed_text,
)
from models.learning.registry import DRAWN_TYPES, LEARNERS, Learner, Learning
from models.learning.scorers import SCORERS, Said, combined, pack_said
from models.learning.snapshot import (
    SNAPSHOT_FORMAT,
    Snapshot,
    decode_snapshot,
    encode_snapshot,
    prior_snapshot,
)
from models.learning.spend_models import NAMES as SPEND_NAMES
from models.learning.tallies import ACQUISITION_NAME, NO_DAY
from models.learning.tiers import TIERS_NAME, Side, key_of
from models.learning.trainer import Trainer, TrainerState
from models.population import MEASURES, samples_of
from tests.models.lines import DAY_MS, PARAMETERS, at

#: So that a few lessons are enough for every learner to have something to say.
FEW = replace(
    PARAMETERS,
    learning=replace(PARAMETERS.learning, minimum_examples=20, lessons_per_s=1e-6),
)
NOW_MS = at(days=60)
#: Those that remember: drift is seen anew after a restart.
LASTING = tuple(one for one in LEARNERS if one.name != "drift")
IDS = [one.name for one in LASTING]


def observation(rng: Random, at_ms: int) -> Observation:
    repeats, net_minor = rng.randrange(6), rng.randrange(100, 90_000)
    return Observation(
        timestamp_ms=at_ms,
        recency_days=rng.uniform(0, 30),
        frequency=repeats + 1,
        monetary_minor=net_minor,
        gap_days=rng.choice([None, rng.uniform(1, 30)]),
        enters=cell_of(repeats, 5.0 * repeats, 40.0),
        features=packed_text(pack((1.0,) * len(NAMES))),
        gap_residuals=(rng.gauss(0, 1),),
        spend_enters=(*spend_cell_of(repeats + 1, net_minor), net_minor),
        acquired=rng.choice(["search", "letters", "", None]),
        labels_thousandths=500,
    )


def example(rng: Random, at_ms: int) -> Example:
    churned = rng.random() < 0.4
    odds = [rng.gauss(0.5 if churned else -0.5, 1) for _ in range(4)]
    seen = tuple(rng.gauss(0, 0.5) for _ in SPEND_NAMES)
    formula_minor = rng.uniform(100, 9_000)
    return Example(
        timestamp_ms=at_ms,
        horizon_days=rng.choice([28.0, 90.0]),
        kind=rng.choice(["purchase", "check-in"]),
        churned=churned,
        features=packed_text(pack(tuple(rng.gauss(0, 2) for _ in NAMES))),
        weight=rng.randint(1, 3),
        said=packed_text(pack_said(Said(combined(*odds), rng.randrange(len(SCORERS))))),
        spent_minor=0 if churned else rng.randrange(9_000),
        forecast=Forecast(formula_minor, 0.9 * formula_minor, 5_000.0, seen),
    )


def cost(rng: Random, at_ms: int) -> Cost:
    channel, amount_minor = rng.choice(["search", "letters"]), rng.randrange(1, 5_000)
    return Cost(at_ms, channel, amount_minor, is_retention=amount_minor % 5 == 0)


def _of_tiers(rng: Random, at_ms: int) -> Tally:
    sums = ((key_of(side, rng.randrange(4)), NO_DAY, 10) for side in Side)
    return Tally(at_ms, TIERS_NAME, 0, tuple(sums))


def _of_an_improvement(rng: Random, at_ms: int) -> Tally:
    sums = ((rng.choice(("product", "service")), at_ms // DAY_MS, 1),)
    return Tally(at_ms, IMPROVEMENTS_NAME, 365, sums)


def _of_a_customer(rng: Random, at_ms: int) -> Tally:
    """A customer who came and bought at once."""
    channel, day = rng.choice(("search", "letters")), at_ms // DAY_MS
    amounts = ((SEEN, 1), (CONVERTED, 1), (WON, 1), (MARGIN, 500))
    month, of_month = cohort_of(day), ((brought_in(0), 900_000), (VALUED, 1), (WORTH, 900))
    sums = tuple(
        (f"{what}:{channel}", when, amount)
        for when, told in ((day, amounts), (month, of_month))
        for what, amount in told
    )
    return Tally(at_ms, ACQUISITION_NAME, 365, sums)


def tally(rng: Random, at_ms: int) -> Tally:
    if rng.random() < 0.8:
        # Cut points are drawn after enough looks.
        return rng.choice((*(_of_tiers,) * 6, _of_an_improvement, _of_a_customer))(rng, at_ms)
    day = at_ms // DAY_MS - rng.randrange(40)
    return Tally(at_ms, rng.choice("xy"), 28, ((rng.choice("ab"), day, rng.randint(-9, 9)),))


MADE = {Observation: observation, Example: example, Cost: cost, Tally: tally}


def lessons(count: int, *, of: tuple[type, ...] = tuple(MADE), seed: int = 3) -> list[Any]:
    """Lessons of these kinds, over sixty days."""
    rng, found = Random(seed), []
    for number in range(count):
        lesson = MADE[rng.choice(of)](rng, at(days=60 * number / count))  # type: ignore[index]
        lesson.offset = number
        found.append(lesson)
    return found


def taught(count: int = 400) -> Trainer:
    trainer = Trainer(FEW)
    for lesson in lessons(count):
        assert trainer.learn(lesson)
    return trainer


def test_every_kind_of_lesson_has_a_learner_and_every_learner_is_given_lessons() -> None:
    kinds = set(get_args(Lesson))

    # The end of a day is for the trainer alone.
    assert kinds - {DayEnd} == {kind for one in LEARNERS for kind in one.learns} == MADE.keys()
    assert all(one.learns for one in LEARNERS)


def test_names_and_drawn_types_are_of_one_learner_alone() -> None:
    names = [one.name for one in LEARNERS]
    drawn = [one.drawn for one in LEARNERS if one.drawn is not None]

    assert len(set(names)) == len(names)
    assert len(set(drawn)) == len(drawn) == len(DRAWN_TYPES)


@pytest.mark.parametrize("learning", LEARNERS, ids=[one.name for one in LEARNERS])
def test_a_learner_draws_what_the_registry_says_and_there_is_a_prior_of_it(
    learning: Learning,
) -> None:
    learner = learning.start(None, FEW)
    for lesson in lessons(200, of=learning.learns):
        learner.learn(lesson)
    drawn = learner.draw(NOW_MS)

    assert (learning.drawn is None) == (learning.prior is None)
    if learning.drawn is None:
        assert drawn is None
        return
    assert learning.prior is not None
    assert type(learning.prior(FEW)) is type(drawn) is learning.drawn
    assert learning.prior(FEW) != drawn, "which was taught something"


@pytest.mark.parametrize("learning", LEARNERS, ids=[one.name for one in LEARNERS])
def test_a_learner_that_has_learnt_nothing_draws_its_prior(learning: Learning) -> None:
    prior = learning.prior(FEW) if learning.prior is not None else None

    assert prior == learning.start(None, FEW).draw(0)


def written(learner: Learner) -> bytes:
    return msgspec.json.encode(learner.state())


@pytest.mark.parametrize("learning", LASTING, ids=IDS)
@pytest.mark.parametrize("cut", [0, 1, 19, 20, 150])
def test_a_restored_learner_learns_on_bit_for_bit(learning: Learning, cut: int) -> None:
    given = lessons(200, of=learning.learns)
    steady = learning.start(None, FEW)
    for lesson in given[:cut]:
        steady.learn(lesson)
    steady.draw(given[cut].timestamp_ms)
    restored = learning.start(written(steady), FEW)
    for lesson in given[cut:]:
        steady.learn(lesson)
        restored.learn(lesson)

    assert written(steady) == written(restored)
    assert msgspec.json.encode(steady.draw(NOW_MS)) == msgspec.json.encode(restored.draw(NOW_MS))
    assert steady.knows_enough == restored.knows_enough


@pytest.mark.parametrize("learning", LASTING, ids=IDS)
def test_a_state_is_a_copy_once_it_is_written(learning: Learning) -> None:
    given = lessons(100, of=learning.learns)
    one = learning.start(None, FEW)
    for lesson in given[:50]:
        one.learn(lesson)
    kept, drawn = written(one), msgspec.json.encode(earlier := one.draw(NOW_MS))
    before = written(learning.start(kept, FEW))
    for lesson in given[50:]:
        one.learn(lesson)
    one.draw(NOW_MS)

    assert before == written(learning.start(kept, FEW))
    assert drawn == msgspec.json.encode(earlier)


def test_drift_begins_anew() -> None:
    monitor = taught().learners["drift"]

    assert (None, None) == (monitor.state(), monitor.draw(NOW_MS))


def test_a_trainer_gives_a_learner_only_the_kinds_of_lessons_it_learns() -> None:
    for learning in LASTING:
        given = lessons(60)
        trainer, alone = Trainer(FEW), learning.start(None, FEW)
        for lesson in given:
            trainer.learn(lesson)
            if isinstance(lesson, learning.learns):
                alone.learn(lesson)
        # A trainer adds up the sums over all customers, so they may be in another order.
        learnt = written(trainer.learners[learning.name])
        assert msgspec.json.decode(written(alone)) == msgspec.json.decode(learnt)


def test_everything_drawn_is_read_as_it_was_written() -> None:
    snapshot = taught().draw(consumed=400)
    read = decode_snapshot(*encode_snapshot(snapshot))

    assert list(DRAWN_TYPES) == list(snapshot.drawn) == list(read.drawn)
    for name, kind in DRAWN_TYPES.items():
        assert snapshot.drawn[name] == read.drawn[name] == read.of(kind)
        assert prior_snapshot(FEW).drawn[name] != read.drawn[name]
    assert encode_snapshot(snapshot) == encode_snapshot(read)


def test_replacing_what_was_drawn_leaves_everything_else() -> None:
    snapshot, prior = taught().draw(consumed=400), prior_snapshot(FEW)
    for name, kind in DRAWN_TYPES.items():
        changed = snapshot.replace(prior.of(kind), version=7)
        assert prior.of(kind) == changed.of(kind) == changed.drawn[name]
        assert {name} == {n for n in DRAWN_TYPES if snapshot.drawn[n] != changed.drawn[n]}
        assert (7, snapshot.created_at_ms) == (changed.version, changed.created_at_ms)
        assert snapshot.trainer == changed.trainer
    assert 1 == snapshot.version


def altered(snapshot: Snapshot, **more: Any) -> bytes:
    """The snapshot as a release with more learners would write it."""
    said = msgspec.json.decode(encode_snapshot(snapshot)[0])
    said["drawn"] |= more
    said["trainer"]["learners"] |= more
    return msgspec.json.encode(said)


def test_what_an_unknown_learner_drew_and_learnt_is_left_out() -> None:
    trainer = taught()
    snapshot = trainer.draw(consumed=400)
    read = decode_snapshot(altered(snapshot, horoscope={"sign": "virgo"}))
    resumed = Trainer(FEW, read)

    assert snapshot.drawn == read.drawn
    more = replace(lessons(1)[0], offset=1_000)
    assert trainer.learn(more)
    assert resumed.learn(more)
    (one, parent), (other, its_parent) = map(without_parent, (trainer.draw(), resumed.draw()))
    assert one == other
    # Each goes on from the bytes that were stored, so that nobody takes one for another.
    assert (snapshot.sha256, read.stored_sha256) == (parent, its_parent)
    assert parent != its_parent


def without_parent(snapshot: Snapshot) -> tuple[Any, str]:
    """A snapshot's content, without the id of its parent."""
    said = msgspec.json.decode(encode_snapshot(snapshot)[0])
    return said, said["trainer"].pop("previous")


def test_a_learner_that_the_snapshots_trainer_did_not_have_begins_anew() -> None:
    snapshot = taught().draw()
    state = msgspec.json.decode(snapshot.trainer, type=TrainerState)
    del state.learners["spend"]
    resumed = Trainer(FEW, snapshot.replace(trainer=msgspec.json.encode(state)))

    fresh = next(one for one in LEARNERS if one.name == "spend").start(None, FEW)
    assert written(fresh) == written(resumed.learners["spend"])
    assert written(taught().learners["churn"]) == written(resumed.learners["churn"])


def test_a_snapshot_says_its_format() -> None:
    content, _ = encode_snapshot(prior_snapshot(FEW))

    assert (3, 3) == (SNAPSHOT_FORMAT, msgspec.json.decode(content)["format"])


def test_a_snapshot_tells_what_its_learners_measure_and_nothing_twice() -> None:
    for snapshot in (prior_snapshot(FEW), taught().draw()):
        told = list(samples_of(snapshot))
        assert {sample.measure for sample in told} <= set(MEASURES)
        assert len({(sample.measure.name, sample.labels) for sample in told}) == len(told)
        for sample in told:
            assert len(sample.measure.labels) == len(sample.labels)
            assert isfinite(sample.value)
    assert len({measure.name for measure in MEASURES}) == len(MEASURES)


def test_a_snapshot_of_a_taught_trainer_tells_every_measure_of_its_learners() -> None:
    told = {sample.measure for sample in samples_of(taught().draw())}

    assert {measure for one in LEARNERS for measure in one.measures} == told

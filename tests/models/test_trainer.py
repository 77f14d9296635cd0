"""The trainer's scores: River's own, served in one order, and listened to while they are better."""

from itertools import accumulate
from math import exp
from random import Random
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace
from river.linear_model import LogisticRegression
from river.optim import SGD
from river.preprocessing import StandardScaler

from config.parameters import Parameters
from models.learning.bgnbd import BgNbd, p_no_purchase
from models.learning.churn import Source, assess, contributions, linear, score
from models.learning.examples import Example, Observation, packed_text
from models.learning.features import NAMES, pack, unpack
from models.learning.online import OnlineLearner, OnlineState
from models.learning.population import Population
from models.learning.snapshot import (
    LinearModel,
    Snapshot,
    decode_snapshot,
    encode_snapshot,
    prior_snapshot,
)
from models.learning.trainer import BASELINE, CHAMPION, Trainer
from tests.models.lines import PARAMETERS, PRIOR, at, happened, lived

MARGIN = 0.002
RATE = 0.003
#: Numbers of our own, so that nobody who tunes the shipped ones has to come here.
FEW: Parameters = replace(
    PARAMETERS,
    learning=replace(
        PARAMETERS.learning, minimum_examples=50, learning_rate=RATE, champion_margin=MARGIN
    ),
)


def example(
    number: int,
    features: tuple[float, ...],
    churned: bool,
    *,
    baseline: float | None = 0.5,
    champion: float | None = None,
    horizon_days: float = 28.0,
    kind: str = "check-in",
) -> Example:
    return Example(
        timestamp_ms=at(days=number / 20),
        horizon_days=horizon_days,
        kind=kind,
        churned=churned,
        features=packed_text(pack(features)),
        champion=champion,
        baseline=baseline,
        offset=number,
    )


def drawn(count: int, *, seed: int = 5, **said: Any) -> list[Example]:
    """Examples whose label follows from their features; one feature is always the same."""
    rng = Random(seed)
    examples = []
    for number in range(count):
        features = [rng.gauss(n - 5, 1 + n / 4) for n in range(len(NAMES))]
        features[3] = 1.0
        total = features[0] + 5 - (features[1] + 4) / 2
        churned = rng.random() < 1 / (1 + exp(-total))
        examples.append(example(number, tuple(features), churned, **said))
    return examples


def taught(examples: list[Example], parameters: Parameters = FEW) -> Trainer:
    trainer = Trainer(parameters)
    for one in examples:
        assert trainer.learn(one)
    return trainer


def champion_of(snapshot: Snapshot, horizon: str = "28") -> LinearModel:
    return snapshot.churn[horizon]


def test_what_is_served_is_what_river_itself_says() -> None:
    examples = drawn(600)
    # Nothing of the trainer's: River's own pipeline, told of one example after the other.
    pipeline: Any = StandardScaler() | LogisticRegression(SGD(RATE), l2=0.0)
    model = champion_of(taught(examples).draw())
    for one in examples:
        pipeline.learn_one(dict(zip(NAMES, one.values(), strict=True)), one.churned)

    said = [
        pipeline.predict_proba_one(dict(zip(NAMES, one.values(), strict=True)))[True]
        for one in examples
    ]
    served = [linear(model, one.values()) for one in examples]
    assert said == pytest.approx(served, abs=1e-12)
    assert 0.4 < max(said) - min(said)
    assert 600 == model.examples


def test_what_is_served_is_added_up_in_the_order_of_the_features() -> None:
    rng = Random(6)
    differed = 0
    for one in drawn(50, seed=6):
        # Large parts that all but cancel out: another order of additions would show.
        parts = [rng.gauss(0, 1e6) for _ in NAMES]
        size = len(NAMES)
        model = LinearModel(
            means=tuple(value - part for value, part in zip(one.values(), parts, strict=True)),
            deviations=(*(1.0,) * (size - 1), 0.0),
            weights=(1.0,) * size,
            intercept=-sum(parts[:-1]),
            examples=50,
            serves=True,
        )
        # The last never varied, and counts nothing.
        added = [value - mean for value, mean in zip(one.values(), model.means, strict=True)][:-1]
        *_, total = accumulate(added, initial=model.intercept)
        *_, turned = accumulate(reversed(added), initial=model.intercept)

        assert 1.0 / (1.0 + exp(-total)) == linear(model, one.values())
        differed += total != turned
    assert differed > 25


def test_features_are_kept_as_they_are_packed() -> None:
    values = drawn(1)[0].values()

    assert values == unpack(pack(values))
    assert 4 * len(NAMES) == len(pack(values))


def test_learning_again_from_the_same_examples_gives_the_same_snapshot_bit_for_bit() -> None:
    examples = [*drawn(300), *drawn(300, horizon_days=90.0)]
    examples = [replace(one, offset=number) for number, one in enumerate(examples)]

    assert encode_snapshot(taught(examples).draw()) == encode_snapshot(taught(examples).draw())
    assert {"28", "90"} == taught(examples).draw().churn.keys()


@pytest.mark.parametrize("cut", [0, 1, 49, 50, 400])
def test_a_learner_resumed_from_a_snapshot_goes_on_bit_for_bit(cut: int) -> None:
    examples = drawn(500)
    steady = taught(examples[:cut])
    resumed = Trainer(FEW, decode_snapshot(*encode_snapshot(steady.draw())))
    for one in examples[cut:]:
        steady.learn(one)
    for one in examples[cut // 2 :]:
        # What the snapshot has seen is dropped by its place.
        assert resumed.learn(one) is (one.offset >= cut)
    never_stopped, picked_up = steady.draw(), resumed.draw()

    assert champion_of(never_stopped) == champion_of(picked_up)
    assert encode_snapshot(never_stopped) == encode_snapshot(picked_up)
    weights = champion_of(never_stopped).weights
    assert [w.hex() for w in weights] == [w.hex() for w in champion_of(picked_up).weights]
    assert len(set(weights)) == len(NAMES)


def test_scoring_changes_nothing_in_a_learner() -> None:
    quiet, asked = OnlineLearner(OnlineState(), FEW), OnlineLearner(OnlineState(), FEW)
    for one in drawn(80):
        quiet.learn(one.values(), one.churned)
        asked.predict(one.values())
        asked.learn(one.values(), one.churned)
        asked.predict((99.0,) * len(NAMES))

    assert quiet.state() == asked.state()


def judged(learner: OnlineLearner, times: int, lead: float) -> bool:
    """Whether the champion serves after it was better by ``lead`` so many times."""
    for _ in range(times):
        learner.judge(0.5 - lead, 0.5)
    return learner.state().serves


def test_a_lead_must_be_clear_to_change_who_serves() -> None:
    learner = OnlineLearner(OnlineState(), FEW)

    assert not judged(learner, 99, 1.0)
    assert judged(learner, 1, 1.0)
    # Its lead melts, and is still one; then it is behind, but not by enough; then it is.
    assert judged(learner, 20_000, MARGIN / 2)
    assert judged(learner, 20_000, -MARGIN / 2)
    assert not judged(learner, 20_000, -2 * MARGIN)
    # The way back is as long.
    assert not judged(learner, 20_000, -MARGIN / 2)
    assert not judged(learner, 20_000, MARGIN / 2)
    assert judged(learner, 20_000, 2 * MARGIN)


def test_a_champion_that_loses_to_the_baseline_is_not_listened_to_and_learns_on() -> None:
    good = drawn(1_500, baseline=0.5)
    trainer = taught(good)
    won = champion_of(trainer.draw())
    # From now on the baseline knows everything.
    for one in drawn(1_500, seed=8):
        said = 0.99 if one.churned else 0.01
        trainer.learn(replace(one, offset=one.offset + len(good), baseline=said))
    lost = champion_of(trainer.draw())

    assert (True, False) == (won.serves, lost.serves)
    assert 3_000 == lost.examples
    assert won.weights != lost.weights


def test_without_a_baseline_to_beat_a_champion_does_not_serve() -> None:
    model = champion_of(taught(drawn(300, baseline=None)).draw())

    assert not model.serves


def test_there_is_no_champion_before_there_are_enough_examples() -> None:
    assert {} == taught(drawn(49)).draw().churn
    assert {"28"} == taught(drawn(50)).draw().churn.keys()


BUYER = lived(
    [
        happened("Order Completed", at(days=day), order_id=f"O-{day}", revenue=20.0)
        for day in (0.5, 9.5, 21.5)
    ]
)
FORMULA = BgNbd(0.5, 5.0, 0.6, 2.5)
MODEL = LinearModel(
    means=(0.5,) * len(NAMES),
    deviations=(1.0,) * (len(NAMES) - 1) + (0.0,),
    weights=tuple(0.1 * (-1) ** n for n in range(len(NAMES))),
    intercept=0.3,
    examples=500,
    serves=True,
)
SERVED = replace(PRIOR, version=3, bgnbd=FORMULA, churn={"28": MODEL})
SIDELINED = replace(SERVED, churn={"28": replace(MODEL, serves=False)})
WITHOUT_FORMULA = replace(SIDELINED, bgnbd=None)


@pytest.mark.parametrize(
    ("snapshot", "horizon_days", "source"),
    [
        (PRIOR, 28.0, Source.PRIOR),
        (replace(PRIOR, bgnbd=FORMULA), 28.0, Source.BASELINE),
        (SERVED, 28.0, Source.CHAMPION),
        (SIDELINED, 28.0, Source.BASELINE),
        (WITHOUT_FORMULA, 28.0, Source.PRIOR),
        # A horizon that is not kept: the formula knows them all, the champion only its own.
        (SERVED, 56.0, Source.BASELINE),
        (replace(SERVED, bgnbd=None), 56.0, Source.PRIOR),
    ],
)
def test_a_score_says_whose_word_it_is(
    snapshot: Snapshot, horizon_days: float, source: Source
) -> None:
    found = score(BUYER, at(days=30), horizon_days, snapshot, PARAMETERS)
    # Days are whole: two repeats, the last of them on day 21, and 30 days of life.
    by_formula = p_no_purchase(FORMULA, 2, 21 / 7, 30 / 7, horizon_days / 7)

    assert (source, horizon_days, snapshot.version) == (
        found.source,
        found.horizon_days,
        found.model_version,
    )
    match source:
        case Source.PRIOR:
            assert PARAMETERS.churn.prior == found.probability
        case Source.BASELINE:
            assert pytest.approx(by_formula, rel=1e-12) == found.probability
        case Source.CHAMPION:
            assessed = assess(BUYER, at(days=30), snapshot, PARAMETERS)
            assert assessed is not None
            assert linear(MODEL, assessed.features) == found.probability
            assert pytest.approx(by_formula, rel=1e-12) == found.baseline
    assert 0 < found.probability < 1


def test_who_has_not_bought_by_then_has_the_prior() -> None:
    visitor = lived([happened("page", at())])

    for row in (None, visitor, BUYER):
        found = score(row, at(days=0.1), 28.0, SERVED, PARAMETERS)
        assert (Source.PRIOR, PARAMETERS.churn.prior) == (found.source, found.probability)
    assert assess(visitor, at(days=1), SERVED, PARAMETERS) is None


def test_contributions_add_up_to_the_score_and_come_strongest_first() -> None:
    assessed = assess(BUYER, at(days=30), SERVED, PARAMETERS)
    assert assessed is not None
    parts = contributions(assessed, SERVED)
    total = MODEL.intercept + sum(part.contribution for part in parts)

    # The last feature never varied: it moves nothing.
    assert set(NAMES[:-1]) == {part.feature for part in parts}
    assert pytest.approx(assessed.churn[0].probability, abs=1e-12) == 1 / (1 + exp(-total))
    sizes = [abs(part.contribution) for part in parts]
    assert sorted(sizes, reverse=True) == sizes
    assert all(part.words.split()[-2] in {"above", "below"} for part in parts)
    assert [] == contributions(assess(BUYER, at(days=30), SIDELINED, PARAMETERS) or assessed, PRIOR)


def test_the_quality_told_is_that_of_what_was_said_at_the_decision() -> None:
    rng = Random(3)
    trainer = Trainer(FEW)
    for number in range(400):
        said = rng.random()
        trainer.learn(
            example(
                number,
                (said,) * len(NAMES),
                rng.random() < said,
                champion=said,
                baseline=0.5,
                kind="purchase" if number % 4 else "check-in",
            )
        )
    quality = {(q.kind, q.scorer): q for q in trainer.draw().quality}

    assert {(k, s) for k in ("all", "purchase", "check-in") for s in (CHAMPION, BASELINE)} == set(
        quality
    )
    assert (400, 300, 100) == tuple(
        quality[kind, CHAMPION].examples for kind in ("all", "purchase", "check-in")
    )
    assert pytest.approx(5 / 6, abs=0.04) == quality["all", CHAMPION].auc
    assert 0.5 == quality["all", BASELINE].auc
    assert pytest.approx(0.6931, abs=0.001) == quality["all", BASELINE].log_loss


def seen(number: int, enters: tuple[int, int, int], leaves: tuple[int, int, int] | None) -> Any:
    return Observation(
        timestamp_ms=at(days=number),
        recency_days=1.0,
        frequency=1,
        monetary_minor=100,
        gap_days=None,
        enters=enters,
        leaves=leaves,
        offset=number,
    )


def test_a_typical_order_is_the_mean_of_all_orders_that_check_ins_saw() -> None:
    trainer = Trainer(FEW)
    assert 5_000 == trainer.draw().order_minor

    trainer.learn(replace(seen(0, (0, 0, 28), None), frequency=0, monetary_minor=0))
    assert 5_000 == trainer.draw().order_minor
    trainer.learn(replace(seen(1, (0, 0, 28), None), frequency=3, monetary_minor=900))
    trainer.learn(replace(seen(2, (0, 0, 28), None), frequency=1, monetary_minor=100))

    assert 250 == trainer.draw().order_minor


def test_a_customer_moves_from_cell_to_cell_and_is_in_one_at_a_time() -> None:
    rng = Random(2)
    population = Population()
    where: dict[int, tuple[int, int, int]] = {}
    for number in range(2_000):
        customer = rng.randrange(40)
        enters = (rng.randrange(3), rng.randrange(3), 3)
        population.learn(seen(number, enters, where.get(customer)))
        where[customer] = enters
        assert min(population.cells.values()) > 0
        assert len(where) == sum(population.cells.values())

    assert {
        " ".join(map(str, cell)): list(where.values()).count(cell) for cell in where.values()
    } == population.cells


def test_the_formula_is_fitted_anew_when_it_is_old_or_made_of_half_of_what_there_is() -> None:
    trainer = Trainer(replace(FEW, learning=replace(FEW.learning, minimum_examples=1)))
    for number in range(10):
        trainer.learn(replace(seen(number, (number % 3, 3, 35), None), timestamp_ms=at()))
    fits = [trainer.draw().bgnbd]
    # Nine more within two weeks; then a tenth; then one two weeks later.
    for number, days in [*((n, 13) for n in range(10, 19)), (19, 13), (20, 27)]:
        trainer.learn(replace(seen(number, (0, 0, 90), None), timestamp_ms=at(days=days)))
        fits.append(trainer.draw().bgnbd)

    assert [fits[0]] * 10 == fits[:10]
    assert fits[0] != fits[10] != fits[11]
    assert None not in fits


def test_a_snapshot_says_nothing_of_what_the_trainer_goes_on_from_to_anyone_else() -> None:
    snapshot = taught(drawn(60)).draw(consumed=61)
    without = replace(snapshot, trainer=msgspec.Raw(b"null"))

    assert 61 == msgspec.json.decode(snapshot.trainer)["consumed"]
    for row in (BUYER, None):
        assert score(row, at(days=30), 28.0, snapshot, FEW) == score(
            row, at(days=30), 28.0, without, FEW
        )
    assert prior_snapshot(FEW).churn == {}

"""The trainer's scores: River's own, served in one order, and replaced when another is better."""

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
from models.customer import scores
from models.customer.row import Row
from models.learning.bgnbd import BgNbd
from models.learning.churn import Churn, Source
from models.learning.churn_models import CHAMPION, ChurnModels, ChurnScoring, LinearModel
from models.learning.contest import Contest
from models.learning.feature_names import NAMES, pack, unpack
from models.learning.lessons import Example, Observation, packed_text
from models.learning.log_odds import sigmoid
from models.learning.online import OnlineLearner
from models.learning.online_state import OnlineState
from models.learning.population import Population, PopulationLearner
from models.learning.purchases_ahead import p_no_purchase
from models.learning.scorers import (
    SCORERS,
    Said,
    Scorer,
    combined,
    log_odds_of,
    pack_said,
    say,
    unpack_said,
)
from models.learning.scoring import score
from models.learning.snapshot import Snapshot, decode_snapshot, encode_snapshot, prior_snapshot
from models.learning.trainer import Trainer
from tests.models.lines import PARAMETERS, PRIOR, at, context, happened, lived, scene

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
    """``champion``: the score of both models, and of the blend that served."""
    return Example(
        timestamp_ms=at(days=number / 20),
        horizon_days=horizon_days,
        kind=kind,
        churned=churned,
        features=packed_text(pack(features)),
        said=packed_text(pack_said(said_of(baseline, champion))),
        offset=number,
    )


def said_of(baseline: float | None, champion: float | None) -> Said:
    formula = None if baseline is None else log_odds_of(baseline)
    if champion is None:
        return Said(say(None, (), baseline), 0)
    learnt = log_odds_of(champion)
    return Said(combined(formula, learnt, learnt, 0.0), SCORERS.index(Scorer.LOGISTIC))


def drawn(count: int, *, seed: int = 5, **said: Any) -> list[Example]:
    """Examples whose label follows from their features; one feature is constant."""
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


def models_of(snapshot: Snapshot, horizon: str = "28") -> ChurnModels:
    return snapshot.of(ChurnScoring).models[horizon]


def logistic(models: ChurnModels, features: tuple[float, ...]) -> float:
    said = say(models, features, None)[SCORERS.index(Scorer.LOGISTIC)]
    assert said is not None
    return said


def test_what_is_served_is_what_river_itself_says() -> None:
    examples = drawn(600)
    # Nothing of the trainer's: River's own pipeline, told of one example after the other.
    pipeline: Any = StandardScaler() | LogisticRegression(SGD(RATE), l2=0.0)
    model = models_of(taught(examples).draw())
    for one in examples:
        pipeline.learn_one(dict(zip(NAMES, one.values(), strict=True)), one.churned)

    said = [
        pipeline.predict_proba_one(dict(zip(NAMES, one.values(), strict=True)))[True]
        for one in examples
    ]
    served = [sigmoid(logistic(model, one.values())) for one in examples]
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
        weights = LinearModel(-sum(parts[:-1]), (1.0,) * size)
        model = replace(
            MODELS,
            means=tuple(value - part for value, part in zip(one.values(), parts, strict=True)),
            deviations=(*(1.0,) * (size - 1), 0.0),
            logistic=weights,
            bayesian=weights,
        )
        # The last never varied, and counts nothing.
        added = [value - mean for value, mean in zip(one.values(), model.means, strict=True)][:-1]
        *_, total = accumulate(added, initial=weights.intercept)
        *_, turned = accumulate(reversed(added), initial=weights.intercept)

        assert total == logistic(model, one.values())
        differed += total != turned
    assert differed > 25


def test_the_blend_is_the_mean_of_the_log_odds_and_recalibration_shifts_it() -> None:
    assert (-1.0, 2.0, 5.0, 2.0, 2.5) == combined(-1.0, 2.0, 5.0, 0.5)
    assert (None, 2.0, 5.0, 3.5, 3.0) == combined(None, 2.0, 5.0, -0.5)
    assert all(abs(odds) <= 12 for odds in combined(-1.0, 99.0, -99.0, 40.0) if odds is not None)


def test_what_scorers_said_is_kept_as_it_is_packed() -> None:
    for said in (said_of(None, None), said_of(0.25, None), said_of(0.25, 0.75)):
        kept = unpack_said(pack_said(said))
        assert kept == unpack_said(pack_said(kept))
        assert kept.served == said.served
        for before, after_it in zip(said.log_odds, kept.log_odds, strict=True):
            assert (before is None) == (after_it is None)
            assert (before or 0.0) == pytest.approx(after_it or 0.0, rel=1e-6)
    assert unpack_said(pack_said(said_of(None, None))).log_odds == (None,) * len(SCORERS)
    with pytest.raises(ValueError, match="scorers of this release"):
        unpack_said(b"1234")


def test_features_are_kept_as_they_are_packed() -> None:
    values = drawn(1)[0].values()

    assert values == unpack(pack(values))
    assert 4 * len(NAMES) == len(pack(values))


def test_learning_again_from_the_same_examples_gives_the_same_snapshot_bit_for_bit() -> None:
    examples = [*drawn(300), *drawn(300, horizon_days=90.0)]
    examples = [replace(one, offset=number) for number, one in enumerate(examples)]

    assert encode_snapshot(taught(examples).draw()) == encode_snapshot(taught(examples).draw())
    assert {"28", "90"} == taught(examples).draw().of(ChurnScoring).models.keys()


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

    assert models_of(never_stopped) == models_of(picked_up)
    assert encode_snapshot(never_stopped) == encode_snapshot(picked_up)
    for one, other in (
        (models_of(never_stopped).logistic, models_of(picked_up).logistic),
        (models_of(never_stopped).bayesian, models_of(picked_up).bayesian),
    ):
        assert [w.hex() for w in one.weights] == [w.hex() for w in other.weights]
        assert len(set(one.weights)) == len(NAMES)


def test_being_judged_changes_nothing_of_what_is_learnt() -> None:
    quiet, judged = OnlineLearner(OnlineState(), FEW), OnlineLearner(OnlineState(), FEW)
    for one in drawn(80):
        quiet.learn(one.values(), one.churned)
        judged.learn(one.values(), one.churned, combined(0.0, 1.0, -1.0, 0.0))
    ours, theirs = quiet.state(), judged.state()

    assert (0, 80) == (ours.contest.judged, theirs.contest.judged)
    assert (ours.weights, ours.covariance) == (theirs.weights, theirs.covariance)


def after(contest: Contest, times: int, lead: float) -> Scorer:
    """The serving scorer after the Bayesian model was better by ``lead`` so many times."""
    losses = [0.5 - lead * (scorer is Scorer.BAYESIAN) for scorer in SCORERS]
    for _ in range(times):
        contest.judge(losses, MARGIN)
    return contest.scorer


def test_a_lead_must_be_clear_to_change_who_serves() -> None:
    contest = Contest()

    assert after(contest, 99, 1.0) is Scorer.BASELINE
    assert after(contest, 1, 1.0) is Scorer.BAYESIAN
    # Its lead melts, and is still one; then it is behind, but not by enough; then it is.
    assert after(contest, 60_000, MARGIN / 2) is Scorer.BAYESIAN
    assert after(contest, 60_000, -MARGIN / 2) is Scorer.BAYESIAN
    # Of equals, the first.
    assert after(contest, 60_000, -2 * MARGIN) is Scorer.BASELINE
    # The way back is as long.
    assert after(contest, 60_000, MARGIN / 2) is Scorer.BASELINE
    assert after(contest, 60_000, 2 * MARGIN) is Scorer.BAYESIAN


@pytest.mark.parametrize(("swing", "winner"), [(0.05, Scorer.BAYESIAN), (0.5, Scorer.BLEND)])
def test_whoever_serves_in_the_place_of_the_blend_leads_it_by_more_than_luck(
    swing: float, winner: Scorer
) -> None:
    """The same lead, of which little or much may be luck."""
    contest, rng = Contest(), Random(9)
    for _ in range(5_000):
        losses = dict.fromkeys(SCORERS, 0.6)
        losses[Scorer.BLEND] = 0.5
        losses[Scorer.BAYESIAN] = 0.49 + rng.choice((-swing, swing))
        contest.judge([losses[scorer] for scorer in SCORERS], MARGIN)

    assert winner is contest.scorer


def test_a_champion_that_loses_to_the_baseline_is_not_listened_to_and_learns_on() -> None:
    good = drawn(1_500, baseline=0.5)
    trainer = taught(good)
    won = models_of(trainer.draw())
    # From now on the baseline knows everything, and the blend is not asked.
    for one in drawn(9_000, seed=8):
        formula = 12.0 if one.churned else -12.0
        said = Said(combined(formula, -formula, -formula, 0.0), SCORERS.index(Scorer.BLEND))
        packed = packed_text(pack_said(said))
        trainer.learn(replace(one, offset=one.offset + len(good), said=packed))
    lost = models_of(trainer.draw())

    assert won.champion != Scorer.BASELINE == lost.champion
    assert 10_500 == lost.examples
    assert won.logistic != lost.logistic
    assert won.bayesian != lost.bayesian


def test_without_a_baseline_to_beat_nothing_else_serves() -> None:
    model = models_of(taught(drawn(300, baseline=None)).draw())

    assert Scorer.BASELINE == model.champion


def test_recalibration_makes_what_is_said_come_true_as_often() -> None:
    """The models and the formula predict a half for what comes true nine times in ten."""
    trainer = Trainer(FEW)
    for number, one in enumerate(drawn(4_000)):
        trainer.learn(
            replace(
                one,
                churned=number % 10 != 0,
                said=packed_text(pack_said(Said((0.0,) * len(SCORERS), 0))),
            )
        )
    models = models_of(trainer.draw())

    assert Scorer.RECALIBRATED == models.champion
    assert pytest.approx(0.9, abs=0.015) == sigmoid(models.shift)


def test_there_is_no_champion_before_there_are_enough_examples() -> None:
    assert {} == taught(drawn(49)).draw().of(ChurnScoring).models
    assert {"28"} == taught(drawn(50)).draw().of(ChurnScoring).models.keys()


BUYER = lived(
    [
        happened("Order Completed", at(days=day), order_id=f"O-{day}", revenue=20.0)
        for day in (0.5, 9.5, 21.5)
    ]
)
FORMULA = BgNbd(0.5, 5.0, 0.6, 2.5)
MODELS = ChurnModels(
    means=(0.5,) * len(NAMES),
    deviations=(1.0,) * (len(NAMES) - 1) + (0.0,),
    logistic=LinearModel(0.3, tuple(0.1 * (-1) ** n for n in range(len(NAMES)))),
    bayesian=LinearModel(-0.2, tuple(0.07 * (-1) ** (n // 2) for n in range(len(NAMES)))),
    shift=0.25,
    champion="recalibrated",
    examples=500,
)
WITH_FORMULA = replace(PRIOR.of(Population), bgnbd=FORMULA)
SERVED = PRIOR.replace(WITH_FORMULA, ChurnScoring({"28": MODELS}), version=3)
SIDELINED = SERVED.replace(ChurnScoring({"28": replace(MODELS, champion="baseline")}))
WITHOUT_FORMULA = SIDELINED.replace(PRIOR.of(Population))


def scored(row: Row, at_ms: int, horizon_days: float, snapshot: Snapshot) -> Churn:
    seen = scores.seen(scene(row, at_ms, context(snapshot=snapshot)))
    return score(seen, horizon_days, snapshot, PARAMETERS)


@pytest.mark.parametrize(
    ("snapshot", "horizon_days", "source"),
    [
        (PRIOR, 28.0, Source.PRIOR),
        (PRIOR.replace(WITH_FORMULA), 28.0, Source.BASELINE),
        (SERVED, 28.0, Source.CHAMPION),
        (SIDELINED, 28.0, Source.BASELINE),
        (WITHOUT_FORMULA, 28.0, Source.PRIOR),
        # A horizon that is not kept: the formula knows them all, the champion only its own.
        (SERVED, 56.0, Source.BASELINE),
        (SERVED.replace(PRIOR.of(Population)), 56.0, Source.PRIOR),
    ],
)
def test_a_score_says_whose_word_it_is(
    snapshot: Snapshot, horizon_days: float, source: Source
) -> None:
    found = scored(BUYER, at(days=30), horizon_days, snapshot)
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
            assessed = scores.assessment(scene(BUYER, at(days=30), context(snapshot=snapshot)))
            assert assessed is not None
            said = say(MODELS, assessed.features, by_formula)[-1]
            assert said is not None
            assert pytest.approx(sigmoid(said), rel=1e-12) == found.probability
            assert pytest.approx(by_formula, rel=1e-12) == found.scores()["baseline"]
            assert (Scorer.RECALIBRATED, len(SCORERS)) == (found.scorer, len(found.scores()))
    assert 0 < found.probability < 1


def test_who_has_not_bought_by_then_has_the_prior() -> None:
    visitor = lived([happened("page", at())])

    for row in (Row(), visitor, BUYER):
        found = scored(row, at(days=0.1), 28.0, SERVED)
        assert (Source.PRIOR, PARAMETERS.churn.prior) == (found.source, found.probability)
    assert scores.assessment(scene(visitor, at(days=1), context(snapshot=SERVED))) is None


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
    quality = {(q.kind, q.scorer): q for q in trainer.draw().of(ChurnScoring).quality}

    scorers = (CHAMPION, *SCORERS)
    assert {(k, s) for k in ("all", "purchase", "check-in") for s in scorers} == set(quality)
    assert (400, 300, 100) == tuple(
        quality[kind, CHAMPION].examples for kind in ("all", "purchase", "check-in")
    )
    assert pytest.approx(5 / 6, abs=0.04) == quality["all", CHAMPION].auc
    assert quality["all", CHAMPION].auc == quality["all", Scorer.LOGISTIC].auc
    assert 0.5 == quality["all", Scorer.BASELINE].auc
    assert pytest.approx(0.6931, abs=0.001) == quality["all", Scorer.BASELINE].log_loss


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
    assert 5_000 == trainer.draw().of(Population).order_minor

    trainer.learn(replace(seen(0, (0, 0, 28), None), frequency=0, monetary_minor=0))
    assert 5_000 == trainer.draw().of(Population).order_minor
    trainer.learn(replace(seen(1, (0, 0, 28), None), frequency=3, monetary_minor=900))
    trainer.learn(replace(seen(2, (0, 0, 28), None), frequency=1, monetary_minor=100))

    assert 250 == trainer.draw().of(Population).order_minor


def test_a_customer_moves_from_cell_to_cell_and_is_in_one_at_a_time() -> None:
    rng = Random(2)
    population = PopulationLearner(None, FEW)
    where: dict[int, tuple[int, int, int]] = {}
    for number in range(2_000):
        customer = rng.randrange(40)
        enters = (rng.randrange(3), rng.randrange(3), 3)
        population.learn(seen(number, enters, where.get(customer)))
        where[customer] = enters
        cells = population.state().cells
        assert min(cells.values()) > 0
        assert len(where) == sum(cells.values())

    assert {
        " ".join(map(str, cell)): list(where.values()).count(cell) for cell in where.values()
    } == cells


def test_the_formula_is_fitted_anew_when_it_is_old_or_made_of_half_of_what_there_is() -> None:
    trainer = Trainer(replace(FEW, learning=replace(FEW.learning, minimum_examples=1)))
    for number in range(10):
        trainer.learn(replace(seen(number, (number % 3, 3, 35), None), timestamp_ms=at()))
    fits = [trainer.draw().of(Population).bgnbd]
    # Nine more within two weeks; then a tenth; then one two weeks later.
    for number, days in [*((n, 13) for n in range(10, 19)), (19, 13), (20, 27)]:
        trainer.learn(replace(seen(number, (0, 0, 90), None), timestamp_ms=at(days=days)))
        fits.append(trainer.draw().of(Population).bgnbd)

    assert [fits[0]] * 10 == fits[:10]
    assert fits[0] != fits[10] != fits[11]
    assert None not in fits


def test_a_snapshot_says_nothing_of_what_the_trainer_goes_on_from_to_anyone_else() -> None:
    snapshot = taught(drawn(60)).draw(consumed=61)
    without = snapshot.replace(trainer=b"null")

    assert 61 == msgspec.json.decode(snapshot.trainer)["consumed"]
    for row in (BUYER, Row()):
        assert scored(row, at(days=30), 28.0, snapshot) == scored(row, at(days=30), 28.0, without)
    assert ChurnScoring() == prior_snapshot(FEW).of(ChurnScoring)

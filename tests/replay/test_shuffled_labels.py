"""What is learnt comes from what customers did, and from nothing else.

With outcomes assigned at random there is nothing to learn. A model that still separates them has
seen something that a score must not see.
"""

from bisect import bisect_right
from itertools import groupby
from random import Random
from statistics import mean

import pytest
from msgspec.structs import replace

from agents.trials.demo.shop import ShopConfig
from config.duration import DAY_MS
from models.events.wire import decode_line
from models.learning.churn_models import ChurnModels, ChurnScoring, Quality
from models.learning.lessons import Example, Lesson, Observation, packed_text
from models.learning.log_odds import sigmoid
from models.learning.population import PopulationLearner
from models.learning.scorers import SCORERS, Said, Scorer, pack_said, say
from models.learning.trainer import Trainer
from models.partition import Partition
from models.plan import plan_for
from tests.models.lines import PARAMETERS, PRIOR, START_MS
from tests.properties.histories import LiveRows, no_models
from tests.replay.shops import with_watermarks

SHOP = ShopConfig(
    seed=4, customers=260, start_ms=START_MS, days=170, late=0, malformed=0, duplicates=0
)
SMALL = replace(
    PARAMETERS, learning=replace(PARAMETERS.learning, minimum_examples=50, learning_rate=0.01)
)


@pytest.fixture(scope="module")
def lessons() -> list[Lesson]:
    """The lessons of a shop with a few hundred customers, which adopts a model each day."""
    trainer = Trainer(SMALL)
    partition = Partition(0, LiveRows(), PRIOR, plan_for(SMALL), no_models)
    found: list[Lesson] = []
    for offset, content in enumerate(with_watermarks(SHOP)):
        line = decode_line(content)
        for effect in partition.apply(offset, line).effects:
            if isinstance(effect, Observation | Example):
                found.append(effect)
                trainer.learn(effect)
        if line.type == "watermark" and trainer.knows_enough:
            partition.adopt(trainer.draw())
    return found


def examples_of(lessons: list[Lesson]) -> list[Example]:
    return [lesson for lesson in lessons if isinstance(lesson, Example)]


def prequential(examples: list[Example]) -> dict[tuple[str, str], Quality]:
    """Each example scored by the last model drawn before its decision, as with a live trainer: a
    day's models know the labels that were released by then.
    """
    trainer = Trainer(SMALL)
    drawn_at_ms: list[int] = []
    models: list[ChurnModels | None] = []
    for day, released in groupby(examples, key=lambda e: e.timestamp_ms // DAY_MS):
        for example in released:
            decided_ms = example.timestamp_ms - round(example.horizon_days * DAY_MS)
            place = bisect_right(drawn_at_ms, decided_ms) - 1
            model = models[place] if place >= 0 else None
            said = example.scorers_said()
            if said is not None and said.log_odds[0] is not None:
                formula = sigmoid(said.log_odds[0])
                log_odds = say(model, example.values(), formula)
                served = 0 if model is None else SCORERS.index(Scorer.BLEND)
                packed = packed_text(pack_said(Said(log_odds, served)))
                example = replace(example, said=packed)  # noqa: PLW2901
            trainer.learn(example)
        drawn_at_ms.append((day + 1) * DAY_MS)
        models.append(trainer.draw().of(ChurnScoring).models.get("28"))
    return {(q.kind, q.scorer): q for q in trainer.draw().of(ChurnScoring).quality}


def test_with_labels_dealt_out_at_random_there_is_nothing_to_learn(lessons: list[Lesson]) -> None:
    examples = examples_of(lessons)
    outcomes = [example.churned for example in examples]
    Random(17).shuffle(outcomes)
    shuffled = [
        replace(example, churned=churned)
        for example, churned in zip(examples, outcomes, strict=True)
    ]
    quality = prequential(shuffled)

    for scorer in ("champion", "baseline"):
        told = quality["all", scorer]
        assert told.examples > 2_500
        assert told.auc is not None
        assert abs(told.auc - 0.5) < 0.03


def test_with_the_labels_that_customers_earned_there_is(lessons: list[Lesson]) -> None:
    quality = prequential(examples_of(lessons))

    for scorer in ("champion", "baseline"):
        auc = quality["all", scorer].auc
        assert auc is not None
        assert auc > 0.6


def test_no_feature_alone_gives_the_outcome_away(lessons: list[Lesson]) -> None:
    """A feature that saw the future would separate the outcomes almost perfectly."""
    examples = examples_of(lessons)
    for values in zip(*(example.values() for example in examples), strict=True):
        churned = [v for v, e in zip(values, examples, strict=True) if e.churned]
        stayed = [v for v, e in zip(values, examples, strict=True) if not e.churned]
        middle = (mean(churned) + mean(stayed)) / 2
        right = sum(v > middle for v in churned) + sum(v <= middle for v in stayed)
        share = right / len(examples)
        assert 0.15 < share < 0.85


def test_labels_follow_from_the_purchases_of_the_log(lessons: list[Lesson]) -> None:
    base = mean(example.churned for example in examples_of(lessons))

    assert 0.2 < base < 0.9
    kinds = {example.kind for example in examples_of(lessons)}
    assert {"purchase", "check-in"} == kinds


def test_the_count_table_holds_every_customer_who_was_checked_in_on_once(
    lessons: list[Lesson],
) -> None:
    trainer = Trainer(SMALL)
    population = trainer.learners["population"]
    assert isinstance(population, PopulationLearner)
    first = 0
    for lesson in lessons:
        trainer.learn(lesson)
        if isinstance(lesson, Observation):
            first += lesson.leaves is None
            cells = population.state().cells
            assert first == sum(cells.values())
    assert min(cells.values()) > 0
    assert SHOP.customers * 0.5 < first <= SHOP.customers

"""The CPU of one score and of one lesson.

    python -m tests.benchmarks.learning [--examples 20000] [--rounds 5]

A score is what all five scorers predict for one horizon from given features. A lesson judges an
example's scorers and trains both models. Features and labels are random, because their values make
no difference to the time. The median of the rounds counts.
"""

import argparse
import statistics
from math import exp
from random import Random
from time import process_time

from msgspec.structs import replace

from models.learning.bgnbd import BgNbd
from models.learning.churn import Seen
from models.learning.churn_models import ChurnScoring
from models.learning.feature_names import NAMES
from models.learning.history import History
from models.learning.online import OnlineLearner
from models.learning.online_state import OnlineState
from models.learning.population import Population
from models.learning.scorers import combined
from models.learning.scoring import score
from tests.models.lines import PARAMETERS, PRIOR

Example = tuple[tuple[float, ...], bool]


def drawn(count: int) -> list[Example]:
    rng = Random(7)
    examples = []
    for _ in range(count):
        features = tuple(rng.gauss(0.0, 1.0) for _ in NAMES)
        examples.append((features, rng.random() < 1.0 / (1.0 + exp(-sum(features[:3])))))
    return examples


def measure(examples: list[Example]) -> tuple[float, float]:
    """CPU microseconds of a score, and of a lesson."""
    learner = OnlineLearner(OnlineState(), PARAMETERS)
    said = combined(0.1, -0.2, 0.3, 0.05)
    started_s = process_time()
    for features, churned in examples:
        learner.learn(features, churned, said)
    lesson_us = (process_time() - started_s) / len(examples) * 1e6

    models = learner.models()
    assert models is not None
    population = replace(PRIOR.of(Population), bgnbd=BgNbd(0.5, 5.0, 0.6, 2.5))
    snapshot = PRIOR.replace(population, ChurnScoring({"28": models}))
    past = History((20_000, 20_010, 20_020), 2, 20.0, 40.0, 20.0)
    started_s = process_time()
    for features, _ in examples:
        score(Seen(features, past, b""), 28.0, snapshot, PARAMETERS)
    return (process_time() - started_s) / len(examples) * 1e6, lesson_us


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--examples", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    examples = drawn(asked.examples)
    rounds = [measure(examples) for _ in range(asked.rounds)]
    scores, lessons = (statistics.median(column) for column in zip(*rounds, strict=True))
    print(f"a score {scores:.1f} us, a lesson {lessons:.1f} us, together {scores + lessons:.1f} us")


if __name__ == "__main__":
    main()

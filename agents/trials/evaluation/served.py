"""Keepstream's own scores at each decision point, from a replay of the log."""

import gc
from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np
from msgspec.structs import replace

from agents.trials.evaluation.decisions import Floats
from config.parameters import Parameters
from models.answer import Score
from models.learning.churn import Source
from models.learning.lessons import Example, Lesson
from models.learning.trainer import Trainer
from models.replay import Replay
from models.replay_summary import Summary

_TELL_EVERY_LINES = 500
#: Called with the number of lines read.
Tell = Callable[[int], None]


class Served(NamedTuple):
    """Scores by row of the questions; NaN where there is none.

    ``churn`` leaves out the prior, which is the same for every customer.
    """

    churn: Floats
    value: Floats
    silent: Floats
    summary: Summary


def serve(
    lines: Iterable[bytes],
    rows: int,
    parameters: Parameters,
    trainer: Trainer | None = None,
    tell: Tell = lambda _: None,
) -> Served:
    """Replay a log of `log_lines`, and collect the scores."""
    churn, value, silent = (np.full(rows, np.nan) for _ in range(3))
    engine = Replay(parameters, trainer=trainer)
    # Rows are many and make no reference cycles, so garbage collections find nothing.
    threshold = gc.get_threshold()
    gc.set_threshold(50_000, 50, 50)
    try:
        for number, line in enumerate(lines, start=1):
            if number % _TELL_EVERY_LINES == 0:
                tell(number)
            for output in engine.feed(line, number):
                if isinstance(output, Score):
                    row = int(output.message_id.removeprefix("row-"))
                    if output.source != Source.PRIOR:
                        churn[row] = output.churn_probability
                    value[row] = _number(output.value)
                    silent[row] = _number(getattr(output, "silent_churn", None))
    finally:
        gc.set_threshold(*threshold)
    return Served(churn, value, silent, engine.summary())


def _number(answer: float | None) -> float:
    return float("nan") if answer is None else answer


class Dealing(Trainer):
    """A trainer that replaces the outcomes of its examples by ``outcomes``, in order."""

    def __init__(self, parameters: Parameters, outcomes: Iterable[bool]) -> None:
        super().__init__(parameters, partitions=1)
        self._outcomes = iter(outcomes)

    def learn(self, lesson: Lesson, place: int = 0) -> bool:
        if isinstance(lesson, Example):
            lesson = replace(lesson, churned=next(self._outcomes))
        return super().learn(lesson, place)


class Listening(Trainer):
    """A trainer that only records the outcomes of its examples."""

    def __init__(self, parameters: Parameters) -> None:
        super().__init__(parameters, partitions=1)
        self.outcomes: list[bool] = []

    def learn(self, lesson: Lesson, place: int = 0) -> bool:  # noqa: ARG002 - as in Trainer
        if isinstance(lesson, Example):
            self.outcomes.append(lesson.churned)
        return False


def dealt(lines: Iterable[bytes], parameters: Parameters, seed: int) -> Dealing:
    """A trainer for the same log in which the log's outcomes are randomly permuted over the
    examples.

    Which examples there are does not depend on any model. So a first pass over the log, which
    learns nothing, counts the outcomes of each class.
    """
    listening = Listening(parameters)
    engine = Replay(parameters, trainer=listening)
    for number, line in enumerate(lines, start=1):
        engine.feed(line, number)
    outcomes = np.array(listening.outcomes, dtype=np.bool_)
    return Dealing(parameters, np.random.default_rng(seed).permutation(outcomes).tolist())

"""The churn learner: every horizon's models, and how good each scorer has been."""

from typing import Any

from msgspec import Struct

from config.parameters import Parameters
from models.learning.churn_models import ALL_KINDS, CHAMPION, ChurnScoring, Quality
from models.learning.horizons import name_of
from models.learning.lessons import Example
from models.learning.log_odds import sigmoid
from models.learning.online import OnlineLearner, OnlineState
from models.learning.reliability import JudgedScore, Reliability, calibration_error, judged
from models.learning.scorers import SCORERS, Said


class ChurnState(Struct, rename="camel"):
    """``horizons``: what was learnt, by horizon in days; ``reliability`` of the scores given at
    decisions, by "horizon kind scorer", over examples that every scorer had scored.
    """

    horizons: dict[str, OnlineState] = {}
    reliability: dict[str, Reliability] = {}


#: All scorers, and what was served.
_JUDGED = (*SCORERS, CHAMPION)


class ChurnLearner:
    """Learns each horizon by itself, and judges the scores that were given at each decision."""

    knows_enough = True

    def __init__(self, state: Any, parameters: Parameters) -> None:
        self._parameters = parameters
        self._state: ChurnState = state or ChurnState()
        self._learners = {
            horizon: OnlineLearner(known, parameters)
            for horizon, known in self._state.horizons.items()
        }
        #: The tables of `ChurnState.reliability` by horizon and kind, in the order of `_JUDGED`.
        self._tables: dict[tuple[float, str], list[Reliability]] = {}

    def learn(self, example: Example) -> None:
        """Judge the scores of the decision, then learn its outcome."""
        horizon = name_of(example.horizon_days)
        learner = self._learners.get(horizon)
        if learner is None:
            learner = self._learners[horizon] = OnlineLearner(OnlineState(), self._parameters)
        said = example.scorers_said()
        if said is not None and said.is_complete:
            self._judge(example, said)
        learner.learn(example.values(), example.churned, said.log_odds if said else None)

    def state(self) -> ChurnState:
        """The whole state, enough to restore the learner."""
        self._state.horizons = {name: learner.state() for name, learner in self._learners.items()}
        return self._state

    def draw(self, _now_ms: int) -> ChurnScoring:
        """The models with enough examples to score, and the quality of all scorers."""
        models = {name: learner.models() for name, learner in self._learners.items()}
        known = {name: model for name, model in models.items() if model is not None}
        return ChurnScoring(known, tuple(self._quality()))

    def _judge(self, example: Example, said: Said) -> None:
        """Count each scorer's score at the decision, and the one that was served."""
        tables = self._tables.get((example.horizon_days, example.kind))
        if tables is None:
            tables = self._tables_of(example.horizon_days, example.kind)
        told: list[JudgedScore] = []
        for log_odds in said.log_odds:
            assert log_odds is not None
            told.append(judged(sigmoid(log_odds), example.churned))
        told.append(told[said.served])
        for one, table in zip(told, tables, strict=True):
            table.add(one, example.weight)

    def _tables_of(self, horizon_days: float, kind: str) -> list[Reliability]:
        known = self._state.reliability
        tables = [
            known.setdefault(f"{horizon_days:g} {kind} {scorer}", Reliability())
            for scorer in _JUDGED
        ]
        self._tables[horizon_days, kind] = tables
        return tables

    def _quality(self) -> list[Quality]:
        """By horizon, kind of decision and scorer, and over all kinds."""
        tables = dict(self._state.reliability)
        for name, found in self._state.reliability.items():
            horizon, _, scorer = name.split()
            pooled = f"{horizon} {ALL_KINDS} {scorer}"
            known = tables.get(pooled)
            tables[pooled] = found if known is None else known.merged(found)
        return [_quality_of(name, found) for name, found in sorted(tables.items())]


def _quality_of(name: str, found: Reliability) -> Quality:
    horizon, kind, scorer = name.split()
    curve = found.curve()
    return Quality(
        horizon_days=float(horizon),
        kind=kind,
        scorer=scorer,
        examples=found.examples,
        log_loss=found.mean_log_loss,
        auc=found.auc,
        calibration_error=calibration_error(curve, found.count),
        curve=tuple([point[:2] for point in curve]) if scorer == CHAMPION else (),
    )

"""The churn learner: every horizon's models, and the quality of each scorer's scores."""

from typing import Any

from config.parameters import Parameters
from models.learning.churn_models import ALL_KINDS, CHAMPION, ChurnScoring, Quality
from models.learning.churn_state import ChurnState
from models.learning.horizons import name_of
from models.learning.lessons import Example
from models.learning.log_odds import sigmoid
from models.learning.online import OnlineLearner
from models.learning.online_state import OnlineState
from models.learning.reliability import Reliability, auc, calibration_error, curve
from models.learning.score_table import ScoreTable, bin_of, log_loss
from models.learning.scorers import SCORERS, Said

#: All scorers, and the scores that were served.
_JUDGED = (*SCORERS, CHAMPION)


class ChurnLearner:
    """Learns each horizon separately, and judges the scores that were given at each decision."""

    knows_enough = True

    def __init__(self, state: Any, parameters: Parameters) -> None:
        self._parameters = parameters
        known: ChurnState = state or ChurnState()
        self._learners = {
            horizon: OnlineLearner(one, parameters) for horizon, one in known.horizons.items()
        }
        # By the names of `ChurnState.reliability`, in the order in which they were first seen.
        self._tables = {name: ScoreTable(found) for name, found in known.reliability.items()}
        #: The same tables by horizon and kind, in the order of `_JUDGED`.
        self._judged: dict[tuple[float, str], list[ScoreTable]] = {}

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
        horizons = {name: learner.state() for name, learner in self._learners.items()}
        return ChurnState(horizons, self._reliability())

    def draw(self, _now_ms: int) -> ChurnScoring:
        """The models with enough examples to score, and the quality of all scorers."""
        models = {name: learner.models() for name, learner in self._learners.items()}
        known = {name: model for name, model in models.items() if model is not None}
        return ChurnScoring(known, tuple(self._quality()))

    def _judge(self, example: Example, said: Said) -> None:
        """Count each scorer's score at the decision, and the one that was served."""
        tables = self._judged.get((example.horizon_days, example.kind))
        if tables is None:
            tables = self._tables_of(example.horizon_days, example.kind)
        churned, weight = example.churned, example.weight
        for place, log_odds in enumerate(said.log_odds):
            assert log_odds is not None
            score = sigmoid(log_odds)
            found, loss = bin_of(score), log_loss(score, churned)
            tables[place].add(score, churned, weight, found, loss)
            if place == said.served:
                # The served score also counts in the table of served scores.
                tables[-1].add(score, churned, weight, found, loss)

    def _tables_of(self, horizon_days: float, kind: str) -> list[ScoreTable]:
        names = [f"{name_of(horizon_days)} {kind} {scorer}" for scorer in _JUDGED]
        tables = [self._tables.setdefault(name, ScoreTable()) for name in names]
        self._judged[horizon_days, kind] = tables
        return tables

    def _reliability(self) -> dict[str, Reliability]:
        return {name: table.state() for name, table in self._tables.items()}

    def _quality(self) -> list[Quality]:
        """The quality by horizon, kind of decision and scorer, and over all kinds."""
        known = self._reliability()
        tables = dict(known)
        for name, found in known.items():
            horizon, _, scorer = name.split()
            pooled = f"{horizon} {ALL_KINDS} {scorer}"
            before = tables.get(pooled)
            tables[pooled] = found if before is None else before.merged(found)
        return [_quality_of(name, found) for name, found in sorted(tables.items())]


def _quality_of(name: str, found: Reliability) -> Quality:
    horizon, kind, scorer = name.split()
    bins, count = found.in_order(), found.count
    points = curve(bins, count)
    return Quality(
        horizon_days=float(horizon),
        kind=kind,
        scorer=scorer,
        examples=found.examples,
        log_loss=found.mean_log_loss,
        auc=auc(bins, count, found.positives),
        calibration_error=calibration_error(points, count),
        curve=tuple([point[:2] for point in points]) if scorer == CHAMPION else (),
    )

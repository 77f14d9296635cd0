"""The trainer: lessons in, snapshots out.

A function of the lessons in their order: folding the topic again gives every snapshot bit for bit.
"""

import msgspec
from msgspec import Struct

from config.parameters import Parameters
from models.learning.examples import Cost, Example, Lesson, Observation
from models.learning.log_odds import sigmoid
from models.learning.online import OnlineLearner, OnlineState
from models.learning.population import Population
from models.learning.reliability import Reliability
from models.learning.scorers import SCORERS, Said, Scorer
from models.learning.snapshot import Quality, Snapshot, SpendModel, prior_snapshot
from models.learning.spend import SpendState, learn_spend, model_of, spend_quality

#: What was served, whoever said it.
CHAMPION = "champion"
BASELINE = Scorer.BASELINE
ALL_KINDS = "all"
#: Whose part of the revenue is told: does a fifth of the customers bring four fifths of it?
TOP_SHARE = 0.2


class TrainerState(Struct, rename="camel"):
    """What a trainer goes on from.

    ``positions``: the (offset, index) of the last lesson of each partition of ``customer-events``;
    ``consumed``: the next position of the topic of lessons; ``reliability``: by "horizon kind
    scorer", of the scores that were given at the decisions, on the examples that have both.
    """

    observations: int = 0
    examples: int = 0
    latest_ms: int = 0
    consumed: int = 0
    positions: dict[str, tuple[int, int]] = {}
    population: Population = msgspec.field(default_factory=Population)
    learners: dict[str, OnlineState] = {}
    reliability: dict[str, Reliability] = {}
    spend: dict[str, SpendState] = {}
    costs: int = 0


class Trainer:
    """Learns, and draws the next snapshot when one is due."""

    def __init__(self, parameters: Parameters, snapshot: Snapshot | None = None) -> None:
        self._parameters = parameters
        self.snapshot = snapshot or prior_snapshot(parameters)
        restored = msgspec.json.decode(self.snapshot.trainer, type=TrainerState | None)
        self._state = restored or TrainerState()
        self._learners = {
            horizon: OnlineLearner(state, parameters)
            for horizon, state in self._state.learners.items()
        }

    @property
    def lessons(self) -> int:
        """How many lessons were learnt."""
        return self._state.observations + self._state.examples + self._state.costs

    def learn(self, lesson: Lesson) -> bool:
        """Learn one lesson; False when it is a repeat."""
        state = self._state
        partition, position = str(lesson.partition), (lesson.offset, lesson.index)
        if position <= state.positions.get(partition, (-1, -1)):
            return False
        state.positions[partition] = position
        if isinstance(lesson, Observation):
            state.observations += 1
            state.population.learn(lesson)
        elif isinstance(lesson, Cost):
            state.costs += 1
            state.population.acquisition.spend(lesson.channel, lesson.amount_minor)
        else:
            state.examples += 1
            self._learn_example(lesson)
        state.latest_ms = max(state.latest_ms, lesson.timestamp_ms)
        return True

    @property
    def knows_enough(self) -> bool:
        """Whether enough of the population was seen to say anything about it."""
        return self._state.observations >= self._parameters.learning.minimum_examples

    @property
    def is_due(self) -> bool:
        """Whether enough is known, and enough event time went by, for the next snapshot."""
        age_ms = self._state.latest_ms - self.snapshot.created_at_ms
        return self.knows_enough and age_ms >= self._parameters.learning.snapshot_every

    def draw(self, consumed: int = 0) -> Snapshot:
        """The next snapshot; ``consumed`` is the next position of the topic of lessons."""
        state, prior = self._state, prior_snapshot(self._parameters)
        population = state.population
        population.refit(state.latest_ms, self._parameters)
        state.consumed = consumed
        state.learners = {name: learner.state() for name, learner in self._learners.items()}
        models = {name: learner.models() for name, learner in self._learners.items()}
        self.snapshot = Snapshot(
            version=self.snapshot.version + 1,
            created_at_ms=state.latest_ms,
            recency_days_cuts=population.cuts("recency_days") or prior.recency_days_cuts,
            frequency_cuts=population.cuts("frequency") or prior.frequency_cuts,
            monetary_minor_cuts=population.cuts("monetary_minor") or prior.monetary_minor_cuts,
            gap_days=population.median_gap_days() or prior.gap_days,
            gamma_gamma=population.worth.fitted,
            spend=self._spend_models(),
            spend_quality=tuple(spend_quality(state.spend)),
            acquisition_cost_minor=population.acquisition.costs_minor(),
            revenue_share_top_fifth=population.worth.share_of_top(TOP_SHARE),
            order_minor=population.order_minor() or prior.order_minor,
            bgnbd=population.fitted,
            churn={name: model for name, model in models.items() if model is not None},
            quality=tuple(self._quality()),
            # In the order in which things were first seen, which a restored state keeps.
            trainer=msgspec.Raw(msgspec.json.encode(state)),
        )
        return self.snapshot

    def _learn_example(self, example: Example) -> None:
        horizon = f"{example.horizon_days:g}"
        learner = self._learners.get(horizon)
        if learner is None:
            learner = self._learners[horizon] = OnlineLearner(OnlineState(), self._parameters)
        said = example.scorers_said()
        if said is not None and said.is_complete:
            self._judge(example, said)
        learner.learn(example.values(), example.churned, said.log_odds if said else None)
        self._learn_spend(horizon, example)

    def _learn_spend(self, horizon: str, example: Example) -> None:
        if example.forecast is not None:
            state = self._state.spend.setdefault(horizon, SpendState())
            margin = self._parameters.value.challenger_margin
            learn_spend(state, example.forecast, example.spent_minor, example.timestamp_ms, margin)

    def _spend_models(self) -> dict[str, SpendModel]:
        minimum = self._parameters.learning.minimum_examples
        models = {name: model_of(state, minimum) for name, state in self._state.spend.items()}
        return {name: model for name, model in models.items() if model is not None}

    def _judge(self, example: Example, said: Said) -> None:
        """Count what each scorer said at the decision, and what was served."""
        served = said.log_odds[said.served]
        told = [*zip(SCORERS, said.log_odds, strict=True), (CHAMPION, served)]
        for scorer, log_odds in told:
            assert log_odds is not None
            name = f"{example.horizon_days:g} {example.kind} {scorer}"
            found = self._state.reliability.setdefault(name, Reliability())
            found.learn(sigmoid(log_odds), example.churned, example.weight)

    def _quality(self) -> list[Quality]:
        """By horizon, kind of decision and scorer, and over all kinds."""
        tables = dict(self._state.reliability)
        for name, found in self._state.reliability.items():
            horizon, _, scorer = name.split()
            pooled = f"{horizon} {ALL_KINDS} {scorer}"
            tables[pooled] = tables.get(pooled, Reliability()).merged(found)
        return [_told(name, found) for name, found in sorted(tables.items())]


def _told(name: str, found: Reliability) -> Quality:
    horizon, kind, scorer = name.split()
    curve = found.curve() if scorer == CHAMPION else ()
    return Quality(
        horizon_days=float(horizon),
        kind=kind,
        scorer=scorer,
        examples=found.examples,
        log_loss=found.mean_log_loss,
        auc=found.auc,
        calibration_error=found.calibration_error,
        curve=tuple((point.said, point.came_true) for point in curve),
    )

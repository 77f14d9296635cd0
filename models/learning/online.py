"""The churn models of one horizon, learnt one example at a time: two logistic models over the same
standardized features, a recalibration of their blend, and the contest for the serving scorer.
"""

from config.parameters import Parameters
from models.learning.bayesian import BayesianLogisticRegression
from models.learning.churn_models import ChurnModels, LinearModel
from models.learning.contest import Contest
from models.learning.feature_names import NAMES
from models.learning.gaussian_weights import with_intercept
from models.learning.log_odds import sigmoid
from models.learning.online_state import OnlineState, ShiftState
from models.learning.scorers import SCORERS, LogOdds, Scorer, combined, log_odds_of, loss_of
from models.learning.shift import Shift
from models.learning.standardized_logistic import StandardizedLogistic

_BASELINE, _BLEND = SCORERS.index(Scorer.BASELINE), SCORERS.index(Scorer.BLEND)
_RECALIBRATED = SCORERS.index(Scorer.RECALIBRATED)


class OnlineLearner:
    """Standardizes an example, judges the scorers by it, and learns from it."""

    def __init__(self, state: OnlineState, parameters: Parameters) -> None:
        learning = parameters.learning
        self._margin = learning.champion_margin
        self._minimum_examples = learning.minimum_examples
        self._shift = Shift(state.shift.mean, state.shift.variance)
        self._contest = Contest(state.contest)
        self._logistic = StandardizedLogistic(len(NAMES), learning.learning_rate)
        self._bayesian = BayesianLogisticRegression(
            names=NAMES, prior_variance=learning.prior_variance, forgetting=learning.forgetting
        )
        if state.count:
            self._restore(state)

    def _restore(self, state: OnlineState) -> None:
        logistic = self._logistic
        logistic.count, logistic.intercept = state.count, state.intercept
        logistic.means[:], logistic.variances[:] = state.means, state.variances
        logistic.weights[:] = state.weights
        self._bayesian.weights.restore(state.belief, state.covariance)

    def learn(
        self, features: tuple[float, ...], churned: bool, said: LogOdds | None = None
    ) -> None:
        """Judge the scorers by one example, then learn from it.

        ``said``: their log odds at the decision. A model that had no score then is judged by its
        present one, before it learns from the example. If the baseline had no score, no scorer is
        judged.
        """
        if said is not None and said[_BASELINE] is not None:
            self._judge(self._now(features, said) if None in said else said, churned)
        standardized = self._logistic.learn(features, churned)
        self._bayesian.learn_vector(with_intercept(standardized), churned)

    def _judge(self, said: LogOdds, churned: bool) -> None:
        log_odds = [odds for odds in said if odds is not None]
        assert len(log_odds) == len(SCORERS)
        # Recalibrated with the present shift, which needs only the blend's log odds.
        log_odds[_RECALIBRATED] = self._shift.apply(log_odds[_BLEND])
        self._contest.judge([loss_of(odds, churned) for odds in log_odds], self._margin)
        self._shift.learn(log_odds[_BLEND], churned)

    def _now(self, features: tuple[float, ...], said: LogOdds) -> LogOdds:
        """The models' present log odds, with the baseline's from the decision."""
        standardized = self._logistic.standardized(features)
        logistic = log_odds_of(sigmoid(self._logistic.log_odds(standardized)))
        bayesian = self._bayesian.center(with_intercept(standardized))
        return combined(said[_BASELINE], logistic, bayesian, self._shift.mean)

    def state(self) -> OnlineState:
        """The whole state, enough to restore the learner."""
        logistic, shift = self._logistic, self._shift
        state = OnlineState(
            shift=ShiftState(shift.mean, shift.variance), contest=self._contest.state()
        )
        if logistic.count:
            state.count, state.intercept = logistic.count, logistic.intercept
            state.means, state.variances = tuple(logistic.means), tuple(logistic.variances)
            state.weights = tuple(logistic.weights)
            state.belief, state.covariance = self._bayesian.weights.stored()
        return state

    def models(self) -> ChurnModels | None:
        """The models for scoring; None before there are enough examples."""
        logistic = self._logistic
        if logistic.count < self._minimum_examples:
            return None
        belief: list[float] = list(map(float, self._bayesian.weights.mean))
        return ChurnModels(
            means=tuple(logistic.means),
            deviations=tuple([variance**0.5 for variance in logistic.variances]),
            logistic=LinearModel(logistic.intercept, tuple(logistic.weights)),
            bayesian=LinearModel(belief[0], tuple(belief[1:])),
            shift=self._shift.mean,
            champion=self._contest.scorer,
            examples=logistic.count,
        )

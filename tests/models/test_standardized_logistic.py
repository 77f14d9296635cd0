"""The fused logistic regression against River's own, to the last bit."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from river.linear_model import LogisticRegression
from river.optim import SGD
from river.preprocessing import StandardScaler

from models.learning.log_odds import sigmoid
from models.learning.standardized_logistic import INTERCEPT_RATE, StandardizedLogistic

NAMES = ("constant", "often nothing", "any", "huge")
RATE = 0.05
#: One that never varies, one that is mostly 0, and numbers of every size.
EXAMPLES = st.lists(
    st.tuples(
        st.tuples(
            st.just(2.0),
            st.sampled_from([0.0, 0.0, 1.0]),
            st.floats(-100.0, 100.0),
            st.floats(-1e9, 1e9),
        ),
        st.booleans(),
    ),
    max_size=60,
)


@given(EXAMPLES)
def test_it_is_rivers_to_the_last_bit(examples: list[tuple[tuple[float, ...], bool]]) -> None:
    # River's methods have no types.
    scaler: Any = StandardScaler()
    logistic: Any = LogisticRegression(SGD(RATE), l2=0.0)
    fused = StandardizedLogistic(len(NAMES), RATE)

    for features, came_true in examples:
        x = dict(zip(NAMES, features, strict=True))
        standardized = scaler.transform_one(x)
        assert [*standardized.values()] == fused.standardized(features)
        said = logistic.predict_proba_one(standardized)[True]
        log_odds = fused.log_odds(fused.standardized(features))
        assert said == sigmoid(log_odds) or abs(log_odds) > 30.0
        scaler.learn_one(x)
        standardized = scaler.transform_one(x)
        logistic.learn_one(standardized, came_true)
        assert [*standardized.values()] == fused.learn(features, came_true)
        assert [scaler.means[name] for name in NAMES] == fused.means
        assert [scaler.vars[name] for name in NAMES] == fused.variances
        assert [logistic.weights[name] for name in NAMES] == fused.weights
        assert logistic.intercept == fused.intercept


def test_the_intercept_learns_at_rivers_rate() -> None:
    assert LogisticRegression().intercept_lr.get(0) == INTERCEPT_RATE

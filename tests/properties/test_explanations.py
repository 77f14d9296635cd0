"""What an explanation guarantees, for any parts and any customer."""

from math import exp

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.learning.explanation import GROUP_OF, Group, Parts, explained
from models.learning.feature_names import NAMES
from models.learning.scorers import LOG_ODDS_MAX
from models.replay import Replay
from tests.models.lines import PARAMETERS
from tests.properties.histories import histories

parts = st.floats(-200.0, 200.0)


@given(base=parts, terms=st.lists(parts, min_size=len(NAMES), max_size=len(NAMES)), formula=parts)
def test_any_parts_add_up_to_the_limited_log_odds(
    base: float, terms: list[float], formula: float
) -> None:
    plain = base
    for term in terms:
        plain += term
    plain += formula
    served = min(max(plain, -LOG_ODDS_MAX), LOG_ODDS_MAX)
    told = explained(Parts(base, terms, formula, served), str)

    assert pytest.approx(served, abs=1e-9) == told.log_odds
    total = told.base + sum(part.contribution for part in told.groups)
    assert pytest.approx(told.log_odds, abs=1e-9) == total
    assert len({part.group for part in told.groups}) == len(told.groups)
    for part in told.groups:
        own = [t for name, t in zip(NAMES, terms, strict=True) if GROUP_OF[name] == part.group]
        if part.group not in {Group.PATTERN, Group.LIMIT}:
            assert sum(own) == pytest.approx(part.contribution, abs=1e-9)


@given(history=histories())
def test_every_score_of_every_profile_is_the_sum_of_its_explanation(history: list[bytes]) -> None:
    replay = Replay(PARAMETERS)
    for number, content in enumerate(history, 1):
        replay.feed(content, number)
    for view in replay.profiles():
        assert len(view.churn) == len(view.explanations)
        # Who refuses that who they are decides has no scores, and may have said why they leave.
        assert not view.churn or view.churn_reason is not None
        for churn, told in zip(view.churn, view.explanations, strict=True):
            total = told.base + sum(part.contribution for part in told.groups)
            assert pytest.approx(churn.probability, rel=1e-9) == 1 / (1 + exp(-total))

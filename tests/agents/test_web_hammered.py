"""Clients that hammer the web port leave the loop to the work that it is shared with."""

import pytest

from streams.timed_loop import run_timed
from tests.benchmarks.hammer import KINDS
from tests.benchmarks.shared_loop import price

#: A tenth is promised. Without a ration the price is several times that for all but slow clients.
PRICE_MAX = 1.2


@pytest.mark.parametrize("kind", KINDS)
def test_hammering_costs_the_work_little(kind: str) -> None:
    found, answers = run_timed(price(kind))

    assert found < PRICE_MAX
    # They are served, if seldom.
    assert kind == "slow" or answers

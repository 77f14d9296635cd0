"""Clients that hammer the web port leave the loop to the work that shares it."""

import pytest

from streams.timed_loop import run_timed
from tests.benchmarks.hammer import KINDS
from tests.benchmarks.shared_loop import price

#: What is promised.
PRICE_MAX = 1.1
#: One that asks as fast as it can, one for what is dear, one that never ends its question.
IN_EVERY_RUN = {"pipelined", "lists", "slow"}


@pytest.mark.parametrize(
    "kind",
    [
        kind if kind in IN_EVERY_RUN else pytest.param(kind, marks=pytest.mark.nightly)
        for kind in KINDS
    ],
)
def test_hammering_costs_the_work_little(kind: str) -> None:
    found, answers = run_timed(price(kind))

    assert found < PRICE_MAX
    # They are served, if seldom.
    assert kind == "slow" or answers


def test_without_a_ration_it_costs_more_than_that() -> None:
    found, _ = run_timed(price("pipelined", is_rationed=False))

    assert found > PRICE_MAX

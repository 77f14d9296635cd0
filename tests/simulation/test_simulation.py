"""Whatever happens in whatever order: every event is folded once, and all that follows is there.

Workers are killed, suspended, join and leave at random requests to a broker in memory. After each
run the audit compares rows and effects with the log; on the way no commit may pass what is durable
(see `Broker.commit`).
"""

import pytest

from tests.simulation.world import Fault, problems, simulate

pytestmark = pytest.mark.timeout(600)

BLOCK = 100
BLOCKS, BLOCKS_AT_NIGHT = 3, 50


def blocks(first: int, last: int) -> list[int]:
    return list(range(first * BLOCK, last * BLOCK, BLOCK))


seeds = pytest.mark.parametrize(
    "first",
    [
        *blocks(0, BLOCKS),
        *(
            pytest.param(first, marks=pytest.mark.nightly)
            for first in blocks(BLOCKS, BLOCKS_AT_NIGHT)
        ),
    ],
)


def wrong(first: int, *, is_backlog: bool) -> dict[int, list[str]]:
    """What is wrong, by seed: the first seed for which anything is."""
    for seed in range(first, first + BLOCK):
        try:
            found = problems(simulate(seed, is_backlog=is_backlog), is_backlog=is_backlog)
        except AssertionError as error:
            found = [str(error)]
        if found:
            return {seed: found}
    return {}


@seeds
def test_a_backlog_is_folded_once_and_in_order_whatever_happens(first: int) -> None:
    """`python -m tests.simulation.run SEED backlog` shows a run again."""
    assert {} == wrong(first, is_backlog=True)


@seeds
def test_events_that_come_in_meanwhile_are_folded_once_whatever_happens(first: int) -> None:
    """`python -m tests.simulation.run SEED live` shows a run again."""
    assert {} == wrong(first, is_backlog=False)


def test_a_seed_is_the_same_run_again() -> None:
    assert simulate(7, is_backlog=True) == simulate(7, is_backlog=True)


def test_faults_do_happen() -> None:
    happened = [fault.kind for seed in range(40) for fault in _faults(seed)]
    assert {"kill", "suspend", "leave", "join", "rebalance"} == set(happened)
    assert len(happened) > 40


def _faults(seed: int) -> list[Fault]:
    return simulate(seed, is_backlog=True).faults

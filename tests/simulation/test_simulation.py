"""Whatever happens, in whatever order: every event is folded once, and has all its effects.

Workers are killed, suspended, join and leave at random requests to a broker in memory. After each
run the audit compares rows, effects and snapshots with the log, and deliveries with decisions.
During the run no commit may pass what is durable (see `Broker.commit`).
"""

import pytest

from tests.simulation.world import Publication, simulate

pytestmark = pytest.mark.timeout(600)

BLOCK = 50
BLOCKS, BLOCKS_AT_NIGHT = 1, 68


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


def wrong(first: int, publication: Publication) -> dict[int, list[str]]:
    """What is wrong, by seed: the first seed for which anything is."""
    for seed in range(first, first + BLOCK):
        try:
            found = simulate(seed, publication).wrong
        except AssertionError as error:
            found = [str(error)]
        if found:
            return {seed: found}
    return {}


@seeds
def test_a_backlog_is_folded_once_and_in_order_whatever_happens(first: int) -> None:
    """`python -m tests.simulation.run SEED backlog` repeats a run."""
    assert {} == wrong(first, Publication.BACKLOG)


@seeds
def test_events_that_come_in_meanwhile_are_folded_once_whatever_happens(first: int) -> None:
    """`python -m tests.simulation.run SEED live` repeats a run."""
    assert {} == wrong(first, Publication.LIVE)


@seeds
def test_history_is_learnt_as_its_replay_learns_it_whatever_happens(first: int) -> None:
    """`python -m tests.simulation.run SEED history` repeats a run."""
    assert {} == wrong(first, Publication.HISTORY)


def test_a_seed_is_the_same_run_again() -> None:
    assert simulate(7, Publication.BACKLOG) == simulate(7, Publication.BACKLOG)


def test_what_is_to_be_tried_does_happen() -> None:
    runs = [simulate(seed, Publication.BACKLOG) for seed in range(20)]
    happened = [fault.kind for run in runs for fault in run.faults]
    assert {"kill", "suspend", "leave", "join", "rebalance"} == set(happened)
    assert len(happened) > 20
    assert sum(run.decisions for run in runs) > 20
    assert sum(run.snapshots for run in runs) > 20

"""From what an earlier state of this repository left: up, back, and side by side.

The earlier state runs from its own source with what its own lock names. What is compared is what
every fault test compares: state, profiles and decisions are those of a replay of the log.
"""

from collections.abc import Callable

import pytest

from agents.trials.demo.shop import ShopRecord
from config.topics import CUSTOMER_EVENTS, MODEL_SNAPSHOTS, RETENTION_TRIGGERS
from tests.kafka.deployment import Deployment
from tests.kafka.exactness import assert_exact, assert_replayed
from tests.kafka.upgrade.recording import (
    Recording,
    read_recording,
    released,
    restore,
    rules_of,
    size_bytes,
)
from tests.kafka.worker import PRESENT, Program, Worker

pytestmark = [pytest.mark.kafka, pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def earlier() -> Program:
    return released()


@pytest.fixture(scope="module")
def recording() -> Recording:
    return read_recording()


@pytest.fixture
def rules(deployment: Deployment, earlier: Program) -> tuple[str, ...]:
    """The rules of the deployment, which an upgrade does not change."""
    return rules_of(earlier, deployment.directory)


def started(deployment: Deployment, program: Program, rules: tuple[str, ...]) -> Worker:
    """A worker of one state, ready. Not the pace but the order of things is tried here: a machine
    that is busy must not end it.
    """
    assigned = [word for rule in rules for word in ("--set", rule)]
    worker = deployment.start_worker(
        *assigned, is_live=False, program=program, KEEPSTREAM_SESSION_TIMEOUT_MS="30000"
    )
    await_sound(deployment, "it is ready", worker.is_ready)
    return worker


def await_sound(deployment: Deployment, what: str, condition: Callable[[], bool]) -> None:
    """Wait for ``condition``, and fail at once if a worker ends that nobody ended."""

    def holds() -> bool:
        for worker in deployment.workers:
            if not worker.is_over:
                worker.process.require_alive()
        return condition()

    deployment.wait(what, holds)


def run(
    deployment: Deployment, program: Program, rules: tuple[str, ...], events: list[ShopRecord]
) -> None:
    """Let workers of one state take these, up to the end."""
    started(deployment, program, rules)
    deployment.publish(events)
    await_sound(deployment, "all is read", deployment.is_drained)


def end(deployment: Deployment) -> None:
    for worker in deployment.alive:
        assert 0 == worker.stop()


def test_the_recording_is_small_and_has_what_an_upgrade_can_break(recording: Recording) -> None:
    assert size_bytes() < 5_000_000
    assert {name for name, kept in recording.topics.items() if not kept} <= {"dead-letters"}
    assert len(recording.topics[MODEL_SNAPSHOTS]) >= 3
    assert len(recording.rest) > 1_000


def test_up_and_back_and_up_again(
    deployment: Deployment, recording: Recording, earlier: Program, rules: tuple[str, ...]
) -> None:
    """Each goes on from what the other left, snapshots included, and none is refused."""
    restore(recording, deployment)
    third = len(recording.rest) // 3
    thirds = recording.rest[:third], recording.rest[third : 2 * third], recording.rest[2 * third :]
    snapshots, decided = (deployment.ends(n) for n in (MODEL_SNAPSHOTS, RETENTION_TRIGGERS))
    for program, events in zip((PRESENT, earlier, PRESENT), thirds, strict=True):
        end(deployment)
        run(deployment, program, rules, events)
        before, snapshots = snapshots, deployment.ends(MODEL_SNAPSHOTS)
        assert snapshots[0] > before[0]
    # What each of them decided, and the state that the last one has of it.
    assert_exact(
        deployment,
        published=recording.published + len(recording.rest),
        assignments=rules,
        worded_by_several=True,
    )
    assert_replayed(deployment, assignments=rules, worded_by_several=True)
    assert sum(deployment.ends(RETENTION_TRIGGERS).values()) > sum(decided.values())


@pytest.mark.nightly
def test_both_side_by_side(
    deployment: Deployment, recording: Recording, earlier: Program, rules: tuple[str, ...]
) -> None:
    restore(recording, deployment)
    old, new = (started(deployment, program, rules) for program in (earlier, PRESENT))
    await_sound(deployment, "they share", lambda: len(old.lag(CUSTOMER_EVENTS)) == 2)
    half = len(recording.rest) // 2
    deployment.publish(recording.rest[:half])
    await_sound(deployment, "all is read", deployment.is_drained)
    assert 0 == old.stop()
    deployment.publish(recording.rest[half:])
    await_sound(deployment, "all is read by the new one", deployment.is_drained)
    assert new.is_ready()
    assert_exact(
        deployment,
        published=recording.published + len(recording.rest),
        assignments=rules,
        worded_by_several=True,
    )
    assert_replayed(deployment, assignments=rules, worded_by_several=True)

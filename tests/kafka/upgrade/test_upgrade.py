"""From what an earlier release left: upgrading, running side by side, and the errors of going back.

The earlier release runs from its own source with its own lock file. The comparison is that of every
fault test: state, profiles and decisions equal those of a replay of the log.
"""

from collections.abc import Callable

import pytest

from agents.trials.demo.shop import ShopRecord
from config.topics import CUSTOMER_EVENTS, MODEL_SNAPSHOTS, RETENTION_TRIGGERS
from models.customer.row import encode_row
from models.parameters import load_parameters
from tests.kafka.deployment import Deployment
from tests.kafka.exactness import assert_exact, audited, replayed, stored_rows
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

#: What the earlier state does not know at all.
NEW_PARTS = frozenset(
    {
        *("calendar", "channels", "improvements", "key_customers", "lifecycle"),
        *("relationship", "risk", "segments", "tiers", "timeline"),
    }
)


@pytest.fixture(scope="module")
def earlier() -> Program:
    return released()


@pytest.fixture(scope="module")
def recording() -> Recording:
    return read_recording()


@pytest.fixture
def rules(deployment: Deployment, earlier: Program) -> tuple[str, ...]:
    """The deployment's rules, which an upgrade does not change."""
    return rules_of(earlier, deployment.directory)


def started(deployment: Deployment, program: Program, rules: tuple[str, ...]) -> Worker:
    """A worker of one release, ready. This tests the order of things, not the pace: a busy machine
    must not end the worker.
    """
    assigned = [word for rule in rules for word in ("--set", rule)]
    worker = deployment.start_worker(
        *assigned, is_live=False, program=program, KEEPSTREAM_SESSION_TIMEOUT_MS="30000"
    )
    await_sound(deployment, "it is ready", worker.is_ready)
    return worker


def await_sound(deployment: Deployment, what: str, condition: Callable[[], bool]) -> None:
    """Wait for ``condition``, and fail at once if a worker ends unexpectedly."""

    def holds() -> bool:
        for worker in deployment.workers:
            if not worker.is_over:
                worker.process.require_alive()
        return condition()

    deployment.wait(what, holds)


def run(
    deployment: Deployment, program: Program, rules: tuple[str, ...], events: list[ShopRecord]
) -> None:
    """Let workers of one release process these events to the end."""
    started(deployment, program, rules)
    deployment.publish(events)
    await_sound(deployment, "all is read", deployment.is_drained)


def assert_refuses(deployment: Deployment, program: Program, rules: tuple[str, ...]) -> None:
    """Workers of this release end because of rows, and say what to do."""
    assigned = [word for rule in rules for word in ("--set", rule)]
    worker = deployment.start_worker(*assigned, is_live=False, program=program)
    deployment.wait("it refuses", lambda: not worker.process.pid)
    assert 0 != worker.wait()
    assert "was written by a newer release; upgrade this worker" in worker.log_text()


def end(deployment: Deployment) -> None:
    for worker in deployment.alive:
        assert 0 == worker.stop()


def test_the_recording_is_small_and_has_what_an_upgrade_can_break(recording: Recording) -> None:
    assert size_bytes() < 5_000_000
    assert {name for name, kept in recording.topics.items() if not kept} <= {"dead-letters"}
    assert len(recording.topics[MODEL_SNAPSHOTS]) >= 3
    assert len(recording.rest) > 1_000


def test_up_and_back_is_refused_and_up_again(
    deployment: Deployment, recording: Recording, earlier: Program, rules: tuple[str, ...]
) -> None:
    """The new release continues from what the earlier one left, including snapshots. The earlier
    one cannot read the new rows: it says so before it has written any row, effect or snapshot.
    """
    restore(recording, deployment)
    half = len(recording.rest) // 2
    snapshots, decided = (deployment.ends(n) for n in (MODEL_SNAPSHOTS, RETENTION_TRIGGERS))
    run(deployment, PRESENT, rules, recording.rest[:half])
    end(deployment)
    # But for the clock that its ingest may have told, which is the same in both.
    written = {n: deployment.ends(n) for n in recording.topics if n != CUSTOMER_EVENTS}
    assert_refuses(deployment, earlier, rules)
    assert written == {name: deployment.ends(name) for name in written}
    run(deployment, PRESENT, rules, recording.rest[half:])
    assert deployment.ends(MODEL_SNAPSHOTS)[0] > snapshots[0]
    # What each of them decided, and the state that the last one has of it.
    assert_exact(
        deployment,
        published=recording.published + len(recording.rest),
        assignments=rules,
        worded_by_several=True,
    )
    assert sum(deployment.ends(RETENTION_TRIGGERS).values()) > sum(decided.values())
    found = audited(deployment, load_parameters(assignments=rules))
    (lacking,) = found.incomplete
    assert NEW_PARTS <= {*lacking.parts}
    assert 0 < lacking.rows < found.checked["customers"]


@pytest.mark.nightly
def test_a_rebuild_completes_what_an_upgrade_left_incomplete(
    deployment: Deployment, recording: Recording, rules: tuple[str, ...]
) -> None:
    """Decisions until then stay as they were, and are no difference afterwards."""
    restore(recording, deployment)
    half = len(recording.rest) // 2
    run(deployment, PRESENT, rules, recording.rest[:half])
    end(deployment)
    deployment.run("rebuild", "--all", *(word for rule in rules for word in ("--set", rule)))
    run(deployment, PRESENT, rules, recording.rest[half:])
    assert_exact(
        deployment,
        published=recording.published + len(recording.rest),
        assignments=rules,
        worded_by_several=True,
    )
    assert [] == audited(deployment, load_parameters(assignments=rules)).incomplete
    log, models = deployment.directory / "log.jsonl", deployment.directory / "models"
    deployment.run("export", "--out", str(log), "--models", str(models))
    replay, _ = replayed(log, models, load_parameters(assignments=rules))
    assert {c: encode_row(row) for c, row in replay.rows().items()} == stored_rows(deployment)


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

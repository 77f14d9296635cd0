"""Deciding over a whole log again, and deleting all topics of a deployment."""

from collections import Counter

import pytest
from typer.testing import CliRunner, Result

from agents.cli import app
from config.topics import CUSTOMERS, NEXT_BEST_ACTIONS, RETENTION_TRIGGERS
from models.decisions.trigger import decode_decision
from streams.topics import declared
from tests.kafka.deployment import Deployment, orderly_shop
from tests.kafka.exactness import assert_exact

pytestmark = [pytest.mark.kafka, pytest.mark.nightly, pytest.mark.timeout(600)]


def run(deployment: Deployment, *arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments), env=deployment.environment)


def decided(deployment: Deployment) -> Counter[str]:
    """How often each decision was written."""
    return Counter(
        decode_decision(value).id
        for topic in (RETENTION_TRIGGERS, NEXT_BEST_ACTIONS)
        for _, _, value in deployment.read(topic)
    )


def test_a_log_is_decided_once_more_and_then_all_of_it_is_deleted(deployment: Deployment) -> None:
    records = orderly_shop(60)
    deployment.publish(records)
    (worker,) = deployment.start_workers(1)
    deployment.wait("all is read", deployment.is_drained)
    rows = deployment.changelog()
    for command in (("rebuild", "--decide-again"), ("topics", "delete", "--mine")):
        refused = run(deployment, *command)
        assert 2 == refused.exit_code
        assert "stop workers" in refused.stderr
    assert 0 == worker.stop()
    once = decided(deployment)
    assert once
    assert {1} == set(once.values())

    begun = run(deployment, "rebuild", "--decide-again")
    assert 0 == begun.exit_code, begun.output
    assert {0} == set(deployment.ends(CUSTOMERS).values())
    deployment.start_workers(1)
    deployment.wait("all is read", deployment.is_drained)
    twice = decided(deployment)
    assert once.keys() == twice.keys()
    assert {2} == set(twice.values())
    again = deployment.changelog()
    assert {n: fold.packed for n, fold in rows.items()} == {n: f.packed for n, f in again.items()}
    assert_exact(deployment, published=len(records))
    for one in deployment.workers:
        assert 0 == one.stop()

    unsaid = run(deployment, "topics", "delete")
    assert 2 == unsaid.exit_code
    assert "--mine" in unsaid.stderr
    deleted = run(deployment, "topics", "delete", "--mine")
    assert 0 == deleted.exit_code, deleted.output
    names = {topic.name for topic in declared(deployment.settings)}
    assert names == {line.split()[1] for line in deleted.stdout.splitlines()}
    assert len(names) == run(deployment, "topics", "check").stderr.count("is missing")
    assert "there were none" in run(deployment, "topics", "delete", "--mine").stdout
    assert 0 == run(deployment, "topics", "create").exit_code

"""Killing workers changes nothing: not the state, not the scores, not the decisions."""

import random
import signal
from pathlib import Path
from time import sleep

import pytest

from agents.trials.demo.shop import ShopConfig, simulate
from config.topics import CUSTOMER_EVENTS, LABELLED_EXAMPLES, MODEL_SNAPSHOTS
from streams.embedded.kafka import EmbeddedKafka
from streams.embedded.valkey import EmbeddedValkey
from tests.kafka.deployment import START_MS, Deployment
from tests.kafka.exactness import assert_commits_are_durable, assert_exact
from tests.kafka.worker import Worker

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(900)]

#: How many customers a shop has, and at least how many events there are of them.
SMALL_SHOP, LARGE_SHOP = (600, 30_000), (1_750, 100_000)
REREAD = "keepstream_reread_records_total"
#: For the broker to carry out what a worker had sent before its time was stopped.
IN_FLIGHT_S = 0.5


def trainer(deployment: Deployment) -> Worker:
    """The worker whose turn it is to learn."""
    deployment.wait(
        "somebody learns", lambda: any(worker.lag(LABELLED_EXAMPLES) for worker in deployment.alive)
    )
    return next(worker for worker in deployment.alive if worker.lag(LABELLED_EXAMPLES))


@pytest.mark.parametrize(
    ("customers", "events_min"),
    [
        pytest.param(*SMALL_SHOP, id="small"),
        pytest.param(*LARGE_SHOP, id="large", marks=pytest.mark.nightly),
    ],
)
def test_killed_workers_and_a_killed_trainer_change_neither_state_nor_scores_nor_decisions(
    kafka: EmbeddedKafka, valkey: EmbeddedValkey, tmp_path: Path, customers: int, events_min: int
) -> None:
    shop = ShopConfig(seed=11, customers=customers, start_ms=START_MS, days=200)
    records = list(simulate(shop))
    assert len(records) >= events_min
    with Deployment(
        kafka.bootstrap_servers, valkey.url, f"kill-{customers}.", tmp_path
    ) as deployment:
        # Before there are workers: a kill that finds them idle would prove nothing.
        most = len(records) * 9 // 10
        deployment.publish(records[:most])
        first, _ = deployment.start_workers(2)
        share = random.Random(5).uniform(0.15, 0.45)
        deployment.wait(
            f"{share:.0%} are applied",
            lambda: deployment.folded() >= share * len(records),
        )
        done = 0.0

        def is_stopped_in_the_middle() -> bool:
            nonlocal done
            done = deployment.folded()
            return _is_stopped_in_the_middle(first, deployment)

        deployment.wait("a kill finds something in hand", is_stopped_in_the_middle)
        assert 0.1 * len(records) <= done <= 0.9 * len(records)
        # Asked while most is yet to come: later the other worker may have learnt all there is.
        snapshots = deployment.ends(MODEL_SNAPSHOTS)[0]
        first.stop(signal.SIGKILL)
        assert_commits_are_durable(deployment)

        # Where rows are kept makes no difference, either.
        deployment.start_worker(KEEPSTREAM_ROWS_DIR=str(tmp_path))
        # Asked before the trainer is killed, whose worker may be the one that read them.
        deployment.wait("records are read again", lambda: deployment.metric(REREAD) >= 1)
        reread = deployment.metric(REREAD)
        deployment.wait(
            "the trainer goes on", lambda: deployment.ends(MODEL_SNAPSHOTS)[0] >= snapshots + 5
        )
        trainer(deployment).stop(signal.SIGKILL)
        assert_commits_are_durable(deployment)

        deployment.start_worker()
        deployment.publish(records[most:])
        deployment.wait("all is read", deployment.is_drained, timeout_s=400)
        deployment.wait("workers are ready", lambda: all(w.is_ready() for w in deployment.alive))
        exact = assert_exact(deployment, published=len(records))
        assert [0, 0] == [worker.stop() for worker in deployment.alive]
    # Shown by pytest -s.
    print(f"\n{len(records)} events, killed at {done:.0f}, {reread:.0f} records read again")  # noqa: T201
    print(exact)  # noqa: T201


def _is_stopped_in_the_middle(worker: Worker, deployment: Deployment) -> bool:
    """Stop its time, for good if it has applied what it has not committed.

    A worker that is killed just after a commit leaves nothing to read again.
    """
    partitions = worker.lag(CUSTOMER_EVENTS)
    worker.pause()
    sleep(IN_FLIGHT_S)
    committed, folds = deployment.committed(CUSTOMER_EVENTS), deployment.changelog()
    if any(folds[number].state.applied >= committed.get(number, 0) for number in partitions):
        return True
    worker.resume()
    return False

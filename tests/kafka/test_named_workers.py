"""A worker with a name gets its partitions back, and the others notice nothing."""

import pytest

from tests.kafka.deployment import Deployment, orderly_shop
from tests.kafka.exactness import assert_exact
from tests.kafka.worker import Worker

pytestmark = [pytest.mark.kafka, pytest.mark.nightly, pytest.mark.timeout(600)]


def test_a_worker_that_is_restarted_within_its_session_gets_its_partitions_back(
    deployment: Deployment,
) -> None:
    records = orderly_shop(60)
    half = len(records) // 2
    workers = [
        deployment.start_worker(KEEPSTREAM_GROUP_INSTANCE_ID=f"worker-{number}")
        for number in range(2)
    ]
    deployment.wait("both are ready", lambda: all(one.is_ready() for one in workers))
    deployment.wait("both have some", lambda: all(map(owned, workers)))
    staying, leaving = workers
    before = [owned(one) for one in workers]
    # Whatever the group did until both were there.
    read = rows_read(staying)
    deployment.publish(records[:half])
    deployment.wait("half is read", deployment.is_drained)

    assert 0 == leaving.stop()
    leaving.is_over = False
    leaving.start()
    deployment.publish(records[half:])
    deployment.wait("all is read", deployment.is_drained)
    deployment.wait("it is back", leaving.is_ready)
    assert before == [owned(one) for one in workers]
    assert read == rows_read(staying)
    assert_exact(deployment, published=len(records))


def owned(worker: Worker) -> set[str]:
    """The worker's partitions of customers."""
    return {s.labels["partition"] for s in worker.samples("keepstream_table_customers")}


def rows_read(worker: Worker) -> int:
    """How often it has read a partition's rows, as it does after each rebalance."""
    return worker.log_text().count(" customers from ")

"""A topic that is deleted and created again is another one, even with the same name and offsets."""

import json
from pathlib import Path

import pytest

from agents.trials.demo.shop import ShopRecord
from config.topics import CUSTOMER_ARCHIVE, CUSTOMER_EVENTS, CUSTOMER_KEYS, CUSTOMERS, TRANSACTIONS
from models.events.times import iso
from streams.embedded.kafka import EmbeddedKafka
from streams.embedded.valkey import EmbeddedValkey
from tests.kafka.deployment import START_MS, Deployment
from tests.kafka.exactness import assert_exact, assert_replayed
from tests.kafka.test_archive import cut_log

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(900)]


def orders(name: str, number: int, start_ms: int) -> list[ShopRecord]:
    """So many orders of twenty customers, a second apart, without message ids."""
    return [
        ShopRecord(
            TRANSACTIONS, f"c-{n % 20}".encode(), _order(f"{name}-{n}", n % 20, at_ms), at_ms
        )
        for n, at_ms in ((n, start_ms + n * 1_000) for n in range(number))
    ]


def _order(order_id: str, customer: int, at_ms: int) -> bytes:
    bought = {"order_id": order_id, "revenue": 10, "currency": "EUR"}
    return json.dumps(
        {
            "type": "track",
            "event": "Order Completed",
            "userId": f"c-{customer}",
            "timestamp": iso(at_ms),
            "properties": bought,
        }
    ).encode()


@pytest.mark.nightly
def test_what_is_new_in_a_recreated_topic_is_used(deployment: Deployment) -> None:
    """Once while no worker runs, and once while one does: offsets start again both times."""
    deployment.publish(orders("a", 400, START_MS))
    (worker,) = deployment.start_workers(1)
    deployment.wait("the first are used", deployment.is_drained)
    assert 0 == worker.stop()

    deployment.create_anew(TRANSACTIONS)
    deployment.publish(orders("b", 300, START_MS + 1_000_000))
    (worker,) = deployment.start_workers(1)
    deployment.wait("the second are used", lambda: deployment.folded() == 300)
    assert 300 == deployment.metric("keepstream_events_total", fate="applied")
    assert "transactions, but in other topics: it is read from its beginning" in worker.log_text()

    deployment.create_anew(TRANSACTIONS)
    third = deployment.publish(orders("c", 200, START_MS + 2_000_000))

    # It ends, to be started again; or the group came together anew meanwhile, and it goes on.
    def is_used() -> bool:
        deployment.restart_ended()
        return deployment.folded() in (200, 500)

    deployment.wait("the third are used", is_used)
    deployment.wait("all is drained", deployment.is_drained)
    # Raw records of the topics before are gone.
    assert_exact(deployment, published=third)
    summary = assert_replayed(deployment).summary
    assert {"read": 900, "applied": 900} == {
        name: count for name, count in summary.events.items() if count
    }


@pytest.mark.nightly
@pytest.mark.parametrize("topic", [CUSTOMER_ARCHIVE, CUSTOMER_KEYS])
def test_an_archive_that_was_created_again_is_refused_until_it_is_filled(
    kafka: EmbeddedKafka, valkey: EmbeddedValkey, tmp_path: Path, topic: str
) -> None:
    with Deployment(
        kafka.bootstrap_servers, valkey.url, f"again-{topic}.", tmp_path, archive="on"
    ) as deployment:
        published = deployment.publish(orders("a", 100, START_MS))
        (worker,) = deployment.start_workers(1)
        deployment.wait("all is used", deployment.is_drained)
        assert 0 == worker.stop()

        deployment.create_anew(topic)
        refused = deployment.start_worker()
        assert 1 == refused.wait()
        *_, last, _ = refused.log_text().splitlines()
        assert "run `keepstream archive fill`" in last
        assert " records sealed" in deployment.run("archive", "fill")
        deployment.start_workers(1)
        published += deployment.publish(orders("b", 50, START_MS + 1_000_000))
        deployment.wait("all is used", deployment.is_drained)
        assert "is all in the archive" in deployment.run("archive", "check")
        cut_log(deployment)
        assert_exact(deployment, published=published)


@pytest.mark.nightly
@pytest.mark.parametrize(
    ("topic", "fix"),
    [
        (CUSTOMER_EVENTS, "set another KEEPSTREAM_TOPIC_PREFIX"),
        (CUSTOMERS, "run `keepstream rebuild --all`"),
    ],
)
def test_state_is_not_continued_in_a_recreated_topic(
    deployment: Deployment, topic: str, fix: str
) -> None:
    """Not even when its offsets have reached those of the former topic."""
    deployment.publish(orders("a", 100, START_MS))
    (worker,) = deployment.start_workers(1)
    deployment.wait("all is used", deployment.is_drained)
    assert 0 == worker.stop()
    before = deployment.records(topic)

    deployment.create_anew(topic)
    for record in before:
        written = (record.key, record.value)
        deployment.write(topic, record.partition, written, headers=record.headers)
    worker = deployment.start_worker()
    assert 1 == worker.wait()
    *_, last, _ = worker.log_text().splitlines()
    assert "the topic was deleted and created again" in last or "it was deleted and" in last
    assert fix in last

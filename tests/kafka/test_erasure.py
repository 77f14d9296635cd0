"""Somebody is erased on a real deployment, and looked for wherever something of them might be."""

import json

import pytest
import redis

from agents.trials.demo.shop import ShopRecord
from config.topics import CUSTOMERS, SUPPORT, TRANSACTIONS
from models.events.erasure_record import ERASE_REQUESTED
from streams.redis_views import customer_key, trigger_stream
from tests.kafka.deployment import Deployment
from tests.kafka.exactness import assert_exact, assert_replayed
from tests.kafka.test_persons import event

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(180)]

#: What names the person: their ids, and ids in the properties of their events.
CANARIES = ("canary-user", "canary-visitor", "canary-order", "canary-product")


DISCONTENT = {"kind": "nps", "score": 1, "scale_max": 10}


def shopping(first_minute: int) -> list[ShopRecord]:
    user, visitor = {"userId": "canary-user"}, {"anonymousId": "canary-visitor"}
    cart = {"product_id": "canary-product", "price": 30.0, "quantity": 1}
    bought = {"order_id": "canary-order", "revenue": 30.0}
    return [
        event("Product Added", first_minute, **visitor, **cart),
        event("Signed In", first_minute + 2, **user, **visitor),
        event("Order Completed", first_minute + 20, topic=TRANSACTIONS, **user, **bought),
        event("Ticket Opened", first_minute + 25, topic=SUPPORT, **user, ticket_id="canary-order"),
        event("Survey Responded", first_minute + 27, topic=SUPPORT, **user, **DISCONTENT),
    ]


def test_who_was_erased_is_nowhere_but_where_the_page_says(deployment: Deployment) -> None:
    rows_dir = deployment.directory / "rows"
    rows_dir.mkdir()
    worker = deployment.start_worker(KEEPSTREAM_ROWS_DIR=str(rows_dir))
    past = shopping(5)
    deployment.publish(
        [*past, event("Survey Responded", 31, topic=SUPPORT, userId="zoe", **DISCONTENT)]
    )

    with redis.Redis.from_url(deployment.settings.redis_url) as store:

        def has(customer: str) -> bool:
            return bool(store.exists(customer_key(deployment.settings, customer)))

        def delivered() -> list[str]:
            """Of whom streams have decisions."""
            keys = store.keys(trigger_stream(deployment.settings, "*"))
            entries = [fields for key in keys for _, fields in store.xrange(key)]
            return sorted({json.loads(one[b"trigger"])["userId"] for one in entries})

        deployment.wait("profiles", lambda: has("canary-user") and has("zoe"))
        deployment.wait("decisions", lambda: ["canary-user", "zoe"] == delivered())
        deployment.publish([event(ERASE_REQUESTED, 60, userId="canary-user")])
        deployment.wait("no profile", lambda: not has("canary-user") and has("zoe"))
        # Once more, as it was and as a raw topic that is published again.
        deployment.publish(past)
        deployment.wait("all is done", deployment.is_drained)
        deployment.wait("one row", lambda: {"zoe"} == _customers(deployment))
        assert not has("canary-user")
        assert not has("canary-visitor")
        assert ["zoe"] == delivered()
    assert deployment.live_customer("canary-user") is None
    assert 5 == deployment.metric("keepstream_events_total", fate="erased")

    latest = {record.key: record.value for record in deployment.records(CUSTOMERS)}
    for key, value in latest.items():
        for canary in CANARIES:
            assert value is None or canary.encode() not in value + (key or b"")
            assert canary not in worker.log_text()
    assert_exact(deployment, published=12)
    assert_replayed(deployment)


def _customers(deployment: Deployment) -> set[str]:
    return {customer for fold in deployment.changelog().values() for customer in fold.packed}

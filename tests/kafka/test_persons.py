"""A visitor becomes a user on a real deployment: seen in Redis, over HTTP and by the commands."""

import json
from typing import Any

import pytest
import redis
from click.testing import Result
from typer.testing import CliRunner

from agents.cli import app
from agents.trials.demo.shop import ShopRecord
from config.topics import CLICKSTREAM, CUSTOMER_EVENTS, TRANSACTIONS
from models.events.times import iso
from streams.kafka_clients import partition_for
from streams.store_keys import customer_key
from tests.kafka.deployment import START_MS, Deployment
from tests.kafka.exactness import assert_exact

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(120)]

MINUTE_MS = 60_000


def event(name: str, minute: int, *, topic: str = CLICKSTREAM, **said: object) -> ShopRecord:
    ids = {key: str(said.pop(key)) for key in ("userId", "anonymousId") if key in said}
    line = {
        "type": "track",
        "event": name,
        **ids,
        "messageId": f"m-{minute}",
        "timestamp": iso(START_MS + minute * MINUTE_MS),
        "properties": said,
    }
    key = ids.get("userId") or ids["anonymousId"]
    at_ms = START_MS + minute * MINUTE_MS
    return ShopRecord(
        topic=topic, key=key.encode(), value=json.dumps(line).encode(), occurred_at_ms=at_ms
    )


def asked(deployment: Deployment, *arguments: str) -> Result:
    """The answer of `keepstream customers`; in this process, which is faster."""
    return CliRunner().invoke(app, ["customers", *arguments], env=deployment.environment)


def ids_of(deployment: Deployment, customer: str) -> dict[str, Any]:
    answer = asked(deployment, "ids", customer, "--json")
    return json.loads(answer.stdout) if not answer.exit_code else {"ids": []}


def test_a_visitor_becomes_a_user_and_leaves_again(deployment: Deployment) -> None:
    assert partition_for(b"ada", 4) != partition_for(b"anon-2", 4)
    deployment.start_worker()
    cart = {"product_id": "p1", "price": 30.0, "quantity": 1}
    visited = [event("Product Added", 5, anonymousId="anon-2", **cart)]
    logged_in = [event("Signed In", 7, userId="ada", anonymousId="anon-2")]
    bought = {"userId": "ada", "order_id": "o1", "revenue": 30.0}
    # A visitor's id that is only named, without an event of its own, has no profile.
    only_named = [event("Signed In", 8, userId="ada", anonymousId="anon-9")]
    deployment.publish([*visited, *logged_in, *only_named])
    deployment.wait("the visitor is ada's", lambda: bool(ids_of(deployment, "ada")["ids"]))
    deployment.publish([event("Order Completed", 20, topic=TRANSACTIONS, **bought)])
    deployment.wait("all is done", deployment.is_drained)

    # Her profile alone is there, and whoever asks for the visitor's is told where.
    with redis.Redis.from_url(deployment.settings.redis_url) as store:

        def has(customer: str) -> bool:
            return bool(store.exists(customer_key(deployment.settings, customer)))

        deployment.wait("one profile", lambda: has("ada") and not has("anon-2"))
        assert not has("anon-9")
    assert deployment.live_customer("anon-9") is None
    assert ["ada"] == ids_of(deployment, "anon-9")["namedBy"]
    view = json.loads(deployment.live_customer("ada") or b"{}")
    assert (0, 1) == (view["cart"]["items"], view["rfm"]["orders"])
    shown = deployment.live_customer("anon-2")
    assert "ada" == json.loads(shown or b"{}")["userId"]
    assert "ada" == ids_of(deployment, "anon-2")["idOf"]

    assert "told the workers" in asked(deployment, "split", "anon-2", "--because", "x").stdout
    deployment.wait("the visitor left", lambda: "idOf" not in ids_of(deployment, "anon-2"))
    deployment.wait("all is done", deployment.is_drained)
    for name in ("links", "splits"):
        assert 1 == deployment.metric(f"keepstream_identity_{name}_total")
    left = json.loads(deployment.live_customer("anon-2") or b"{}")
    assert 1 == left["cart"]["items"]
    assert [] == ids_of(deployment, "ada")["ids"]

    # What cannot be is said, and nothing is published.
    before = deployment.ends(CUSTOMER_EVENTS)
    for refused, why in {
        ("merge", "ada", "ada"): "nobody is merged with themselves",
        ("merge", "ada", "nobody-here"): "no customer 'nobody-here'",
        ("split", "anon-2"): "anon-2 is linked to nobody",
        ("split", "nobody-here"): "no customer 'nobody-here'",
    }.items():
        answer = asked(deployment, *refused)
        assert (1, True) == (answer.exit_code, why in answer.stderr)
    assert before == deployment.ends(CUSTOMER_EVENTS)
    assert_exact(deployment, published=5)

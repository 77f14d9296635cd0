"""Signed webhooks, posted to a real collector, appear in the customer's profile."""

import hmac
import json
import subprocess
from base64 import b64encode
from collections import Counter
from contextlib import closing
from datetime import UTC, datetime, timedelta
from hashlib import sha1, sha256
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

from config.topics import DEAD_LETTERS, RAW_TOPICS
from models.events.rejection import Reason
from streams.dead_letters import decode_letter
from tests.house.documents import blocks
from tests.house.repository import ROOT
from tests.kafka.collector import CollectorProcess, collecting
from tests.kafka.deployment import Deployment

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(240)]

DOCUMENTED = Path(__file__).parents[1] / "models" / "webhooks"
SECRET = "shpss_secret"
SOURCES = """
[webhooks.{name}]
vendor = "{name}"
secret_file = "vendor.secret"
user = "{user}"
"""
NOW = datetime.now(UTC)


def documented(name: str, **changes: Any) -> dict[str, Any]:
    body: dict[str, Any] = json.loads((DOCUMENTED / f"{name}.json").read_text())["body"]
    return {**body, **changes}


def iso(minutes_ago: int) -> str:
    return (NOW - timedelta(minutes=minutes_ago)).isoformat()


def base64_of(body: bytes) -> str:
    return b64encode(hmac.new(SECRET.encode(), body, sha256).digest()).decode()


def headers_of(vendor: str, body: bytes, delivery: str) -> dict[str, str]:
    """The headers that each vendor sends with a body, signed now."""
    seconds = str(int(datetime.now(UTC).timestamp()))
    match vendor:
        case "shopify":
            topic, _, number = delivery.partition(" ")
            headers = {"X-Shopify-Topic": topic, "X-Shopify-Webhook-Id": number}
            return {**headers, "X-Shopify-Hmac-Sha256": base64_of(body)}
        case "stripe":
            signed = hmac.new(SECRET.encode(), seconds.encode() + b"." + body, sha256).hexdigest()
            return {"Stripe-Signature": f"t={seconds},v1={signed}"}
        case "zendesk":
            at = datetime.now(UTC).isoformat()
            return {
                "X-Zendesk-Webhook-Signature": base64_of(at.encode() + body),
                "X-Zendesk-Webhook-Signature-Timestamp": at,
            }
    return {"X-Hub-Signature": f"sha1={hmac.new(SECRET.encode(), body, sha1).hexdigest()}"}


def post(
    collector: CollectorProcess, vendor: str, content: Any, delivery: str = ""
) -> dict[str, Any]:
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    with closing(HTTPConnection("127.0.0.1", collector.port, timeout=30)) as client:
        client.request("POST", f"/webhooks/{vendor}", body, headers_of(vendor, body, delivery))
        answer = client.getresponse()
        found: dict[str, Any] = json.loads(answer.read())
        assert 200 == answer.status, found
        return found


def declare(folder: Path, *, user: str = "customer.id") -> str:
    (folder / "vendor.secret").write_text(SECRET)
    path = folder / "sources.toml"
    path.write_text(
        SOURCES.format(name="shopify", user=user)
        + SOURCES.format(name="stripe", user="data.object.metadata.user_id")
        + SOURCES.format(name="zendesk", user="detail.external_id")
        + SOURCES.format(name="intercom", user="data.item.contacts.contacts[0].external_id")
    )
    return str(path)


def test_what_vendors_post_is_in_the_customers_document(
    deployment: Deployment, tmp_path: Path
) -> None:
    customer = {"id": 4711}
    order = documented(
        "shopify-orders-create",
        currency="EUR", customer=customer, created_at=iso(50), updated_at=iso(50),
    )  # fmt: skip
    refund = {
        "id": 1, "created_at": iso(20),
        "refund_line_items": [{"subtotal": "59.97"}], "transactions": [],
    }  # fmt: skip
    refunded = {**order, "updated_at": iso(20), "refunds": [refund]}
    payment = documented("stripe-payment-succeeded", created=int(NOW.timestamp()) - 2_400)
    payment["data"]["object"] |= {"currency": "eur", "metadata": {"user_id": "4711"}}
    ticket = documented("zendesk-created", time=iso(30))
    ticket["detail"]["external_id"] = "4711"
    talk = documented("intercom-conversation-user-created")
    talk["created_at"] = int(NOW.timestamp()) - 600
    talk["data"]["item"]["contacts"]["contacts"][0]["external_id"] = "4711"

    prefix = deployment.settings.topic_prefix
    variables = {"KEEPSTREAM_COLLECTOR_SOURCES": declare(tmp_path)}
    bootstrap = deployment.settings.bootstrap_servers
    with collecting(bootstrap, prefix, tmp_path, variables) as collector:
        posted = [
            post(collector, "shopify", order, "orders/create d-1"),
            post(collector, "stripe", payment),
            post(collector, "zendesk", ticket),
            post(collector, "shopify", refunded, "orders/updated d-2"),
            post(collector, "intercom", talk),
            # Delivered once more, and told once more by a later update.
            post(collector, "shopify", order, "orders/create d-1"),
            post(collector, "stripe", payment),
            post(collector, "shopify", {**refunded, "updated_at": iso(10)}, "orders/updated d-3"),
        ]
        assert [1, 1, 1, 2, 1, 1, 1, 2] == [answer["accepted"] for answer in posted]
        events = Counter(json.loads(r.value)["event"] for r in collector.published(RAW_TOPICS))
        assert 10 == events.total()

    deployment.start_workers(1)
    deployment.wait("all is folded", deployment.is_drained)
    found = json.loads(deployment.live_customer("4711") or b"{}")
    # 359.97 of the shop less a refund of 59.97, and 20.00 by Stripe.
    assert (2, 320_00) == (found["rfm"]["orders"], found["rfm"]["netMinor"])
    assert 2 == found["support"]["tickets"]


def test_a_refused_webhook_is_retried_when_its_mapping_is_mended(
    deployment: Deployment, tmp_path: Path
) -> None:
    order = documented(
        "shopify-orders-create",
        currency="EUR", customer=None, email=None, contact_email=None, id=None,
        note="ada", created_at=iso(5), updated_at=iso(5),
    )  # fmt: skip
    body = json.dumps({**order, "order_number": 7}).encode()
    prefix = deployment.settings.topic_prefix
    variables = {"KEEPSTREAM_COLLECTOR_SOURCES": declare(tmp_path)}
    bootstrap = deployment.settings.bootstrap_servers
    with collecting(bootstrap, prefix, tmp_path, variables) as collector:
        assert 1 == post(collector, "shopify", body, "orders/create d-1")["refused"]
        [record] = collector.published([DEAD_LETTERS])
        letter = decode_letter(record.value)
        assert letter is not None
        assert (Reason.NO_IDENTITY, body) == (letter.reason, letter.content())

        kept = deployment.run("dead-letters", "retry")
        assert "0 dead letters went back" in kept
        assert "[webhooks.shopify]" in kept
        mended = {"KEEPSTREAM_COLLECTOR_SOURCES": declare(tmp_path, user="note")}
        assert "1 to transactions" in deployment.run("dead-letters", "retry", **mended)
        [event] = [json.loads(one.value) for one in collector.published(RAW_TOPICS)]
        assert ("ada", "shopify:d-1:order-completed") == (event["userId"], event["messageId"])


def test_one_by_hand_is_taken_as_the_page_shows_it(deployment: Deployment, tmp_path: Path) -> None:
    page = [one.text for one in blocks((ROOT / "docs/vendors.md").read_text())]
    [sources] = [text for text in page if "[vendors.erp]" in text]
    [command] = [text for text in page if text.startswith("BODY=")]
    [answer] = [text for text in page if '"accepted"' in text]
    (tmp_path / "sources.toml").write_text(sources)
    (tmp_path / "erp.secret").write_text(SECRET)

    settings = deployment.settings
    variables = {"KEEPSTREAM_COLLECTOR_SOURCES": str(tmp_path / "sources.toml")}
    with collecting(
        settings.bootstrap_servers, settings.topic_prefix, tmp_path, variables
    ) as collector:
        command = command.replace("http://127.0.0.1:8088", collector.url)
        done = subprocess.run(
            ["bash", "-c", command], cwd=tmp_path, capture_output=True, check=True
        )

        assert json.loads(answer) == json.loads(done.stdout)
        log = (tmp_path / "collector.log").read_text()
        assert f"taking webhooks of erp on {collector.url}/webhooks/erp" in log

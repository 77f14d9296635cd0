"""The collector's answers to vendors, and what it publishes of their webhooks."""

import asyncio
import hmac
import json
from base64 import b64encode
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from config.rules import RuleError
from config.settings import load_settings
from config.sources import WebhookSource, load_senders, sources_in
from config.topics import DEAD_LETTERS, TRANSACTIONS
from models.events.dead_letter import decode_dead_letter
from streams.collector.mappings import mappings_in
from tests.agents.test_collector import Site, site

OLD, NEW = "shpss_old", "shpss_new"
#: A vendor of the shop's own, and how its webhooks become events.
OWN = """
[webhooks.shop]
vendor = "shopify"
secret_file = ["new.secret", "old.secret"]

[webhooks.erp]
vendor = "erp"
secret_file = "new.secret"
events_per_second = 0.01
burst = 1

[vendors.erp]
type = "kind"
id = "number"
user = "buyer"
timestamp = "at"
signature = {header = "X-Sign", prefix = "v1,"}

[[vendors.erp.events]]
type = "invoice"
event = "Order Completed"
properties = {order_id = "number", revenue = "net", currency = "'EUR'"}

[[vendors.erp.events]]
type = "forget"
event = "User Erase Requested"
"""
ORDER: dict[str, Any] = json.loads(
    (Path(__file__).parents[1] / "models/webhooks/shopify-orders-create.json").read_text()
)["body"] | {"currency": "EUR"}
INVOICE = {"kind": "invoice", "number": 7, "buyer": "ada", "at": 1_770_000_000, "net": 80}


@pytest.fixture
def webhooks(tmp_path: Path) -> dict[str, WebhookSource]:
    (tmp_path / "sources.toml").write_text(OWN)
    (tmp_path / "old.secret").write_text(f"{OLD}\n")
    (tmp_path / "new.secret").write_text(f"{NEW}\n")
    settings = load_settings({}, collector_sources=str(tmp_path / "sources.toml"))
    return load_senders(settings).webhooks


async def post(
    here: Site, content: Any, *, topic: str = "orders/create", secret: str = NEW, **headers: str
) -> tuple[int, dict[str, Any]]:
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    signature = b64encode(hmac.new(secret.encode(), body, sha256).digest()).decode()
    told = {
        "X-Shopify-Topic": topic,
        "X-Shopify-Webhook-Id": "delivery-1",
        "X-Shopify-Hmac-Sha256": signature,
        **headers,
    }
    return await here.post("/webhooks/shop", body, key=None, headers=told)


async def post_own(here: Site, content: Any) -> tuple[int, dict[str, Any]]:
    body = json.dumps(content).encode()
    signature = hmac.new(NEW.encode(), body, sha256).hexdigest()
    return await here.post("/webhooks/erp", body, key=None, headers={"X-Sign": f"v1,{signature}"})


def test_a_signed_webhook_is_published_keyed_by_customer(
    webhooks: dict[str, WebhookSource],
) -> None:
    async def scenario() -> None:
        async with site(webhooks=webhooks) as here:
            assert (200, {"success": True, "accepted": 1}) == await post(here, ORDER)
            # While the vendor still signs with the old secret.
            assert 200 == (await post(here, ORDER, secret=OLD))[0]
            first, again = here.outbox.written
            assert (TRANSACTIONS, b"115310627314723954") == (first.topic, first.key)
            event = json.loads(first.value)
            assert "2022-01-01T00:00:00.000Z" == event["timestamp"]
            assert event["messageId"] == json.loads(again.value)["messageId"]
            assert "receivedAt" in event
            assert 2 == here.count("events_total", source="shop", fate="accepted")
            assert 1 == here.count("duplicate_events_total", source="shop")

    asyncio.run(scenario())


def test_what_is_not_signed_is_turned_away(webhooks: dict[str, WebhookSource]) -> None:
    async def scenario() -> None:
        async with site(webhooks=webhooks) as here:
            wrong = {"X-Shopify-Hmac-Sha256": "\xff"}
            for answer in (
                await post(here, ORDER, secret="another"),
                await post(here, ORDER, **wrong),
                await here.post("/webhooks/shop", ORDER),
            ):
                assert (401, "bad_signature") == (answer[0], answer[1]["code"])
                assert "secret_file" in answer[1]["message"]
            assert 404 == (await here.post("/webhooks/nobody", ORDER))[0]
            assert [] == here.outbox.written
            assert 3 == here.count("requests_total", source="shop", status="401")

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("topic", "content"),
    [("products/update", {"id": 1}), ("orders/create", {**ORDER, "test": True}), ("ping", {})],
)
def test_what_nothing_is_made_of_is_taken_and_counted(
    webhooks: dict[str, WebhookSource], topic: str, content: Any
) -> None:
    async def scenario() -> None:
        async with site(webhooks=webhooks) as here:
            answer = await post(here, content, topic=topic)
            assert (200, {"success": True, "accepted": 0, "ignored": topic}) == answer
            assert [] == here.outbox.written
            assert 1 == here.count("events_total", source="shop", fate="ignored")

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b'{"id": ', "bad_json"),
        (b"[]", "wrong_type"),
        (b"\x1f\x8b no gzip", "bad_json"),
        ({**ORDER, "subtotal_price": "much"}, "wrong_type"),
        ({**ORDER, "currency": "CHF"}, "out_of_range"),
        ({**ORDER, "customer": {"id": "null"}}, "no_identity"),
        ({**ORDER, "created_at": "2022-01-01"}, "required_missing"),
    ],
)
def test_what_can_not_be_used_is_kept_as_it_came(
    webhooks: dict[str, WebhookSource], content: Any, reason: str
) -> None:
    async def scenario() -> None:
        async with site(webhooks=webhooks) as here:
            status, answer = await post(here, content)
            assert (200, 0, 1) == (status, answer["accepted"], answer["refused"])
            [found] = here.outbox.written
            letter = decode_dead_letter(found.value)
            body = content if isinstance(content, bytes) else json.dumps(content).encode()
            assert (DEAD_LETTERS, body) == (found.topic, letter.content())
            assert (reason, "webhook", "shop") == (letter.reason, letter.step, letter.sender)
            assert letter.fix
            assert {
                "x-shopify-topic": "orders/create",
                "x-shopify-webhook-id": "delivery-1",
            } == letter.headers
            assert 1 == here.count("refused_events_total", source="shop", reason=reason)

    asyncio.run(scenario())


def test_of_several_events_a_bad_one_costs_no_other(webhooks: dict[str, WebhookSource]) -> None:
    refund = {"id": 5, "created_at": ORDER["updated_at"], "transactions": [], "note": "x"}
    content = {**ORDER, "refunds": [{**refund, "id": True}, refund], "note": None}
    content["refunds"][0]["refund_line_items"] = [{"subtotal": 1e300}]

    async def scenario() -> None:
        async with site(webhooks=webhooks) as here:
            _, answer = await post(here, content, topic="orders/updated")
            assert (2, 1) == (answer["accepted"], answer["refused"])
            topics = [one.topic for one in here.outbox.written]
            assert sorted([TRANSACTIONS, TRANSACTIONS, DEAD_LETTERS]) == sorted(topics)

    asyncio.run(scenario())


def test_a_vendor_of_ones_own(webhooks: dict[str, WebhookSource]) -> None:
    async def scenario() -> None:
        async with site(webhooks=webhooks) as here:
            assert 1 == (await post_own(here, INVOICE))[1]["accepted"]
            [event] = here.outbox.events(TRANSACTIONS)
            properties = {"order_id": 7, "revenue": 80, "currency": "EUR"}
            assert ("ada", properties) == (event["userId"], event["properties"])
            assert "2026-02-02T02:40:00.000Z" == event["timestamp"]
            assert "erp:7:order-completed" == event["messageId"]

    asyncio.run(scenario())


def test_webhooks_have_limits_and_may_not_erase_anybody_unless_trusted(
    webhooks: dict[str, WebhookSource],
) -> None:
    async def scenario() -> None:
        async with site(webhooks=webhooks) as here:
            forget = {**INVOICE, "kind": "forget"}
            _, answer = await post_own(here, forget)
            assert "is_trusted" in answer["errors"][0]["fix"]
            await post_own(here, forget)
            status, answer = await post_own(here, forget)
            assert (429, "too_many_events") == (status, answer["code"])

    asyncio.run(scenario())


def test_while_kafka_is_away_vendors_are_told_to_come_back(
    webhooks: dict[str, WebhookSource],
) -> None:
    async def scenario() -> None:
        async with site(webhooks=webhooks) as here:
            here.outbox.away = True
            status, answer = await post(here, ORDER)
            assert (503, "unavailable", True) == (status, answer["code"], answer["retry_s"] >= 1)
            # A bad one is not lost either.
            assert 503 == (await post(here, b"{"))[0]
            here.outbox.away = False
            assert 200 == (await post(here, ORDER))[0]
            assert 0 == here.count("duplicate_events_total", source="shop")

    asyncio.run(scenario())


def test_a_users_place_that_is_no_expression_is_told_where_it_stands(tmp_path: Path) -> None:
    path = tmp_path / "sources.toml"
    path.write_text(OWN.replace("[webhooks.erp]", 'user = "a["\n\n[webhooks.erp]'))

    with pytest.raises(RuleError, match=r"sources.toml: webhooks.shop: user: 'a\[' is no JMESPath"):
        mappings_in(sources_in(path))


def test_who_looks_before_sending_finds_something(webhooks: dict[str, WebhookSource]) -> None:
    async def scenario() -> None:
        async with site(webhooks=webhooks) as here:
            for method in ("HEAD", "GET"):
                async with here.client.request(method, f"{here.url}/webhooks/shop") as answer:
                    assert 200 == answer.status

    asyncio.run(scenario())

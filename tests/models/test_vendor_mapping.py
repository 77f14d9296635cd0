"""Webhooks as vendors document them become the right events.

Each file of ``webhooks/`` is one: its documentation, which parts of it are as documented, headers,
body, and the events.
"""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from config.rules import RuleError
from config.vendors import SHIPPED, shipped_vendor, vendor_in
from models.collecting.vendor_mapping import Mapped, OwnIds, VendorMapping, Webhook
from models.events.rejection import Rejected
from models.parameters import load_parameters
from streams.line_check import LineCheck

FILES = sorted((Path(__file__).parent / "webhooks").glob("*.json"))
MAPPINGS = {name: VendorMapping(shipped_vendor(name), name) for name in SHIPPED}
CURRENCIES = ("USD", "ILS", "JPY", "KWD", "UGX", "ISK", "HUF")
PARAMETERS = load_parameters(None, [f"money.rates.{name}=1.0" for name in CURRENCIES])


def delivery(webhook: dict[str, Any], **changes: Any) -> Webhook:
    headers = {name.lower(): value for name, value in webhook["headers"].items()}
    body = json.dumps({**webhook["body"], **changes}).encode()
    return Webhook("shop", headers, body)


def mapped(webhook: dict[str, Any], **changes: Any) -> list[dict[str, Any]]:
    found = MAPPINGS[webhook["vendor"]](delivery(webhook, **changes)).events
    return [json.loads(event) for event in found]


def load(name: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((FILES[0].parent / f"{name}.json").read_text())
    return content


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_documented_webhook_becomes_the_events_that_it_means(path: Path) -> None:
    webhook = load(path.stem)
    # Like a worker, at a time when none of them is in the future.
    check = LineCheck(PARAMETERS, 4_000_000_000_000)

    assert webhook["documentation"].startswith("https://")
    assert webhook["events"] == mapped(webhook)
    for event in MAPPINGS[webhook["vendor"]](delivery(webhook)).events:
        assert json.loads(event)["event"] == check(event).name


@pytest.mark.parametrize("name", SHIPPED)
def test_every_type_that_is_mapped_has_a_documented_webhook(name: str) -> None:
    webhooks = [load(path.stem) for path in FILES]
    mine = [delivery(one) for one in webhooks if one["vendor"] == name]
    tried = {MAPPINGS[name](one).type for one in mine}

    # Their siblings' bodies differ in nothing that is read.
    siblings = {
        "zen:event-type:ticket.permanently_deleted",
        "ticket.team.assigned",
    }
    assert set() == set(MAPPINGS[name].types) - tried - siblings


def test_what_is_delivered_again_has_the_same_ids_and_another_update_has_others() -> None:
    webhook = load("shopify-orders-updated-refunded")
    first = [event["messageId"] for event in mapped(webhook)]
    webhook["headers"]["X-Shopify-Webhook-Id"] = "another-delivery"
    update, refund = [event["messageId"] for event in mapped(webhook)]

    # The refund is told by every update, and is one.
    assert first[1] == refund
    assert first[0] != update


def test_without_an_id_the_same_bytes_are_the_same_event() -> None:
    webhook = load("shopify-orders-create")
    del webhook["headers"]["X-Shopify-Webhook-Id"]
    [once], [again], [other] = mapped(webhook), mapped(webhook), mapped(webhook, note="changed")

    assert once["messageId"] == again["messageId"]
    assert once["messageId"] != other["messageId"]


def test_an_operator_says_where_the_customers_id_is() -> None:
    webhook = load("shopify-orders-create")
    user = "note_attributes[?name == 'user_id'].value | [0]"
    mapping = VendorMapping(shipped_vendor("shopify"), "x", OwnIds("y", user, "token"))
    attributes = [{"name": "user_id", "value": "ada"}]
    [event] = mapping(delivery(webhook, note_attributes=attributes)).events
    [guest] = mapping(delivery(webhook)).events

    assert "ada" == json.loads(event)["userId"]
    assert "123456abcd" == json.loads(guest)["anonymousId"]


@pytest.mark.parametrize(
    "created", [1577880000, 1577880000.0, "1577880000", 1577880000000, 1577880000000000]
)
def test_a_time_since_1970_is_in_seconds_or_smaller_units(created: Any) -> None:
    [event] = mapped(load("stripe-payment-succeeded"), created=created)

    assert "2020-01-01T12:00:00.000Z" == event["timestamp"]


@pytest.mark.parametrize(
    ("changes", "reason", "words"),
    [
        ({"data": None}, "no_identity", r"\[webhooks.shop\]"),
        ({"data": {"object": {"customer": ["a"]}}}, "wrong_type", "finds no id"),
        ({"data": {"object": {"customer": "a", "amount_received": "2000"}}}, "wrong_type", "money"),
        ({"created": "yesterday"}, "required_missing", r"timestamp \(created\)"),
        ({"created": True}, "required_missing", "timestamp"),
        ({"created": 1e300}, "required_missing", "timestamp"),
        ({"created": 20200101}, "required_missing", "timestamp"),
        ({"type": None}, "required_missing", r"type \(type\)"),
    ],
)
def test_what_can_not_be_understood_says_why_and_what_to_do(
    changes: dict[str, Any], reason: str, words: str
) -> None:
    webhook = delivery(load("stripe-payment-succeeded"), **changes)
    try:
        found = MAPPINGS["stripe"](webhook)
    except Rejected as rejected:
        found = Mapped("", [], [rejected])

    [refusal] = found.refusals
    assert (reason, []) == (refusal.reason, found.events)
    assert refusal.fix
    assert re.search(words, f"{refusal.detail} {refusal.fix}")


def test_an_event_that_can_not_be_made_costs_no_other() -> None:
    webhook = load("shopify-orders-updated-refunded")
    [refund] = webhook["body"]["refunds"]
    found = MAPPINGS["shopify"](
        delivery(webhook, refunds=[{**refund, "created_at": None}, refund, 7])
    )

    assert ["Order Updated", "Order Refunded"] == [json.loads(e)["event"] for e in found.events]
    assert ["required_missing"] * 2 == [refusal.reason for refusal in found.refusals]


MINIMAL = {
    "signature": {"header": "X-Sign"},
    "type": "kind",
    "id": "id",
    "user": "who",
    "timestamp": "at",
    "events": [{"type": "sale", "event": "Order Completed", "properties": {"order_id": "no"}}],
}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"type": "a["}, r"erp.toml: vendors.erp: type: 'a\[' is no JMESPath"),
        ({"user": "cust0mer(id)"}, r"user: .* calls cust0mer\(\), which there is not"),
        ({"id": "money(a)"}, r"id: .* money\(\) takes 2 values"),
        ({"id": "header(a)"}, r"header\('X-Topic'\)"),
        (
            {"events": [{"type": "sale", "event": "Order Complete"}]},
            r"events\[0\].event: 'Order Complete' is no event that is known; did you mean Order Co",
        ),
        ({"events": [{"type": "a", "event": "identify"}]}, "keepstream schema"),
        (
            {"events": [{"type": "a", "event": "Order Completed", "properties": {"x": "]"}}]},
            r"events\[0\].properties.x: ",
        ),
        ({"events": [{"type": "a", "event": "Order Completed", "whn": "b"}]}, "whn.*vendors.md"),
        ({"signature": {"header": "X Y"}}, "expected the name of an HTTP header"),
        ({"signature": {"header": "X", "signed": "x"}}, "write {body} once"),
        ({"signature": {"header": "X", "signed": "{body}{a b}"}}, "write {body} once"),
        ({"signature": {"header": "X", "signed": "{timestamp}{body}"}}, "timestamp_header"),
        ({"signature": {"header": "X", "timestamp_header": "T"}}, "add {timestamp} in signed"),
        ({"signature": {"header": "X", "tolerance": "5min"}}, "leave it out"),
        ({"decimals": {"0": ["jpy"]}}, "three capital letters"),
    ],
)
def test_a_mapping_that_can_not_be_used_is_refused_at_the_start(
    changes: dict[str, Any], words: str
) -> None:
    where = "erp.toml: vendors.erp"
    VendorMapping(vendor_in(MINIMAL, where), where)
    with pytest.raises(RuleError, match=words):
        VendorMapping(vendor_in({**MINIMAL, **changes}, where), where)

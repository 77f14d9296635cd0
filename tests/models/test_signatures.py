"""Signatures as vendors document them. The expected ones were made by `openssl dgst -hmac`."""

import hmac
from base64 import b64encode
from collections.abc import Mapping
from datetime import UTC, datetime

import pytest
from standardwebhooks.webhooks import Webhook

from config.duration import DurationMs
from config.vendors import SignatureRule, shipped_vendor
from models.collecting.signatures import is_signed

BODY = b'{"id": "a"}'
NOW_MS = 1_700_000_000_000
AT, AT_ISO = "1700000000", "2023-11-14T22:13:20Z"
#: By the secrets `old` and `new`.
SHOPIFY = (
    "nIQPEm+rQdxiEa3YH0jNLKs4TbzyV3j98fLWr8SUhvA=",
    "nhhgXhjy5QIRov/9bHji1PGnlLpQa6S1V7kooz4a0gA=",
)
STRIPE = (
    "555cd389d58001cf350bd739633515e69f9e7ef1f8eb9502a412b959cafce1c9",
    "ea063b63d1dbc62f721e9195b27a60a3af397c468a84ab09fc5d618c87388908",
)
ZENDESK = (
    "DfQBSFFEqPrbqTW1aE8yZ7lGDDfJIFinhIPTzD90p1w=",
    "UKlI6rThKr64QAOR6yNwpOmsYeKheAGjjDrvYz3y5DM=",
)
INTERCOM = (
    "d28a8309768a02c66902f1b7c5b280257895faaa",
    "982b82195497707c7d5865ea3eefe8fdc79126bb",
)
GOOD: dict[str, list[Mapping[str, str]]] = {
    "shopify": [{"X-Shopify-Hmac-Sha256": one} for one in SHOPIFY],
    "stripe": [
        *({"Stripe-Signature": f"t={AT},v1={one}"} for one in STRIPE),
        # While Stripe rolls a secret it signs with both; v0 is of test events.
        {"Stripe-Signature": f"t={AT},v1={'0' * 64},v1={STRIPE[1]},v0={'0' * 64}"},
        {"Stripe-Signature": f"t={AT}, v1={STRIPE[0]}"},
    ],
    "zendesk": [
        {"X-Zendesk-Webhook-Signature": one, "X-Zendesk-Webhook-Signature-Timestamp": AT_ISO}
        for one in ZENDESK
    ],
    "intercom": [{"X-Hub-Signature": f"sha1={one}"} for one in INTERCOM],
}
BAD: dict[str, list[Mapping[str, str]]] = {
    "shopify": [{"X-Shopify-Hmac-Sha256": SHOPIFY[0].lower()}, {"X-Other": SHOPIFY[0]}],
    "stripe": [
        {"Stripe-Signature": f"v1={STRIPE[0]}"},
        {"Stripe-Signature": f"t={AT},v0={STRIPE[0]}"},
        {"Stripe-Signature": f"t={AT[:-1]}1,v1={STRIPE[0]}"},
        {"Stripe-Signature": f"t=now,v1={STRIPE[0]}"},
        {"Stripe-Signature": "t=1" + "0" * 5_000 + f",v1={STRIPE[0]}"},
        {"Stripe-Signature": STRIPE[0]},
    ],
    "zendesk": [
        {"X-Zendesk-Webhook-Signature": ZENDESK[0]},
        {
            "X-Zendesk-Webhook-Signature": ZENDESK[0],
            "X-Zendesk-Webhook-Signature-Timestamp": "2023-11-14T22:13:21Z",
        },
        {
            "X-Zendesk-Webhook-Signature": ZENDESK[0],
            "X-Zendesk-Webhook-Signature-Timestamp": AT_ISO + "{body}",
        },
    ],
    "intercom": [
        {"X-Hub-Signature": INTERCOM[0]},
        {"X-Hub-Signature": f"sha256={INTERCOM[0]}"},
        {"X-Hub-Signature": f"sha1={INTERCOM[0].upper()}"},
    ],
}
EVERYWHERE: list[Mapping[str, str]] = [{}, {"X-Hub-Signature": "\udcff"}]


def signed(
    vendor: str,
    headers: Mapping[str, str],
    *,
    body: bytes = BODY,
    secrets: tuple[str, ...] = ("new", "old"),
    now_ms: int = NOW_MS,
) -> bool:
    lowered = {name.lower(): value for name, value in headers.items()}
    return is_signed(shipped_vendor(vendor).signature, secrets, lowered, body, now_ms)


@pytest.mark.parametrize(("vendor", "headers"), [(n, h) for n, all_ in GOOD.items() for h in all_])
def test_what_a_vendor_signed_is_taken(vendor: str, headers: Mapping[str, str]) -> None:
    assert signed(vendor, headers)
    assert not signed(vendor, headers, body=BODY + b" ")
    assert not signed(vendor, headers, secrets=("other",))


@pytest.mark.parametrize(
    ("vendor", "headers"),
    [(n, h) for n, all_ in BAD.items() for h in (*all_, *EVERYWHERE)],
)
def test_nothing_else_is(vendor: str, headers: Mapping[str, str]) -> None:
    assert not signed(vendor, headers)


@pytest.mark.parametrize("vendor", GOOD)
def test_during_a_rotation_both_secrets_count_and_after_it_the_new_one(vendor: str) -> None:
    old, new, *_ = GOOD[vendor]

    assert [True, True] == [signed(vendor, one) for one in (old, new)]
    assert [False, True] == [signed(vendor, one, secrets=("new",)) for one in (old, new)]


def test_the_beginning_of_a_body_can_not_pass_for_a_time() -> None:
    headers = {**GOOD["zendesk"][0]}
    headers["X-Zendesk-Webhook-Signature-Timestamp"] += BODY.decode()[:4]

    assert not signed("zendesk", headers, body=BODY[4:])


def test_a_signature_of_stripes_is_good_for_five_minutes() -> None:
    headers = GOOD["stripe"][0]
    for late_ms, is_good in ((300_000, True), (300_001, False), (-300_001, False)):
        assert is_good == signed("stripe", headers, now_ms=NOW_MS + late_ms)


def test_standard_webhooks_are_a_form_like_others() -> None:
    rule = SignatureRule(
        header="webhook-signature",
        separator=" ",
        prefix="v1,",
        encoding="base64",
        key="base64",
        signed="{webhook-id}.{timestamp}.{body}",
        timestamp_header="webhook-timestamp",
        tolerance=DurationMs(300_000),
    )
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    at = datetime.fromtimestamp(NOW_MS / 1_000, UTC)
    # The standard's own library signs.
    signed_by = Webhook(secret).sign("msg_1", at, BODY.decode())
    headers = {
        "webhook-id": "msg_1",
        "webhook-timestamp": AT,
        "webhook-signature": f"v1,AAAA {signed_by}",
    }

    assert is_signed(rule, (secret,), headers, BODY, NOW_MS)
    for name in headers:
        assert not is_signed(rule, (secret,), {**headers, name: "msg_2"}, BODY, NOW_MS)
        less = {one: value for one, value in headers.items() if one != name}
        assert not is_signed(rule, (secret,), less, BODY, NOW_MS)


def test_a_signed_time_may_be_in_milliseconds() -> None:
    # As HubSpot signs: the method, the address, the body and the time.
    rule = SignatureRule(
        header="X-HubSpot-Signature-v3",
        encoding="base64",
        signed="POSThttps://shop.example/webhooks/hubspot{body}{timestamp}",
        timestamp_header="X-HubSpot-Request-Timestamp",
        tolerance=DurationMs(300_000),
    )
    content = b"POSThttps://shop.example/webhooks/hubspot" + BODY + f"{NOW_MS}".encode()
    headers = {
        "x-hubspot-signature-v3": b64encode(hmac.digest(b"new", content, "sha256")).decode(),
        "x-hubspot-request-timestamp": f"{NOW_MS}",
    }

    for late_ms, is_good in ((0, True), (300_000, True), (300_001, False)):
        assert is_good == is_signed(rule, ("new",), headers, BODY, NOW_MS + late_ms)

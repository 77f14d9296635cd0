"""Anything that a vendor sends becomes events or is refused with a fix, and nothing breaks."""

import json
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from config.vendors import SHIPPED, shipped_vendor
from models.collecting.arrival import Arrival
from models.collecting.signatures import is_signed
from models.collecting.vendor_mapping import VendorMapping, Webhook
from models.events.dead_letter import decode_dead_letter
from streams.collector.intake import Intake
from tests.models.lines import PARAMETERS
from tests.properties.test_senders import junk, texts

NOW_MS = 1_700_000_000_000
PARTITIONS = dict.fromkeys(("clickstream", "transactions", "support", "feedback"), 2)
MAPPINGS = {name: VendorMapping(shipped_vendor(name), name) for name in SHIPPED}
FOLDER = Path(__file__).parents[1] / "models" / "webhooks"
DOCUMENTED = [json.loads(path.read_text()) for path in sorted(FOLDER.glob("*.json"))]


def answered(vendor: str, headers: dict[str, str], body: bytes) -> Intake:
    intake = Intake(
        Arrival(NOW_MS), PARAMETERS, {**PARTITIONS, "dead-letters": 2}, "shop", is_trusted=False
    )
    lowered = {name.lower(): value for name, value in headers.items()}
    intake.take_webhook(Webhook("shop", lowered, body), MAPPINGS[vendor])
    return intake


def require_an_answer(intake: Intake, body: bytes) -> None:
    letters = [one.value for one in intake.records if one.topic == "dead-letters"]
    assert len(letters) == intake.refused.total() <= 1
    for content in letters:
        letter = decode_dead_letter(content)
        assert body == letter.content()
        assert letter.fix
        assert "shop" == letter.sender
    for event in (one.value for one in intake.records if one.topic != "dead-letters"):
        assert json.loads(event)["messageId"].startswith("shop:")


@given(vendor=st.sampled_from(SHIPPED), body=st.binary(max_size=99), topic=texts)
def test_any_bytes_have_an_answer(vendor: str, body: bytes, topic: str) -> None:
    require_an_answer(answered(vendor, {"X-Shopify-Topic": topic}, body), body)


@st.composite
def changed(draw: st.DrawFn, value: Any) -> Any:
    """A documented body in which any value may be replaced, or missing."""
    if draw(st.integers(0, 19)) == 0:
        return draw(junk)
    if isinstance(value, dict):
        kept = {name: one for name, one in value.items() if draw(st.integers(0, 19)) > 0}
        return {name: draw(changed(one)) for name, one in kept.items()}
    if isinstance(value, list):
        return [draw(changed(one)) for one in value]
    return value


@given(data=st.data())
def test_a_webhook_like_a_documented_one_has_an_answer(data: st.DataObject) -> None:
    webhook = data.draw(st.sampled_from(DOCUMENTED))
    body = json.dumps(data.draw(changed(webhook["body"]))).encode()
    require_an_answer(answered(webhook["vendor"], webhook["headers"], body), body)


@given(vendor=st.sampled_from(SHIPPED), value=texts, stamp=texts, body=st.binary(max_size=20))
def test_no_header_breaks_the_check_of_a_signature(
    vendor: str, value: str, stamp: str, body: bytes
) -> None:
    rule = shipped_vendor(vendor).signature
    headers = {rule.header.lower(): value, (rule.timestamp_header or "t").lower(): stamp}
    assert not is_signed(rule, ("secret",), headers, body, NOW_MS)

"""Refused events go back to where they came from, whichever step refused them."""

import msgspec
import pytest

from config.topics import SUPPORT, TRANSACTIONS
from config.vendors import shipped_vendor
from models.admission import admit
from models.collecting.vendor_mapping import OwnIds, VendorMapping
from models.events.dead_letter import (
    WEBHOOK,
    DeadLetter,
    dead_letter,
    decode_dead_letter,
    encode_dead_letter,
)
from models.events.event import Source
from models.events.rejection import Reason, Rejected
from models.events.wire import EVENT_BYTES_MAX, encode_log_event
from streams.collector.webhook_letters import WebhookReader
from streams.dead_letters import is_retried, parcel_of
from tests.models.lines import PARAMETERS, at, line

SOURCE = Source(TRANSACTIONS, 1, 7, at(), "AbCdEfGh")


def letter(raw: bytes, *, step: str = "ingest", reason: Reason = Reason.TOO_LARGE) -> DeadLetter:
    return dead_letter(Rejected(reason, "$"), raw, step=step, source=SOURCE)


@pytest.mark.parametrize("step", ["ingest", "profile"])
def test_what_any_step_refused_is_retried(step: str) -> None:
    assert is_retried(letter(b"{}", step=step), include_late=False)
    late = letter(b"{}", step=step, reason=Reason.TOO_LATE)
    assert [False, True] == [is_retried(late, include_late=one) for one in (False, True)]


def test_what_profile_refused_goes_back_as_it_was_sent_and_is_taken() -> None:
    """Without what ingest added, which would count towards the size of an event."""
    padding = EVENT_BYTES_MAX - len(line("page", at(), message="m-1", channel=""))
    sent = line("page", at(), message="m-1", channel="c" * padding)
    logged = encode_log_event(admit(sent, PARAMETERS, message_id="", source=SOURCE))
    assert len(sent) == EVENT_BYTES_MAX < len(logged)

    parcel = parcel_of(letter(logged, step="profile"))
    assert (TRANSACTIONS, b"ada") == (parcel.topic, parcel.key)
    assert {"source", "logFormat"}.isdisjoint(msgspec.json.decode(parcel.value))
    assert logged == encode_log_event(admit(parcel.value, PARAMETERS, message_id="", source=SOURCE))


@pytest.mark.parametrize("raw", [b"", b"\xff", b"[1]", b'{"type":', b"[" * 5_000])
def test_what_is_no_event_goes_back_as_it_is(raw: bytes) -> None:
    assert raw == parcel_of(letter(raw, step="profile")).value


def test_an_event_without_a_message_id_gets_that_of_its_place_on_its_topic() -> None:
    """It also contains the generation of the topic: another one has the same offsets."""
    raw = msgspec.json.encode({"type": "page", "userId": "ada"})
    parcel = parcel_of(dead_letter(Rejected(Reason.BAD_JSON), raw, step="ingest", source=SOURCE))
    assert "transactions-1-7-AbCdEfGh" == msgspec.json.decode(parcel.value)["messageId"]
    old = Source(SUPPORT, 1, 7, at())
    parcel = parcel_of(dead_letter(Rejected(Reason.BAD_JSON), raw, step="ingest", source=old))
    assert "support-1-7" == msgspec.json.decode(parcel.value)["messageId"]


def test_a_refused_webhook_is_read_again_by_a_mended_mapping() -> None:
    body = msgspec.json.encode({"id": 5, "created_at": "2026-03-01T10:00:00Z", "note": "ada"})
    headers = {"x-shopify-topic": "orders/create", "x-shopify-webhook-id": "d-1"}
    refused = dead_letter(
        Rejected(Reason.NO_IDENTITY), body, step=WEBHOOK, sender="shop", headers=headers
    )
    kept = decode_dead_letter(encode_dead_letter(refused))
    mended = VendorMapping(shipped_vendor("shopify"), "x", OwnIds("y", "note"))
    [parcel] = WebhookReader({"shop": mended})(kept)

    event = msgspec.json.decode(parcel.value)
    assert (TRANSACTIONS, b"ada", "ada") == (parcel.topic, parcel.key, event["userId"])
    assert "shop:d-1:order-completed" == event["messageId"]


def test_webhooks_that_can_not_be_read_again_stay_and_are_counted() -> None:
    mapping = VendorMapping(shipped_vendor("stripe"), "x")
    reader = WebhookReader({"shop": mapping})
    for sender in ("shop", "shop", "other"):
        refused = Rejected(Reason.BAD_JSON)
        assert [] == reader(dead_letter(refused, b"{", step=WEBHOOK, sender=sender))

    assert ({"other": 1}, 2) == (reader.unknown, reader.unread)

"""The standard's own library verifies what is signed."""

import binascii
from base64 import b64encode
from time import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from streams.webhooks.signatures import signed_headers

OLD, NEW = b"o" * 32, b"n" * 32


def webhook(key: bytes) -> Webhook:
    return Webhook("whsec_" + b64encode(key).decode())


@given(body=st.text(max_size=200), message_id=st.from_regex(r"[a-z0-9-]{1,40}", fullmatch=True))
def test_the_official_library_verifies_it(body: str, message_id: str) -> None:
    headers = signed_headers(message_id, int(time()), body.encode(), [NEW])

    webhook(NEW).verify(body, headers, json_parse=False)
    with pytest.raises(WebhookVerificationError):
        webhook(NEW).verify(body + " ", headers, json_parse=False)
    with pytest.raises(WebhookVerificationError):
        webhook(NEW).verify(body, {**headers, "webhook-id": "another"}, json_parse=False)


def test_while_a_secret_is_changed_receivers_with_either_one_verify_it() -> None:
    headers = signed_headers("m", int(time()), b"{}", [NEW, OLD])

    for key in (OLD, NEW):
        webhook(key).verify(b"{}", headers)
    with pytest.raises((WebhookVerificationError, binascii.Error)):
        webhook(b"x" * 32).verify(b"{}", headers)

"""Signatures of Standard Webhooks: https://www.standardwebhooks.com, version 1.0.

It takes twenty lines of the standard library. The standard's own package is for receivers; tests
use it to verify these signatures.
"""

import hmac
from base64 import b64encode
from collections.abc import Sequence

ID, TIMESTAMP, SIGNATURE = "webhook-id", "webhook-timestamp", "webhook-signature"


def signed_headers(
    message_id: str, at_s: int, body: bytes, keys: Sequence[bytes]
) -> dict[str, str]:
    """The three headers, with one signature for each key. A receiver that knows one of the keys
    accepts the message, so changing a secret loses no message.
    """
    signed = f"{message_id}.{at_s}.".encode() + body
    signatures = (b64encode(hmac.digest(key, signed, "sha256")).decode() for key in keys)
    return {
        ID: message_id,
        TIMESTAMP: str(at_s),
        SIGNATURE: " ".join(f"v1,{signature}" for signature in signatures),
    }

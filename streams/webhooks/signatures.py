"""Signatures of Standard Webhooks: https://www.standardwebhooks.com, version 1.0.

Twenty lines of the standard library: the standard's own package is for receivers, and tests verify
with it what is signed here.
"""

import hmac
from base64 import b64encode
from collections.abc import Sequence

ID, TIMESTAMP, SIGNATURE = "webhook-id", "webhook-timestamp", "webhook-signature"


def signed_headers(
    message_id: str, at_s: int, body: bytes, keys: Sequence[bytes]
) -> dict[str, str]:
    """The three headers. With several keys there are as many signatures, and a receiver that knows
    one of them takes the message: so a secret is changed without losing any.
    """
    signed = f"{message_id}.{at_s}.".encode() + body
    signatures = (b64encode(hmac.digest(key, signed, "sha256")).decode() for key in keys)
    return {
        ID: message_id,
        TIMESTAMP: str(at_s),
        SIGNATURE: " ".join(f"v1,{signature}" for signature in signatures),
    }

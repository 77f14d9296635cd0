"""Checks the signatures of webhooks."""

import hmac
from base64 import b64encode
from collections.abc import Mapping, Sequence
from typing import Final

from config.vendors import BODY, PLACE, SignatureRule, key_in
from models.events.times import milliseconds, moment_of, since_1970

#: A header with more parts is no list of signatures.
_PARTS_MAX: Final = 16


def is_signed(
    rule: SignatureRule,
    secrets: Sequence[str],
    headers: Mapping[str, str],
    body: bytes,
    now_ms: int,
) -> bool:
    """Whether ``body`` has a recent enough signature made with one of ``secrets``.

    ``headers``: by lower-case names. Signatures are compared in constant time.
    """
    stated = headers.get(rule.header.lower(), "")
    parts = stated.split(rule.separator, _PARTS_MAX) if rule.separator else [stated]
    parts = [part.strip() for part in parts]
    timestamp = _timestamp(rule, headers, parts)
    if timestamp is None or (timestamp and not _is_recent(rule, timestamp, now_ms)):
        return False
    told = {**headers, "timestamp": timestamp}
    around = [_filled(part, told) for part in rule.signed.split(BODY)]
    if None in around:
        return False
    content = body.join(_bytes(part or "") for part in around)
    given = [one.removeprefix(rule.prefix) for one in parts if one.startswith(rule.prefix)]
    expected = [_signature(rule, secret, content) for secret in secrets]
    # Compare all of them, so that the time taken does not reveal which one matched.
    found = [hmac.compare_digest(_bytes(one), _bytes(other)) for one in given for other in expected]
    return any(found)


def _filled(text: str, told: Mapping[str, str]) -> str | None:
    """A part of the signed text with its placeholders filled in; None if a value is missing."""
    names = [place[1:-1].lower() for place in PLACE.findall(text)]
    if not all(name in told for name in names):
        return None
    return PLACE.sub(lambda place: told[place[0][1:-1].lower()], text)


def _signature(rule: SignatureRule, secret: str, content: bytes) -> str:
    """The signature in the header's encoding, without the prefix."""
    digest = hmac.new(_key(rule, secret), content, rule.algorithm)
    return b64encode(digest.digest()).decode() if rule.encoding == "base64" else digest.hexdigest()


def _key(rule: SignatureRule, secret: str) -> bytes:
    return key_in(secret) if rule.key == "base64" else secret.encode()


def _timestamp(rule: SignatureRule, headers: Mapping[str, str], parts: Sequence[str]) -> str | None:
    """The signed time; empty if the rule has none; None if it is missing."""
    prefix = rule.timestamp_prefix
    if rule.timestamp_header is not None:
        stated = headers.get(rule.timestamp_header.lower())
    elif prefix:
        stated = next((one.removeprefix(prefix) for one in parts if one.startswith(prefix)), None)
    else:
        return ""
    return stated or None


def _is_recent(rule: SignatureRule, timestamp: str, now_ms: int) -> bool:
    """Whether it is a time and, if there is a tolerance, within it. A value that is no time is
    refused, because it could be the beginning of a body that was signed.
    """
    if timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= len(str(now_ms)):
        moment = since_1970(int(timestamp))
    else:
        moment = moment_of(timestamp)
    if moment is None:
        return False
    at_ms = milliseconds(moment)
    return rule.tolerance is None or abs(now_ms - at_ms) <= rule.tolerance


def _bytes(text: str) -> bytes:
    # Header values may hold any bytes, and compare_digest accepts only ASCII text.
    return text.encode("utf-8", "surrogatepass")

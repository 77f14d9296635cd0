"""How vendors' webhooks become events, as data: ``vendors/NAME.toml``, or a table of the same form
in an operator's file of sources.

Here is their form. Expressions stay texts: `models.collecting.vendor_mapping` knows what they mean.
"""

import re
import tomllib
from base64 import b64decode
from collections.abc import Mapping
from importlib import resources
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta, Struct

from config.duration import DAY_MS, DurationMs, convert
from config.refusal_words import in_words, pattern
from config.rules import RuleError

#: Those that are shipped, each a file of its name.
SHIPPED: Final = ("intercom", "shopify", "stripe", "zendesk")
EVENTS_MAX: Final = 200
_TOLERANCE_MAX_MS: Final = DAY_MS
PLACE: Final = re.compile(r"\{[^}]*\}")
_PLACE_NAME: Final = re.compile(r"\{[A-Za-z0-9-]{1,64}\}")
#: What a signature may be of.
BODY, TIMESTAMP = "{body}", "{timestamp}"

_HeaderName = Annotated[str, pattern(r"^[A-Za-z0-9-]{1,64}\Z", "the name of an HTTP header")]
_Currency = Annotated[str, pattern(r"^[A-Z]{3}\Z", "the three capital letters of a currency")]
_Words = Annotated[str, Meta(min_length=1, max_length=256)]
_Expression = Annotated[str, Meta(min_length=1, max_length=2_000)]


class SignatureRule(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How a vendor signs: HMAC of ``signed`` with the secret.

    ``header`` holds the signature after ``prefix``, and of a list that ``separator`` divides any
    part that begins so. ``signed`` is the text that is signed, in which ``{body}`` stands for the
    very bytes and ``{timestamp}`` for a time in ``timestamp_header``, or in the part of ``header``
    that begins with ``timestamp_prefix``; any other ``{name}`` is that header. ``tolerance``: how
    far that time may be from ours. ``key``: the secret as it stands, or what it is in base64, after
    ``whsec_`` if it begins so.
    """

    header: _HeaderName
    algorithm: Literal["sha1", "sha256", "sha512"] = "sha256"
    encoding: Literal["hex", "base64"] = "hex"
    prefix: str = ""
    separator: str = ""
    signed: str = BODY
    timestamp_header: _HeaderName | None = None
    timestamp_prefix: str = ""
    tolerance: DurationMs | None = None
    key: Literal["text", "base64"] = "text"


class EventRule(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One event that webhooks of some ``type`` become, when the expression ``when`` holds.

    ``each``: a list, each thing of which becomes an event and is `each` in the other expressions.
    ``within``: what is older than the webhook by more is left out, as it was told before.
    ``id``, ``user``, ``guest``, ``timestamp`` and ``channel``: instead of the vendor's.
    """

    type: _Words | Annotated[tuple[_Words, ...], Meta(min_length=1)]
    event: _Words
    when: _Expression | None = None
    each: _Expression | None = None
    within: DurationMs | None = None
    id: _Expression | None = None
    user: _Expression | None = None
    guest: _Expression | None = None
    timestamp: _Expression | None = None
    channel: _Expression | None = None
    properties: dict[_Words, _Expression] = {}

    @property
    def types(self) -> tuple[str, ...]:
        return (self.type,) if isinstance(self.type, str) else self.type


class VendorRule(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A vendor: where a webhook says what it is (``type``), which one (``id``, the same when it is
    delivered again), of whom (``user``, else ``guest``) and when.

    ``skip``: webhooks for which it holds are left out. ``decimals``: currencies whose amounts in
    smallest units have another number of decimals than two.
    """

    documentation: str = ""
    signature: SignatureRule
    type: _Expression
    id: _Expression
    user: _Expression
    guest: _Expression | None = None
    timestamp: _Expression
    channel: _Expression | None = None
    skip: _Expression | None = None
    decimals: dict[Literal["0", "1", "2", "3", "4"], tuple[_Currency, ...]] = {}
    events: Annotated[tuple[EventRule, ...], Meta(min_length=1, max_length=EVENTS_MAX)]


def shipped_vendor(name: str) -> VendorRule:
    """The vendor that is shipped under this name."""
    file = f"vendors/{name}.toml"
    content = resources.files("config").joinpath(file).read_text("utf-8")
    return vendor_in(tomllib.loads(content), f"config/{file}")


def vendor_in(table: Mapping[str, Any], where: str) -> VendorRule:
    """The vendor in a table; ``where``: its file and path, for messages. Raises `RuleError`."""
    try:
        vendor = msgspec.convert(table, VendorRule, dec_hook=convert)
    except msgspec.ValidationError as error:
        raise RuleError(
            f"{where}: {in_words(error)}; docs/vendors.md shows the form of a vendor"
        ) from None
    _check_signature(vendor.signature, f"{where}: signature")
    return vendor


def key_in(secret: str) -> bytes:
    """The bytes that a secret is in base64, as Standard Webhooks has it. Raises ``ValueError``."""
    return b64decode(secret.removeprefix("whsec_"), validate=True)


def _check_signature(rule: SignatureRule, where: str) -> None:
    places = PLACE.findall(rule.signed)
    if places.count(BODY) != 1 or not all(map(_PLACE_NAME.fullmatch, places)):
        raise RuleError(
            f"{where}: signed is {rule.signed!r}: write {BODY} once, and {TIMESTAMP} or the name "
            f"of a header in braces if these are signed, too"
        )
    times = [name for name in ("timestamp_header", "timestamp_prefix") if getattr(rule, name)]
    if len(times) > 1:
        raise RuleError(f"{where}: timestamp_header and timestamp_prefix: give the one that is so")
    if (TIMESTAMP in places) != bool(times):
        missing = "timestamp_header, or timestamp_prefix" if not times else f"{TIMESTAMP} in signed"
        raise RuleError(f"{where}: a time that is signed is named and signed: add {missing}")
    if rule.tolerance is not None and not times:
        raise RuleError(f"{where}: tolerance is of a signed time, and there is none: leave it out")
    if rule.tolerance is not None and not 0 < rule.tolerance <= _TOLERANCE_MAX_MS:
        raise RuleError(f"{where}: tolerance is more than 0 s and at most 1d: 5min is usual")
    if rule.timestamp_prefix and not rule.separator:
        raise RuleError(f"{where}: timestamp_prefix is of a part of a list: add separator")

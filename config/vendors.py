"""The form of vendor mappings, which say how webhooks become events: ``vendors/NAME.toml``, or a
table of the same form in an operator's file of sources.

Expressions remain texts here; `models.collecting.vendor_mapping` knows what they mean.
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

#: The shipped vendors; each has a file of its name.
SHIPPED: Final = ("intercom", "shopify", "stripe", "zendesk")
EVENTS_MAX: Final = 200
_TOLERANCE_MAX_MS: Final = DAY_MS
PLACE: Final = re.compile(r"\{[^}]*\}")
_PLACE_NAME: Final = re.compile(r"\{[A-Za-z0-9-]{1,64}\}")
#: Placeholders in the text that is signed.
BODY, TIMESTAMP = "{body}", "{timestamp}"

_HeaderName = Annotated[str, pattern(r"^[A-Za-z0-9-]{1,64}\Z", "the name of an HTTP header")]
_Currency = Annotated[str, pattern(r"^[A-Z]{3}\Z", "the three capital letters of a currency")]
_Words = Annotated[str, Meta(min_length=1, max_length=256)]
_Expression = Annotated[str, Meta(min_length=1, max_length=2_000)]


class SignatureRule(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How a vendor signs: HMAC of ``signed`` with the secret.

    ``header`` holds the signature after ``prefix``. If ``separator`` divides it into a list, every
    part with the prefix is a signature. ``signed`` is the text that is signed: ``{body}`` stands
    for the body's bytes, ``{timestamp}`` for the time in ``timestamp_header`` or in the part of
    ``header`` after ``timestamp_prefix``, and any other ``{name}`` for that header. ``tolerance``:
    how far that time may be from the present. ``key``: the secret as text, or decoded from base64,
    without ``whsec_`` if it begins so.
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
    """An event that webhooks of a ``type`` become if the expression ``when`` holds.

    ``each``: a list; each member becomes an event, and is `each` in the other expressions.
    ``within``: events older than the webhook by more than this are left out, as an earlier webhook
    reported them. ``id``, ``user``, ``guest``, ``timestamp`` and ``channel`` replace the vendor's.
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
    """A vendor: the expressions for a webhook's ``type``, its ``id`` (the same when it is delivered
    again), its customer (``user``, else ``guest``) and its ``timestamp``.

    ``skip``: webhooks for which it holds are left out. ``decimals``: the currencies whose smallest
    units do not have two decimals, by their number of decimals.
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
    """A secret decoded from base64, as in Standard Webhooks. Raises ``ValueError``."""
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

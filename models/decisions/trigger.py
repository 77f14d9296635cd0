"""A retention trigger and its receipt."""

from enum import StrEnum
from hashlib import blake2b

import msgspec
from msgspec import Struct

from models.events.wire import iso


class Kind(StrEnum):
    """Every retention trigger there is."""

    CART_ABANDONED = "cart-abandoned"
    PURCHASE_OVERDUE = "purchase-overdue"
    LOW_SATISFACTION = "low-satisfaction"
    TICKET_OVERDUE = "ticket-overdue"


class Cause(Struct, frozen=True, rename="camel", omit_defaults=True):
    """What brought the decision about: an event, or a deadline that passed in silence."""

    message_id: str | None = None
    deadline: str | None = None

    @property
    def text(self) -> str:
        return self.message_id if self.message_id is not None else f"deadline:{self.deadline}"


class ReasonCode(Struct, frozen=True, gc=False):
    """One fact that led to the decision: a code to compute with, words to read."""

    code: str
    value: float
    words: str


class Trigger(Struct, frozen=True, rename="camel"):
    """Something marketing automation should act on, once."""

    id: str
    kind: Kind
    rule_version: int
    user_id: str
    timestamp: str
    cause: Cause
    reasons: tuple[ReasonCode, ...]
    model_version: int


def trigger(
    kind: Kind,
    *,
    rule_version: int,
    customer: str,
    at_ms: int,
    cause: Cause,
    reasons: tuple[ReasonCode, ...],
    model_version: int,
) -> Trigger:
    """A trigger whose id depends on its rule, its customer and its cause alone.

    However batches were cut and however often the log is read again, the id is the same.
    """
    return Trigger(
        id=_identifier(kind, str(rule_version), customer, cause.text),
        kind=kind,
        rule_version=rule_version,
        user_id=customer,
        timestamp=iso(at_ms),
        cause=cause,
        reasons=reasons,
        model_version=model_version,
    )


def encode_trigger(decided: Trigger) -> bytes:
    """The trigger as plain JSON."""
    return msgspec.json.encode(decided)


def _identifier(*parts: str) -> str:
    # A separator that no part may contain keeps ("a", "bc") and ("ab", "c") apart.
    return blake2b("\x1f".join(parts).encode(), digest_size=16).hexdigest()

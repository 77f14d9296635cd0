"""What was decided, with its receipt: retention triggers and next best actions."""

from hashlib import blake2b
from typing import Final

import msgspec
from msgspec import Struct

from models.customer.churn_reason import ChurnReason

NEXT_BEST_ACTION: Final = "next-best-action"


class Cause(Struct, frozen=True, rename="camel", omit_defaults=True):
    """What brought the decision about: an event, or a deadline that passed in silence."""

    message_id: str | None = None
    deadline: str | None = None

    @property
    def text(self) -> str:
        return self.message_id if self.message_id is not None else f"deadline:{self.deadline}"


class ReasonCode(Struct, frozen=True, omit_defaults=True):
    """One fact that led to the decision: a code to compute with, words to read.

    ``contribution``: what a part of the churn score adds to its log odds; of such a part, ``value``
    says whether it raises or lowers it, and the one called base has none.
    """

    code: str
    value: float | str | None
    words: str
    contribution: float | None = None


class ChurnReceipt(Struct, frozen=True, rename="camel"):
    """The churn score at the decision, whose word it is, and what every scorer said."""

    probability: float
    horizon_days: float
    source: str
    model_version: int
    scorer: str | None = None
    scores: dict[str, float] = {}


class Trigger(Struct, frozen=True, rename="camel", tag="retention-trigger", tag_field="type"):
    """Something marketing automation should act on, once.

    ``gates`` it passed: its condition, its threshold, its cooldown. ``value_at_stake`` is in the
    shop's currency.
    """

    id: str
    kind: str
    rule_version: int
    user_id: str
    timestamp: str
    cause: Cause
    reasons: tuple[ReasonCode, ...]
    churn: ChurnReceipt | None
    value_at_stake: float
    gates: tuple[str, ...]
    model_version: int
    churn_reason: ChurnReason | None = None


class Priority(Struct, frozen=True, rename="camel"):
    """priority = propensity * context weight * value * lever - cost, with each factor."""

    propensity: float
    context_weight: float
    value: float
    lever: float
    cost: float
    priority: float


class Ranked(Struct, frozen=True, rename="camel"):
    """An action whose gates were open, and how it ranked."""

    action: str
    priority: Priority


class Suppressed(Struct, frozen=True, rename="camel"):
    """An action that was not to be, and the gate that was shut."""

    action: str
    by: str


class NextBestAction(Struct, frozen=True, rename="camel", tag=NEXT_BEST_ACTION, tag_field="type"):
    """The one action most worth taking; ``group`` control means: do not take it, that is how its
    effect is measured. Chosen + outranked + suppressed are all actions there are.
    """

    id: str
    kind: str
    catalogue_version: int
    user_id: str
    timestamp: str
    cause: Cause
    triggers: tuple[str, ...]
    group: str
    action: str
    channel: str
    owner: str
    due_at: str
    priority: Priority
    chosen_probability: float
    gates: tuple[str, ...]
    outranked: tuple[Ranked, ...]
    suppressed: tuple[Suppressed, ...]
    reasons: tuple[ReasonCode, ...]
    churn: ChurnReceipt | None
    value_at_stake: float
    model_version: int
    churn_reason: ChurnReason | None = None


Decision = Trigger | NextBestAction


def encode_decision(decision: Decision) -> bytes:
    """The decision as plain JSON."""
    return msgspec.json.encode(decision)


_DECODER: msgspec.json.Decoder[Decision] = msgspec.json.Decoder(Decision)


def decode_decision(content: bytes) -> Decision:
    """Raises ``msgspec.DecodeError`` when ``content`` is no decision."""
    return _DECODER.decode(content)


def decision_id(rule: str, version: int, customer: str, cause: Cause) -> str:
    """An id that depends on the rule, the customer and the cause alone.

    However batches were cut and however often the log is read again, the id is the same.
    """
    # A separator that no part but the last may contain keeps ("a", "bc") and ("ab", "c") apart.
    text = "\x1f".join((rule, str(version), customer, cause.text))
    return blake2b(text.encode(), digest_size=16).hexdigest()

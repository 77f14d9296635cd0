"""The decisions, with their reasons: retention triggers and next best actions."""

from datetime import datetime
from hashlib import blake2b
from typing import Final, NamedTuple

import msgspec
from msgspec import UNSET, Struct, UnsetType

from models.customer.churn_reason import ChurnReason
from models.events.foreign import Foreign, decoded
from models.events.times import LATEST_MS, milliseconds, moment_of

# Copying a hash object costs less than making one.
_EMPTY = blake2b(digest_size=16)
NEXT_BEST_ACTION: Final = "next-best-action"
ACTION_WITHDRAWN: Final = "action-withdrawn"


class Cause(Struct, frozen=True, rename="camel", omit_defaults=True):
    """What caused the decision: an event, or a deadline that passed without one."""

    message_id: str | None = None
    deadline: str | None = None

    @property
    def text(self) -> str:
        return self.message_id if self.message_id is not None else f"deadline:{self.deadline}"


class ReasonCode(Struct, frozen=True, omit_defaults=True):
    """One fact that led to the decision: a code for programs, words for people.

    ``contribution``: what one group of features adds to the churn score's log odds. ``value`` then
    says whether the group raises or lowers the score; the code base has no value.
    """

    code: str
    value: float | str | None
    words: str
    contribution: float | None = None


class ChurnReceipt(Struct, frozen=True, rename="camel"):
    """The churn score at the decision, where it comes from, and the score of every scorer."""

    probability: float
    horizon_days: float
    source: str
    model_version: int
    scorer: str | None = None
    scores: dict[str, float] = {}


#: Facts of a customer by their names: null if unknown, a list for a fact that lists names.
FactsTold = dict[str, float | str | tuple[str, ...] | None]


class Receipts(NamedTuple):
    """What every decision of a moment says about the customer. ``value_at_stake`` is in the shop's
    currency, ``facts`` are those that ``rules.facts`` names.
    """

    churn: ChurnReceipt | None
    churn_reason: ChurnReason | None
    value_at_stake: float
    facts: FactsTold | UnsetType = UNSET


class Trigger(Struct, frozen=True, rename="camel", tag="retention-trigger", tag_field="type"):
    """Something about a customer that marketing automation should act on, once.

    ``gates``: the checks it passed (condition, threshold, cooldown). ``value_at_stake`` is in the
    shop's currency. ``group``: treated or control. A program that acts on triggers must also leave
    the control group alone. None in triggers of earlier releases, which did not have it.
    ``contaminated``: true for a customer with decisions of both groups, who must be left out of
    comparisons; else absent. ``facts``: those that ``rules.facts`` names, as of the decision.
    Absent if it names none, and for a customer who refuses personalised decisions.
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
    group: str | None = None
    contaminated: bool | UnsetType = UNSET
    facts: FactsTold | UnsetType = UNSET


class Priority(Struct, frozen=True, rename="camel"):
    """priority = propensity * context weight * value * lever - cost, with each factor."""

    propensity: float
    context_weight: float
    value: float
    lever: float
    cost: float
    priority: float


class Ranked(Struct, frozen=True, rename="camel"):
    """An action that passed all gates, and its priority."""

    action: str
    priority: Priority


class Suppressed(Struct, frozen=True, rename="camel", omit_defaults=True):
    """A rejected action and the gate that rejected it: since when, until when, and the detail, as
    far as the gate knows.
    """

    action: str
    by: str
    since: str | None = None
    until: str | None = None
    what: str | None = None


class NextBestAction(Struct, frozen=True, rename="camel", tag=NEXT_BEST_ACTION, tag_field="type"):
    """What to do about all triggers of one moment: the action with the highest priority, or
    nothing. If ``group`` is control, do not take it: the control group measures its effect.
    ``contaminated``: true for a customer with decisions of both groups; else absent. ``facts``: as
    in a trigger. ``not_before``: when the customer's quiet hours end; None to take it at once.

    When the gates reject every action, nothing is done: then ``action``, ``channel``, ``owner``,
    ``due_at`` and ``priority`` are None. The chosen, outranked and suppressed ones are together all
    actions.
    """

    id: str
    kind: str
    catalogue_version: int
    user_id: str
    timestamp: str
    cause: Cause
    triggers: tuple[str, ...]
    group: str
    action: str | None
    channel: str | None
    owner: str | None
    due_at: str | None
    priority: Priority | None
    chosen_probability: float
    gates: tuple[str, ...]
    outranked: tuple[Ranked, ...]
    suppressed: tuple[Suppressed, ...]
    reasons: tuple[ReasonCode, ...]
    churn: ChurnReceipt | None
    value_at_stake: float
    model_version: int
    churn_reason: ChurnReason | None = None
    not_before: str | None = None
    contaminated: bool | UnsetType = UNSET
    facts: FactsTold | UnsetType = UNSET


class ActionWithdrawn(Struct, frozen=True, rename="camel", tag=ACTION_WITHDRAWN, tag_field="type"):
    """A decision that must no longer be carried out: before it was delivered, the customer refused
    it, or bought. ``because``: the gate that now rejects it, or ``bought``; ``since`` and ``what``
    are details of that.
    """

    id: str
    kind: str
    user_id: str
    timestamp: str
    cause: Cause
    decision_id: str
    action: str
    channel: str
    because: str
    since: str | None
    what: str | None
    group: str


Decision = Trigger | NextBestAction | ActionWithdrawn


def does_nothing(decision: Decision) -> bool:
    """Whether it decides to do nothing: such a decision is for the record only."""
    return isinstance(decision, NextBestAction) and decision.action is None


def is_too_old(decision: Decision, at_ms: int, max_age_ms: int) -> bool:
    """Whether at ``at_ms`` it is too late to deliver the decision: an action by its own ``due_at``,
    a trigger by its age. Never with a ``max_age_ms`` of 0, and never for a withdrawal.
    """
    until_ms = delivered_until_ms(decision, max_age_ms)
    return until_ms is not None and at_ms > until_ms


def delivered_until_ms(decision: Decision, max_age_ms: int) -> int | None:
    """Until when a decision is delivered; None for one that is never too old."""
    if not max_age_ms or isinstance(decision, ActionWithdrawn):
        return None
    if isinstance(decision, NextBestAction):
        return None if decision.due_at is None else _ms(decision.due_at)
    return _ms(decision.timestamp) + max_age_ms


def _ms(text: str) -> int:
    return milliseconds(datetime.fromisoformat(text))


def encode_decision(decision: Decision) -> bytes:
    """The decision as plain JSON."""
    return msgspec.json.encode(decision)


_DECODER: msgspec.json.Decoder[Decision] = msgspec.json.Decoder(Decision)


def decode_decision(content: bytes) -> Decision:
    """Raises ``Foreign`` if ``content`` is not a decision."""
    decision: Decision = decoded(_DECODER, content, "a decision")
    # Delivery compares these with the clock.
    _require_moment(decision.timestamp)
    if isinstance(decision, NextBestAction) and decision.due_at is not None:
        _require_moment(decision.due_at)
    return decision


def _require_moment(text: str) -> None:
    moment = moment_of(text)
    if moment is None or not 0 < milliseconds(moment) < LATEST_MS:
        raise Foreign("not a decision: one of its times is none")


def decision_id(rule: str, version: int, customer: str, cause: Cause) -> str:
    """An id that depends only on the rule, the customer and the cause.

    So it is the same however often, and in whatever batches, the log is read.
    """
    # Only the last item may contain the separator, so ("a", "bc") and ("ab", "c") stay distinct.
    text = "\x1f".join((rule, str(version), customer, cause.text))
    found = _EMPTY.copy()
    found.update(text.encode())
    return found.hexdigest()

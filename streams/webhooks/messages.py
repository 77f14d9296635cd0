"""Turns a decision, or an erasure notice, into a message for endpoints.

The body follows Standard Webhooks, ``{type, timestamp, data}``; every try sends the same bytes.
"""

from collections.abc import Collection, Mapping
from typing import Any, Final

import msgspec
from msgspec import UNSET

from config.endpoints import EndpointRule
from models.decisions.trigger import (
    NEXT_BEST_ACTION,
    ActionWithdrawn,
    Decision,
    NextBestAction,
    Trigger,
    decode_decision,
    delivered_until_ms,
    does_nothing,
)
from models.events.erasure_record import ErasureNotice, notice_in
from models.events.foreign import Foreign
from models.events.times import milliseconds, moment_of
from streams.cloud_events import NOTICE_TYPE
from streams.graves import Fingerprints
from streams.outputs import OUTPUTS

#: Standard Webhooks recommends less than 20 KB.
BODY_BYTES_MAX = 20_000
#: The fields left out of a message that would be larger, the least used first; `keepstream explain
#: ID` shows all of them.
LEFT_OUT_FIRST: Final = ("suppressed", "outranked", "churnReason", "churn", "reasons", "gates")
#: The facts by which endpoints choose customers: the segment by recency, frequency and money, and
#: the segments that the shop declares, of which a customer may have several.
SEGMENT, SEGMENTS = "segment", "segments"


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """A message. ``whose``: the customer's fingerprint; a customer's messages are kept in order.
    ``not_before_ms``: 0 for at once. ``until_ms``: None if it is never too late.
    """

    id: str
    type: str
    timestamp: str
    whose: bytes
    content: Decision | ErasureNotice
    not_before_ms: int = 0
    until_ms: int | None = None

    @property
    def kind(self) -> str:
        """The name by which endpoints choose: the trigger's, or the decision's kind."""
        return "erased" if isinstance(self.content, ErasureNotice) else self.content.kind

    @property
    def group(self) -> str | None:
        """Treated or control; None in an erasure notice."""
        return None if isinstance(self.content, ErasureNotice) else self.content.group

    @property
    def is_erasure(self) -> bool:
        return isinstance(self.content, ErasureNotice)

    @property
    def user_id(self) -> str:
        """The customer; empty in an erasure notice, which doesn't name them."""
        return "" if isinstance(self.content, ErasureNotice) else self.content.user_id

    @property
    def withdraws(self) -> str | None:
        """The id of the decision that this one withdraws."""
        content = self.content
        return content.decision_id if isinstance(content, ActionWithdrawn) else None

    def is_too_late(self, at_ms: int) -> bool:
        """Whether it is no longer of use at ``at_ms``."""
        return self.until_ms is not None and at_ms > self.until_ms

    @property
    def decided_at_ms(self) -> int:
        return _ms(self.timestamp)

    def facts(self, chosen: Collection[str]) -> dict[str, Any]:
        """The ``chosen`` facts of the customer, as the decision recorded them."""
        told = getattr(self.content, "facts", UNSET)
        return {} if told is UNSET else {name: told[name] for name in chosen if name in told}

    def fields(self, facts: Collection[str] = ()) -> dict[str, Any]:
        """``type``, ``timestamp`` and ``data`` as plain values, with the chosen facts only."""
        data = msgspec.to_builtins(self.content)
        data.pop("facts", None)
        if chosen := self.facts(facts):
            data["facts"] = chosen
        return {"type": self.type, "timestamp": self.timestamp, "data": data}


def message_in(
    content: bytes, topic: str, fingerprints: Fingerprints, max_age_ms: int
) -> Message | None:
    """The message in a record of a topic of decisions; None for a decision to do nothing. Raises
    ``Foreign``.
    """
    notice = notice_in(content)
    if notice is not None:
        if not moment_of(notice.timestamp):
            raise Foreign("not a notice of an erasure: its time is none")
        return _notice(notice, topic)
    decided = decode_decision(content)
    return None if does_nothing(decided) else message_of(decided, fingerprints, max_age_ms)


def message_of(decided: Decision, fingerprints: Fingerprints, max_age_ms: int) -> Message:
    """The message that a decision becomes."""
    type_name = OUTPUTS[type(decided)].type_name
    assert type_name is not None
    return Message(
        id=decided.id,
        type=type_name(decided),
        timestamp=decided.timestamp,
        whose=fingerprints.of(decided.user_id),
        content=decided,
        not_before_ms=_not_before_ms(decided),
        until_ms=delivered_until_ms(decided, max_age_ms),
    )


def _notice(notice: ErasureNotice, topic: str) -> Message:
    return Message(
        # Each topic announces it after its own decisions: two messages.
        id=f"{notice.id}-{topic}",
        type=NOTICE_TYPE,
        timestamp=notice.timestamp,
        whose=bytes.fromhex(notice.fingerprint),
        content=notice,
    )


def _not_before_ms(decided: Decision) -> int:
    if not isinstance(decided, NextBestAction) or decided.not_before is None:
        return 0
    moment = moment_of(decided.not_before)
    return milliseconds(moment) if moment else 0


def _ms(text: str) -> int:
    moment = moment_of(text)
    return milliseconds(moment) if moment else 0


def wants(rule: EndpointRule, message: Message) -> bool:
    """Whether the endpoint wants the message."""
    content = message.content
    if isinstance(content, ErasureNotice):
        return rule.erased
    if content.group not in rule.groups:
        return False
    if rule.segments and not _is_of_one(message, rule.segments):
        return False
    if isinstance(content, Trigger):
        # A trigger has no channel: an endpoint that names channels wants actions.
        return not rule.channels and (not rule.kinds or content.kind in rule.kinds)
    # An endpoint that gets an action must also get its withdrawal.
    is_kind = not rule.kinds or bool({NEXT_BEST_ACTION, content.kind} & set(rule.kinds))
    return is_kind and (not rule.channels or content.channel in rule.channels)


def _is_of_one(message: Message, segments: Collection[str]) -> bool:
    """Whether the customer was in one of ``segments`` at the decision. A withdrawal doesn't say,
    and must reach everyone who got the action.
    """
    if isinstance(message.content, ActionWithdrawn):
        return True
    told = message.facts((SEGMENT, SEGMENTS))
    return told.get(SEGMENT) in segments or not set(segments).isdisjoint(told.get(SEGMENTS, ()))


def body_of(message: Message, facts: Collection[str] = ()) -> bytes:
    """The body as JSON, up to `BODY_BYTES_MAX`; ``leftOut`` names fields that had to be left
    out.
    """
    fields = message.fields(facts)
    content = msgspec.json.encode(fields)
    left_out: list[str] = []
    for name in LEFT_OUT_FIRST:
        if len(content) <= BODY_BYTES_MAX:
            break
        if fields["data"].pop(name, None):
            left_out.append(name)
            content = msgspec.json.encode(
                {**fields, "data": {**fields["data"], "leftOut": left_out}}
            )
    return content


def headline(fields: Mapping[str, Any]) -> str:
    """The message in one line, for people."""
    data = fields["data"]
    if data["type"] == "erased":
        return f"A customer was erased ({data['mode']})"
    if "decisionId" in data:
        return f"{data['action']} for {data['userId']} is withdrawn: {data['because']}"
    words = "; ".join(reason["words"] for reason in data.get("reasons", ()))
    what = data["kind"] if "ruleVersion" in data else f"{data['action']} by {data['channel']}"
    return f"{what} for {data['userId']}" + (f": {words}" if words else "")

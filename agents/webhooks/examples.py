"""Example decisions, which show what an endpoint would receive."""

from msgspec.structs import replace

from config.endpoints import EndpointRule
from models.customer.registry import FACTS
from models.decisions.trigger import (
    ACTION_WITHDRAWN,
    NEXT_BEST_ACTION,
    ActionWithdrawn,
    Cause,
    Decision,
    FactsTold,
    NextBestAction,
    Priority,
    ReasonCode,
    Suppressed,
    Trigger,
    encode_decision,
)
from streams.webhooks.messages import SEGMENT, SEGMENTS

_REASONS = (ReasonCode("cart_items", 1.0, "1 in the cart"),)
_CAUSE = Cause(deadline="cart-idle:1772650800000")
_AT = "2026-03-04T19:00:00.000Z"

TRIGGER = Trigger(
    id="ce71564f633228c79fda6aca60101595",
    kind="cart-abandoned",
    rule_version=1,
    user_id="ada",
    timestamp=_AT,
    cause=_CAUSE,
    reasons=_REASONS,
    churn=None,
    value_at_stake=24.0,
    gates=("condition", "cooldown"),
    model_version=0,
    group="treated",
)
ACTION = NextBestAction(
    id="bcb84bdcc0993a75027ccac03dc3a43a",
    kind=NEXT_BEST_ACTION,
    catalogue_version=3,
    user_id="ada",
    timestamp=_AT,
    cause=_CAUSE,
    triggers=(TRIGGER.kind,),
    group="treated",
    action="cart-coupon",
    channel="email",
    owner="crm",
    due_at="2026-03-05T19:00:00.000Z",
    priority=Priority(0.1, 1.0, 60.0, 1.0, 0.5, 5.5),
    chosen_probability=1.0,
    gates=("consent", "cooldown"),
    outranked=(),
    suppressed=(Suppressed("win-back-offer", "answers"),),
    reasons=_REASONS,
    churn=None,
    value_at_stake=24.0,
    model_version=0,
    not_before="2026-03-05T07:00:00.000Z",
)
WITHDRAWAL = ActionWithdrawn(
    id="a2f0c5d3b1e94f6c8d7a6b5c4d3e2f10",
    kind=ACTION_WITHDRAWN,
    user_id="ada",
    timestamp="2026-03-04T20:00:00.000Z",
    cause=Cause(message_id="consent-1"),
    decision_id=ACTION.id,
    action="cart-coupon",
    channel="email",
    because="consent",
    since="2026-03-04T20:00:00.000Z",
    what="marketing",
    group="treated",
)


def as_asked_for(decided: Decision, rule: EndpointRule) -> Decision:
    """The decision with the facts that an endpoint asks for, as workers would include them: for a
    customer in its first segment, and a trigger of the first kind that it takes.
    """
    if isinstance(decided, ActionWithdrawn):
        return decided
    if isinstance(decided, Trigger) and rule.kinds and decided.kind not in rule.kinds:
        taken = [name for name in rule.kinds if name not in (NEXT_BEST_ACTION, ACTION_WITHDRAWN)]
        decided = replace(decided, kind=taken[0]) if taken else decided
    facts: FactsTold = {name: _EXAMPLE[FACTS[name].kind] for name in rule.facts}
    if rule.segments:
        facts |= {SEGMENT: rule.segments[0], SEGMENTS: rule.segments[:1]}
    return replace(decided, facts=facts)


_EXAMPLE: dict[type, float | str] = {float: 1.0, str: "…"}
EXAMPLES = tuple(encode_decision(one) for one in (TRIGGER, ACTION, WITHDRAWAL))

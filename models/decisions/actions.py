"""Next best action: of everything that could be done, the one most worth doing, or nothing."""

from math import isnan

from msgspec.structs import replace

from models.customer.contacts import CONTROL, TREATED, Decided, remembered
from models.customer.fingerprint import fingerprint
from models.decisions.decide import churn_reason_receipt, churn_receipt, value_at_stake
from models.decisions.facts import Scene
from models.decisions.policy import CompiledAction
from models.decisions.trigger import (
    NEXT_BEST_ACTION,
    Cause,
    NextBestAction,
    Priority,
    Ranked,
    Suppressed,
    Trigger,
    decision_id,
)
from models.events.wire import iso

_GATES = ("answers", "eligibility", "cooldown", "contact-cap", "priority")
_BUCKETS = 10_000


def next_best_action(scene: Scene, triggers: list[Trigger], cause: Cause) -> NextBestAction | None:
    """What to do about ``triggers``; None when every action's gate is shut.

    ``scene.row`` remembers the decision, for caps, cooldowns and outcomes.
    """
    ranked: list[tuple[Ranked, CompiledAction]] = []
    suppressed: list[Suppressed] = []
    for compiled in scene.context.policy.actions:
        weight = max((compiled.rule.contexts.get(t.kind, 0.0) for t in triggers), default=0.0)
        shut = _shut_gate(scene, compiled, weight)
        priority = _priority(scene, compiled, weight) if shut is None else None
        if priority is not None and priority.priority > 0:
            ranked.append((Ranked(compiled.rule.name, priority), compiled))
        else:
            suppressed.append(Suppressed(compiled.rule.name, shut or "priority"))
    if not ranked:
        return None
    # Of equals the one that stands first in the file.
    best, compiled = max(ranked, key=lambda found: found[0].priority.priority)
    outranked = tuple(other for other, _ in ranked if other is not best)
    return _decided(scene, triggers, cause, best, compiled, outranked, tuple(suppressed))


def is_control(customer: str, holdout: float) -> bool:
    """Whether the customer is in the standing holdout: for good, and by nothing but their id."""
    return fingerprint(f"holdout:{customer}") % _BUCKETS < holdout * _BUCKETS


def _shut_gate(scene: Scene, compiled: CompiledAction, weight: float) -> str | None:
    """The first gate that is shut, or None."""
    rule, at_ms = compiled.rule, scene.at_ms
    if not weight > 0:
        return "answers"
    if not compiled.when.holds(scene):
        return "eligibility"
    decisions = scene.row.decisions
    if any(d.action == rule.name and at_ms < d.at_ms + rule.cooldown for d in decisions):
        return "cooldown"
    if not rule.service and _is_capped(scene):
        return "contact-cap"
    return None


def _is_capped(scene: Scene) -> bool:
    """Whether one more contact would be too many. The holdout's decisions count as contacts, so
    that both groups are decided for alike.
    """
    service = {a.rule.name for a in scene.context.policy.actions if a.rule.service}
    times = [d.at_ms for d in scene.row.decisions if d.action not in service]
    return any(
        sum(scene.at_ms - cap.per < at_ms for at_ms in times) >= cap.at_most
        for cap in scene.context.parameters.actions.caps
    )


def _priority(scene: Scene, compiled: CompiledAction, weight: float) -> Priority | None:
    rule, value = compiled.rule, compiled.value.value(scene)
    if isnan(value):
        return None
    priority = rule.propensity * weight * value * rule.lever - rule.cost
    return Priority(rule.propensity, weight, value, rule.lever, rule.cost, priority)


def _decided(
    scene: Scene,
    triggers: list[Trigger],
    cause: Cause,
    best: Ranked,
    compiled: CompiledAction,
    outranked: tuple[Ranked, ...],
    suppressed: tuple[Suppressed, ...],
) -> NextBestAction:
    context, rule = scene.context, compiled.rule
    catalogue = context.parameters.actions
    customer = context.customer
    control = is_control(customer, catalogue.holdout)
    name = decision_id(NEXT_BEST_ACTION, catalogue.version, customer, cause)
    made = Decided(fingerprint(name), rule.name, rule.channel, scene.at_ms, not control)
    scene.row = replace(scene.row, decisions=remembered(scene.row.decisions, made))
    return NextBestAction(
        id=name,
        kind=NEXT_BEST_ACTION,
        catalogue_version=catalogue.version,
        user_id=customer,
        timestamp=iso(scene.at_ms),
        cause=cause,
        triggers=tuple(decided.kind for decided in triggers),
        group=CONTROL if control else TREATED,
        action=rule.name,
        channel=rule.channel,
        owner=rule.owner,
        due_at=iso(scene.at_ms + rule.due),
        priority=best.priority,
        # The highest priority wins: no dice, until outcomes are learnt from.
        chosen_probability=1.0,
        gates=_GATES,
        outranked=outranked,
        suppressed=suppressed,
        reasons=tuple(reason for decided in triggers for reason in decided.reasons),
        churn=churn_receipt(scene.churn),
        value_at_stake=value_at_stake(scene),
        model_version=context.snapshot.version,
        churn_reason=churn_reason_receipt(scene),
    )

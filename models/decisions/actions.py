"""Next best action: the eligible action with the highest priority, or none."""

from collections.abc import Sequence
from math import isnan

from models.customer.consent import personalisation_refused
from models.customer.contacts import CONTACTS, CONTROL, TREATED, Contact
from models.customer.fingerprint import fingerprint
from models.customer.scene import Scene
from models.decisions.gates import (
    GATE_NAMES,
    PRIORITY,
    Candidate,
    Shut,
    shut_gate,
)
from models.decisions.policy import CompiledAction
from models.decisions.quiet_hours import not_before_ms
from models.decisions.trigger import (
    NEXT_BEST_ACTION,
    NextBestAction,
    Priority,
    Ranked,
    Receipts,
    Suppressed,
    Trigger,
    decision_id,
)
from models.events.wire import iso

_BUCKETS = 10_000


def next_best_action(
    scene: Scene,
    actions: Sequence[CompiledAction],
    triggers: Sequence[Trigger],
    receipts: Receipts,
) -> NextBestAction | None:
    """What to do about ``triggers``; None when every action was rejected by a gate.

    Records the decision in the customer's contacts, for caps, cooldowns and outcomes.
    """
    ranked: list[tuple[Ranked, CompiledAction]] = []
    suppressed: list[Suppressed] = []
    for compiled in actions:
        rule = compiled.rule
        weight = max((rule.contexts.get(t.kind, 0.0) for t in triggers), default=0.0)
        shut = shut_gate(scene, Candidate(compiled, weight))
        priority = _priority(scene, compiled, weight) if shut is None else None
        if priority is not None and priority.priority > 0:
            ranked.append((Ranked(rule.name, priority), compiled))
        else:
            suppressed.append((shut or Shut(PRIORITY)).suppressed(rule.name))
    if not ranked:
        return None
    if scene.of(personalisation_refused) is not None:
        # Whose priority is higher would be decided by who the customer is.
        best, compiled = ranked[0]
    else:
        # Ties go to the first in the file.
        best, compiled = max(ranked, key=lambda found: found[0].priority.priority)
    outranked = tuple(other for other, _ in ranked if other is not best)
    return _decided(scene, triggers, receipts, best, compiled, outranked, tuple(suppressed))


def is_control(customer: str, holdout: float) -> bool:
    """Whether the customer is in the standing holdout, which depends on their id alone."""
    return fingerprint(f"holdout:{customer}") % _BUCKETS < holdout * _BUCKETS


def _priority(scene: Scene, compiled: CompiledAction, weight: float) -> Priority | None:
    rule, value = compiled.rule, compiled.value.value(scene)
    if isnan(value):
        return None
    priority = rule.propensity * weight * value * rule.lever - rule.cost
    return Priority(rule.propensity, weight, value, rule.lever, rule.cost, priority)


def _decided(
    scene: Scene,
    triggers: Sequence[Trigger],
    receipts: Receipts,
    best: Ranked,
    compiled: CompiledAction,
    outranked: tuple[Ranked, ...],
    suppressed: tuple[Suppressed, ...],
) -> NextBestAction:
    rule, catalogue, cause = compiled.rule, scene.parameters.actions, triggers[0].cause
    control = is_control(scene.customer, catalogue.holdout)
    not_before = not_before_ms(scene, rule.channel)
    name = decision_id(NEXT_BEST_ACTION, catalogue.version, scene.customer, cause)
    scene.row.edit(CONTACTS).remember(
        Contact(
            fingerprint(name),
            rule.name,
            rule.channel,
            scene.at_ms,
            not control,
            decision=bytes.fromhex(name),
            due_ms=scene.at_ms + rule.due,
        )
    )
    return NextBestAction(
        id=name,
        kind=NEXT_BEST_ACTION,
        catalogue_version=catalogue.version,
        user_id=scene.customer,
        timestamp=iso(scene.at_ms),
        cause=cause,
        triggers=tuple(decided.kind for decided in triggers),
        group=CONTROL if control else TREATED,
        action=rule.name,
        channel=rule.channel,
        owner=rule.owner,
        due_at=iso(scene.at_ms + rule.due),
        priority=best.priority,
        # The highest priority wins, never at random as long as outcomes are not learnt from.
        chosen_probability=1.0,
        gates=GATE_NAMES,
        outranked=outranked,
        suppressed=suppressed,
        reasons=tuple(reason for decided in triggers for reason in decided.reasons),
        churn=receipts.churn,
        value_at_stake=receipts.value_at_stake,
        model_version=scene.snapshot.version,
        churn_reason=receipts.churn_reason,
        not_before=iso(not_before) if not_before > scene.at_ms else None,
    )

"""Next best action: the eligible action with the highest priority, or nothing, and why."""

from collections.abc import Sequence
from math import isnan
from typing import NamedTuple

from msgspec import UNSET, UnsetType

from models.customer.channels import preferred_channel
from models.customer.consent import personalisation_refused
from models.customer.contacts import CONTACTS, Contact, Decided, RejectedAction
from models.customer.evidence import reason_at_last_signal
from models.customer.fingerprint import fingerprint
from models.customer.holdout import TREATED, group
from models.customer.lift import follow_action
from models.customer.scene import Scene
from models.decisions.gates import (
    ANSWERS,
    GATE_NAMES,
    PRIORITY,
    UNANSWERED,
    Candidate,
    Shut,
    shut_gate,
)
from models.decisions.policy import CompiledAction
from models.decisions.quiet_hours import at_best_hour_ms, not_before_ms
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
from models.events.times import iso


def next_best_action(
    scene: Scene,
    actions: Sequence[CompiledAction],
    triggers: Sequence[Trigger],
    receipts: Receipts,
) -> NextBestAction:
    """The action to take for ``triggers``; no action when the gates reject all of them.

    Records a chosen action in the customer's contacts, for caps, cooldowns and outcomes. A decision
    to do nothing counts towards none of these.
    """
    ranked: list[_Open] = []
    suppressed: list[tuple[CompiledAction, Shut]] = []
    kinds = [trigger.kind for trigger in triggers]
    for compiled in actions:
        rule, weight = compiled.rule, 0.0
        contexts = rule.contexts
        for kind in kinds:
            if kind in contexts and contexts[kind] > weight:
                weight = contexts[kind]
        if not weight:
            # This is most actions: they answer other triggers.
            suppressed.append((compiled, UNANSWERED))
            continue
        channel, shut = _channel(scene, compiled, weight)
        priority = _priority(scene, compiled, weight) if shut is None else None
        if priority is not None and priority.priority > 0:
            ranked.append(_Open(Ranked(rule.name, priority), compiled, channel))
        else:
            suppressed.append((compiled, shut or Shut(PRIORITY)))
    best: _Open | None
    if scene.of(personalisation_refused) is not None:
        # Comparing priorities would be a decision by who the customer is; take the first in the
        # file.
        best = next(iter(ranked), None)
    else:
        # Ties go to the first in the file.
        best = max(ranked, key=lambda found: found.ranked.priority.priority, default=None)
    outranked = tuple(found.ranked for found in ranked if found is not best)
    _remember(scene, triggers, best, outranked, suppressed)
    told = tuple(shut.suppressed(compiled.rule.name) for compiled, shut in suppressed)
    return _decided(scene, triggers, receipts, best, outranked, told)


class _Open(NamedTuple):
    """An action that no gate rejects, and the channel that it would go out by."""

    ranked: Ranked
    compiled: CompiledAction
    channel: str


def _channel(scene: Scene, compiled: CompiledAction, weight: float) -> tuple[str, Shut | None]:
    """The channel that the action would go out by, and the gate that rejects it, if any. This is
    the customer's preferred channel, if the action may use it and no gate rejects it there;
    otherwise the action's own channel.
    """
    rule = compiled.rule
    if rule.preferable and scene.of(personalisation_refused) is None:
        channel = scene.of(preferred_channel)
        if channel in rule.preferable:
            shut = shut_gate(scene, Candidate(compiled, weight, channel))
            if shut is None:
                return channel, None
    return rule.channel, shut_gate(scene, Candidate(compiled, weight, rule.channel))


def _remember(
    scene: Scene,
    triggers: Sequence[Trigger],
    best: _Open | None,
    outranked: Sequence[Ranked],
    suppressed: Sequence[tuple[CompiledAction, Shut]],
) -> None:
    """Keep the reasons why no other action was chosen; the profile shows them."""
    rejected = [
        RejectedAction(compiled.rule.name, shut.by, shut.since_ms, shut.until_ms, shut.what or "")
        for compiled, shut in suppressed
        if shut.by != ANSWERS
    ]
    scene.row.edit(CONTACTS).decide(
        Decided(
            scene.at_ms,
            [trigger.kind for trigger in triggers],
            best.compiled.rule.name if best is not None else "",
            [ranked.action for ranked in outranked],
            rejected,
        )
    )


def contamination(scene: Scene) -> bool | UnsetType:
    """True for a customer with decisions of both groups, unset for everybody else."""
    return True if scene.row.read(CONTACTS).contaminated_ms else UNSET


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
    best: _Open | None,
    outranked: tuple[Ranked, ...],
    suppressed: tuple[Suppressed, ...],
) -> NextBestAction:
    version, cause, whose = scene.parameters.actions.version, triggers[0].cause, scene.of(group)
    name = decision_id(NEXT_BEST_ACTION, version, scene.customer, cause)
    rule, not_before = None, 0
    if best is not None:
        rule = best.compiled.rule
        not_before = _not_before_ms(scene, best)
        scene.row.edit(CONTACTS).remember(
            Contact(
                fingerprint(name),
                rule.name,
                best.channel,
                scene.at_ms,
                whose == TREATED,
                decision=bytes.fromhex(name),
                due_ms=scene.at_ms + rule.due,
            )
        )
        reason = str(scene.of(reason_at_last_signal)) if rule.reasons else ""
        follow_action(scene, rule.name, reason, is_treated=whose == TREATED)
    return NextBestAction(
        id=name,
        kind=NEXT_BEST_ACTION,
        catalogue_version=version,
        user_id=scene.customer,
        timestamp=iso(scene.at_ms),
        cause=cause,
        triggers=tuple(decided.kind for decided in triggers),
        group=whose,
        action=rule.name if rule is not None else None,
        channel=best.channel if best is not None else None,
        owner=rule.owner if rule is not None else None,
        due_at=iso(scene.at_ms + rule.due) if rule is not None else None,
        priority=best.ranked.priority if best is not None else None,
        # The highest priority always wins: nothing is drawn at random, because outcomes are not
        # learnt.
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
        contaminated=contamination(scene),
        facts=receipts.facts,
    )


def _not_before_ms(scene: Scene, chosen: _Open) -> int:
    """When the action may start: after quiet hours, and at the customer's best hour if it asks for
    it.
    """
    rule, channel = chosen.compiled.rule, chosen.channel
    earliest_ms = not_before_ms(scene, channel)
    if not rule.best_hour:
        return earliest_ms
    return at_best_hour_ms(scene, channel, earliest_ms, scene.at_ms + rule.due)

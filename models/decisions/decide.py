"""Evaluates the rules: which triggers fire, by condition, threshold and cooldown, and why; and the
one action chosen for all of them, or nothing.
"""

from math import isnan

from models.customer.consent import CONSENT_CHANGED, personalisation_refused
from models.customer.contacts import CONTACTS
from models.customer.evidence import reason
from models.customer.registry import FACTS
from models.customer.scene import Scene
from models.customer.scores import churn, explanation, value_at_stake
from models.decisions.actions import group, next_best_action
from models.decisions.policy import CompiledTrigger, Policy
from models.decisions.trigger import (
    Cause,
    ChurnReceipt,
    Decision,
    ReasonCode,
    Receipts,
    Trigger,
    decision_id,
)
from models.decisions.withdrawal import withdrawn
from models.events.wire import iso
from models.learning.churn import Churn
from models.learning.explanation import Explanation

#: The code of the part of a score that is the same for all customers.
BASE = "base"


def decide(scene: Scene, policy: Policy) -> list[Decision]:
    """Evaluate the rules of the scene's moments, and choose one action for all that fire; that
    nothing is done is a decision as well. Before that, withdraw what the customer refuses from here
    on.

    Records the decisions in the customer's contacts.
    """
    if not scene.moments:
        return []
    withdrawals = withdrawn(scene, policy.actions) if CONSENT_CHANGED in scene.moments else []
    triggers: list[Trigger] = []
    moments = scene.moments
    if len(moments) > 1:
        moments = sorted(moments, key=policy.order.__getitem__)
    for moment in moments:
        triggers += look(scene, policy.triggers[moment], _cause(scene, moment))
    if not triggers:
        return [*withdrawals]
    action = next_best_action(scene, policy.actions, triggers, receipts(scene))
    return [*withdrawals, *triggers, action]


def _cause(scene: Scene, moment: str) -> Cause:
    if scene.event is not None:
        return Cause(message_id=scene.event.message_id)
    return Cause(deadline=f"{moment}:{scene.at_ms}")


def look(scene: Scene, rules: tuple[CompiledTrigger, ...], cause: Cause) -> list[Trigger]:
    """The triggers of these rules that fire; recorded in the customer's contacts."""
    fired: list[Trigger] = []
    for compiled in rules:
        gates = _gates_passed(scene, compiled)
        if gates is not None:
            fired.append(_trigger(scene, compiled, cause, gates))
            scene.row.edit(CONTACTS).fired_ms[compiled.rule.name] = scene.at_ms
    return fired


def _gates_passed(scene: Scene, compiled: CompiledTrigger) -> tuple[str, ...] | None:
    """The gates that the rule passed, or None if one rejected it."""
    rule = compiled.rule
    if not compiled.when.holds(scene):
        return None
    gates = ["condition"]
    if rule.rises is not None:
        if not _rose(scene, compiled):
            return None
        gates.append("threshold")
    last_ms = scene.row.read(CONTACTS).fired_ms.get(rule.name)
    if last_ms is not None and scene.at_ms < last_ms + rule.cooldown:
        return None
    return (*gates, "cooldown")


def _rose(scene: Scene, compiled: CompiledTrigger) -> bool:
    """Whether the fact has just risen to the threshold; it must fall to ``rearm`` before it can
    rise again.
    """
    rule = compiled.rule
    assert rule.rises is not None
    value = scene[rule.rises.fact]
    assert isinstance(value, float)
    if rule.name in scene.row.read(CONTACTS).at_risk:
        if value <= rule.rises.rearm:
            scene.row.edit(CONTACTS).at_risk.remove(rule.name)
        return False
    if not value >= rule.rises.to:
        return False
    scene.row.edit(CONTACTS).at_risk.append(rule.name)
    return True


def _trigger(
    scene: Scene, compiled: CompiledTrigger, cause: Cause, gates: tuple[str, ...]
) -> Trigger:
    rule, told = compiled.rule, receipts(scene)
    return Trigger(
        id=decision_id(rule.name, rule.version, scene.customer, cause),
        kind=rule.name,
        rule_version=rule.version,
        user_id=scene.customer,
        timestamp=iso(scene.at_ms),
        cause=cause,
        reasons=reasons(scene, rule.because),
        churn=told.churn,
        value_at_stake=told.value_at_stake,
        gates=gates,
        model_version=scene.snapshot.version,
        churn_reason=told.churn_reason,
        group=scene.of(group),
    )


def reasons(scene: Scene, names: tuple[str, ...]) -> tuple[ReasonCode, ...]:
    """The known facts in words; a churn score brings all contributions that add up to it."""
    told: list[ReasonCode] = []
    for name in names:
        value = scene[name]
        if value if isinstance(value, str) else not isnan(value):
            told.append(ReasonCode(name, value, FACTS[name].words.format(value)))
        if name == "churn_probability" and (parts := scene.of(explanation)) is not None:
            told += _parts(parts)
    return tuple(told)


def _parts(explanation: Explanation) -> list[ReasonCode]:
    """The groups of features, the strongest first, then the base: together the score's log odds."""
    groups = [
        ReasonCode(str(part.group), str(part.direction), part.words, part.contribution)
        for part in explanation.groups
    ]
    return [*groups, ReasonCode(BASE, None, "where everybody starts", explanation.base)]


def receipts(scene: Scene) -> Receipts:
    """The receipts that all decisions of this moment share; without scores of somebody who
    refuses that who they are decides.
    """
    if scene.of(personalisation_refused) is not None:
        return Receipts(churn=None, churn_reason=None, value_at_stake=0.0)
    score = scene.of(churn)
    return Receipts(
        churn=_churn_receipt(score),
        # Without a churn score there is no churn to give a reason for.
        churn_reason=scene.of(reason) if score is not None else None,
        value_at_stake=scene.of(value_at_stake),
    )


def _churn_receipt(score: Churn | None) -> ChurnReceipt | None:
    if score is None:
        return None
    return ChurnReceipt(
        score.probability,
        score.horizon_days,
        score.source,
        score.model_version,
        score.scorer,
        score.scores(),
    )

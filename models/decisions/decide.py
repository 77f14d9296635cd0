"""Evaluates the rules: which triggers fire (by condition, threshold and cooldown), and why; then
chooses one action for all of them, or none.
"""

from math import isfinite, isnan

from msgspec import UNSET, UnsetType

from models.customer.consent import personalisation_refused
from models.customer.contacts import CONTACTS, COOLDOWN_OVER
from models.customer.evidence import reason
from models.customer.holdout import group
from models.customer.named_events import EVENT, named_event
from models.customer.registry import FACTS
from models.customer.scene import Scene
from models.customer.scores import churn, explanation, value_at_stake
from models.customer.segments import OF_SEGMENTS
from models.decisions import climbs
from models.decisions.actions import contamination, next_best_action
from models.decisions.causes import cause_of
from models.decisions.policy import CompiledTrigger, Policy
from models.decisions.trigger import (
    Cause,
    ChurnReceipt,
    Decision,
    FactsTold,
    ReasonCode,
    Receipts,
    Trigger,
    decision_id,
)
from models.decisions.withdrawal import may_withdraw, withdrawn
from models.events.times import iso
from models.learning.churn import Churn
from models.learning.explanation import Explanation

#: The code for the part of a score that is the same for all customers.
BASE = "base"


def decide(scene: Scene, policy: Policy) -> list[Decision]:
    """Evaluate the rules of the scene's moments, and choose one action for all triggers that fire.
    To do nothing is a decision, too. Before that, withdraw actions that the customer now refuses,
    or that are pointless because they bought.

    Records the decisions in the customer's contacts.
    """
    if not scene.moments:
        return []
    withdrawals = withdrawn(scene, policy.actions) if may_withdraw(scene) else []
    triggers: list[Trigger] = []
    moments = scene.moments
    if len(moments) > 1:
        moments = sorted(moments, key=policy.order.__getitem__)
    for moment in moments:
        rules = policy.triggers[moment]
        if moment == COOLDOWN_OVER:
            rules = climbs.let_go(scene, rules)
        elif moment == EVENT:
            rules = _of_event(scene, rules)
        if scene.context.witness is not None:
            scene.context.witness(scene, moment, rules)
        if moment in OF_SEGMENTS:
            triggers += _of_segments(scene, moment, rules)
        else:
            triggers += look(scene, rules, moment)
    if not triggers:
        return [*withdrawals]
    action = next_best_action(scene, policy.actions, triggers, scene.of(receipts))
    return [*withdrawals, *triggers, action]


def _of_event(scene: Scene, rules: tuple[CompiledTrigger, ...]) -> tuple[CompiledTrigger, ...]:
    """The rules that name the scene's event."""
    happened = scene.of(named_event)
    assert happened is not None
    return tuple(compiled for compiled in rules if compiled.is_on(happened.key))


def _of_segments(scene: Scene, moment: str, rules: tuple[CompiledTrigger, ...]) -> list[Trigger]:
    """The triggers that fire for segments that were entered or left. Each fires once, however many
    segments changed, because a trigger has one id at one moment.
    """
    fired: list[Trigger] = []
    for turned, name in scene.turned:
        if turned == moment:
            scene.segment = name
            known = {trigger.kind for trigger in fired}
            theirs = tuple(
                one for one in rules if one.watched in ("", name) and one.rule.name not in known
            )
            fired += look(scene, theirs, moment)
    return fired


def look(scene: Scene, rules: tuple[CompiledTrigger, ...], moment: str) -> list[Trigger]:
    """The triggers of these rules that fire at the moment. They are recorded in the customer's
    contacts, or, in a rehearsal, in the scene's ``rehearsed``.
    """
    fired: list[Trigger] = []
    for compiled in rules:
        # Written inline for speed: nearly every look ends here.
        if compiled.rule.rises is None:
            is_met = compiled.when.holds(scene)
        else:
            is_met = climbs.may_fire(scene, compiled)
        if not is_met or (gates := _gates_passed(scene, compiled)) is None:
            continue
        if scene.context.is_rehearsal:
            # Neither written nor remembered: a rehearsed decision must not hold back a live one.
            scene.rehearsed.append(compiled.rule.name)
        else:
            fired.append(_trigger(scene, compiled, cause_of(scene, moment), gates))
            fired_ms, name = scene.row.edit(CONTACTS).fired_ms, compiled.rule.name
            fired_ms[name] = max(scene.at_ms, fired_ms.get(name, 0))
    return fired


def _gates_passed(scene: Scene, compiled: CompiledTrigger) -> tuple[str, ...] | None:
    """The gates that a rule whose condition is met has passed; None if the cooldown rejected it."""
    rule = compiled.rule
    last_ms = scene.row.read(CONTACTS).fired_ms.get(rule.name)
    # Without a cooldown nothing is held back, not even a firing that a late event causes.
    if last_ms is not None and rule.cooldown > 0 and scene.at_ms < last_ms + rule.cooldown:
        if rule.rises is not None:
            climbs.hold(scene, compiled, last_ms + rule.cooldown)
        return None
    if rule.rises is None:
        return ("condition", "cooldown")
    climbs.use_up(scene, compiled)
    return ("condition", "threshold", "cooldown")


def _trigger(
    scene: Scene, compiled: CompiledTrigger, cause: Cause, gates: tuple[str, ...]
) -> Trigger:
    rule, told = compiled.rule, scene.of(receipts)
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
        contaminated=contamination(scene),
        facts=told.facts,
    )


def reasons(scene: Scene, names: tuple[str, ...]) -> tuple[ReasonCode, ...]:
    """The known facts in words; a churn score gives all contributions that add up to it."""
    told: list[ReasonCode] = []
    currency = scene.parameters.money.currency
    for name in names:
        value = scene[name]
        if value if isinstance(value, str) else not isnan(value):
            told.append(ReasonCode(name, value, FACTS[name].told(value, currency)))
        if name == "churn_probability" and (parts := scene.of(explanation)) is not None:
            told += _parts(parts)
    return tuple(told)


def _parts(explanation: Explanation) -> list[ReasonCode]:
    """The groups of features, the strongest first, then the base: their sum is the score's log
    odds.
    """
    groups = [
        ReasonCode(str(part.group), str(part.direction), part.words, part.contribution)
        for part in explanation.groups
    ]
    return [*groups, ReasonCode(BASE, None, "where everybody starts", explanation.base)]


def receipts(scene: Scene) -> Receipts:
    """The receipts that all decisions of this moment share. Without scores for customers who refuse
    personalised decisions.
    """
    if scene.of(personalisation_refused) is not None:
        return Receipts(churn=None, churn_reason=None, value_at_stake=0.0)
    score = scene.of(churn)
    return Receipts(
        churn=_churn_receipt(score),
        # Without a churn score there is no likely departure to give a reason for.
        churn_reason=scene.of(reason) if score is not None else None,
        value_at_stake=scene.of(value_at_stake),
        facts=_facts_told(scene),
    )


def _facts_told(scene: Scene) -> FactsTold | UnsetType:
    names = scene.parameters.rules.facts
    if not names:
        return UNSET
    known: FactsTold = {}
    for name in names:
        value = scene[name]
        if not isinstance(value, str):
            known[name] = value if isfinite(value) else None
        elif FACTS[name].is_list:
            known[name] = tuple(value.split())
        else:
            known[name] = value or None
    return known


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

"""Rules looked at: which triggers fire, under their thresholds and cooldowns, and why."""

from math import isnan

from msgspec.structs import replace

from models.customer.churn_reason import ChurnReason
from models.decisions.facts import FACTS, Scene
from models.decisions.policy import CompiledTrigger
from models.decisions.trigger import Cause, ChurnReceipt, ReasonCode, Trigger, decision_id
from models.events.wire import iso
from models.learning.churn import Churn
from models.learning.explanation import Explanation

#: The part of a score that is the same for everybody.
BASE = "base"


def look(scene: Scene, moment: str, cause: Cause) -> list[Trigger]:
    """The triggers that fire at ``moment``; ``scene.row`` remembers that they did."""
    fired: list[Trigger] = []
    for compiled in scene.context.policy.triggers[moment]:
        gates = _gates_passed(scene, compiled)
        if gates is not None:
            fired.append(_trigger(scene, compiled, cause, gates))
            name = compiled.rule.name
            fired_ms = {**scene.row.fired_ms, name: scene.at_ms}
            scene.row = replace(scene.row, fired_ms=fired_ms)
    return fired


def _gates_passed(scene: Scene, compiled: CompiledTrigger) -> tuple[str, ...] | None:
    """The gates that were open, or None when one was shut."""
    rule = compiled.rule
    if not compiled.when.holds(scene):
        return None
    gates = ["condition"]
    if rule.rises is not None:
        if not _rose(scene, compiled):
            return None
        gates.append("threshold")
    last_ms = scene.row.fired_ms.get(rule.name)
    if last_ms is not None and scene.at_ms < last_ms + rule.cooldown:
        return None
    return (*gates, "cooldown")


def _rose(scene: Scene, compiled: CompiledTrigger) -> bool:
    """Whether the fact has just climbed over the threshold; it must fall well below it again
    before it can climb once more.
    """
    rule = compiled.rule
    assert rule.rises is not None
    value, above = scene[rule.rises.fact], scene.row.at_risk
    assert isinstance(value, float)
    if rule.name in above:
        if value <= rule.rises.rearm:
            rest = tuple(name for name in above if name != rule.name)
            scene.row = replace(scene.row, at_risk=rest)
        return False
    if not value >= rule.rises.to:
        return False
    scene.row = replace(scene.row, at_risk=(*above, rule.name))
    return True


def _trigger(
    scene: Scene, compiled: CompiledTrigger, cause: Cause, gates: tuple[str, ...]
) -> Trigger:
    rule, context = compiled.rule, scene.context
    return Trigger(
        id=decision_id(rule.name, rule.version, context.customer, cause),
        kind=rule.name,
        rule_version=rule.version,
        user_id=context.customer,
        timestamp=iso(scene.at_ms),
        cause=cause,
        reasons=reasons(scene, rule.because),
        churn=churn_receipt(scene.churn),
        value_at_stake=value_at_stake(scene),
        gates=gates,
        model_version=context.snapshot.version,
        churn_reason=churn_reason_receipt(scene),
    )


def reasons(scene: Scene, names: tuple[str, ...]) -> tuple[ReasonCode, ...]:
    """The facts in words; a churn score brings all that it is the sum of."""
    told: list[ReasonCode] = []
    for name in names:
        value = scene[name]
        if isinstance(value, str) or not isnan(value):
            told.append(ReasonCode(name, value, FACTS[name].words.format(value)))
        if name == "churn_probability" and scene.explanation is not None:
            told += _parts(scene.explanation)
    return tuple(told)


def _parts(explanation: Explanation) -> list[ReasonCode]:
    """The groups of features, the strongest first, then the base: together the score's log odds."""
    groups = [
        ReasonCode(str(part.group), str(part.direction), part.words, part.contribution)
        for part in explanation.groups
    ]
    return [*groups, ReasonCode(BASE, None, "where everybody starts", explanation.base)]


def churn_receipt(churn: Churn | None) -> ChurnReceipt | None:
    if churn is None:
        return None
    return ChurnReceipt(
        churn.probability,
        churn.horizon_days,
        churn.source,
        churn.model_version,
        churn.scorer,
        churn.scores(),
    )


def churn_reason_receipt(scene: Scene) -> ChurnReason | None:
    """Why the customer may leave; None without a score that says how likely that is."""
    return scene.churn_reason if scene.churn is not None else None


def value_at_stake(scene: Scene) -> float:
    value = scene["value_at_stake"]
    assert isinstance(value, float)
    return value

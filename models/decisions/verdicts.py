"""Why a rule fires or not at a moment, in words for people. Changes nothing in the customer."""

import ast
from enum import StrEnum
from math import isnan

from msgspec import Struct

from models.customer.contacts import CONTACTS
from models.customer.registry import FACT_KINDS
from models.customer.scene import Scene
from models.decisions.expression import compile_condition, parsed
from models.decisions.policy import CompiledTrigger
from models.events.times import iso


class RuleVerdict(StrEnum):
    """``used-up``: it has fired for the present climb of its fact; ``below``: the fact has not
    climbed to its threshold; ``cooldown``: it fired too recently.
    """

    FIRES = "fires"
    CONDITION = "condition"
    USED_UP = "used-up"
    BELOW = "below"
    COOLDOWN = "cooldown"


class RuleLook(Struct, frozen=True, rename="camel"):
    """The evaluation of a rule. ``unmet``: the parts of its condition that do not hold; ``facts``:
    those that the condition and the threshold name, null for unknown; ``until``: when its cooldown
    ends.
    """

    rule: str
    moment: str
    at: str
    verdict: RuleVerdict
    unmet: tuple[str, ...]
    facts: dict[str, float | str | None]
    until: str | None = None


def look_at(scene: Scene, moment: str, compiled: CompiledTrigger) -> RuleLook:
    """What `models.decisions.decide` will make of a rule."""
    verdict, until_ms = _verdict(scene, compiled)
    rule = compiled.rule
    unmet = _unmet(scene, rule.when) if verdict is RuleVerdict.CONDITION else ()
    names = {*compiled.when.names, *([rule.rises.fact] if rule.rises is not None else [])}
    return RuleLook(
        rule.name,
        moment,
        iso(scene.at_ms),
        verdict,
        unmet,
        {name: _known(scene[name]) for name in sorted(names)},
        iso(until_ms) if until_ms else None,
    )


def _verdict(scene: Scene, compiled: CompiledTrigger) -> tuple[RuleVerdict, int]:
    """The verdict, and when the cooldown ends if that is the reason, in ms."""
    rule, contacts = compiled.rule, scene.row.read(CONTACTS)
    if rule.rises is not None and rule.name in contacts.at_risk:
        return RuleVerdict.USED_UP, 0
    if not compiled.when.holds(scene):
        return RuleVerdict.CONDITION, 0
    if rule.rises is not None:
        value = scene[rule.rises.fact]
        if isinstance(value, str) or not value >= rule.rises.to:
            return RuleVerdict.BELOW, 0
    last_ms = contacts.fired_ms.get(rule.name)
    if last_ms is not None and rule.cooldown > 0 and scene.at_ms < last_ms + rule.cooldown:
        return RuleVerdict.COOLDOWN, last_ms + rule.cooldown
    return RuleVerdict.FIRES, 0


def _unmet(scene: Scene, condition: str) -> tuple[str, ...]:
    """The operands of an `and` that do not hold; any other condition as a whole."""
    tree = parsed(condition)
    parts = tree.values if isinstance(tree, ast.BoolOp) and isinstance(tree.op, ast.And) else [tree]
    texts = [ast.unparse(part) for part in parts]
    return tuple(text for text in texts if not compile_condition(text, FACT_KINDS).holds(scene))


def _known(value: float | str) -> float | str | None:
    if isinstance(value, str):
        return value or None
    return None if isnan(value) else value

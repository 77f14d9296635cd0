"""The marketer's rules and actions, compiled and checked once."""

import re
from collections.abc import Callable, Mapping, Sequence
from math import inf

from msgspec import Struct

from config.parameters import Parameters
from config.rules import ActionRule, Rise, RuleError, TriggerRule
from models.customer.contacts import COOLDOWN_OVER
from models.customer.registry import FACT_KINDS, FACTS, MOMENTS
from models.decisions.expression import (
    Expression,
    ExpressionError,
    compile_condition,
    compile_number,
    hint,
)
from models.decisions.trigger import NEXT_BEST_ACTION

NAME_PATTERN = "[a-z0-9][a-z0-9-]{0,63}"


class CompiledTrigger(Struct, frozen=True):
    rule: TriggerRule
    when: Expression


class CompiledAction(Struct, frozen=True):
    rule: ActionRule
    when: Expression
    value: Expression


class Policy(Struct, frozen=True):
    """Triggers by the moment at which they are evaluated, in the order of the file; the ``order``
    of moments that one step raises; and the actions.
    """

    triggers: Mapping[str, tuple[CompiledTrigger, ...]]
    order: Mapping[str, int]
    actions: tuple[CompiledAction, ...]


def compile_policy(parameters: Parameters) -> Policy:
    """Compile the rules. Raises `RuleError` that names file, line and what is wrong."""
    _require_unique(parameters.triggers.triggers)
    triggers = [_trigger(rule) for rule in parameters.triggers.triggers]
    catalogue = parameters.actions
    _require_unique(catalogue.actions)
    for cap in catalogue.caps:
        if cap.at_most < 0 or cap.per <= 0:
            raise RuleError(f"{cap.where}: a cap is at_most 0 or more, per a time")
    names = [rule.name for rule in parameters.triggers.triggers]
    by_moment = {
        moment: tuple(found for found in triggers if found.rule.moment == moment)
        for moment in MOMENTS
    }
    # Whatever moment a rule is of, a climb that its cooldown held back is looked at when that ends.
    by_moment[COOLDOWN_OVER] = tuple(found for found in triggers if found.rule.rises is not None)
    return Policy(
        triggers=by_moment,
        order={moment: place for place, moment in enumerate(by_moment)},
        actions=tuple(_action(rule, names) for rule in catalogue.actions),
    )


def _trigger(rule: TriggerRule) -> CompiledTrigger:
    where = f"{rule.where}: {rule.name}"
    _require_name(rule.name, where)
    if rule.name == NEXT_BEST_ACTION:
        raise RuleError(f"{where}: is what the decisions of actions.yaml are called; rename it")
    if rule.moment not in MOMENTS:
        raise RuleError(f"{where}: moment is one of {', '.join(MOMENTS)}, not {rule.moment!r}")
    for name in rule.because:
        if name not in FACTS:
            raise RuleError(f"{where}: because names {name!r}, which is no fact{hint(name, FACTS)}")
    if rule.rises is not None:
        _check_rise(rule.rises, where)
    when = _compiled(compile_condition, rule.when, f"{where}: when")
    looked_at = when.names | ({rule.rises.fact} if rule.rises is not None else set())
    for name in sorted(looked_at):
        only = FACTS[name].moment
        if only is not None and only != rule.moment:
            raise RuleError(f"{where}: {name} is known at the moment {only} alone")
    return CompiledTrigger(rule, when)


def _check_rise(rise: Rise, where: str) -> None:
    if rise.fact not in FACTS:
        raise RuleError(
            f"{where}: rises names {rise.fact!r}, which is no fact{hint(rise.fact, FACTS)}"
        )
    if FACT_KINDS[rise.fact] is not float:
        raise RuleError(f"{where}: rises needs a fact that is a number, {rise.fact} is a text")
    if not rise.rearm <= rise.to:
        raise RuleError(f"{where}: rearm must not be above `to`, or it would fire at every look")


def _action(rule: ActionRule, triggers: list[str]) -> CompiledAction:
    where = f"{rule.where}: {rule.name}"
    _require_name(rule.name, where)
    if not rule.contexts:
        raise RuleError(f"{where}: for names no trigger, so it would never be chosen")
    for name in rule.contexts:
        if name not in triggers:
            raise RuleError(
                f"{where}: for names {name!r}, which is no trigger: {', '.join(triggers)}"
            )
    if not 0 <= rule.propensity <= 1:
        raise RuleError(f"{where}: propensity is a probability, from 0 to 1")
    weights = {f"the weight of {name}": weight for name, weight in rule.contexts.items()}
    for name, number in {"cost": rule.cost, "lever": rule.lever, **weights}.items():
        if not 0 <= number < inf:
            raise RuleError(f"{where}: {name} is a number, 0 or more, not {number:g}")
    return CompiledAction(
        rule,
        when=_compiled(compile_condition, rule.when, f"{where}: when"),
        value=_compiled(compile_number, rule.value, f"{where}: value"),
    )


def _compiled(
    compile_text: Callable[[str, Mapping[str, type]], Expression], text: str, where: str
) -> Expression:
    try:
        return compile_text(text, FACT_KINDS)
    except ExpressionError as error:
        raise RuleError(f"{where}: {error}") from None


def _require_name(name: str, where: str) -> None:
    # Names become part of Redis streams, metrics and headers.
    if not re.fullmatch(NAME_PATTERN, name):
        raise RuleError(f"{where}: a name is lower case letters, digits and -, 64 at most")


def _require_unique(rules: Sequence[TriggerRule | ActionRule]) -> None:
    seen: dict[str, TriggerRule | ActionRule] = {}
    for rule in rules:
        other = seen.setdefault(rule.name, rule)
        if other is not rule:
            place = f"on line {other.line}" if other.file == rule.file else f"in {other.where}"
            raise RuleError(f"{rule.where}: {rule.name} is there already, {place}")

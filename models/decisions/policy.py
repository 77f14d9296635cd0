"""The marketer's rules and actions, compiled and checked once."""

import re
from collections.abc import Callable, Mapping
from math import inf

from msgspec import Struct

from config.parameters import Parameters
from config.rules import ActionRule, RuleError, TriggerRule
from models.decisions.expression import (
    Expression,
    ExpressionError,
    compile_condition,
    compile_number,
    hint,
)
from models.decisions.facts import FACTS, KINDS
from models.decisions.trigger import NEXT_BEST_ACTION

CART_IDLE = "cart-idle"
SILENCE = "silence"
TICKET_WAITING = "ticket-waiting"
SURVEY = "survey"
SCORE = "score"
MOMENTS = (CART_IDLE, SILENCE, TICKET_WAITING, SURVEY, SCORE)
#: What is known only while an answer is being looked at.
SURVEY_FACTS = frozenset({"survey_kind", "survey_score", "survey_share"})
NAME_PATTERN = "[a-z0-9][a-z0-9-]{0,63}"


class CompiledTrigger(Struct, frozen=True):
    rule: TriggerRule
    when: Expression


class CompiledAction(Struct, frozen=True):
    rule: ActionRule
    when: Expression
    value: Expression


class Policy(Struct, frozen=True):
    """Triggers by the moment they are looked at, in the order of the file; and the actions."""

    triggers: Mapping[str, tuple[CompiledTrigger, ...]]
    actions: tuple[CompiledAction, ...]


def compile_policy(parameters: Parameters) -> Policy:
    """Compile the rules. Raises `RuleError` that names file, line and what is wrong."""
    file = parameters.triggers.file
    _require_unique([(rule.name, rule.line) for rule in parameters.triggers.triggers], file)
    triggers = [_trigger(rule, file) for rule in parameters.triggers.triggers]
    catalogue = parameters.actions
    _require_unique([(rule.name, rule.line) for rule in catalogue.actions], catalogue.file)
    for cap in catalogue.caps:
        if cap.at_most < 0 or cap.per <= 0:
            raise RuleError(f"{catalogue.file}:{cap.line}: a cap is at_most 0 or more, per a time")
    names = [rule.name for rule in parameters.triggers.triggers]
    return Policy(
        triggers={
            moment: tuple(found for found in triggers if found.rule.moment == moment)
            for moment in MOMENTS
        },
        actions=tuple(_action(rule, catalogue.file, names) for rule in catalogue.actions),
    )


def _trigger(rule: TriggerRule, file: str) -> CompiledTrigger:
    where = f"{file}:{rule.line}: {rule.name}"
    _require_name(rule.name, where)
    if rule.name == NEXT_BEST_ACTION:
        raise RuleError(f"{where}: is what the decisions of actions.yaml are called; rename it")
    if rule.moment not in MOMENTS:
        raise RuleError(f"{where}: moment is one of {', '.join(MOMENTS)}, not {rule.moment!r}")
    for name in rule.because:
        if name not in FACTS:
            raise RuleError(f"{where}: because names {name!r}, which is no fact{hint(name, FACTS)}")
    if rule.rises is not None:
        fact = rule.rises.fact
        if fact not in KINDS:
            raise RuleError(f"{where}: rises names {fact!r}, which is no fact{hint(fact, KINDS)}")
        if KINDS[fact] is not float:
            raise RuleError(f"{where}: rises needs a fact that is a number, {fact} is a text")
        if not rule.rises.rearm <= rule.rises.to:
            raise RuleError(
                f"{where}: rearm must not be above `to`, or it would fire at every look"
            )
    when = _compiled(compile_condition, rule.when, f"{where}: when")
    looked_at = when.names | ({rule.rises.fact} if rule.rises is not None else set())
    if rule.moment != SURVEY and (early := sorted(looked_at & SURVEY_FACTS)):
        raise RuleError(f"{where}: {early[0]} is known at the moment {SURVEY} alone")
    return CompiledTrigger(rule, when)


def _action(rule: ActionRule, file: str, triggers: list[str]) -> CompiledAction:
    where = f"{file}:{rule.line}: {rule.name}"
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
        return compile_text(text, KINDS)
    except ExpressionError as error:
        raise RuleError(f"{where}: {error}") from None


def _require_name(name: str, where: str) -> None:
    # It becomes a part of streams, metrics and headers.
    if not re.fullmatch(NAME_PATTERN, name):
        raise RuleError(f"{where}: a name is lower case letters, digits and -, 64 at most")


def _require_unique(entries: list[tuple[str, int]], file: str) -> None:
    seen: dict[str, int] = {}
    for name, line in entries:
        if name in seen:
            raise RuleError(f"{file}:{line}: {name} is there already, on line {seen[name]}")
        seen[name] = line

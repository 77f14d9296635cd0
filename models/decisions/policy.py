"""The marketer's rules and actions, compiled and checked once."""

from collections.abc import Mapping

from msgspec import Struct

from config.parameters import Parameters
from config.rules import ActionRule, RuleError, TriggerRule
from models.decisions.expression import Expression, ExpressionError, compile_expression
from models.decisions.facts import FACTS, KINDS

CART_IDLE = "cart-idle"
SILENCE = "silence"
TICKET_WAITING = "ticket-waiting"
SURVEY = "survey"
SCORE = "score"
MOMENTS = (CART_IDLE, SILENCE, TICKET_WAITING, SURVEY, SCORE)


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
    if rule.moment not in MOMENTS:
        raise RuleError(f"{where}: moment is one of {', '.join(MOMENTS)}, not {rule.moment!r}")
    for name in rule.because:
        if name not in FACTS:
            raise RuleError(f"{where}: because names {name!r}, which is no fact")
    if rule.rises is not None:
        if KINDS.get(rule.rises.fact) is not float:
            raise RuleError(f"{where}: rises needs a fact that is a number")
        if not rule.rises.rearm <= rule.rises.to:
            raise RuleError(
                f"{where}: rearm must not be above `to`, or it would fire at every look"
            )
    return CompiledTrigger(rule, _compiled(rule.when, where, "when"))


def _action(rule: ActionRule, file: str, triggers: list[str]) -> CompiledAction:
    where = f"{file}:{rule.line}: {rule.name}"
    for name in rule.contexts:
        if name not in triggers:
            raise RuleError(
                f"{where}: for names {name!r}, which is no trigger: {', '.join(triggers)}"
            )
    if not 0 <= rule.propensity <= 1:
        raise RuleError(f"{where}: propensity is a probability, from 0 to 1")
    return CompiledAction(
        rule,
        when=_compiled(rule.when, where, "when"),
        value=_compiled(rule.value, where, "value"),
    )


def _compiled(text: str, where: str, field: str) -> Expression:
    try:
        return compile_expression(text, KINDS)
    except ExpressionError as error:
        raise RuleError(f"{where}: {field}: {error}") from None


def _require_unique(entries: list[tuple[str, int]], file: str) -> None:
    seen: dict[str, int] = {}
    for name, line in entries:
        if name in seen:
            raise RuleError(f"{file}:{line}: {name} is there already, on line {seen[name]}")
        seen[name] = line

"""Triggers, actions and gates in words, as the workers understand them."""

from typing import NamedTuple

from agents.words.decision_lines import words_of
from agents.words.decisions import GATES
from agents.words.rules import channels_of, duration, moment_of_trigger
from config.parameters import Parameters
from models.customer.words import counted
from models.decisions.gates import GATE_NAMES
from models.decisions.policy import CompiledAction, CompiledTrigger, Policy


class TriggerView(NamedTuple):
    """A trigger. ``id``: its name in the file; ``climb``: the threshold it must pass, if there is
    one; ``answers``: the actions that answer it.
    """

    id: str
    name: str
    place: str
    moment: str
    when: str
    climb: str
    silence: str
    because: tuple[str, ...]
    answers: tuple[str, ...]


class ActionCard(NamedTuple):
    """An action of the catalogue."""

    name: str
    place: str
    channel: str
    owner: str
    is_service: bool
    answers: tuple[str, ...]
    when: str
    works: str
    value: str
    cost: str
    again: str
    due: str
    more: str


class RulesView(NamedTuple):
    """All rules. ``segments``: name and condition of each; ``limits``: the holdout and the caps;
    ``gates``: in the order of evaluation, each with the meaning of a suppression.
    """

    triggers: tuple[TriggerView, ...]
    actions: tuple[ActionCard, ...]
    segments: tuple[tuple[str, str], ...]
    limits: tuple[str, ...]
    gates: tuple[tuple[str, str], ...]
    warnings: tuple[str, ...]


def rules_view(policy: Policy, parameters: Parameters) -> RulesView:
    """The rules from the compiled policy."""
    compiled = {one.rule.name: one for found in policy.triggers.values() for one in found}
    catalogue = parameters.actions
    limits = [f"{catalogue.holdout:.0%} of all customers are in the control group, for good."]
    limits += [
        f"At most {counted(cap.at_most, 'contact')} in {duration(cap.per)}"
        f"{f' by {cap.channel}' if cap.channel else ''}{f' of {cap.action}' if cap.action else ''}."
        for cap in catalogue.caps
    ]
    return RulesView(
        tuple(_trigger(one, policy) for one in compiled.values()),
        tuple(_action(one) for one in policy.actions),
        tuple((one.name, one.when) for one in parameters.segments.segments),
        tuple(limits),
        tuple((words_of(name), GATES.get(name, "")) for name in GATE_NAMES),
        policy.warnings,
    )


def _trigger(compiled: CompiledTrigger, policy: Policy) -> TriggerView:
    rule, climb = compiled.rule, ""
    if rule.rises is not None:
        rises = rule.rises
        climb = (
            f"once {rises.fact} climbs to {rises.to:g}, and again only after it fell to "
            f"{rises.rearm:g}"
        )
    answers = tuple(
        words_of(action.rule.name) for action in policy.actions if rule.name in action.rule.contexts
    )
    return TriggerView(
        rule.name,
        words_of(rule.name),
        f"{rule.file}, line {rule.line}, version {rule.version}",
        moment_of_trigger(compiled),
        rule.when,
        climb,
        duration(rule.cooldown),
        tuple(rule.because),
        answers,
    )


def _action(compiled: CompiledAction) -> ActionCard:
    rule = compiled.rule
    more = [f"plays to {', '.join(rule.reasons)}"] if rule.reasons else []
    more += [f"offers {rule.offer}"] if rule.offer else []
    more += [f"lever {rule.lever:g}"] if rule.lever != 1 else []
    return ActionCard(
        words_of(rule.name),
        f"{rule.file}, line {rule.line}",
        channels_of(rule),
        rule.owner,
        rule.service,
        tuple(f"{words_of(name)} ({weight:g})" for name, weight in rule.contexts.items()),
        rule.when,
        f"{rule.propensity:.0%}",
        rule.value,
        f"{rule.cost:g}",
        duration(rule.cooldown),
        duration(rule.due),
        ", ".join(more),
    )

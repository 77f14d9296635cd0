"""Rules in words, so that authors can see how their rules are understood."""

from collections.abc import Iterator

from config.duration import DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS
from config.parameters import Parameters
from config.rules import ActionRule
from models.customer.part import Fact
from models.customer.registry import MOMENTS
from models.customer.words import counted
from models.decisions.policy import CompiledAction, CompiledTrigger, Policy
from models.parameters import load_parameters

_UNITS = (("day", DAY_MS), ("hour", HOUR_MS), ("minute", MINUTE_MS), ("second", SECOND_MS))


def policy_in_words(policy: Policy, parameters: Parameters) -> Iterator[str]:
    """Every trigger in the order of its file, then the catalogue's caps and actions."""
    # A trigger with a threshold is also evaluated when its cooldown ends.
    compiled = {
        trigger.rule.name: trigger for found in policy.triggers.values() for trigger in found
    }
    for file in dict.fromkeys(rule.file for rule in parameters.triggers.triggers):
        own = [trigger for trigger in compiled.values() if trigger.rule.file == file]
        yield f"{file}: {counted(len(own), 'trigger')}"
        for trigger in sorted(own, key=lambda found: found.rule.line):
            yield from _trigger(trigger)
    yield from _left_out(parameters)
    catalogue = parameters.actions
    held = f"{catalogue.holdout:.0%} of customers are never treated"
    yield ""
    yield f"{catalogue.file}: {counted(len(policy.actions), 'action')}, {held}"
    for cap in catalogue.caps:
        yield f"  at most {counted(cap.at_most, 'contact')} in {duration(cap.per)}"
    for action in policy.actions:
        yield from _action(action)


def _left_out(parameters: Parameters) -> Iterator[str]:
    """Shipped rules that are missing in the author's file, which replaces all of them."""
    ours = {rule.name for rule in parameters.triggers.triggers}
    names: dict[str, list[str]] = {}
    for rule in load_parameters().triggers.triggers:
        if rule.name not in ours:
            names.setdefault(rule.file, []).append(rule.name)
    if names:
        yield "shipped, but not in your file, so they never fire:"
    for file, gone in names.items():
        yield f"  {file}: {', '.join(gone)}"


def duration(ms: int) -> str:
    """A time span in words, in the largest unit that divides it."""
    for noun, size in _UNITS:
        if ms >= size and ms % size == 0:
            return counted(ms // size, noun)
    return f"{ms} ms"


def kind_of(fact: Fact) -> str:
    """The type of value that a rule can compare the fact with."""
    return "text" if fact.kind is str else "number"


def example_of(fact: Fact) -> str:
    """The fact's words in a receipt, with an example value."""
    return fact.told("…" if fact.kind is str else _sample(fact.words))


def _sample(words: str) -> float:
    return 0.42 if "%" in words else 12.0


def _trigger(compiled: CompiledTrigger) -> Iterator[str]:
    rule = compiled.rule
    yield f"  {rule.name} (version {rule.version}, line {rule.line})"
    yield f"    looked at when {moment_of_trigger(compiled)}"
    yield f"    fires if {rule.when}"
    if rule.rises is not None:
        rises = rule.rises
        yield (
            f"    once {rises.fact} climbs to {rises.to:g}, "
            f"and again only after it fell to {rises.rearm:g}"
        )
    yield f"    then stays silent for {duration(rule.cooldown)}"
    yield f"    because of {', '.join(rule.because) or 'nothing it names'}"


def moment_of_trigger(compiled: CompiledTrigger) -> str:
    """When the rule is evaluated."""
    if not compiled.on:
        return MOMENTS[compiled.rule.moment]
    return f"{' or '.join(event.name for event in compiled.on)} happens"


def channels_of(rule: ActionRule) -> str:
    """The channel of an action, its time of day, and how long it holds."""
    others = f", or {' or '.join(rule.preferable)} if preferred" if rule.preferable else ""
    hour = ", at their best hour" if rule.best_hour else ""
    return f"{rule.channel}{others}{hour}{', until they buy' if rule.until_bought else ''}"


def _action(compiled: CompiledAction) -> Iterator[str]:
    rule = compiled.rule
    service = ", a service message: exempt from the caps" if rule.service else ""
    yield f"  {rule.name} (line {rule.line}): {channels_of(rule)}{service}"
    answers = ", ".join(f"{name} (weight {weight:g})" for name, weight in rule.contexts.items())
    yield f"    answers {answers}"
    yield f"    allowed if {rule.when}"
    lever = f", lever {rule.lever:g}" if rule.lever != 1 else ""
    works = f"works {rule.propensity:.0%} of the time, worth {rule.value}"
    yield f"    {works}, costs {rule.cost:g}{lever}"
    yield f"    {rule.owner} has {duration(rule.due)}; not again within {duration(rule.cooldown)}"

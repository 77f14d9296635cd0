"""The marketer's rules and actions, compiled and checked once."""

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from difflib import get_close_matches
from math import inf
from typing import TypeVar

from msgspec import Struct

from config.parameters import Names, Parameters
from config.rules import (
    NAME_PATTERN,
    SHIPPED,
    ActionRule,
    Actions,
    Cap,
    Rise,
    RuleError,
    TriggerRule,
    Triggers,
)
from config.segments import NAME_AT
from models.customer.churn_reason import ReasonKind
from models.customer.contacts import COOLDOWN_OVER, DECISIONS_MAX
from models.customer.named_events import EVENT
from models.customer.part import Fact
from models.customer.prices import PRICES
from models.customer.registry import FACT_KINDS, FACTS, MOMENTS
from models.customer.segments import TIME, watched_name
from models.decisions.expression import (
    Condition,
    ExpressionError,
    Formula,
    compile_condition,
    compile_number,
    hint,
)
from models.decisions.named_events import (
    NamedEvent,
    check_known,
    known_of,
    named_events,
    unknown_to_parts,
)
from models.decisions.possible import (
    Domain,
    Numbers,
    Texts,
    misspelt,
    outlook,
    range_in_words,
)
from models.decisions.segment_checks import check_segments, check_time, unknown_segment
from models.decisions.trigger import ACTION_WITHDRAWN, NEXT_BEST_ACTION

T = TypeVar("T")
_PERCENT = 100
_ANSWER = (
    "nothing is ever done about it unless an action names it in `for`, or you act on the trigger "
    "itself"
)
#: The facts that decisions carry; they are in every message.
FACTS_TOLD_MAX = 24


class CompiledTrigger(Struct, frozen=True):
    """``on``: the events for which it is evaluated, at the moment of events. ``watched``: the name
    of its condition, at the moment `time`.
    """

    rule: TriggerRule
    when: Condition
    on: tuple[NamedEvent, ...] = ()
    watched: str = ""

    def is_on(self, key: str) -> bool:
        """Whether the rule names the event with this key."""
        return any(event.key == key for event in self.on)


class CompiledAction(Struct, frozen=True):
    rule: ActionRule
    when: Condition
    value: Formula


class Policy(Struct, frozen=True):
    """Triggers by the moment at which they are evaluated, in the order of the file; the ``order``
    of moments that one step raises; and the actions. ``named``: the events that triggers name, by
    their key; ``named_kinds``: the numbers of their kinds. ``warnings``: rules that are valid, but
    probably not what their author means.
    """

    triggers: Mapping[str, tuple[CompiledTrigger, ...]]
    order: Mapping[str, int]
    actions: tuple[CompiledAction, ...]
    named: Mapping[str, str]
    named_kinds: frozenset[int]
    warnings: tuple[str, ...] = ()


def compile_policy(parameters: Parameters) -> Policy:
    """Compile the rules. Raises `RuleError` that names file, line and what is wrong."""
    domains = domains_of(FACTS, parameters)
    # Segments first, because rules may name them.
    doubts = list(check_segments(parameters, domains))
    _require_unique(parameters.triggers.triggers)
    triggers = [_trigger(rule, parameters.names) for rule in parameters.triggers.triggers]
    _check_facts(parameters.rules.facts)
    catalogue = parameters.actions
    _require_unique(catalogue.actions)
    for cap in catalogue.caps:
        _check_cap(cap, catalogue.actions)
    _check_quiet_hours(catalogue)
    names = [rule.name for rule in parameters.triggers.triggers]
    actions = tuple(_action(rule, names) for rule in catalogue.actions)
    for rule in _all_rules(parameters):
        if (fault := unknown_segment(rule.when, parameters)) is not None:
            raise RuleError(f"{rule.where}: {rule.name}: when: {fault}")
    warnings = [
        *doubts,
        *(found for compiled in triggers for found in _doubts_of_trigger(compiled, domains)),
        *(found for compiled in actions for found in _doubts(compiled.rule, domains)),
        *_unanswered(parameters.triggers, catalogue.actions),
        *_never_chosen(catalogue.actions),
        *_priced_by_the_customer(actions),
    ]
    by_moment = {
        moment: tuple(found for found in triggers if found.rule.moment == moment)
        for moment in MOMENTS
    }
    # A climb that the cooldown held back is evaluated again when the cooldown ends, whatever the
    # rule's moment. Except for rules of an event: by then the event is over.
    by_moment[COOLDOWN_OVER] = tuple(
        found for found in triggers if found.rule.rises is not None and found.rule.moment != EVENT
    )
    events = [event for compiled in triggers for event in compiled.on]
    return Policy(
        triggers=by_moment,
        order={moment: place for place, moment in enumerate(by_moment)},
        actions=actions,
        named={event.key: event.name for event in reversed(events)},
        named_kinds=frozenset(event.kind.number for event in events),
        warnings=tuple(warnings),
    )


def _all_rules(parameters: Parameters) -> list[TriggerRule | ActionRule]:
    return [*parameters.triggers.triggers, *parameters.actions.actions]


def domains_of(facts: Mapping[str, Fact], parameters: Parameters) -> dict[str, Domain]:
    """The values that each fact can have."""
    return {name: _domain(fact, parameters) for name, fact in facts.items()}


def _domain(fact: Fact, parameters: Parameters) -> Domain:
    if fact.kind is not str:
        return Numbers(fact.least, fact.most, whole=fact.whole or fact.answers is not None)
    if fact.values is None:
        return Texts()
    # The empty text stands for an unknown value.
    return Texts(frozenset(map(str, fact.values(parameters))) | {""})


def _doubts_of_trigger(compiled: CompiledTrigger, domains: Mapping[str, Domain]) -> Iterator[str]:
    """Raises `RuleError` for a rule that can never fire."""
    rule = compiled.rule
    yield from unknown_to_parts(rule, compiled.on)
    known = {**known_of(compiled.on)}
    domains = {**domains, **known}
    if rule.rises is not None:
        domain = domains[rule.rises.fact]
        assert isinstance(domain, Numbers)
        yield from _doubts_of_rise(rule.rises, domain, f"{rule.where}: {rule.name}")
        known[rule.rises.fact] = domain._replace(least=max(rule.rises.to, domain.least))
    yield from _doubts(rule, domains, known)


def _doubts_of_rise(rise: Rise, domain: Numbers, where: str) -> Iterator[str]:
    said = f"{rise.fact} is {range_in_words(domain)}"
    if rise.to > domain.most:
        percent = domain.most == 1 and rise.to <= _PERCENT
        near = rise.to / _PERCENT if percent else domain.most
        raise RuleError(f"{where}: rises to {rise.to:g} never: {said}; did you mean {near:g}?")
    if rise.rearm < domain.least:
        yield f"{where}: fires once and never again, for {said} and never falls to {rise.rearm:g}"


def _doubts(
    rule: TriggerRule | ActionRule,
    domains: Mapping[str, Domain],
    known: Mapping[str, Domain] | None = None,
) -> Iterator[str]:
    """Raises `RuleError` for a condition that can never be true."""
    where = f"{rule.where}: {rule.name}: when"
    fault = misspelt(rule.when, domains)
    if fault is not None:
        raise RuleError(f"{where}: {fault}")
    found = outlook(rule.when, domains, known)
    if not found.is_possible:
        why = "; ".join(found.never) or "it says so itself"
        raise RuleError(f"{where}: can never be true: {why}: {rule.when!r}")
    for never in found.never:
        yield f"{where}: {never}, so that part of the condition does nothing"


def _unanswered(triggers: Triggers, actions: Sequence[ActionRule]) -> Iterator[str]:
    """A warning for each unanswered trigger that the operator wrote, and one line for all shipped
    ones. None for the triggers of parts: these are for programs that read triggers.
    """
    answered = {name for rule in actions for name, weight in rule.contexts.items() if weight > 0}
    # Triggers that announce a segment are usually acted on directly.
    unanswered = [
        rule
        for rule in triggers.triggers
        if rule.name not in answered
        and rule.moment not in NAME_AT
        and rule.name not in triggers.of_parts
    ]
    shipped = [rule for rule in unanswered if rule.file.startswith(SHIPPED)]
    if shipped:
        files = ", ".join(dict.fromkeys(rule.file for rule in shipped))
        names = ", ".join(rule.name for rule in shipped)
        yield f"{files}: no action answers {names}: {_ANSWER}"
    for rule in unanswered:
        if rule not in shipped:
            yield f"{rule.where}: {rule.name}: no action answers it: {_ANSWER}"


def _never_chosen(actions: Sequence[ActionRule]) -> Iterator[str]:
    for rule in actions:
        nothing = {
            "propensity": rule.propensity,
            "lever": rule.lever,
            "every weight in `for`": max(rule.contexts.values()),
        }
        for what, number in nothing.items():
            if not number:
                yield f"{rule.where}: {rule.name}: is never chosen, for {what} is 0"


def _priced_by_the_customer(actions: Sequence[CompiledAction]) -> Iterator[str]:
    """Price dependence may be a condition for a discount, but must not set what a customer is
    offered (PIPL, article 24: no unreasonable differential treatment in price).
    """
    for compiled in actions:
        named = sorted(compiled.value.names & PRICES.facts.keys())
        if named and compiled.rule.offer is not None:
            yield (
                f"{compiled.rule.where}: {compiled.rule.name}: value names {named[0]}: an offer "
                f"must not be worth more or less by how much the price decides for somebody; use "
                f"it in `when`"
            )


def _check_facts(names: Sequence[str]) -> None:
    """The facts that decisions carry must be known at every moment."""
    if len(names) > FACTS_TOLD_MAX:
        raise RuleError(f"rules.facts: {len(names)} of them, and {FACTS_TOLD_MAX} are the most")
    for name in names:
        if name not in FACTS:
            raise RuleError(f"rules.facts: there is no fact {name!r}{hint(name, FACTS)}")
        if (moment := FACTS[name].moment) is not None:
            raise RuleError(
                f"rules.facts: {name} is known at the moment {moment} alone, and decisions are "
                f"made at others, too: leave it out"
            )


def _check_cap(cap: Cap, actions: Sequence[ActionRule]) -> None:
    if not 0 <= cap.at_most < DECISIONS_MAX or cap.per <= 0:
        raise RuleError(
            f"{cap.where}: a cap is at_most 0 or more, per a time; less than {DECISIONS_MAX}, for "
            f"no more contacts of a customer are remembered"
        )
    contacts = [rule for rule in actions if not rule.service]
    channels = {channel for rule in contacts for channel in rule.channels}
    names = {rule.name for rule in contacts}
    for what, named, known in (
        ("channel", cap.channel, channels),
        ("action", cap.action, names),
    ):
        if named is not None and named not in known:
            raise RuleError(
                f"{cap.where}: the cap's {what} {named!r} is of no action that caps count"
                f"{_nearest(named, known)}"
            )


def _check_quiet_hours(catalogue: Actions) -> None:
    """Each channel has at most one rule, so that it is clear which one applies."""
    channels = {channel for rule in catalogue.actions for channel in rule.channels}
    taken: set[str] = set()
    for hours in catalogue.quiet_hours:
        if hours.begin == hours.end:
            raise RuleError(f"{hours.where}: quiet from and to the same time: no hour is left")
        for channel in hours.channels:
            # A catalogue without actions has nothing to delay.
            if channels and channel not in channels:
                raise RuleError(
                    f"{hours.where}: no action has the channel {channel!r}"
                    f"{_nearest(channel, channels)}"
                )
        named = hours.channels or ("all other channels",)
        for channel in named:
            if channel in taken:
                raise RuleError(f"{hours.where}: {channel} has quiet hours already; keep one")
            taken.add(channel)


def _check_offer(rule: ActionRule, where: str) -> None:
    if rule.service and rule.offer is not None:
        raise RuleError(
            f"{where}: what offers something ({rule.offer}) is no service message, which needs no "
            f"consent: take `offer` or `service` away"
        )
    known = [*ReasonKind, "any"]
    for reason in (rule.plays,) if isinstance(rule.plays, str) else rule.plays:
        if reason not in known:
            raise RuleError(
                f"{where}: plays names {reason!r}, which is no reason to leave"
                f"{_nearest(reason, known)}"
            )
    if len(set(rule.channels)) < len(rule.channels):
        raise RuleError(
            f"{where}: prefer names channels that take the place of `channel`, each once, and not "
            f"{rule.channel} itself"
        )
    texts = [("list", rule.list), ("offer", rule.offer), *(("prefer", c) for c in rule.preferable)]
    for name, text in texts:
        if text is not None and not text.strip():
            raise RuleError(f"{where}: {name} is empty: name one, or take the line away")


def _nearest(name: str, known: Collection[str]) -> str:
    """The known name that was probably meant, or all of them, as the end of an error message."""
    close = get_close_matches(name, known, n=1, cutoff=0.5)
    return f"; did you mean {close[0]}?" if close else f": {', '.join(sorted(known))}"


def _trigger(rule: TriggerRule, names: Names) -> CompiledTrigger:
    where = f"{rule.where}: {rule.name}"
    _require_name(rule.name, where)
    if rule.name in (NEXT_BEST_ACTION, ACTION_WITHDRAWN):
        raise RuleError(f"{where}: is what the decisions of actions.yaml are called; rename it")
    if rule.moment not in MOMENTS:
        raise RuleError(f"{where}: moment is one of {', '.join(MOMENTS)}, not {rule.moment!r}")
    on = named_events(rule, names)
    for name in rule.because:
        if name not in FACTS:
            raise RuleError(f"{where}: because names {name!r}, which is no fact{hint(name, FACTS)}")
    if rule.rises is not None:
        _check_rise(rule.rises, where)
    check_time(rule, where)
    when = _compiled(compile_condition, rule.when, f"{where}: when")
    looked_at = when.names | ({rule.rises.fact} if rule.rises is not None else set())
    check_known(rule, looked_at, on)
    for name in sorted(looked_at):
        only = FACTS[name].moment
        if only is not None and only != rule.moment:
            raise RuleError(f"{where}: {name} is known at the moment {only} alone")
    return CompiledTrigger(rule, when, on, watched_name(rule.name) if rule.moment == TIME else "")


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
    _check_offer(rule, where)
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


def _compiled(compile_text: Callable[[str, Mapping[str, type]], T], text: str, where: str) -> T:
    try:
        return compile_text(text, FACT_KINDS)
    except ExpressionError as error:
        raise RuleError(f"{where}: {error}") from None


def _require_name(name: str, where: str) -> None:
    if not re.fullmatch(NAME_PATTERN, name):
        raise RuleError(f"{where}: a name is lower case letters, digits and -, 64 at most")


def _require_unique(rules: Sequence[TriggerRule | ActionRule]) -> None:
    seen: dict[str, TriggerRule | ActionRule] = {}
    for rule in rules:
        other = seen.setdefault(rule.name, rule)
        if other is not rule:
            place = f"on line {other.line}" if other.file == rule.file else f"in {other.where}"
            raise RuleError(f"{rule.where}: {rule.name} is there already, {place}")

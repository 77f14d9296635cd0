"""Checks segments as their author wrote them, before any customer is evaluated."""

import re
from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter

from config.parameters import Parameters
from config.rules import NAME_PATTERN, RuleError, TriggerRule
from config.segments import SegmentRule
from models.customer.registry import FACT_KINDS, FACTS
from models.customer.segments import TIME
from models.decisions.expression import ExpressionError, compile_condition
from models.decisions.possible import Domain, asked_of_lists, misspelt, outlook, unlisted

#: The names of a segment's triggers are longer, and have a limit, too.
_NAME_LENGTH_MAX = 48
#: Versions are stored with memberships.
_VERSION_MAX = 1_000_000


def check_segments(parameters: Parameters, domains: Mapping[str, Domain]) -> Iterator[str]:
    """Raise `RuleError` for a segment that cannot be used; yield a warning for each that is
    probably not what its author means. ``domains``: the values that each fact can have.
    """
    seen: dict[str, SegmentRule] = {}
    segments = parameters.segments.segments
    for rule in segments:
        where = f"{rule.where}: {rule.name}"
        if not re.fullmatch(NAME_PATTERN, rule.name) or len(rule.name) > _NAME_LENGTH_MAX:
            raise RuleError(
                f"{where}: a name is lower case letters, digits and -, {_NAME_LENGTH_MAX} at most"
            )
        if (other := seen.setdefault(rule.name, rule)) is not rule:
            raise RuleError(f"{where} is there already, on line {other.line}")
        if not 1 <= rule.version <= _VERSION_MAX:
            raise RuleError(f"{where}: version is a whole number from 1 on, not {rule.version}")
        if rule.hold < 0:
            raise RuleError(f"{where}: hold is a time such as 2h, or 0s for at once")
        if rule.backfill and not rule.announce:
            raise RuleError(f"{where}: backfill announces, so it needs `announce: true`")
    for rule in segments:
        yield from _check_condition(rule, f"{rule.where}: {rule.name}: when", parameters, domains)
    _check_order(segments)


def _check_condition(
    rule: SegmentRule, where: str, parameters: Parameters, domains: Mapping[str, Domain]
) -> Iterator[str]:
    try:
        names = compile_condition(rule.when, FACT_KINDS).names
    except ExpressionError as error:
        raise RuleError(f"{where}: {error}") from None
    for name in sorted(names):
        if (moment := FACTS[name].moment) is not None:
            raise RuleError(
                f"{where}: {name} is known at the moment {moment} alone, and a segment is of any "
                f"time: write a rule of that moment"
            )
    fault = unknown_segment(rule.when, parameters) or misspelt(rule.when, domains)
    if fault is not None:
        raise RuleError(f"{where}: {fault}")
    found = outlook(rule.when, domains)
    if not found.is_possible:
        why = "; ".join(found.never) or "it says so itself"
        raise RuleError(f"{where}: can never be true: {why}: {rule.when!r}")
    for never in found.never:
        yield f"{where}: {never}, so that part of the condition does nothing"


def unknown_segment(condition: str, parameters: Parameters) -> str | None:
    """A segment that a condition names and that does not exist, in words."""
    names = [segment.name for segment in parameters.segments.segments]
    return unlisted(condition, {"segments": names})


def check_time(rule: TriggerRule, where: str) -> None:
    """Raise `RuleError` for a rule of the moment `time` that states its timing twice."""
    if rule.moment == TIME and rule.rises is not None:
        raise RuleError(
            f"{where}: at the moment {TIME} a rule fires when its condition becomes true: write "
            f"`when: {rule.rises.fact} >= {rule.rises.to:g}` and take `rises` away"
        )


def _check_order(segments: tuple[SegmentRule, ...]) -> None:
    """Segments may refer to each other, but not in a circle."""
    asked = {one.name: {name for _, name in asked_of_lists(one.when)} for one in segments}
    try:
        TopologicalSorter(asked).prepare()
    except CycleError as error:
        circle: list[str] = error.args[1]
        first = next(one for one in segments if one.name == circle[0])
        raise RuleError(
            f"{first.where}: {first.name}: {' asks for '.join(reversed(circle))}: no customer can "
            f"be looked at for a circle: write out one of the conditions"
        ) from None

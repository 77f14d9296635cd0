"""The events that rules name in `on`: what each name means, and which facts the event has."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from msgspec import Struct

from config.names import folded
from config.parameters import Names
from config.rules import RuleError, TriggerRule
from models.catalogue import (
    MISSPELT,
    NAME_LENGTH_MAX,
    UNKNOWN,
    kind_of,
    known_name,
    nearest_known_name,
)
from models.customer.named_events import EVENT, FACTS, key_of
from models.decisions.possible import Domain, Numbers, Texts
from models.events.erasure_record import ERASE_REQUESTED
from models.events.event import Kind

_EXAMPLE: Final = 'on: "Asset Downloaded"'
#: The facts that only some events have, and the field of the event's declaration that gives them.
_OF_SOME: Final = {"event_value": "value", "event_code": "code"}


class NamedEvent(Struct, frozen=True):
    """An event under its key in the rules; ``name``: how the rules call it."""

    key: str
    name: str
    kind: Kind


def named_events(rule: TriggerRule, names: Names) -> tuple[NamedEvent, ...]:
    """The events for which the rule is evaluated. Raises `RuleError`."""
    where = f"{rule.where}: {rule.name}"
    if rule.moment != EVENT:
        if rule.events:
            raise RuleError(
                f"{where}: `on` is of the moment {EVENT} alone: write `moment: {EVENT}`, or take "
                f"`on` away"
            )
        return ()
    if not rule.events:
        raise RuleError(
            f"{where}: the moment {EVENT} needs the name of an event, or a list of names, such as "
            f"`{_EXAMPLE}`"
        )
    found = [_named(written, names, f"{where}: on") for written in rule.events]
    return tuple({event.key: event for event in found}.values())


def _named(written: str, names: Names, where: str) -> NamedEvent:
    key = folded(written)
    if not key or len(written) > NAME_LENGTH_MAX:
        raise RuleError(
            f"{where} has no name of an event, of {NAME_LENGTH_MAX} characters at most, such as "
            f"`{_EXAMPLE}`"
        )
    meant = names.aliases.get(key, written)
    if known_name(meant) == ERASE_REQUESTED:
        raise RuleError(f"{where} names {written!r}, after which nothing is decided for anybody")
    kind = kind_of(meant)
    if kind is MISSPELT and key in names.own:
        kind = UNKNOWN
    if kind is MISSPELT:
        raise RuleError(
            f"{where} names {written!r}, which counts as nothing; did you mean "
            f"{nearest_known_name(meant)}? If it is an event of your own, name it in names.own"
        )
    if kind.declared.nobody is not None:
        raise RuleError(f"{where} names {kind.name}, which is about no customer")
    name = kind.name if kind.is_known else written.strip()
    return NamedEvent(key_of(name, is_known=kind.is_known), name, kind)


def known_of(events: Sequence[NamedEvent]) -> Mapping[str, Domain]:
    """The values that facts of the event can have at the rule's moment."""
    if not events:
        return {}
    counted = FACTS["event_count_24h"]
    return {
        "event_name": Texts(frozenset(event.name for event in events)),
        "event_count_24h": Numbers(counted.least, counted.most, unknown=False, whole=True),
    }


def check_known(rule: TriggerRule, asked: Iterable[str], events: Sequence[NamedEvent]) -> None:
    """Raise `RuleError` if the rule names a fact that none of its events has."""
    for fact in sorted(_OF_SOME.keys() & set(asked)):
        if not any(getattr(event.kind.declared, _OF_SOME[fact]) for event in events):
            names = " or ".join(event.name for event in events)
            raise RuleError(
                f"{rule.where}: {rule.name}: {fact} is never known of {names}: Keepstream reads "
                f"no such property of it"
            )


def unknown_to_parts(rule: TriggerRule, events: Sequence[NamedEvent]) -> Iterator[str]:
    """A warning for each unknown event: it may be an event of the shop's own, or a mistake."""
    for event in events:
        if not event.kind.is_known:
            yield (
                f"{rule.where}: {rule.name}: on names {event.name!r}, which no part knows: it is "
                f"taken as an event of your own"
            )

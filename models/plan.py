"""The plan of a deployment, built from its parameters at start."""

from collections.abc import Callable, Collection, Mapping
from math import nan
from typing import Any, Final, NamedTuple

from config.parameters import Parameters
from models.catalogue import KINDS, MISSPELT, NAMES
from models.customer.consent_state import ConsentParameters
from models.customer.part import (
    EVERYTHING,
    INTERACTIONS,
    NAMED_BY_RULES,
    Fact,
    Part,
    Reading,
    Timer,
)
from models.customer.registry import PARTS, RegistryError
from models.customer.scene import Context, Scene
from models.customer.timeline import code_of
from models.decisions.policy import Policy, compile_policy
from models.decisions.segments import NOTHING_WATCHED, SegmentWatch, watch_for
from models.events.event import Kind
from models.inactivity import INACTIVITY_TIMER
from models.learning.snapshot import Snapshot

#: The parts that listen to one kind of event.
Route = tuple[Part[Any], ...]
#: What each part does at a look, by the name of the part.
Looks = Mapping[str, Callable[[Scene], None]]
NO_LOOKS: Final[Looks] = {}
#: What each part does once it has come into force, by its code.
TakenUp = Mapping[str, Callable[[Scene], None]]
NOTHING_TAKEN_UP: Final[TakenUp] = {}


class Plan(NamedTuple):
    """``routes``: the parts that listen, by the number of an event's kind; ``checks``: those of
    them that may refuse it. ``timers`` by code, in the order in which timers of the same ms run;
    ``looks``: what parts do at a look. ``facts`` by name; those of parts that are off are unknown.
    ``message_bytes_max``: bytes of message ids kept per customer to recognise repeats;
    ``lateness_ms``: older events are not applied. ``inactive_ms``: customers who were inactive for
    this long are erased; 0 for never. ``names``: of events, by the codes in rows. ``watch``:
    segments and other conditions that are evaluated when they may change. ``parts``: the codes of
    those that are on. ``learns_by_default``: from customers without a choice about it.
    ``unprofiled``: what parts do when a customer refuses personalisation; ``takes_up``: how parts
    begin again after a while out of force, by code, in their order.
    """

    parameters: Parameters
    policy: Policy
    routes: tuple[Route, ...]
    checks: tuple[Route, ...]
    timers: dict[str, Timer]
    facts: dict[str, Reading[float | str]]
    message_bytes_max: int
    lateness_ms: int
    inactive_ms: int = 0
    names: Mapping[bytes, str] = NAMES
    watch: SegmentWatch = NOTHING_WATCHED
    looks: Looks = NO_LOOKS
    parts: tuple[str, ...] = ()
    learns_by_default: bool = True
    unprofiled: tuple[Callable[[Scene], None], ...] = ()
    takes_up: TakenUp = NOTHING_TAKEN_UP

    def context(self, snapshot: Snapshot, *, clock_ms: int = 0, label_delay_ms: int = 0) -> Context:
        """A partition's context under this plan."""
        return Context(
            self.parameters,
            snapshot,
            self.facts,
            named=self.policy.named,
            names=self.names,
            segments=self.watch if self.watch.segments else None,
            clock_ms=clock_ms,
            label_delay_ms=label_delay_ms,
        )


def plan_for(parameters: Parameters, parts: tuple[Part[Any], ...] = PARTS) -> Plan:
    """The plan of a deployment. Raises ``RuleError`` for a rule that cannot be used, and
    ``RegistryError`` for a part with too many sums over all customers.
    """
    on = tuple(part for part in parts if part.is_on(parameters))
    _check_sums(on, parameters)
    policy = compile_policy(parameters)
    routes = tuple(tuple(part for part in on if _hears(part, kind, policy)) for kind in KINDS)
    return Plan(
        parameters=parameters,
        policy=policy,
        routes=routes,
        checks=tuple(tuple(part for part in route if part.check is not None) for route in routes),
        timers=_timers(on, parameters),
        facts=_facts(parts, on),
        message_bytes_max=8 * parameters.bounds.messages,
        lateness_ms=parameters.time.lateness,
        inactive_ms=int(parameters.privacy.inactive),
        # Known names override the shop's own, so their codes are certain.
        names={**{code_of(key): name for key, name in policy.named.items()}, **NAMES},
        watch=watch_for(parameters, on, routes),
        looks={part.name: part.look for part in on if part.look is not None},
        parts=tuple(sorted(part.code for part in on)),
        learns_by_default=parameters.of(ConsentParameters).default.analytics == "granted",
        unprofiled=tuple(part.unprofiled for part in on if part.unprofiled is not None),
        takes_up={part.code: part.take_up for part in on if part.take_up is not None},
    )


def plan_with(plan: Plan, codes: Collection[str]) -> Plan:
    """The plan of the same deployment with exactly those switchable parts in force that have these
    ``codes``.
    """
    parameters = plan.parameters
    for part in PARTS:
        if part.has_switch and part.is_on(parameters) != (part.code in codes):
            parameters = part.switched(parameters, on=part.code in codes)
    return plan if parameters is plan.parameters else plan_for(parameters)


def _check_sums(parts: tuple[Part[Any], ...], parameters: Parameters) -> None:
    for part in parts:
        if (told := part.population) is None:
            continue
        if (count := len(told.keys(parameters))) > told.keys_max:
            most = told.keys_max
            raise RegistryError(f"{part.name} tells {count} sums, {most} at most: set fewer")


def _hears(part: Part[Any], kind: Kind, policy: Policy) -> bool:
    if part.listens is INTERACTIONS:
        return not kind.is_passive
    if part.listens is EVERYTHING:
        return kind is not MISSPELT
    if part.listens is NAMED_BY_RULES:
        return kind.number in policy.named_kinds
    return kind.name in part.listens


def _timers(parts: tuple[Part[Any], ...], parameters: Parameters) -> dict[str, Timer]:
    timers = [timer for part in parts for timer in part.timers]
    if parameters.privacy.inactive:
        timers.append(INACTIVITY_TIMER)
    timers.sort(key=lambda timer: timer.last - timer.first)
    return {timer.code: timer for timer in timers}


def _facts(
    parts: tuple[Part[Any], ...], on: tuple[Part[Any], ...]
) -> dict[str, Reading[float | str]]:
    facts: dict[str, Reading[float | str]] = {}
    for part in parts:
        for name, fact in part.facts.items():
            facts[name] = fact.read if part in on else _unknown(fact)
    return facts


def _unknown(fact: Fact) -> Reading[float | str]:
    nothing: float | str = "" if fact.kind is str else nan
    return lambda _: nothing

"""Segments compiled: after which events and deadlines a customer is looked at for which of them.

That is after each that may have changed what a condition is about, and at the very time at which
one of them changes by time alone (`models.decisions.segment_looks`). The conditions of rules of the
moment `time` are kept in the same way.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from graphlib import TopologicalSorter
from math import inf
from operator import attrgetter
from typing import Any, Final, NamedTuple
from zlib import crc32

import msgspec
from msgspec import Struct

from config.duration import DAY_MS
from config.parameters import HORIZON_DAYS_MAX, Parameters
from models.customer.churn import DECISION
from models.customer.fingerprint import fingerprint
from models.customer.part import Part, Timer
from models.customer.registry import FACT_KINDS, FACTS, PARTS
from models.customer.scene import Scene
from models.customer.segments import LOOK, RULE_PREFIX, SEGMENTS, TIME, watched_name
from models.decisions.expression import compile_condition
from models.decisions.possible import asked_of_lists
from models.decisions.timing import Timing, timing_of

#: After so much silence nobody is looked at any more for what cannot be timed.
_CHECK_INS_MS: Final = HORIZON_DAYS_MAX * DAY_MS
#: Whose timer it is, by its code.
PART_OF_TIMER: Final = {timer.code: part.name for part in PARTS for timer in part.timers}
#: Those after which parts look at a customer, and may change, too.
_LOOKING: Final = [timer.code for part in PARTS for timer in part.timers if timer.brings_looks]


class Watched(Struct, frozen=True):
    """A condition that is watched. ``parts``: the names of those whose change may change it, and
    ``heard`` of those in which an event may change it; ``within``: other segments that it asks for.
    ``is_personal``: it hangs on what is unknown of whoever refuses that who they are decides.
    """

    name: str
    version: int
    timing: Timing
    hold_ms: int
    backfill: bool
    parts: frozenset[str]
    heard: frozenset[str]
    within: frozenset[str]
    is_personal: bool

    @property
    def is_of_rule(self) -> bool:
        """Whether it is the condition of a rule, and no segment that anybody knows."""
        return self.name.startswith(RULE_PREFIX)


_Several = tuple[Watched, ...]


class SegmentWatch(Struct, frozen=True):
    """What is watched, those asked for before those that ask for them. ``declared``: the checksum
    of all of it. ``by_kind``: what an event may change, by the number of its kind; ``by_hearer``:
    what it may change by being heard by a part, and ``by_timer`` what a timer may; ``timers``:
    those after which somebody is looked at. ``personal``: what a refusal of personalisation hides.
    """

    segments: _Several
    declared: int
    by_kind: tuple[_Several, ...]
    by_hearer: Mapping[str, _Several]
    by_timer: Mapping[str, _Several] = {}
    timers: frozenset[str] = frozenset()
    personal: _Several = ()

    def heard_by(self, names: Iterable[str]) -> _Several:
        """What may change when these parts hear an event, in the order in which it is looked at."""
        return self.in_order(self.by_hearer.get(name, ()) for name in names)

    def in_order(self, several: Iterable[_Several]) -> _Several:
        """All of these, each once, in the order in which they are looked at."""
        found = {id(segment) for segments in several for segment in segments}
        return tuple(segment for segment in self.segments if id(segment) in found)

    def after_timers(self, timers: Sequence[Timer]) -> _Several:
        """What may have changed when these timers ran."""
        if len(timers) == 1:
            return self.by_timer.get(timers[0].code, ())
        found = [self.by_timer.get(timer.code, ()) for timer in timers]
        if any(ones is self.segments for ones in found):
            return self.segments
        return self.in_order(found)

    def names_at(self, scene: Scene) -> list[str]:
        """The segments that the customer is in by their conditions alone."""
        names: list[str] = []
        asked = Scene(scene.row, scene.customer, scene.at_ms, scene.context)
        asked.member_of = names
        for segment in self.segments:
            if segment.timing.at(asked)[0]:
                # At once, for the next may ask for it.
                names.append(segment.name)  # noqa: PERF401
        return names


NOTHING_WATCHED: Final = SegmentWatch((), 0, (), {})


def watch_for(
    parameters: Parameters, parts: Sequence[Part[Any]], routes: Sequence[Sequence[Part[Any]]]
) -> SegmentWatch:
    """What a deployment watches; ``parts`` are those that are on, ``routes`` those that hear of
    each kind of event. The rules compile.
    """
    rules = _rules(parameters) if SEGMENTS in parts else []
    if not rules:
        return NOTHING_WATCHED
    segments = [_compiled(rule) for rule in rules]
    ordered = _with_what_is_hidden(_in_order(segments))
    by_part = {part.name: _touched(ordered, part.name, _parts_of) for part in parts}
    by_hearer = {part.name: _touched(ordered, part.name, _heard_of) for part in parts}
    # With each decision point, so that everybody who buys is looked at by another file in a week.
    timers = {code for code, name in PART_OF_TIMER.items() if by_part.get(name)} | {LOOK, *_LOOKING}
    watch = SegmentWatch(
        ordered,
        _checksum(rules),
        (),
        by_hearer,
        timers=frozenset(timers),
        personal=tuple(segment for segment in ordered if segment.is_personal),
    )
    by_kind = tuple(watch.heard_by(part.name for part in route) for route in routes)
    by_timer = {**_by_timer(watch, by_part, parts), LOOK: ordered}
    return msgspec.structs.replace(watch, by_kind=by_kind, by_timer=by_timer)


_parts_of, _heard_of = attrgetter("parts"), attrgetter("heard")


def _by_timer(
    watch: SegmentWatch, by_part: Mapping[str, _Several], parts: Sequence[Part[Any]]
) -> dict[str, _Several]:
    """What may change when a timer runs, and parts look at the customer after it."""
    looking = [by_part[part.name] for part in parts if part.look is not None]
    return {
        timer.code: watch.in_order([by_part[part.name], *(looking if timer.brings_looks else ())])
        for part in parts
        for timer in part.timers
    }


class _Declared(NamedTuple):
    """A segment as it is declared, or the condition of a rule."""

    name: str
    version: int
    when: str
    hold_ms: int = 0
    backfill: bool = False


def _rules(parameters: Parameters) -> list[_Declared]:
    segments = [
        _Declared(one.name, one.version, one.when, one.hold, one.backfill)
        for one in parameters.segments.segments
    ]
    rules = [
        _Declared(watched_name(rule.name), rule.version, rule.when)
        for rule in parameters.triggers.triggers
        if rule.moment == TIME
    ]
    return [*segments, *rules]


def _compiled(rule: _Declared) -> Watched:
    names = compile_condition(rule.when, FACT_KINDS).names
    return Watched(
        rule.name,
        rule.version,
        timing_of(rule.when, FACTS, FACT_KINDS, next_check_in_ms),
        rule.hold_ms,
        rule.backfill,
        parts=frozenset().union(*(_PARTS_BEHIND[name] for name in names)),
        heard=frozenset().union(*(_PARTS_HEARD[name] for name in names)),
        within=frozenset(name for _, name in asked_of_lists(rule.when)),
        is_personal=any(FACTS[name].is_personal for name in names),
    )


_OWNERS: Final = {reading: part.name for part in PARTS for reading in part.offers}


def _behind() -> dict[str, frozenset[str]]:
    """By part, itself and those that it reads, and that these read."""
    behind: dict[str, frozenset[str]] = {}
    for part in PARTS:
        read = [behind[_OWNERS[reading]] for reading in part.reads]
        behind[part.name] = frozenset({part.name}).union(*read)
    return behind


_BEHIND: Final = _behind()
#: By fact, the parts whose change may change it.
_PARTS_BEHIND: Final = {name: _BEHIND[part.name] for part in PARTS for name in part.facts}


def _heard() -> Iterator[tuple[str, frozenset[str]]]:
    """By fact, the parts that may hear of an event which changes it: of what is found at looks,
    those alone that it goes by besides.
    """
    for name, fact in FACTS.items():
        found = fact.moves.found if fact.moves is not None else None
        if found is None:
            yield name, _PARTS_BEHIND[name]
        else:
            yield name, frozenset().union(*(_BEHIND[_OWNERS[reading]] for reading in found))


_PARTS_HEARD: Final = dict(_heard())


def _in_order(segments: Sequence[Watched]) -> list[Watched]:
    by_name = {segment.name: segment for segment in segments}
    order = TopologicalSorter({one.name: sorted(one.within) for one in segments})
    return [by_name[name] for name in order.static_order()]


def _with_what_is_hidden(segments: Sequence[Watched]) -> _Several:
    """The same, where what asks for something personal is personal, too."""
    found = _with_askers(tuple(segments), lambda segment: segment.is_personal)
    names = {segment.name for segment in found}
    return tuple(
        msgspec.structs.replace(segment, is_personal=segment.name in names) for segment in segments
    )


def _touched(
    segments: _Several, part: str, parts_of: Callable[[Watched], frozenset[str]]
) -> _Several:
    """Those that this part may change, with those that ask for them."""
    return _with_askers(segments, lambda segment: part in parts_of(segment))


def _with_askers(segments: _Several, is_meant: Callable[[Watched], bool]) -> _Several:
    """Those that are meant, with those that ask for them."""
    found: dict[str, Watched] = {}
    for segment in segments:
        if is_meant(segment) or segment.within & found.keys():
            found[segment.name] = segment
    return tuple(found.values())


def _checksum(rules: Sequence[_Declared]) -> int:
    # 0 is that of somebody who was never looked at.
    said = [(rule.name, rule.version, rule.when, int(rule.hold_ms)) for rule in rules]
    return crc32(msgspec.json.encode(said)) or 1


def next_check_in_ms(scene: Scene) -> float:
    """When somebody is looked at next for what cannot be timed: with their next decision point, or
    at a time of their own in each interval of check-ins; inf after a year of silence.
    """
    row, at_ms, every_ms = scene.row, scene.at_ms, scene.context.check_in_ms
    if at_ms > row.latest_ms + _CHECK_INS_MS:
        return inf
    decision_ms = row.due(DECISION).due_ms
    if at_ms < decision_ms <= at_ms + every_ms:
        return decision_ms
    own_ms = fingerprint(scene.customer) % every_ms
    return ((at_ms - own_ms) // every_ms + 1) * every_ms + own_ms

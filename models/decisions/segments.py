"""Segments compiled: which events and deadlines cause a look at which segments.

A look follows every event or deadline that may have changed the facts in a condition, and comes at
the very time at which a condition changes by time alone (`models.decisions.segment_looks`). The
conditions of rules of the moment `time` are handled in the same way.
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

#: After this much silence there are no more check-ins for conditions that cannot be timed.
_CHECK_INS_MS: Final = HORIZON_DAYS_MAX * DAY_MS
#: The part of each timer, by the timer's code.
PART_OF_TIMER: Final = {timer.code: part.name for part in PARTS for timer in part.timers}
#: The timers after which parts look at a customer, and may therefore change.
_LOOKING: Final = [timer.code for part in PARTS for timer in part.timers if timer.brings_looks]


class Watched(Struct, frozen=True):
    """A condition that is watched. ``parts``: the parts whose change may change it; ``heard``:
    those of them where an event may do so; ``within``: other segments that it refers to.
    ``is_personal``: it depends on facts that are unknown for customers who refuse personalised
    decisions.
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
        """Whether it is the condition of a rule, and no declared segment."""
        return self.name.startswith(RULE_PREFIX)


_Several = tuple[Watched, ...]


class SegmentWatch(Struct, frozen=True):
    """Everything that is watched; a segment comes after those that it refers to. ``declared``: the
    checksum of all of it. ``by_kind``: the segments that an event may change, by the number of its
    kind; ``by_hearer``: those that it may change through a part that hears it; ``by_timer``: those
    that a timer may change. ``timers``: those after which there is a look. ``personal``: the
    segments that a refusal of personalisation hides.
    """

    segments: _Several
    declared: int
    by_kind: tuple[_Several, ...]
    by_hearer: Mapping[str, _Several]
    by_timer: Mapping[str, _Several] = {}
    timers: frozenset[str] = frozenset()
    personal: _Several = ()

    def heard_by(self, names: Iterable[str]) -> _Several:
        """The segments that may change when these parts hear an event, in the order of
        evaluation.
        """
        return self.in_order(self.by_hearer.get(name, ()) for name in names)

    def in_order(self, several: Iterable[_Several]) -> _Several:
        """All of these, each once, in the order of evaluation."""
        found = {id(segment) for segments in several for segment in segments}
        return tuple(segment for segment in self.segments if id(segment) in found)

    def after_timers(self, timers: Sequence[Timer]) -> _Several:
        """The segments that may have changed when these timers ran."""
        if len(timers) == 1:
            return self.by_timer.get(timers[0].code, ())
        found = [self.by_timer.get(timer.code, ()) for timer in timers]
        if any(ones is self.segments for ones in found):
            return self.segments
        return self.in_order(found)

    def names_at(self, scene: Scene) -> list[str]:
        """The segments whose conditions the customer meets, whatever their memberships are."""
        names: list[str] = []
        asked = Scene(scene.row, scene.customer, scene.at_ms, scene.context)
        asked.member_of = names
        for segment in self.segments:
            if segment.timing.at(asked)[0]:
                # Right away, because the next condition may refer to it.
                names.append(segment.name)  # noqa: PERF401
        return names


NOTHING_WATCHED: Final = SegmentWatch((), 0, (), {})


def watch_for(
    parameters: Parameters, parts: Sequence[Part[Any]], routes: Sequence[Sequence[Part[Any]]]
) -> SegmentWatch:
    """Everything that a deployment watches; ``parts`` are those that are on, ``routes`` those that
    hear each kind of event. The rules must compile.
    """
    rules = _rules(parameters) if SEGMENTS in parts else []
    if not rules:
        return NOTHING_WATCHED
    segments = [_compiled(rule) for rule in rules]
    ordered = _with_what_is_hidden(_in_order(segments))
    by_part = {part.name: _touched(ordered, part.name, _parts_of) for part in parts}
    by_hearer = {part.name: _touched(ordered, part.name, _heard_of) for part in parts}
    # Decision points are among them, so a changed file reaches every buyer within a week.
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
    """By timer, the segments that may change when it runs, and parts look at the customer after
    it.
    """
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
    """For each part, itself and all parts that it reads, directly or through others."""
    behind: dict[str, frozenset[str]] = {}
    for part in PARTS:
        read = [behind[_OWNERS[reading]] for reading in part.reads]
        behind[part.name] = frozenset({part.name}).union(*read)
    return behind


_BEHIND: Final = _behind()
#: For each fact, the parts whose change may change it.
_PARTS_BEHIND: Final = {name: _BEHIND[part.name] for part in PARTS for name in part.facts}


def _heard() -> Iterator[tuple[str, frozenset[str]]]:
    """For each fact, the parts that may hear an event which changes it. For a fact that is only
    found at looks, these are the parts of the other readings that it depends on.
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
    """The same, where a segment that refers to a personal one is personal, too."""
    found = _with_askers(tuple(segments), lambda segment: segment.is_personal)
    names = {segment.name for segment in found}
    return tuple(
        msgspec.structs.replace(segment, is_personal=segment.name in names) for segment in segments
    )


def _touched(
    segments: _Several, part: str, parts_of: Callable[[Watched], frozenset[str]]
) -> _Several:
    """The segments that this part may change, and those that refer to them."""
    return _with_askers(segments, lambda segment: part in parts_of(segment))


def _with_askers(segments: _Several, is_meant: Callable[[Watched], bool]) -> _Several:
    """The matching segments, and those that refer to them."""
    found: dict[str, Watched] = {}
    for segment in segments:
        if is_meant(segment) or segment.within & found.keys():
            found[segment.name] = segment
    return tuple(found.values())


def _checksum(rules: Sequence[_Declared]) -> int:
    # 0 stands for customers who were never looked at.
    said = [(rule.name, rule.version, rule.when, int(rule.hold_ms)) for rule in rules]
    return crc32(msgspec.json.encode(said)) or 1


def next_check_in_ms(scene: Scene) -> float:
    """The next check-in for conditions that cannot be timed: with the next decision point, or at
    the customer's own time in each interval of check-ins; inf after a year of silence.
    """
    row, at_ms, every_ms = scene.row, scene.at_ms, scene.context.check_in_ms
    if at_ms > row.latest_ms + _CHECK_INS_MS:
        return inf
    decision_ms = row.due(DECISION).due_ms
    if at_ms < decision_ms <= at_ms + every_ms:
        return decision_ms
    own_ms = fingerprint(scene.customer) % every_ms
    return ((at_ms - own_ms) // every_ms + 1) * every_ms + own_ms

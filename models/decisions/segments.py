"""Segments compiled, and looked at: who becomes a member, and who is none any more.

A customer is looked at after each event and each deadline that may have changed what a condition
is about, and at the very time at which one of them changes by time alone. The conditions of rules
of the moment `time` are kept in the same way.
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
from config.segments import SEGMENT_ENTERED, SEGMENT_LEFT
from models.customer.churn import DECISION
from models.customer.fingerprint import fingerprint
from models.customer.part import Part, Timer
from models.customer.registry import FACT_KINDS, FACTS, PARTS
from models.customer.row import Row
from models.customer.scene import Context, Scene
from models.customer.segments import (
    LOOK,
    RULE_PREFIX,
    SEGMENTS,
    TIME,
    Memberships,
    SegmentStanding,
    present_ms,
    told_by,
    told_ms,
    watched_name,
)
from models.decisions.expression import compile_condition
from models.decisions.possible import asked_of_lists
from models.decisions.timing import Timing, timing_of
from models.learning.lessons import Lesson

#: After so much silence nobody is looked at any more for what cannot be timed.
_CHECK_INS_MS: Final = HORIZON_DAYS_MAX * DAY_MS
#: Whose timer it is, by its code.
PART_OF_TIMER: Final = {timer.code: part.name for part in PARTS for timer in part.timers}
#: Those after which parts look at a customer, and may change, too.
_LOOKING: Final = [timer.code for part in PARTS for timer in part.timers if timer.brings_looks]


class Watched(Struct, frozen=True):
    """A condition that is watched. ``parts``: the names of those whose change may change it, and
    ``heard`` of those in which an event may change it; ``within``: other segments that it asks for.
    """

    name: str
    version: int
    timing: Timing
    hold_ms: int
    backfill: bool
    parts: frozenset[str]
    heard: frozenset[str]
    within: frozenset[str]

    @property
    def is_of_rule(self) -> bool:
        """Whether it is the condition of a rule, and no segment that anybody knows."""
        return self.name.startswith(RULE_PREFIX)


_Several = tuple[Watched, ...]


class SegmentWatch(Struct, frozen=True):
    """What is watched, those asked for before those that ask for them. ``declared``: the checksum
    of all of it. ``by_kind``: what an event may change, by the number of its kind; ``by_hearer``:
    what it may change by being heard by a part, and ``by_timer`` what a timer may; ``timers``:
    those after which somebody is looked at.
    """

    segments: _Several
    declared: int
    by_kind: tuple[_Several, ...]
    by_hearer: Mapping[str, _Several]
    by_timer: Mapping[str, _Several] = {}
    timers: frozenset[str] = frozenset()

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
    ordered = tuple(_in_order(segments))
    by_part = {part.name: _touched(ordered, part.name, _parts_of) for part in parts}
    by_hearer = {part.name: _touched(ordered, part.name, _heard_of) for part in parts}
    # With each decision point, so that everybody who buys is looked at by another file in a week.
    timers = {code for code, name in PART_OF_TIMER.items() if by_part.get(name)} | {LOOK, *_LOOKING}
    watch = SegmentWatch(ordered, _checksum(rules), (), by_hearer, timers=frozenset(timers))
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


def _touched(
    segments: _Several, part: str, parts_of: Callable[[Watched], frozenset[str]]
) -> _Several:
    """Those that this part may change, with those that ask for them."""
    found: dict[str, Watched] = {}
    for segment in segments:
        if part in parts_of(segment) or segment.within & found.keys():
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


def catch_up(
    row: Row, customer: str, before_ms: int, context: Context, watch: SegmentWatch
) -> list[Lesson]:
    """Look at a customer by segments that are new or have changed, as they are just before
    ``before_ms``: nothing of that is news. Return what it teaches.
    """
    told = told_by(watch.declared, context)
    if not row.latest_ms or row.read(SEGMENTS).declared == told:
        return []
    scene = Scene(row, customer, before_ms - 1, context)
    look(scene, watch, watch.segments, is_news=False)
    return scene.lessons


def look(scene: Scene, watch: SegmentWatch, segments: _Several, *, is_news: bool = True) -> None:
    """Look whether these segments have changed, and when they next may; tell what is news.

    What a late event changes is seen as of the latest time that is known of the customer.
    """
    row, at_ms = scene.row, scene.at_ms
    known, now_ms = row.due(LOOK), at_ms
    if row.latest_ms > at_ms or known.handled_ms > at_ms:
        now_ms = present_ms(scene)
    at = scene if now_ms == at_ms else Scene(row, scene.customer, now_ms, scene.context)
    state = row.read(SEGMENTS)
    if state.declared != told_by(watch.declared, scene.context):
        _declare(row.edit(SEGMENTS), scene, watch)
    scene.member_of = at.member_of = state.names()
    looking, standings = None, state.standings
    # Of the others; one that has been put off since is looked at once in vain.
    next_ms: float = known.due_ms if segments is not watch.segments and known.due_ms else inf
    for segment in segments:
        name, (holds, until_ms) = segment.name, segment.timing.at(at)
        if name in standings:
            stands = holds and standings[name].is_settled(segment.version)
        else:
            stands = not holds
        if not stands:
            # Of nearly nobody.
            looking = looking or _Looking(scene, state, now_ms, is_news)
            until_ms = looking.follow(segment, holds, until_ms)
        if until_ms < next_ms:
            next_ms = until_ms
    next_due_ms = int(next_ms) if next_ms < inf else 0
    if next_due_ms != known.due_ms:
        row.set_due(LOOK, next_due_ms)


def _declare(state: Memberships, scene: Scene, watch: SegmentWatch) -> None:
    """Go by what is declared now; a segment that is gone has no members."""
    state.declared = told_by(watch.declared, scene.context)
    kept = {segment.name for segment in watch.segments}
    for name in [name for name in state.standings if name not in kept]:
        if state.standings.pop(name).since_ms and not name.startswith(RULE_PREFIX):
            SEGMENTS.tell(scene, [(name, 0, -1)])


class _Looking:
    """A look at one customer."""

    __slots__ = ("_is_news", "_now_ms", "_scene", "_state")

    def __init__(self, scene: Scene, state: Memberships, now_ms: int, is_news: bool) -> None:
        self._scene = scene
        self._state = state
        self._now_ms = now_ms
        self._is_news = is_news

    def follow(self, segment: Watched, holds: bool, until_ms: float) -> float:
        """Have the membership follow the condition, which stands until then; return when it may
        next change.
        """
        standing = self._state.standings.get(segment.name)
        is_in = standing is not None and standing.since_ms > 0
        if holds is is_in:
            if standing is not None:
                return min(until_ms, self._goes_on(segment, standing))
            return until_ms
        if segment.hold_ms and self._is_news:
            turns_ms = self._turning(segment, standing) + segment.hold_ms
            if self._now_ms < turns_ms:
                return min(until_ms, turns_ms)
        self._turn(segment, holds)
        if (entered := self._state.standings.get(segment.name)) is not None:
            return min(until_ms, entered.announce_ms or inf)
        return until_ms

    def _goes_on(self, segment: Watched, standing: SegmentStanding) -> float:
        """A membership that is as its condition says, or one that was about to begin and does not;
        return when it is announced, if it has yet to be.
        """
        if standing.turning_ms or standing.version != segment.version:
            self._edit()
            standing.turning_ms, standing.version = 0, segment.version
            if not standing.since_ms:
                del self._state.standings[segment.name]
        if not standing.announce_ms or self._now_ms < standing.announce_ms:
            return standing.announce_ms or inf
        self._edit()
        standing.announce_ms = 0
        self._raise(SEGMENT_ENTERED, segment.name)
        return inf

    def _turning(self, segment: Watched, standing: SegmentStanding | None) -> int:
        """Since when the condition says otherwise."""
        if standing is None or not standing.turning_ms:
            self._edit()
            if standing is None:
                standing = self._state.standings[segment.name] = SegmentStanding(segment.version)
            standing.turning_ms = self._now_ms
        return standing.turning_ms

    def _turn(self, segment: Watched, holds: bool) -> None:
        self._edit()
        standings, names = self._state.standings, self._scene.member_of
        assert names is not None
        before = standings.pop(segment.name, None)
        if holds:
            standings[segment.name] = SegmentStanding(segment.version, self._now_ms)
            names.append(segment.name)
        elif segment.name in names:
            names.remove(segment.name)
        if segment.is_of_rule:
            if holds and self._is_news:
                self._raise(TIME, segment.name)
            return
        SEGMENTS.tell(self._scene, [(segment.name, 0, 1 if holds else -1)])
        if not self._is_news:
            if holds and segment.backfill:
                customer, parameters = self._scene.customer, self._scene.parameters
                tells_ms = told_ms(customer, self._now_ms, parameters)
                standings[segment.name].announce_ms = tells_ms
        elif holds:
            self._raise(SEGMENT_ENTERED, segment.name)
        elif before is None or not before.announce_ms:
            # Who was never told to be in is not told to be out.
            self._raise(SEGMENT_LEFT, segment.name)

    def _edit(self) -> None:
        self._scene.row.edit(SEGMENTS)

    def _raise(self, moment: str, name: str) -> None:
        self._scene.turned.append((moment, name))
        self._scene.raise_moment(moment)

"""Looks at segments: which ones a customer enters, and which ones they leave.

A change by an edit of a segment is not announced. Neither is one because the customer refuses to be
profiled, which hides facts. A change between an edit and the first look after it is announced: that
look finds it, as of the time at which it happened.
"""

from math import inf
from typing import Final

from config.segments import SEGMENT_ENTERED, SEGMENT_LEFT
from models.customer.consent import personalisation_refused
from models.customer.row import Row
from models.customer.scene import Context, Scene
from models.customer.segments import (
    LOOK,
    OF_SEVERAL,
    RULE_PREFIX,
    SEGMENTS,
    TIME,
    Memberships,
    SegmentStanding,
    declared_since_ms,
    present_ms,
    told_by,
    told_ms,
)
from models.decisions.segments import SegmentWatch, Watched

#: How many looks are made up for between an edit and the first look: a year of check-ins, and the
#: changes by time besides. Beyond that, changes are seen as of now.
_MADE_UP_MAX: Final = 64


def catch_up(
    row: Row, customer: str, before_ms: int, context: Context, watch: SegmentWatch
) -> Scene | None:
    """The customer's first look by segments that are new or have changed, as of just before
    ``before_ms``; None if they were looked at by these segments already. Members at the time of the
    declaration are no news; customers who entered or left since are.
    """
    told, declared = told_by(watch.declared, context), row.read(SEGMENTS).declared
    if not row.latest_ms or declared == told:
        return None
    scene = Scene(row, customer, before_ms - 1, context)
    now_ms, since_ms, everything = present_ms(scene), declared_since_ms(context), watch.segments
    if declared == OF_SEVERAL or not 0 < since_ms < now_ms:
        # It is not known what they were in at that time.
        look(scene, watch, everything, is_news=False)
        return scene
    next_ms = look(scene, watch, everything, is_news=False, as_of_ms=since_ms)
    were_in = frozenset(row.read(SEGMENTS).names())
    for _ in range(_MADE_UP_MAX):
        if next_ms > now_ms:
            break
        next_ms = look(scene, watch, everything, as_of_ms=int(next_ms))
    if next_ms <= now_ms:
        look(scene, watch, everything, as_of_ms=now_ms)
    _tell_once(scene, were_in)
    return scene


def _tell_once(scene: Scene, were_in: frozenset[str]) -> None:
    """For each segment, announce the last change, if the result differs from before."""
    names = scene.row.read(SEGMENTS).names()
    last = {name: moment for moment, name in scene.turned}
    scene.turned, scene.moments = [], []
    for name, moment in last.items():
        if (name in names) is not (name in were_in):
            _raise(scene, moment, name)


def look(
    scene: Scene,
    watch: SegmentWatch,
    segments: tuple[Watched, ...],
    *,
    is_news: bool = True,
    as_of_ms: int = 0,
) -> float:
    """Check whether these segments have changed, and announce what is news. Return when any of all
    segments may next change, inf for never.

    Changes by a late event are seen as of the latest known time of the customer, or else
    ``as_of_ms``.
    """
    row, at_ms = scene.row, scene.at_ms
    known, now_ms = row.due(LOOK), as_of_ms or at_ms
    if not as_of_ms and (row.latest_ms > at_ms or known.handled_ms > at_ms):
        now_ms = present_ms(scene)
    at = scene if now_ms == at_ms else Scene(row, scene.customer, now_ms, scene.context)
    state = row.read(SEGMENTS)
    if state.declared != told_by(watch.declared, scene.context):
        _declare(row.edit(SEGMENTS), scene, watch)
    # The timer of all others. One that has been postponed since causes one look in vain.
    next_ms: float = known.due_ms if segments is not watch.segments and known.due_ms else inf
    is_turned = False
    if watch.personal and (at.of(personalisation_refused) is not None) is not state.is_unprofiled:
        row.edit(SEGMENTS).is_unprofiled = not state.is_unprofiled
        is_turned, segments = True, watch.in_order([segments, watch.personal])
    scene.member_of = at.member_of = state.names()
    looking, standings = None, state.standings
    for segment in segments:
        name, (holds, until_ms) = segment.name, segment.timing.at(at)
        if name in standings:
            stands = holds and standings[name].is_settled(segment.version)
        else:
            stands = not holds
        if not stands:
            # Rare, so the object is only made here.
            looking = looking or _Looking(scene, state, now_ms, is_news)
            is_hidden = is_turned and segment.is_personal
            until_ms = looking.follow(segment, holds, until_ms, is_hidden=is_hidden)
        if until_ms < next_ms:
            next_ms = until_ms
    next_due_ms = int(next_ms) if next_ms < inf else 0
    if next_due_ms != known.due_ms:
        row.set_due(LOOK, next_due_ms)
    return next_ms


def _declare(state: Memberships, scene: Scene, watch: SegmentWatch) -> None:
    """Use the present declaration; a segment that was removed has no members."""
    state.declared = told_by(watch.declared, scene.context)
    kept = {segment.name for segment in watch.segments}
    for name in [name for name in state.standings if name not in kept]:
        if state.standings.pop(name).since_ms and not name.startswith(RULE_PREFIX):
            SEGMENTS.tell(scene, [(name, 0, -1)])


class _Looking:
    """A look at one customer. ``is_news``: what it finds is announced."""

    __slots__ = ("_now_ms", "_scene", "_state", "is_news")

    def __init__(self, scene: Scene, state: Memberships, now_ms: int, is_news: bool) -> None:
        self._scene = scene
        self._state = state
        self._now_ms = now_ms
        self.is_news = is_news

    def follow(
        self, segment: Watched, holds: bool, until_ms: float, *, is_hidden: bool = False
    ) -> float:
        """Let the membership follow the condition, which is certain until ``until_ms``; return when
        it may next change. ``is_hidden``: it changed because facts were hidden by a refusal, or are
        no longer.
        """
        standing = self._state.standings.get(segment.name)
        is_in = standing is not None and standing.since_ms > 0
        if holds is is_in:
            if standing is not None:
                return min(until_ms, self._goes_on(segment, standing))
            return until_ms
        if segment.hold_ms and not is_hidden and (self.is_news or _is_turning(standing, segment)):
            turns_ms = self._turning(segment, standing) + segment.hold_ms
            if self._now_ms < turns_ms:
                return min(until_ms, turns_ms)
        self._turn(segment, holds, is_hidden=is_hidden)
        if (entered := self._state.standings.get(segment.name)) is not None:
            return min(until_ms, entered.announce_ms or inf)
        return until_ms

    def _goes_on(self, segment: Watched, standing: SegmentStanding) -> float:
        """A membership that agrees with its condition, or one that was about to begin and does not.
        Return when it will be announced; inf if that is done.
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
        """Since when the condition and the membership disagree."""
        if standing is None or not standing.turning_ms:
            self._edit()
            if standing is None:
                standing = self._state.standings[segment.name] = SegmentStanding(segment.version)
            standing.turning_ms = self._now_ms
        return standing.turning_ms

    def _turn(self, segment: Watched, holds: bool, *, is_hidden: bool) -> None:
        self._edit()
        standings, names = self._state.standings, self._scene.member_of
        assert names is not None
        before = standings.pop(segment.name, None)
        if holds:
            standings[segment.name] = SegmentStanding(segment.version, self._now_ms)
            names.append(segment.name)
        elif segment.name in names:
            names.remove(segment.name)
        is_told = self.is_news and not is_hidden
        if segment.is_of_rule:
            if holds and is_told:
                self._raise(TIME, segment.name)
            return
        SEGMENTS.tell(self._scene, [(segment.name, 0, 1 if holds else -1)])
        if is_hidden:
            return
        if not self.is_news:
            if holds and segment.backfill:
                customer, parameters = self._scene.customer, self._scene.parameters
                now_ms = max(self._now_ms, self._scene.at_ms)
                tells_ms = told_ms(customer, now_ms, parameters)
                standings[segment.name].announce_ms = tells_ms
        elif holds:
            self._raise(SEGMENT_ENTERED, segment.name)
        elif before is None or not before.announce_ms:
            # A customer whose entry was not announced does not announce leaving, either.
            self._raise(SEGMENT_LEFT, segment.name)

    def _edit(self) -> None:
        self._scene.row.edit(SEGMENTS)

    def _raise(self, moment: str, name: str) -> None:
        _raise(self._scene, moment, name)


def _is_turning(standing: SegmentStanding | None, segment: Watched) -> bool:
    """Whether a change is already pending, which an edit of another segment must not hasten."""
    return standing is not None and standing.turning_ms > 0 and standing.version == segment.version


def _raise(scene: Scene, moment: str, name: str) -> None:
    scene.turned.append((moment, name))
    scene.raise_moment(moment)

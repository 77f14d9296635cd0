"""One event in; the next state of one customer and what should happen out.

No I/O, no clock, no randomness: the same log gives the same decisions. Start reading here.
"""

from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import NamedTuple

from models.counted import follow_consent, lessons_of
from models.customer.consent import (
    CONSENT,
    CONSENT_CHANGED,
    personalisation_refused,
    record_stamps,
)
from models.customer.fingerprint import fingerprint_bytes
from models.customer.labels import LabelsDropped
from models.customer.part import Timer
from models.customer.row import Row
from models.customer.scene import Context, Scene
from models.decisions.decide import decide
from models.decisions.segment_looks import catch_up, look
from models.decisions.segments import Watched
from models.decisions.trigger import Decision
from models.events.erasure_record import Erased
from models.events.event import Event
from models.events.link_record import LinkRecord
from models.learning.lessons import Lesson
from models.plan import Plan


class Rehearsed(NamedTuple):
    """A rule that would have fired if its partition were live."""

    kind: str


Effect = Lesson | Decision | Rehearsed | LabelsDropped | LinkRecord | Erased


class Fate(StrEnum):
    """What became of an event; every event has exactly one fate, or was refused before it got
    here.
    """

    APPLIED = "applied"
    DUPLICATE = "duplicate"
    LATE = "late"
    ERASED = "erased"


def step(row: Row, event: Event, context: Context, plan: Plan) -> tuple[Fate, list[Effect]]:
    """Advance one customer by one event, in place; returns its fate, and the effects in the order
    in which they were decided. Raises ``Rejected`` if a part refuses the event, before anything
    changes.
    """
    at_ms, message = event.occurred_at_ms, fingerprint_bytes(event.message_id)
    if (fate := _checked(row, event, message, context, plan)) is not None:
        return fate, []

    # Silence first: what was due before this event must not see it.
    is_due = 0 < row.next_due_ms < at_ms
    effects = run_due(row, event.customer, at_ms, context, plan) if is_due else []

    if row.latest_ms < context.clock_ms - plan.lateness_ms:
        _forget_late_messages(row, context)
    row.messages = (row.messages + message)[-plan.message_bytes_max :]
    if event.historical and not context.is_rehearsal:
        effects += _rehearse(row, event, context, plan)
    else:
        effects += _apply(row, event, context, plan)
    return Fate.APPLIED, effects


def _checked(row: Row, event: Event, message: bytes, context: Context, plan: Plan) -> Fate | None:
    """The fate of an event that changes nothing; None if it is to be applied. Raises ``Rejected``
    if a part refuses it.
    """
    if row.has_seen(message):
        return Fate.DUPLICATE
    if _is_late(event, context, plan):
        return Fate.LATE
    for part in plan.checks[event.kind.number]:
        assert part.check is not None
        part.check(row.read(part), event, plan.parameters)
    return None


def _is_late(event: Event, context: Context, plan: Plan) -> bool:
    if event.occurred_at_ms >= context.clock_ms - plan.lateness_ms:
        return False
    if event.kind.declared.is_never_late:
        return False
    # History is never late: its topics may come one after the other.
    return not (context.is_rehearsal or context.is_passed_on)


def _apply(row: Row, event: Event, context: Context, plan: Plan) -> list[Effect]:
    effects: list[Effect] = []
    scene = _recorded(row, event, context, plan, effects)
    if scene.moments or scene.lessons or scene.settled:
        effects += outcome(scene, plan)
    return effects


def _recorded(
    row: Row, event: Event, context: Context, plan: Plan, before: list[Effect] | None
) -> Scene:
    """Let the parts record the event, and look at the segments that it may change; ``before`` as in
    `_catch_up`.
    """
    watch, segments = plan.watch, _touched(row, event, plan)
    if not segments:
        return record(row, event, context, plan)
    _catch_up(row, event.customer, event.occurred_at_ms, context, plan, before)
    scene = record(row, event, context, plan)
    look(scene, watch, segments)
    return scene


def _catch_up(
    row: Row,
    customer: str,
    at_ms: int,
    context: Context,
    plan: Plan,
    before: list[Effect] | None,
    *,
    is_told: bool = True,
) -> None:
    """If segments were edited since the last look, look at them as of just before this time. The
    effects are added to ``before``, unless that is None; rules are evaluated only if it
    ``is_told``.
    """
    caught = catch_up(row, customer, at_ms, context, plan.watch)
    if caught is None or before is None:
        return
    if not is_told:
        caught.moments.clear()
    before += outcome(caught, plan)


def _touched(row: Row, event: Event, plan: Plan) -> tuple[Watched, ...]:
    """The segments that an event may change."""
    watch = plan.watch
    if not row.latest_ms:
        # A new customer may be in any of them.
        return watch.segments
    if event.consent and watch.segments:
        parts = plan.routes[event.kind.number]
        return watch.heard_by([CONSENT.name, *(part.name for part in parts)])
    return watch.by_kind[event.kind.number] if watch.segments else ()


def _rehearse(row: Row, event: Event, context: Context, plan: Plan) -> list[Effect]:
    """Apply a historical event, and run the timers that it made due by now, as a rehearsal."""
    context.is_rehearsal = True
    try:
        effects = _apply(row, event, context, plan)
        return effects + run_due(row, event.customer, context.clock_ms + 1, context, plan)
    finally:
        context.is_rehearsal = False


def record(row: Row, event: Event, context: Context, plan: Plan) -> Scene:
    """Let each part that listens record the event; no decisions here."""
    scene = Scene(row, event.customer, event.occurred_at_ms, context, event)
    is_new = not row.latest_ms
    if event.occurred_at_ms > row.latest_ms:
        row.latest_ms = event.occurred_at_ms
    if event.consent:
        # Before the parts record the event, of any kind, because the consent applies to its
        # effects.
        record_stamps(row.edit(CONSENT), event, scene)
    if is_new or scene.moments:
        _heed_consent(scene, plan)
    for part in plan.routes[event.kind.number]:
        part.record(row.edit(part), event, scene)
        if part is CONSENT:
            _heed_consent(scene, plan)
    return scene


def _heed_consent(scene: Scene, plan: Plan) -> None:
    """Follow the consent that was just recorded, or a new customer's default, before any part hears
    the event whose sums or facts depend on it.
    """
    is_said = CONSENT_CHANGED in scene.moments
    if is_said or not plan.learns_by_default:
        follow_consent(scene)
    if not is_said:
        return
    heed_refusal(scene, plan)
    if plan.watch.personal:
        look(scene, plan.watch, ())


def heed_refusal(scene: Scene, plan: Plan) -> None:
    """If the customer refuses personalised decisions, let parts forget what these would use."""
    if personalisation_refused(scene) is not None:
        for forget in plan.unprofiled:
            forget(scene)


def follow(row: Row, event: Event, context: Context, plan: Plan) -> Fate:
    """Advance the row of one of a person's ids, in place, as `step` does the person's. It decides
    and teaches nothing: the person does. Raises ``Rejected`` as `step` does.
    """
    at_ms, message = event.occurred_at_ms, fingerprint_bytes(event.message_id)
    if (fate := _checked(row, event, message, context, plan)) is not None:
        return fate
    follow_due(row, event.customer, at_ms, context, plan)
    row.messages = (row.messages + message)[-plan.message_bytes_max :]
    with _quiet(context):
        _recorded(row, event, context, plan, None)
    return Fate.APPLIED


def follow_due(row: Row, customer: str, before_ms: int, context: Context, plan: Plan) -> None:
    """Run the timers of one of a person's ids as `run_due` does, without decisions or lessons."""
    with _quiet(context):
        for due_ms in _each_due(row, before_ms, context, plan):
            _fire_timers(row, customer, due_ms, context, plan, None)


@contextmanager
def _quiet(context: Context) -> Iterator[None]:
    context.is_quiet = True
    try:
        yield
    finally:
        context.is_quiet = False


def run_due(row: Row, customer: str, before_ms: int, context: Context, plan: Plan) -> list[Effect]:
    """Run this customer's timers earlier than ``before_ms``, each at its own time."""
    effects: list[Effect] = []
    for due_ms in _each_due(row, before_ms, context, plan):
        effects += run_timers(row, customer, due_ms, context, plan)
    return effects


def _each_due(row: Row, before_ms: int, context: Context, plan: Plan) -> Iterator[int]:
    """The times before ``before_ms`` at which timers are due. Each is determined after the timers
    of the one before it have run.
    """
    while 0 < row.next_due_ms < before_ms:
        due_ms = _next_ripe_ms(row, context.clock_ms, plan)
        if not 0 < due_ms < before_ms:
            return
        yield due_ms


def pass_over(
    row: Row, customer: str, before_ms: int, context: Context, plan: Plan
) -> list[Effect]:
    """Run this customer's timers as `run_due` does, but evaluate no rules: their decisions were
    made already, or are no news by now. Lessons are taught.
    """
    effects: list[Effect] = []
    for due_ms in _each_due(row, before_ms, context, plan):
        scene = _fire_timers(row, customer, due_ms, context, plan, effects, is_told=False)
        scene.moments.clear()
        effects += outcome(scene, plan)
    return effects


def run_timers(row: Row, customer: str, due_ms: int, context: Context, plan: Plan) -> list[Effect]:
    """Run all of this customer's timers that are due at exactly ``due_ms``, and decide once."""
    effects: list[Effect] = []
    scene = _fire_timers(row, customer, due_ms, context, plan, effects)
    if not (scene.moments or scene.lessons or scene.dropped):
        # True of half the timers: a visit goes on, or a look at a tier finds no change.
        return effects
    effects += outcome(scene, plan)
    return effects


def _fire_timers(
    row: Row,
    customer: str,
    due_ms: int,
    context: Context,
    plan: Plan,
    before: list[Effect] | None,
    *,
    is_told: bool = True,
) -> Scene:
    """Run the timers, and look at the segments that they may change; ``before`` and ``is_told`` as
    in `_catch_up`.
    """
    # Compare with the timer's own time: the clock may be anywhere after it.
    if row.messages and row.latest_ms < min(due_ms, context.clock_ms) - plan.lateness_ms:
        _forget_late_messages(row, context)
    watch = plan.watch
    codes = row.due_at(due_ms)
    scene = Scene(row, customer, due_ms, context)
    is_watched = not watch.timers.isdisjoint(codes)
    if is_watched:
        _catch_up(row, customer, due_ms, context, plan, before, is_told=is_told)
    if len(codes) == 1:
        ran = _run_alone(codes[0], scene, plan)
    else:
        ran = _run_in_turn(plan.timers.items(), scene)
    if 0 < row.next_due_ms <= due_ms:
        row.pass_over(due_ms, plan.timers)
    for timer in ran:
        if timer.brings_looks:
            for take_look in plan.looks.values():
                take_look(scene)
            break
    if is_watched and (segments := watch.after_timers(ran)):
        look(scene, watch, segments)
    return scene


def _run_alone(code: str, scene: Scene, plan: Plan) -> list[Timer]:
    """Run the only timer that is due at the scene's time, which is the usual case, and any that it
    sets to the same time; return those that ran.
    """
    row, at_ms, timer = scene.row, scene.at_ms, plan.timers.get(code)
    if timer is None or (timer.waits_for_clock and at_ms > scene.context.clock_ms):
        return []
    row.finish(code, 0 if timer.may_repeat else at_ms)
    timer.run(scene)
    if not 0 < row.next_due_ms <= at_ms:
        return [timer]
    turns = list(plan.timers.items())
    return [timer, *_run_in_turn(turns[turns.index((code, timer)) + 1 :], scene)]


def _run_in_turn(timers: Iterable[tuple[str, Timer]], scene: Scene) -> list[Timer]:
    """Run those of the timers, by code, that are due at the scene's time, and return them. Each is
    checked in its turn, because one may set another to the same time.
    """
    row, at_ms, ran = scene.row, scene.at_ms, list[Timer]()
    pending = row.pending()
    for code, timer in timers:
        if code not in pending or pending[code] != at_ms:
            continue
        if timer.waits_for_clock and at_ms > scene.context.clock_ms:
            continue
        row.finish(code, 0 if timer.may_repeat else at_ms)
        timer.run(scene)
        ran.append(timer)
    return ran


def take_up(
    row: Row, customer: str, at_ms: int, codes: Collection[str], context: Context, plan: Plan
) -> list[Effect]:
    """Let the parts with these ``codes``, which were not in force for a while, take up the
    customer's present state. None of this is announced as news; its lessons are taught.
    """
    if not row.latest_ms:
        # The id is only known because others have named it.
        return []
    scene = Scene(row, customer, at_ms, context)
    for code, begin_anew in plan.takes_up.items():
        if code in codes:
            begin_anew(scene)
    if plan.watch.segments:
        # Conditions may depend on any of these parts.
        look(scene, plan.watch, plan.watch.segments, is_news=False)
    scene.moments.clear()
    return outcome(scene, plan)


def follow_up(
    row: Row, customer: str, at_ms: int, codes: Collection[str], context: Context, plan: Plan
) -> None:
    """`take_up` for one of a person's ids, without lessons."""
    with _quiet(context):
        take_up(row, customer, at_ms, codes, context, plan)


def _forget_late_messages(row: Row, context: Context) -> None:
    """Drop the customer's message ids once even the latest belongs to an event that would be late
    now: its repeats are late, too, and change nothing.
    """
    # In a rehearsal nothing is ever late.
    if not context.is_rehearsal:
        row.messages = b""


def outcome(scene: Scene, plan: Plan) -> list[Effect]:
    """The lessons of the parts, then the decisions of the rules."""
    decisions = decide(scene, plan.policy) if scene.moments else []
    effects: list[Effect] = []
    if scene.lessons or scene.settled:
        effects += lessons_of(scene, plan)
    effects += decisions
    if scene.rehearsed or scene.dropped:
        effects += [*map(Rehearsed, scene.rehearsed), *scene.dropped]
    return effects


def _next_ripe_ms(row: Row, clock_ms: int, plan: Plan) -> int:
    """The earliest timer, except those after ``clock_ms`` that wait for the clock; 0 for none."""
    if row.next_due_ms <= clock_ms:
        return row.next_due_ms
    next_ms = 0
    for code, due in row.timers():
        due_ms, timer = due.due_ms, plan.timers.get(code)
        if timer is not None and timer.waits_for_clock and due_ms > clock_ms:
            continue
        if due_ms and (due_ms < next_ms or not next_ms):
            next_ms = due_ms
    return next_ms

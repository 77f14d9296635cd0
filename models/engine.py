"""One event in; the next state of one customer and what should happen out.

No I/O, no clock, no randomness: the same log gives the same decisions. Start reading here.
"""

from enum import StrEnum

from models.customer.consent import CONSENT, may_be_learnt_from
from models.customer.fingerprint import fingerprint_bytes
from models.customer.row import Row
from models.customer.scene import Context, Scene
from models.decisions.decide import decide
from models.decisions.trigger import Decision
from models.events.event import Event
from models.learning.lessons import Cost, Lesson, Tally
from models.plan import Plan

Effect = Lesson | Decision


class Fate(StrEnum):
    """What became of an event; every event has exactly one, or was refused before it got here."""

    APPLIED = "applied"
    DUPLICATE = "duplicate"
    LATE = "late"


def step(row: Row, event: Event, context: Context, plan: Plan) -> tuple[Fate, list[Effect]]:
    """Advance one customer, in place, by one event: its fate, and the effects in the order in which
    they were decided.
    """
    at_ms, message = event.occurred_at_ms, fingerprint_bytes(event.message_id)
    if row.has_seen(message):
        return Fate.DUPLICATE, []
    if at_ms < context.clock_ms - plan.lateness_ms:
        return Fate.LATE, []

    # Silence first: what was due before this event must not see it.
    is_due = 0 < row.next_due_ms < at_ms
    effects = run_due(row, event.customer, at_ms, context, plan) if is_due else []

    row.messages = (row.messages + message)[-plan.message_bytes_max :]
    scene = record(row, event, context, plan)
    if scene.moments or scene.lessons:
        effects += _outcome(scene, plan)
    return Fate.APPLIED, effects


def record(row: Row, event: Event, context: Context, plan: Plan) -> Scene:
    """Let each part that listens record the event; nothing is decided here."""
    scene = Scene(row, event.customer, event.occurred_at_ms, context, event)
    row.latest_ms = max(row.latest_ms, event.occurred_at_ms)
    for part in plan.routes[event.kind.number]:
        part.record(row.edit(part), event, scene)
    return scene


def run_due(row: Row, customer: str, before_ms: int, context: Context, plan: Plan) -> list[Effect]:
    """Run this customer's timers earlier than ``before_ms``, each at its own time."""
    effects: list[Effect] = []
    while 0 < row.next_due_ms < before_ms:
        due_ms = _next_ripe_ms(row, context.clock_ms, plan)
        if not 0 < due_ms < before_ms:
            break
        effects += run_timers(row, customer, due_ms, context, plan)
    return effects


def run_timers(row: Row, customer: str, due_ms: int, context: Context, plan: Plan) -> list[Effect]:
    """Run everything of this customer's that is due at exactly ``due_ms``, and decide once."""
    scene = Scene(row, customer, due_ms, context)
    for code, timer in plan.timers.items():
        if row.due(code).due_ms != due_ms:
            continue
        if timer.waits_for_clock and due_ms > context.clock_ms:
            continue
        row.finish(code, 0 if timer.may_repeat else due_ms)
        timer.run(scene)
    row.pass_over(due_ms, plan.timers)
    return _outcome(scene, plan)


def _outcome(scene: Scene, plan: Plan) -> list[Effect]:
    """The lessons of the parts, then the decisions of the rules."""
    return [*_lessons(scene), *decide(scene, plan.policy)]


def _lessons(scene: Scene) -> list[Lesson]:
    """What the parts teach; of somebody who may not be learnt from only that they said so, and
    what is nobody's.
    """
    if not scene.lessons or scene.of(may_be_learnt_from):
        return scene.lessons
    return [
        lesson
        for lesson in scene.lessons
        if isinstance(lesson, Cost) or (isinstance(lesson, Tally) and lesson.part == CONSENT.name)
    ]


def _next_ripe_ms(row: Row, clock_ms: int, plan: Plan) -> int:
    """The earliest timer, except those after ``clock_ms`` that wait for the clock; 0 for none."""
    next_ms = 0
    for code, due in row.timers():
        due_ms, timer = due.due_ms, plan.timers.get(code)
        if timer is not None and timer.waits_for_clock and due_ms > clock_ms:
            continue
        if due_ms and (due_ms < next_ms or not next_ms):
            next_ms = due_ms
    return next_ms

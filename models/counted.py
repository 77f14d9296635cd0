"""Who is counted among all customers, and what may be learnt of whom.

The sums of all customers hold what the row says of each who may be learnt from, and what happened
while that was so. Whoever refuses it takes along what their row says, and who agrees again brings
it back as it is by then.
"""

from collections.abc import Iterable

from models.customer.consent import CONSENT, may_be_learnt_from
from models.customer.improvements import IMPROVEMENTS
from models.customer.registry import PARTS
from models.customer.row import Row
from models.customer.scene import Context, Scene
from models.learning.lessons import Cost, Lesson, Tally
from models.plan import Plan

#: Sums of what is nobody's, and of who refuses what.
ALWAYS_TOLD = frozenset({CONSENT.name, IMPROVEMENTS.name})


def lessons_of(scene: Scene, plan: Plan) -> list[Lesson]:
    """What a step teaches, once everything is recorded."""
    consent = scene.row.read(CONSENT)
    if plan.learns_by_default and not (consent.words or consent.is_left_out or scene.settled):
        # Of nearly everybody.
        return scene.lessons
    may_learn = scene.of(may_be_learnt_from)
    if may_learn is consent.is_left_out:
        # A grant has expired since, or the shop's default is another.
        _turn(scene, plan, may_learn=may_learn)
    elif not may_learn:
        return [*scene.settled, *_kept(scene.lessons, is_counted=False, may_learn=False)]
    return [*scene.settled, *scene.lessons]


def follow_consent(scene: Scene, plan: Plan) -> None:
    """Count the customer among all or no longer, as soon as their consent is recorded: before any
    sum changes by the event that says so.
    """
    may_learn = may_be_learnt_from(scene)
    if may_learn is scene.row.read(CONSENT).is_left_out:
        _turn(scene, plan, may_learn=may_learn)


def _turn(scene: Scene, plan: Plan, *, may_learn: bool) -> None:
    """Settle what was taught until now, and have the sums hold what the row says, or no more."""
    consent = scene.row.edit(CONSENT)
    kept = _kept(scene.lessons, is_counted=not consent.is_left_out, may_learn=may_learn)
    consent.is_left_out = not may_learn
    scene.lessons.clear()
    if scene.context.is_quiet:
        # Of one of a person's ids, who are counted instead.
        return
    sign = 1 if may_learn else -1
    told = sums_of(scene.row, scene.customer, sign, scene.at_ms, scene.context, plan)
    sums = [one for one in told if one.part not in ALWAYS_TOLD]
    scene.settled = [*scene.settled, *kept, *sums]


def _kept(lessons: Iterable[Lesson], *, is_counted: bool, may_learn: bool) -> list[Lesson]:
    """Sums of who is counted, all else of who may be learnt from, and what is always told."""
    kept: list[Lesson] = []
    for lesson in lessons:
        if isinstance(lesson, Tally):
            is_kept = is_counted or lesson.part in ALWAYS_TOLD
        else:
            is_kept = may_learn or isinstance(lesson, Cost)
        if is_kept:
            kept.append(lesson)
    return kept


def sums_of(
    row: Row, customer: str, sign: int, at_ms: int, context: Context, plan: Plan
) -> list[Tally]:
    """What the sums of all customers hold of a row if it is counted, times ``sign``."""
    nobody = Scene(Row(), customer, at_ms, context)
    for part in PARTS:
        if part.is_on(plan.parameters) and row.has(part):
            # As if it were the id of somebody of whom nothing else is known.
            part.reunited(nobody, part.state(), row.read(part), -sign)
    return [lesson for lesson in nobody.lessons if isinstance(lesson, Tally)]


def held(
    row: Row, customer: str, sign: int, at_ms: int, context: Context, plan: Plan
) -> list[Tally]:
    """What the sums of all customers hold of a row, times ``sign``."""
    told, is_left_out = sums_of(row, customer, sign, at_ms, context, plan), _is_left_out(row)
    return [one for one in told if not is_left_out or one.part in ALWAYS_TOLD]


def left_out(
    row: Row, customer: str, sign: int, at_ms: int, context: Context, plan: Plan
) -> list[Tally]:
    """What the sums of all customers would hold of a row besides, times ``sign``, were it not left
    out.
    """
    if not _is_left_out(row):
        return []
    told = sums_of(row, customer, sign, at_ms, context, plan)
    return [one for one in told if one.part not in ALWAYS_TOLD]


def _is_left_out(row: Row) -> bool:
    return row.read(CONSENT).is_left_out

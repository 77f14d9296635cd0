"""Which customers count in the sums over all customers, and which may be learnt from.

The sums contain the state of each customer who may be learnt from, and what happened while that was
so. When a customer refuses, their row's state is subtracted. When they agree again, the state of
that time is added.
"""

from collections.abc import Iterable

from models.customer.consent import CONSENT, may_be_learnt_from
from models.customer.improvements import IMPROVEMENTS
from models.customer.registry import PARTS
from models.customer.row import Row
from models.customer.scene import Context, Scene
from models.learning.lessons import Cost, Lesson, Tally
from models.plan import Plan

#: Parts whose sums count in any case: about no customer, or about what customers refuse.
ALWAYS_TOLD = frozenset({CONSENT.name, IMPROVEMENTS.name})


def lessons_of(scene: Scene, plan: Plan) -> list[Lesson]:
    """The lessons of a step, once everything is recorded."""
    consent = scene.row.read(CONSENT)
    if plan.learns_by_default and not (consent.words or consent.is_left_out or scene.settled):
        # True of nearly all customers.
        return scene.lessons
    may_learn = scene.of(may_be_learnt_from)
    if may_learn is consent.is_left_out:
        # A grant has expired since, or the shop's default has changed.
        _turn(scene, may_learn=may_learn)
    elif not may_learn:
        return [*scene.settled, *_kept(scene.lessons, is_counted=False, may_learn=False)]
    return [*scene.settled, *scene.lessons]


def follow_consent(scene: Scene) -> None:
    """Add the customer to the sums or take them out as soon as their consent is recorded, before
    the same event changes any sum.
    """
    may_learn = may_be_learnt_from(scene)
    if may_learn is scene.row.read(CONSENT).is_left_out:
        _turn(scene, may_learn=may_learn)


def _turn(scene: Scene, *, may_learn: bool) -> None:
    """Settle the lessons so far, then add the row's state to the sums, or subtract it."""
    consent = scene.row.edit(CONSENT)
    kept = _kept(scene.lessons, is_counted=not consent.is_left_out, may_learn=may_learn)
    consent.is_left_out = not may_learn
    scene.lessons.clear()
    if scene.context.is_quiet:
        # This is one id of a person, and the person counts instead.
        return
    sign = 1 if may_learn else -1
    told = sums_of(scene.row, scene.customer, sign, scene.at_ms, scene.context)
    sums = [one for one in told if one.part not in ALWAYS_TOLD]
    scene.settled = [*scene.settled, *kept, *sums]


def _kept(lessons: Iterable[Lesson], *, is_counted: bool, may_learn: bool) -> list[Lesson]:
    """The lessons that count: sums if the customer is counted, costs always, others if they may be
    learnt from. The sums of `ALWAYS_TOLD` count in any case.
    """
    kept: list[Lesson] = []
    for lesson in lessons:
        if isinstance(lesson, Tally):
            is_kept = is_counted or lesson.part in ALWAYS_TOLD
        else:
            is_kept = may_learn or isinstance(lesson, Cost)
        if is_kept:
            kept.append(lesson)
    return kept


def sums_of(row: Row, customer: str, sign: int, at_ms: int, context: Context) -> list[Tally]:
    """The row's share in the sums over all customers if it is counted, times ``sign``."""
    nobody = Scene(Row(), customer, at_ms, context)
    for part in PARTS:
        if row.has(part):
            # As for an id of a person of whom nothing else is known.
            part.reunited(nobody, part.state(), row.read(part), -sign)
    return [lesson for lesson in nobody.lessons if isinstance(lesson, Tally)]


def held(row: Row, customer: str, sign: int, at_ms: int, context: Context) -> list[Tally]:
    """The row's share in the sums over all customers, times ``sign``."""
    told, is_left_out = sums_of(row, customer, sign, at_ms, context), _is_left_out(row)
    return [one for one in told if not is_left_out or one.part in ALWAYS_TOLD]


def left_out(row: Row, customer: str, sign: int, at_ms: int, context: Context) -> list[Tally]:
    """The share that the row would have besides if it were not left out, times ``sign``."""
    if not _is_left_out(row):
        return []
    told = sums_of(row, customer, sign, at_ms, context)
    return [one for one in told if one.part not in ALWAYS_TOLD]


def _is_left_out(row: Row) -> bool:
    return row.read(CONSENT).is_left_out

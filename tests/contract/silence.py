"""Silence: what time alone does to a customer, with clocks that advance in steps of any length."""

from collections.abc import Callable
from random import Random
from typing import NamedTuple

from config.duration import DAY_MS, HOUR_MS, MINUTE_MS
from models import engine
from models.customer.part import Timer
from models.customer.row import Row
from models.customer.scene import Scene
from models.engine import Effect
from models.plan import Plan
from tests.contract.parts import present

#: How far a clock may advance at once.
_STEPS_MS = (1, 1_000, MINUTE_MS, HOUR_MS, DAY_MS, 9 * DAY_MS, 31 * DAY_MS)
_FAR_MS = 1_000 * DAY_MS
#: From a customer and the present time to the clock's next time.
Clock = Callable[[Row, int], int]


class Ran(NamedTuple):
    """A timer that ran, and the moments that it raised."""

    code: str
    at_ms: int
    moments: tuple[str, ...]


def watched(plan: Plan, ran: list[Ran]) -> Plan:
    """The same plan, which records in ``ran`` what its timers do; fails if one does not advance."""

    def noted(timer: Timer) -> Callable[[Scene], None]:
        def run(scene: Scene) -> None:
            before = len(scene.moments)
            timer.run(scene)
            ran.append(Ran(timer.code, scene.at_ms, tuple(scene.moments[before:])))
            assert not 0 < scene.row.due(timer.code).due_ms <= scene.at_ms, timer.code

        return run

    timers = {code: timer._replace(run=noted(timer)) for code, timer in plan.timers.items()}
    return plan._replace(timers=timers)


def silence(
    row: Row, until_ms: int, clock: Clock, plan: Plan | None = None
) -> tuple[list[Ran], list[Effect]]:
    """The timers that ran and the effects until the clock reached ``until_ms``; changes the row."""
    ran: list[Ran] = []
    effects: list[Effect] = []
    plan, clock_ms = watched(plan or present().plan, ran), row.latest_ms
    while clock_ms < until_ms:
        clock_ms = min(clock(row, clock_ms), until_ms)
        context = plan.context(present().snapshot, clock_ms=clock_ms)
        effects += engine.run_due(row, "ada", clock_ms + 1, context, plan)
    return ran, effects


def at_once(_row: Row, now_ms: int) -> int:
    """A clock that was stopped, and jumps to the end."""
    return now_ms + _FAR_MS


def month_by_month(_row: Row, now_ms: int) -> int:
    """A clock that advances rarely."""
    return now_ms + 31 * DAY_MS


def to_the_millisecond(row: Row, now_ms: int) -> int:
    """A clock that stops just before each deadline, and then advances by a millisecond at a
    time.
    """
    return max((row.next_due_ms or now_ms + _FAR_MS) - 1, now_ms + 1)


def anyhow(seed: int) -> Clock:
    """A clock with random steps."""
    rng = Random(seed)
    return lambda _row, now_ms: now_ms + rng.choice(_STEPS_MS)

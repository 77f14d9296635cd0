"""How much of the event loop's time the web port may use, by clocks that the test moves."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from agents.ration import (
    BEHIND_S,
    LISTS_FOR_IDLE,
    SAVED_MAX_S,
    SHARE_OF_ANSWERS,
    SHARE_OF_CONNECTIONS,
    SHARE_OF_HEALTH,
    SHARE_OF_LISTS,
    SHARE_OF_WAITING,
    WebTime,
)
from agents.web.metrics import SHARED_S, DrawnMetrics
from streams.timed_loop import TimedLoop, run_timed, waited_s
from tests.benchmarks.shared_loop import burn


class Machine:
    """A loop's clocks: CPU that was used, and time that it waited."""

    def __init__(self, *, is_behind: bool) -> None:
        self.cpu_s = self.waited_s = self.unhurried_s = 0.0
        self.is_behind = is_behind
        self.time = WebTime(
            lambda: self.is_behind,
            lambda: self.cpu_s,
            lambda: self.waited_s,
            lambda: self.unhurried_s,
        )

    def answer(self, seconds: float) -> None:
        """The port uses CPU, and is charged for it."""
        self.cpu_s += seconds
        self.time.answers.charge(seconds)


def spent_by_hammering(machine: Machine, turn: Callable[[], None]) -> float:
    """The CPU for answers of 1 ms that are requested without a pause, over 2,000 turns of other
    work.
    """
    for _ in range(2_000):
        turn()
        while not machine.time.answers.is_owing:
            machine.answer(0.001)
    return machine.time.spent_s


def test_while_the_work_is_behind_answers_get_their_share_of_what_it_uses() -> None:
    machine = Machine(is_behind=True)

    def fold() -> None:
        machine.cpu_s += 0.02

    spent_s = spent_by_hammering(machine, fold)
    assert SHARE_OF_ANSWERS * 40 == pytest.approx(spent_s - SAVED_MAX_S, rel=0.01)
    shares = (SHARE_OF_CONNECTIONS, SHARE_OF_HEALTH, SHARE_OF_ANSWERS, SHARE_OF_LISTS)
    assert 0.1 == pytest.approx(sum(shares))


def test_the_time_in_which_nothing_happens_is_theirs_unless_the_work_is_behind() -> None:
    for is_behind, share in ((False, 1.0), (True, SHARE_OF_WAITING)):
        machine = Machine(is_behind=is_behind)

        def wait(machine: Machine = machine) -> None:
            machine.waited_s += 0.02

        spent_s = spent_by_hammering(machine, wait)
        assert share * 40 == pytest.approx(spent_s - SAVED_MAX_S, rel=0.01)


def test_a_list_may_have_more_of_an_idle_worker_and_no_more_of_one_that_is_behind() -> None:
    for is_behind, share in ((False, LISTS_FOR_IDLE), (True, SHARE_OF_WAITING)):
        machine = Machine(is_behind=is_behind)
        for _ in range(20_000):
            machine.waited_s += 0.002
            while not machine.time.lists.is_owing:
                machine.cpu_s += 0.001
                machine.time.lists.charge(0.001)
        assert share * 40 == pytest.approx(machine.time.spent_s - SAVED_MAX_S, rel=0.01)


def test_work_that_nobody_waits_for_is_as_good_as_idle_time() -> None:
    """Filling a store takes all available time: lists would wait until it is full."""
    for is_behind, share in ((False, 1.0), (True, SHARE_OF_WAITING)):
        machine = Machine(is_behind=is_behind)

        def fill(machine: Machine = machine) -> None:
            machine.cpu_s += 0.02
            machine.unhurried_s += 0.02

        spent_s = spent_by_hammering(machine, fill)
        assert share * 40 == pytest.approx(spent_s - SAVED_MAX_S, rel=0.01)


def test_whether_the_work_is_behind_is_asked_now_and_then() -> None:
    asked = []
    machine = Machine(is_behind=False)
    machine.time = WebTime(
        lambda: bool(asked.append(None)), lambda: machine.cpu_s, lambda: machine.waited_s
    )
    for _ in range(1_000):
        machine.waited_s += BEHIND_S / 100
        assert not machine.time.lists.is_owing
    assert len(asked) <= 11


def test_who_asks_now_and_then_never_waits() -> None:
    machine = Machine(is_behind=True)
    for _ in range(100):
        machine.cpu_s += 5.0
        machine.answer(0.05)
        assert not machine.time.answers.is_owing


def test_a_long_rest_saves_up_no_more_than_a_little() -> None:
    machine = Machine(is_behind=False)
    machine.waited_s += 3_600.0
    assert not machine.time.answers.is_owing
    machine.answer(SAVED_MAX_S)
    assert machine.time.answers.is_owing


def test_lists_owe_for_lists_alone() -> None:
    machine = Machine(is_behind=True)
    machine.cpu_s += 10.0
    machine.time.lists.charge(10.0)
    assert machine.time.lists.is_owing
    assert not machine.time.answers.is_owing


def test_those_who_wait_are_served_in_the_order_in_which_they_came() -> None:
    machine = Machine(is_behind=True)
    served: list[int] = []

    async def ask(number: int) -> None:
        await machine.time.answers.turn()
        served.append(number)
        machine.answer(0.001)

    async def scenario() -> None:
        machine.answer(SAVED_MAX_S + 0.1)
        waiting = [asyncio.create_task(ask(number)) for number in range(5)]
        await asyncio.sleep(0.05)
        assert [] == served
        machine.cpu_s += 100.0
        await asyncio.gather(*waiting)

    asyncio.run(scenario())
    assert list(range(5)) == served


async def failing() -> None:
    await asyncio.sleep(0)
    raise ValueError("told")


async def waiting() -> None:
    try:
        await asyncio.sleep(3_600)
    finally:
        await asyncio.sleep(0)


@pytest.mark.parametrize(
    ("work", "cancelled", "raised"),
    [(failing, False, ValueError), (waiting, True, asyncio.CancelledError)],
)
def test_what_is_metered_fails_and_is_cancelled_as_without(
    work: Callable[[], Awaitable[None]], cancelled: bool, raised: type[BaseException]
) -> None:
    async def scenario() -> None:
        task = asyncio.ensure_future(WebTime().answers.metered(work()))  # type: ignore[arg-type]
        await asyncio.sleep(0)
        if cancelled:
            task.cancel()
        with pytest.raises(raised):
            await task

    asyncio.run(scenario())


def test_metrics_are_drawn_for_each_who_asks_and_shared_by_who_ask_too_often() -> None:
    machine = Machine(is_behind=True)
    now_s, drawn = 0.0, 0

    def draw() -> bytes:
        nonlocal drawn
        drawn += 1
        return str(drawn).encode()

    metrics = DrawnMetrics(draw, machine.time.answers, lambda: now_s)
    assert [b"1", b"2"] == [metrics.content(), metrics.content()]
    machine.answer(SAVED_MAX_S)
    assert [b"2"] * 100 == [metrics.content() for _ in range(100)]
    now_s += SHARED_S
    assert [b"3", b"3"] == [metrics.content(), metrics.content()]


def test_a_loop_knows_how_long_it_had_nothing_to_do() -> None:
    async def scenario() -> tuple[float, float]:
        assert isinstance(asyncio.get_running_loop(), TimedLoop)
        begun_s = waited_s()
        burn(0.2)
        await asyncio.sleep(0)
        busy_s = waited_s() - begun_s
        await asyncio.sleep(0.2)
        return busy_s, waited_s() - begun_s

    busy_s, both_s = run_timed(scenario())
    assert busy_s < 0.1 < both_s

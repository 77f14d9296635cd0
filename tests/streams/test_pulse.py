"""A process that was suspended for longer than its session ends, and reports only that."""

import asyncio

import pytest

from streams import pulse
from streams.pulse import Pulse, StoodStill
from streams.recovery import RecoveryError


class _Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> _Clock:
    clock = _Clock()
    monkeypatch.setattr(pulse, "monotonic", clock)
    monkeypatch.setattr(pulse, "TICK_S", 0.0)
    return clock


def test_a_process_that_stood_still_ends_at_the_next_beat(clock: _Clock) -> None:
    async def live() -> None:
        heart = Pulse(6_000)
        heart.joined()
        beating = asyncio.create_task(heart.beat())
        for _ in range(3):
            clock.now_s += 5.9
            await asyncio.sleep(0)
        assert not beating.done()
        clock.now_s += 6.1
        await beating

    with pytest.raises(StoodStill, match="more than its session timeout of 6 s"):
        asyncio.run(live())


def test_a_slow_start_is_no_standing_still(clock: _Clock) -> None:
    """On a busy machine imports and the first connection may take longer than a session."""

    async def start() -> None:
        heart = Pulse(6_000)
        clock.now_s += 60
        beating = asyncio.create_task(heart.beat())
        await asyncio.sleep(0)
        clock.now_s += 60
        await asyncio.sleep(0)
        heart.require()
        heart.joined()
        await asyncio.sleep(0)
        heart.require()
        beating.cancel()

    asyncio.run(start())


def test_joining_again_does_not_hide_that_it_stood_still(clock: _Clock) -> None:
    heart = Pulse(6_000)
    heart.joined()
    clock.now_s += 7
    heart.joined()
    with pytest.raises(StoodStill):
        heart.require()


def test_what_fails_after_standing_still_is_told_as_that(clock: _Clock) -> None:
    """A zombie's first step may fail because of its old knowledge, with advice that is wrong
    now.
    """
    heart = Pulse(6_000)
    heart.joined()

    def fail_after(seconds: float) -> None:
        with heart.explaining():
            clock.now_s += seconds
            raise RecoveryError("restore the topic")

    with pytest.raises(RecoveryError):
        fail_after(seconds=5)
    with pytest.raises(StoodStill) as told:
        fail_after(seconds=7)
    assert isinstance(told.value.__context__, RecoveryError)

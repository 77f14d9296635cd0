"""What the web port may take of the loop that it shares with the work itself.

Answers, folding and heartbeats run in one thread. Whoever asks without a pause must not slow the
fold: the port earns a small share of the CPU that everything else uses, and all of the time in
which the loop has nothing to do. What it has not earned yet is waited for, in line.
"""

import asyncio
from collections.abc import Callable, Coroutine, Generator
from functools import partial
from time import thread_time
from types import coroutine
from typing import Any, Final, TypeVar

from streams.timed_loop import waited_s

T = TypeVar("T")

#: Of the CPU that others use: for all that is quickly answered, and for lists of customers.
SHARE_OF_ANSWERS: Final = 0.03
SHARE_OF_LISTS: Final = 0.04
#: What can be saved up: who asks now and then never waits.
SAVED_MAX_S: Final = 0.25
#: What cannot be measured where it happens: aiohttp's own work on a request, the loop's on a
#: connection and on what comes in. `python -m tests.benchmarks.web_port` says whether it is enough.
REQUEST_S: Final = 0.000_3
CONNECTION_S: Final = 0.000_3
READ_S: Final = 0.000_05
#: Between looks at what was earned, by the one who is first in line.
LOOK_S: Final = 0.01


class WebTime:
    """What the loop's time goes to, and what of it the port may have: one of these a process."""

    def __init__(
        self,
        cpu_s: Callable[[], float] = thread_time,
        idle_s: Callable[[], float] = waited_s,
    ) -> None:
        self._cpu_s = cpu_s
        self._idle_s = idle_s
        self._spent_s = 0.0
        self.answers = Ration(self, SHARE_OF_ANSWERS)
        self.lists = Ration(self, SHARE_OF_LISTS)

    def cpu_s(self) -> float:
        """The CPU of this thread so far."""
        return self._cpu_s()

    @property
    def spent_s(self) -> float:
        """What the port used of it."""
        return self._spent_s

    @property
    def others_s(self) -> float:
        """What everything else used of it."""
        return self._cpu_s() - self._spent_s

    @property
    def idle_s(self) -> float:
        """How long the loop had nothing to do, so far."""
        return self._idle_s()

    def spend(self, seconds: float) -> None:
        self._spent_s += seconds


class Ration:
    """A share of the loop's time, for one kind of answers."""

    def __init__(self, time: WebTime, share: float) -> None:
        self._time = time
        self._share = share
        self._saved_s = SAVED_MAX_S
        self._others_s, self._idle_s = time.others_s, time.idle_s
        self._line = asyncio.Lock()

    @property
    def is_short(self) -> bool:
        """Whether less than half is left of what can be saved up, so that thrift is due."""
        return self._earned_s() < SAVED_MAX_S / 2

    @property
    def is_owing(self) -> bool:
        """Whether more was spent than was earned."""
        return self._earned_s() <= 0.0

    async def turn(self) -> None:
        """Wait until what was spent is earned; who came first goes first."""
        async with self._line:
            while self.is_owing:
                # What is earned is seen when somebody looks, and tells nobody.
                await asyncio.sleep(LOOK_S)

    def charge(self, seconds: float) -> None:
        """Note what was used and is not measured by `metered`."""
        self._time.spend(seconds)
        self._saved_s -= seconds

    @coroutine
    def metered(self, work: Coroutine[Any, Any, T]) -> Generator[Any, Any, T]:
        """What ``work`` returns, each of its steps charged but for what is charged within."""
        resume: Callable[[], Any] = partial(work.send, None)
        while True:
            begun_s, charged_s = self._time.cpu_s(), self._time.spent_s
            try:
                awaited = resume()
            except StopIteration as ended:
                value: T = ended.value
                return value
            finally:
                took_s = self._time.cpu_s() - begun_s
                self.charge(max(took_s - (self._time.spent_s - charged_s), 0.0))
            try:
                yield awaited
            except BaseException as error:  # noqa: BLE001 - cancellation is for the work to see
                resume = partial(work.throw, error)
            else:
                resume = partial(work.send, None)

    def _earned_s(self) -> float:
        """What is left, with what was earned since the last look; below 0 is a debt."""
        others_s, idle_s = self._time.others_s, self._time.idle_s
        earned_s = self._share * (others_s - self._others_s) + (idle_s - self._idle_s)
        self._others_s, self._idle_s = others_s, idle_s
        self._saved_s = min(self._saved_s + earned_s, SAVED_MAX_S)
        return self._saved_s

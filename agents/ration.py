"""What the web port may take of the loop that it shares with the work itself.

Answers, folding and heartbeats run in one thread. Whoever asks without a pause must not slow the
fold: the port earns a small share of the CPU that everything else uses, and of the time in which
the loop has nothing to do all of it, or while the work is behind next to nothing: it waits for the
broker then. What is not earned yet is waited for, in line.
"""

import asyncio
from collections.abc import Callable, Coroutine, Generator
from functools import partial
from time import thread_time
from types import coroutine
from typing import Any, Final, TypeVar

from streams.timed_loop import waited_s

T = TypeVar("T")

#: Of the CPU that others use, a tenth in all. Who asks for one kind without a pause keeps nobody
#: from another: above all, a probe comes through.
SHARE_OF_CONNECTIONS: Final = 0.02
SHARE_OF_HEALTH: Final = 0.02
SHARE_OF_ANSWERS: Final = 0.03
SHARE_OF_LISTS: Final = 0.03
#: Of the time in which the loop waits, while the work is behind. Not 0: where the broker is away
#: nothing else uses CPU, and health has to be told.
SHARE_OF_WAITING: Final = 0.005
#: For each second in which the loop has nothing to do, a list of customers may have so many: it
#: goes on in slices, and events that come end the idleness.
LISTS_FOR_IDLE: Final = 19.0
#: What can be saved up: who asks now and then never waits.
SAVED_MAX_S: Final = 0.1
#: What cannot be measured where it happens: aiohttp's own work on a request, the loop's on a
#: connection and on what comes in. `python -m tests.benchmarks.web_port` says whether it is enough.
REQUEST_S: Final = 0.000_3
CONNECTION_S: Final = 0.000_3
READ_S: Final = 0.000_05
#: Between looks at what was earned, by the one who is first in line: the longest pause, and while
#: the loop has time the shortest.
LOOK_S: Final = 0.01
SHORT_LOOK_S: Final = 0.001
#: Between looks at whether the work is behind, which cost something themselves.
BEHIND_S: Final = 0.05


class WebTime:
    """What the loop's time goes to, and what of it the port may have: one of these a process.

    ``is_behind``: whether there is more work than can be done at once. The clocks say for how long
    this thread had a core, for how long the loop had nothing to do, and for how long it did what
    nobody waits for, such as filling a store: that time is as good as idle.
    """

    def __init__(
        self,
        is_behind: Callable[[], bool] = lambda: False,
        cpu_s: Callable[[], float] = thread_time,
        waited_s: Callable[[], float] = waited_s,
        unhurried_s: Callable[[], float] = lambda: 0.0,
    ) -> None:
        self._is_behind = is_behind
        self._cpu_s = cpu_s
        self._waited_s = waited_s
        self._unhurried_s = unhurried_s
        self._looked_s = float("-inf")
        self._was_behind = False
        self._spent_s = 0.0
        #: For connections and what comes by them, before anything is known of it.
        self.connections = Ration(self, SHARE_OF_CONNECTIONS)
        self.health = Ration(self, SHARE_OF_HEALTH)
        self.answers = Ration(self, SHARE_OF_ANSWERS)
        self.lists = Ration(self, SHARE_OF_LISTS, LISTS_FOR_IDLE)

    def cpu_s(self) -> float:
        """The CPU of this thread so far."""
        return self._cpu_s()

    @property
    def spent_s(self) -> float:
        """What the port used of it."""
        return self._spent_s

    @property
    def others_s(self) -> float:
        """What everything else used of it that somebody waits for."""
        return self._cpu_s() - self._spent_s - self._unhurried_s()

    @property
    def waited_s(self) -> float:
        """How long the loop had nothing to do that somebody waits for, so far."""
        return self._waited_s() + self._unhurried_s()

    def is_behind(self, at_s: float) -> bool:
        """Whether the work is behind, as of the latest look at it; looks cost something."""
        if at_s - self._looked_s >= BEHIND_S:
            self._looked_s = at_s
            self._was_behind = self._is_behind()
        return self._was_behind

    def spend(self, seconds: float) -> None:
        self._spent_s += seconds


class Ration:
    """A share of the loop's time, for one kind of answers. ``for_idle``: what they may have for
    each second in which it has nothing to do, while the work is not behind.
    """

    def __init__(self, time: WebTime, share: float, for_idle: float = 1.0) -> None:
        self._time = time
        self._share = share
        self._for_idle = for_idle
        self._saved_s = SAVED_MAX_S
        self._others_s, self._waited_s = time.others_s, time.waited_s
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
            while self.is_owing:  # noqa: ASYNC110 - what is earned is seen by looking
                await asyncio.sleep(self._pause_s())

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

    def _pause_s(self) -> float:
        """How long to wait for what is owed, if the loop has nothing to do meanwhile."""
        if self._time.is_behind(self._others_s + self._waited_s):
            return LOOK_S
        return min(max(-self._saved_s / self._for_idle, SHORT_LOOK_S), LOOK_S)

    def _earned_s(self) -> float:
        """What is left, with what was earned since the last look; below 0 is a debt."""
        others_s, waited_s = self._time.others_s, self._time.waited_s
        is_behind = self._time.is_behind(others_s + waited_s)
        of_waiting = SHARE_OF_WAITING if is_behind else self._for_idle
        self._saved_s += self._share * (others_s - self._others_s)
        self._saved_s += of_waiting * (waited_s - self._waited_s)
        self._saved_s = min(self._saved_s, SAVED_MAX_S)
        self._others_s, self._waited_s = others_s, waited_s
        return self._saved_s

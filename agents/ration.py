"""Rations the event-loop time of the web port.

Answers, folding and heartbeats share one thread, and a client that asks without pause must not slow
the fold. So the port spends only time that it has earned: a small share of the CPU time that
everything else uses, and the time in which the loop is idle. While the work is behind, idle time
counts for next to nothing, because the loop is then waiting for the broker. Requests queue until
their time is earned.
"""

import asyncio
from collections.abc import Callable, Coroutine, Generator
from functools import partial
from time import thread_time
from types import coroutine
from typing import Any, Final, TypeVar

from streams.timed_loop import waited_s

T = TypeVar("T")

#: Shares of the CPU time that everything else uses, a tenth in total. Each kind has its own, so
#: that endless requests of one kind do not block the others, above all health probes.
SHARE_OF_CONNECTIONS: Final = 0.02
SHARE_OF_HEALTH: Final = 0.02
SHARE_OF_ANSWERS: Final = 0.03
SHARE_OF_LISTS: Final = 0.03
#: Share of idle time that counts while the work is behind. Not 0: while the broker is unreachable
#: nothing else uses CPU, and health must still be answered.
SHARE_OF_WAITING: Final = 0.005
#: Seconds that lists of customers earn per idle second. They may take that much because they run in
#: slices, and arriving events end the idleness.
LISTS_FOR_IDLE: Final = 19.0
#: The most that can be saved up, so that an occasional request never waits.
SAVED_MAX_S: Final = 0.1
#: Estimated costs that can't be measured in place: aiohttp's own work per request, and the loop's
#: per connection and per read. `python -m tests.benchmarks.web_port` shows whether they suffice.
REQUEST_S: Final = 0.000_3
CONNECTION_S: Final = 0.000_3
READ_S: Final = 0.000_05
#: The longest pause between two checks of what was earned, by the first in the queue; and the
#: shortest, for when the loop is idle.
LOOK_S: Final = 0.01
SHORT_LOOK_S: Final = 0.001
#: Between checks whether the work is behind; a check itself costs time.
BEHIND_S: Final = 0.05


class WebTime:
    """Accounts for the loop's time and the web port's part of it; one instance per process.

    ``is_behind``: whether more work is waiting than can be done at once. The clocks give this
    thread's CPU time, the loop's idle time, and the time spent on work that nobody waits for, such
    as filling a store: that counts as idle.
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
        #: For accepting connections and reading from them, before the kind of request is known.
        self.connections = Ration(self, SHARE_OF_CONNECTIONS)
        self.health = Ration(self, SHARE_OF_HEALTH)
        self.answers = Ration(self, SHARE_OF_ANSWERS)
        self.lists = Ration(self, SHARE_OF_LISTS, LISTS_FOR_IDLE)

    def cpu_s(self) -> float:
        """This thread's CPU time so far."""
        return self._cpu_s()

    @property
    def spent_s(self) -> float:
        """CPU seconds that the web port used."""
        return self._spent_s

    @property
    def others_s(self) -> float:
        """CPU seconds that everything else used, without work that nobody waits for."""
        return self._cpu_s() - self._spent_s - self._unhurried_s()

    @property
    def waited_s(self) -> float:
        """Seconds so far in which the loop was idle, or did work that nobody waits for."""
        return self._waited_s() + self._unhurried_s()

    def is_behind(self, at_s: float) -> bool:
        """Whether the work is behind, as of the last check; checks cost time."""
        if at_s - self._looked_s >= BEHIND_S:
            self._looked_s = at_s
            self._was_behind = self._is_behind()
        return self._was_behind

    def spend(self, seconds: float) -> None:
        self._spent_s += seconds


class Ration:
    """A share of the loop's time for one kind of answers. ``for_idle``: seconds earned per idle
    second while the work is not behind.
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
        """Whether less than half of `SAVED_MAX_S` is left, so that callers should save."""
        return self._earned_s() < SAVED_MAX_S / 2

    @property
    def is_owing(self) -> bool:
        """Whether more was spent than earned."""
        return self._earned_s() <= 0.0

    async def turn(self) -> None:
        """Wait until what was spent is earned, in the order of arrival."""
        async with self._line:
            while self.is_owing:  # noqa: ASYNC110 - earnings can only be polled
                await asyncio.sleep(self._pause_s())

    def charge(self, seconds: float) -> None:
        """Charge time that `metered` does not measure."""
        self._time.spend(seconds)
        self._saved_s -= seconds

    @coroutine
    def metered(self, work: Coroutine[Any, Any, T]) -> Generator[Any, Any, T]:
        """Run ``work`` and return its result. Each step is charged, less what was charged within
        it.
        """
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
            except BaseException as error:  # noqa: BLE001 - the work must see cancellations
                resume = partial(work.throw, error)
            else:
                resume = partial(work.send, None)

    def _pause_s(self) -> float:
        """How long to wait for the debt to be earned if the loop is idle meanwhile."""
        if self._time.is_behind(self._others_s + self._waited_s):
            return LOOK_S
        return min(max(-self._saved_s / self._for_idle, SHORT_LOOK_S), LOOK_S)

    def _earned_s(self) -> float:
        """The balance, with what was earned since the last check; below 0 it is a debt."""
        others_s, waited_s = self._time.others_s, self._time.waited_s
        is_behind = self._time.is_behind(others_s + waited_s)
        of_waiting = SHARE_OF_WAITING if is_behind else self._for_idle
        self._saved_s += self._share * (others_s - self._others_s)
        self._saved_s += of_waiting * (waited_s - self._waited_s)
        self._saved_s = min(self._saved_s, SAVED_MAX_S)
        self._others_s, self._waited_s = others_s, waited_s
        return self._saved_s

"""An event loop that knows how long it has been idle.

CPU and wall time don't tell: by them, a loop that waits for a core looks idle.
"""

import asyncio
from collections.abc import Coroutine
from selectors import DefaultSelector, SelectorKey
from time import monotonic, thread_time
from typing import Any, TypeVar

T = TypeVar("T")


class _TimedSelector(DefaultSelector):
    """Adds up how long it waited for events."""

    def __init__(self) -> None:
        super().__init__()
        self.waited_s = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[SelectorKey, int]]:
        if timeout is not None and timeout <= 0:
            return super().select(timeout)
        begun_s = monotonic()
        try:
            return super().select(timeout)
        finally:
            self.waited_s += monotonic() - begun_s


class TimedLoop(asyncio.SelectorEventLoop):
    """asyncio's own loop; ``waited_s``: how long it has been idle."""

    def __init__(self) -> None:
        self._timed = _TimedSelector()
        super().__init__(self._timed)

    @property
    def waited_s(self) -> float:
        return self._timed.waited_s


def run_timed(work: Coroutine[Any, Any, T]) -> T:
    """``asyncio.run``, on a `TimedLoop`."""
    with asyncio.Runner(loop_factory=TimedLoop) as runner:
        return runner.run(work)


def waited_s() -> float:
    """How long the running loop has been idle so far; a loop that doesn't know counts as always
    idle.
    """
    loop = asyncio.get_running_loop()
    return loop.waited_s if isinstance(loop, TimedLoop) else monotonic()


def had_s() -> float:
    """How long this thread has had a core, or its loop was idle, so far: the time that others on
    the machine did not take from it.
    """
    return thread_time() + waited_s()

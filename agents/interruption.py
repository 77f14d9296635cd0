"""Lets commands that start servers shut down in order, whatever signals arrive."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from streams.stop_signals import stop_signals


class Stopped(BaseException):
    """Ctrl-C or a signal asked the program to stop. Not an ``Exception``, so that nothing swallows
    it.
    """

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number

    @property
    def exit_code(self) -> int:
        """The exit code that a shell reports for a process ended by this signal."""
        return 128 + self.number


@contextmanager
def interruptible() -> Iterator[Callable[[], None]]:
    """Let signals raise ``Stopped`` until the yielded function is called: nothing may cut the
    cleanup short.
    """
    listening = stop_signals()
    before = {number: signal.getsignal(number) for number in listening}

    def finish() -> None:
        for number in listening:
            signal.signal(number, signal.SIG_IGN)

    def stop(number: int, _: FrameType | None) -> None:
        finish()
        raise Stopped(number)

    for number in listening:
        signal.signal(number, stop)
    try:
        yield finish
    finally:
        for number in listening:
            signal.signal(number, before[number])

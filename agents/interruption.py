"""Commands that start servers end in order, whoever asks for it and however often."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from streams.stop_signals import stop_signals


class Stopped(BaseException):
    """Somebody asked for the end: Ctrl-C, or a signal. No ``Exception``, so nothing swallows it."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number

    @property
    def exit_code(self) -> int:
        """What a shell reports of a process that this signal ended."""
        return 128 + self.number


@contextmanager
def interruptible() -> Iterator[Callable[[], None]]:
    """Let signals raise ``Stopped`` until the given function is called, for nothing is to cut
    cleaning up short.
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

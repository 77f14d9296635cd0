"""Which signals ask a program that stays up to end: one answer for all of them."""

import asyncio
import signal
from collections.abc import Callable


def stop_signals() -> tuple[signal.Signals, ...]:
    """SIGTERM and SIGINT always, and a hangup unless it is ignored, which is what `nohup` is for.

    A shell has the background jobs of a script ignore SIGINT. Whoever sends it to such a program
    all the same means it.
    """
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        return signal.SIGTERM, signal.SIGINT
    return signal.SIGTERM, signal.SIGINT, signal.SIGHUP


def on_stop_signal(stop: Callable[[], object]) -> None:
    """Call ``stop`` in the running loop at each signal that asks for the end."""
    loop = asyncio.get_running_loop()
    for number in stop_signals():
        loop.add_signal_handler(number, stop)

"""The signals that ask a long-running program to end, the same for all programs."""

import asyncio
import signal
from collections.abc import Callable


def stop_signals() -> tuple[signal.Signals, ...]:
    """SIGTERM and SIGINT always, and a hangup unless it is ignored, as `nohup` does.

    A shell makes background jobs of a script ignore SIGINT. Whoever still sends it to such a job
    means it.
    """
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        return signal.SIGTERM, signal.SIGINT
    return signal.SIGTERM, signal.SIGINT, signal.SIGHUP


def on_stop_signal(stop: Callable[[], object]) -> None:
    """Call ``stop`` in the running loop at each of these signals."""
    loop = asyncio.get_running_loop()
    for number in stop_signals():
        loop.add_signal_handler(number, stop)

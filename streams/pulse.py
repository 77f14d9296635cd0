"""Detects that this process stood still for longer than its session timeout."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic

TICK_S = 1.0


class StoodStill(RuntimeError):
    """This process may have lost its partitions without being told."""


class Pulse:
    """Beats once a second while the process runs.

    A process that was stopped for longer than the session timeout (a debugger, a suspended
    machine, a starved host) has been replaced, but learns of it only at its next heartbeat. Until
    then it must not write.

    Before `joined` it has no partitions to lose, however long starting takes.
    """

    def __init__(self, session_timeout_ms: int) -> None:
        self._longest_s = session_timeout_ms / 1_000
        self._last_s: float | None = None
        self._stood_still = False

    def joined(self) -> None:
        """Count from now on; called again, it changes nothing."""
        if self._last_s is None:
            self._last_s = monotonic()

    async def beat(self) -> None:
        """Beat until cancelled, or raise `StoodStill`."""
        while True:
            self.require()
            if self._last_s is not None:
                self._last_s = monotonic()
            await asyncio.sleep(TICK_S)

    def require(self) -> None:
        """Raise `StoodStill` if the process has ever stood still for too long."""
        if self._last_s is not None:
            self._stood_still |= monotonic() - self._last_s > self._longest_s
        if self._stood_still:
            raise StoodStill(
                f"this worker stood still for more than its session timeout of "
                f"{self._longest_s:.0f} s; its partitions have other owners now, so it ends "
                f"without writing. Start it again"
            )

    @contextmanager
    def explaining(self) -> Iterator[None]:
        """Raise `StoodStill` if the block fails after the process stood still: its topics,
        connections and membership may all be outdated.
        """
        try:
            yield
        except Exception:
            self.require()
            raise

"""Detects that this process stood still for longer than its session timeout."""

import asyncio
from time import monotonic

TICK_S = 1.0


class StoodStill(RuntimeError):
    """This process may have lost its partitions without having been told."""


class Pulse:
    """Beats once a second while the process runs.

    A process that was stopped for longer than the session timeout (a debugger, a suspended
    machine, a starved host) has been replaced, but learns of it only at its next heartbeat. Until
    then it must not write.
    """

    def __init__(self, session_timeout_ms: int) -> None:
        self._longest_s = session_timeout_ms / 1_000
        self._last_s = monotonic()
        self._stood_still = False

    async def beat(self) -> None:
        """Beat until cancelled."""
        while True:
            self._check()
            self._last_s = monotonic()
            await asyncio.sleep(TICK_S)

    def require(self) -> None:
        """Raise `StoodStill` if the process has ever stood still for too long."""
        self._check()
        if self._stood_still:
            raise StoodStill(
                f"this worker stood still for more than its session timeout of "
                f"{self._longest_s:.0f} s; its partitions have other owners now, so it ends "
                f"without writing. Start it again"
            )

    def _check(self) -> None:
        self._stood_still |= monotonic() - self._last_s > self._longest_s

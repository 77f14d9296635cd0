"""The time of day, as far as event time may follow it.

No I/O: the caller says what the wall clock shows, and how much time has really passed.
"""

import logging

log = logging.getLogger(__name__)

#: How much faster than real time a clock that was behind may catch up: 36 s an hour.
CATCH_UP_SHARE = 0.01
#: A wall clock that is ahead by more than this is logged.
WORTH_TELLING_MS = 5_000


class SteadyClock:
    """Follows the wall clock, but never ahead of the time that has really passed.

    A wall clock may be set forward, in one jump or in many small ones. Following it would run
    timers too early, and make true events late, and a partition's clock never goes back. So this
    clock catches up slowly with a jump, and logs it. When the wall clock goes back, this clock
    follows at once, and again when the wall clock returns.
    """

    def __init__(self, wall_ms: int, real_ms: int) -> None:
        """``real_ms``: from any clock that can't be set."""
        self._limit_ms = float(wall_ms)
        self._real_ms = real_ms
        self._is_ahead = False

    def now_ms(self, wall_ms: int, real_ms: int) -> int:
        """The time of day in ms since 1970, given what both clocks show."""
        passed_ms = real_ms - self._real_ms
        self._real_ms = real_ms
        self._limit_ms += passed_ms
        ahead_ms = wall_ms - self._limit_ms
        if ahead_ms > 0:
            self._limit_ms += min(ahead_ms, passed_ms * CATCH_UP_SHARE)
        self._tell(ahead_ms)
        return min(wall_ms, int(self._limit_ms))

    def _tell(self, ahead_ms: float) -> None:
        was_ahead, self._is_ahead = self._is_ahead, ahead_ms > WORTH_TELLING_MS
        if self._is_ahead and not was_ahead:
            log.warning(
                "the wall clock went forward by %.0f s more than has passed: timers of customers "
                "without events follow it slowly. If it is right now, start the worker again",
                ahead_ms / 1_000,
            )

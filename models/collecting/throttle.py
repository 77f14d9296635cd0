"""Limits the rate of events of a source."""

from math import ceil


class Throttle:
    """A token bucket with one token per event, filled at a steady rate up to ``burst``.

    A request that is larger than the balance is accepted, and the balance becomes negative, so that
    no batch is too large to be ever accepted. Nothing more is accepted until the balance is
    positive.
    """

    def __init__(self, events_per_s: float, burst: float) -> None:
        self._rate = events_per_s
        self._burst = burst
        self._tokens = burst
        self._at_s = 0.0

    def wait_s(self, now_s: float) -> int:
        """Whole seconds until requests are accepted again; 0 if they are now."""
        self._fill(now_s)
        return 0 if self._tokens > 0 else max(1, ceil(-self._tokens / self._rate))

    def take(self, events: int, now_s: float) -> None:
        """Count accepted events."""
        self._fill(now_s)
        self._tokens -= events

    def _fill(self, now_s: float) -> None:
        passed_s = max(0.0, now_s - self._at_s)
        self._tokens = min(self._burst, self._tokens + passed_s * self._rate)
        self._at_s = now_s

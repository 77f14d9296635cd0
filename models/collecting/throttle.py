"""How much a source may send."""

from math import ceil


class Throttle:
    """A bucket of tokens, one an event, filled at a steady rate up to ``burst``.

    A request larger than what is left is taken and owed for, so that no batch is too large to be
    ever taken; nothing more is then, until the debt is paid.
    """

    def __init__(self, events_per_s: float, burst: float) -> None:
        self._rate = events_per_s
        self._burst = burst
        self._tokens = burst
        self._at_s = 0.0

    def wait_s(self, now_s: float) -> int:
        """Whole seconds until something is taken again; 0 if it is now."""
        self._fill(now_s)
        return 0 if self._tokens > 0 else max(1, ceil(-self._tokens / self._rate))

    def take(self, events: int, now_s: float) -> None:
        """Count events that are taken."""
        self._fill(now_s)
        self._tokens -= events

    def _fill(self, now_s: float) -> None:
        passed_s = max(0.0, now_s - self._at_s)
        self._tokens = min(self._burst, self._tokens + passed_s * self._rate)
        self._at_s = now_s

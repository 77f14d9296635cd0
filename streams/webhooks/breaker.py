"""A circuit breaker: pauses an endpoint after failures in a row, and when it asks for a pause.

Times and randomness are arguments, so that tests can choose them.
"""

from collections.abc import Callable

#: After this many failures in a row, of any decisions, an endpoint is only probed.
FAILURES_MAX = 5
#: The longest pause that an endpoint may ask for.
PAUSE_MS_MAX = 3_600_000

#: A number from 0 to 1.
Chance = Callable[[], float]


def delay_ms(failures: int, first_ms: int, longest_ms: int, chance: Chance) -> int:
    """How long to wait after ``failures`` failures (1 or more): twice as long each time, up to
    ``longest_ms``, times a random share from a half to one, so that not all retry at once.
    """
    # A limit on the power: the ceiling is reached long before.
    whole_ms = min(longest_ms, first_ms << min(failures - 1, 40))
    return round(whole_ms * (0.5 + chance() / 2))


class Breaker:
    """Opens after `FAILURES_MAX` failures in a row; then permits one try at a time, at growing
    intervals, until one succeeds.
    """

    def __init__(self, first_ms: int, longest_ms: int, chance: Chance) -> None:
        self._first_ms = first_ms
        self._longest_ms = longest_ms
        self._chance = chance
        self._failures = 0
        self._until_ms = 0
        self._is_probing = False

    @property
    def is_open(self) -> bool:
        return self._failures >= FAILURES_MAX

    def permits(self, now_ms: int) -> bool:
        """Whether a try is permitted."""
        return now_ms >= self._until_ms and not (self.is_open and self._is_probing)

    @property
    def until_ms(self) -> int:
        """When the next try is permitted; 0 for at once."""
        return self._until_ms

    def begin(self) -> None:
        """Note that a try begins."""
        self._is_probing = self.is_open

    def succeed(self) -> None:
        self._failures = 0
        self._is_probing = False

    def fail(self, now_ms: int) -> None:
        self._failures += 1
        self._is_probing = False
        if self.is_open:
            beyond = self._failures - FAILURES_MAX + 1
            wait_ms = delay_ms(beyond, self._first_ms, self._longest_ms, self._chance)
            self._until_ms = max(self._until_ms, now_ms + wait_ms)

    def cancel(self) -> None:
        """Note that a try ended without success or failure."""
        self._is_probing = False

    def pause(self, now_ms: int, wait_ms: int) -> None:
        """Permit nothing for ``wait_ms``, as the endpoint asks."""
        self._until_ms = max(self._until_ms, now_ms + min(wait_ms, PAUSE_MS_MAX))

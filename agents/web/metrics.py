"""`GET /metrics`: generated for each request, or shared when requests are too frequent."""

from collections.abc import Callable
from time import monotonic

from agents.ration import Ration

#: The maximum age, in seconds, of a shared text.
SHARED_S = 1.0


class DrawnMetrics:
    """The metrics' text: generated anew, but while the ration is short only once a second."""

    def __init__(
        self,
        draw: Callable[[], bytes],
        ration: Ration | None,
        clock_s: Callable[[], float] = monotonic,
    ) -> None:
        self._draw = draw
        self._ration = ration
        self._clock_s = clock_s
        self._content = b""
        self._drawn_s = float("-inf")

    def content(self) -> bytes:
        """The text, at most a second old."""
        now_s = self._clock_s()
        is_fresh = now_s - self._drawn_s < SHARED_S
        if not (is_fresh and self._ration is not None and self._ration.is_short):
            self._content, self._drawn_s = self._draw(), now_s
        return self._content

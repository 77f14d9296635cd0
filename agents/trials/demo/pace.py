"""Publishing at a pace the workers can follow."""

from collections.abc import Callable, Iterable
from time import monotonic, sleep

from agents.trials.demo.agenda import ShopRecord
from agents.trials.demo.watch import Figures
from streams.publisher import EventPublisher

#: How often some records are sent. More seldom is cheaper, and a burst is late by this much.
STEP_S = 0.02
#: Publishing waits while the workers are this many records behind.
AHEAD_MAX = 4_000


class PublishingPace:
    """Sends records at ``rate_per_s``, and slower while the workers don't keep up.

    ``tick`` is called all the time, also while waiting.
    """

    def __init__(
        self,
        publisher: EventPublisher,
        figures: Figures,
        tick: Callable[[], None],
    ) -> None:
        self.sent = 0
        self.started_s = 0.0
        self._publisher = publisher
        self._figures = figures
        self._tick = tick

    def send(
        self, records: Iterable[ShopRecord], rate_per_s: float, *, records_max: int = 0
    ) -> None:
        """Send all of ``records``, or ``records_max`` of them."""
        a_step = max(1, round(rate_per_s * STEP_S))
        due_s = monotonic()
        self.started_s = self.started_s or due_s
        waiting = a_step
        for count, record in enumerate(records, 1):
            self._publisher.forward(record.topic, record.key, record.value)
            self.sent += 1
            if record.key is not None:
                self._figures.customers.add(record.key.decode())
            waiting -= 1
            if not waiting:
                waiting = a_step
                due_s = self._wait(due_s + a_step / rate_per_s)
            if count == records_max:
                return

    def _wait(self, due_s: float) -> float:
        """Return when the next step may go; when that was due."""
        self._tick()
        while self.sent - self._figures.accounted > AHEAD_MAX:
            sleep(STEP_S)
            self._tick()
            due_s = monotonic()
        left_s = due_s - monotonic()
        while left_s > 0:
            sleep(min(left_s, 0.1))
            left_s = due_s - monotonic()
            if left_s > 0:
                self._tick()
        # What was missed by more than a moment is not caught up in a burst.
        return due_s if left_s > -5 * STEP_S else monotonic()

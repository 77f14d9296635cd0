"""Publishes at a rate that the workers can follow, so that no event waits in a backlog."""

from collections import deque
from collections.abc import Callable, Iterable
from time import monotonic, sleep

from agents.trials.demo.agenda import ShopRecord
from agents.trials.demo.watch import Figures
from streams.publisher import EventPublisher

#: Seconds between sends. Longer is cheaper, but delays a burst by as much.
STEP_S = 0.02
#: The rate before anything is known of the machine, and the lowest rate, for a machine that is busy
#: with other things: slower workers are waited for instead.
RATE_AT_FIRST_PER_S, RATE_LEAST_PER_S = 500.0, 500.0
#: Workers that lag by more than what is sent in so many seconds don't keep up ...
BEHIND_S = 0.2
#: ... and while they lag by this much, nothing is sent.
BEHIND_MAX_S = 0.5
SLOWER, FASTER, FASTER_AT_FIRST = 0.8, 1.04, 1.2


class FollowedRate:
    """The rate in events per second that the workers can follow, found like TCP's congestion
    control: it grows while they keep up, and drops at once when they don't. Never above
    ``most_per_s``.
    """

    def __init__(self, most_per_s: float) -> None:
        self._most_per_s = most_per_s
        self.per_s = min(RATE_AT_FIRST_PER_S, most_per_s)
        self._is_first = True

    def seen(self, behind: int) -> None:
        """Adapt the rate to the number of records that are sent but not done."""
        if behind > self.per_s * BEHIND_S:
            self._is_first = False
            self.per_s = max(self.per_s * SLOWER, min(RATE_LEAST_PER_S, self._most_per_s))
        else:
            faster = FASTER_AT_FIRST if self._is_first else FASTER
            self.per_s = min(self.per_s * faster, self._most_per_s)

    def is_outrun(self, behind: int) -> bool:
        """Whether the lag is so large that nothing is sent for now."""
        return behind > self.per_s * BEHIND_MAX_S


class PublishingPace:
    """Sends records at the rate that the workers follow.

    ``tick`` is called continually, also while waiting.
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
        #: How many records were sent by when, since the workers' counts were last read.
        self._course: deque[tuple[float, int]] = deque()
        self._seen_s = 0.0
        self._sent_by_then = 0

    def send(
        self, records: Iterable[ShopRecord], most_per_s: float, *, records_max: int = 0
    ) -> None:
        """Send all of ``records``, or ``records_max`` of them, at ``most_per_s`` at most."""
        rate = FollowedRate(most_per_s)
        due_s = monotonic()
        self.started_s = self.started_s or due_s
        waiting = self._a_step(rate)
        for count, record in enumerate(records, 1):
            self._publisher.forward(record.topic, record.key, record.value)
            self.sent += 1
            if record.key is not None:
                self._figures.customers.add(record.key.decode())
            waiting -= 1
            if not waiting:
                waiting = self._a_step(rate)
                due_s = self._wait(rate, due_s + waiting / rate.per_s)
            if count == records_max:
                return

    @staticmethod
    def _a_step(rate: FollowedRate) -> int:
        return max(1, round(rate.per_s * STEP_S))

    def _wait(self, rate: FollowedRate, due_s: float) -> float:
        """Wait until the next step may be sent; return the time at which it was due."""
        self._tick()
        self._look(rate)
        # The lag of everything sent so far: this also waits for workers that are too busy to
        # report.
        while rate.is_outrun(self.sent - self._figures.accounted):
            sleep(STEP_S)
            self._tick()
            self._look(rate)
            due_s = monotonic()
        left_s = due_s - monotonic()
        while left_s > 0:
            sleep(min(left_s, 0.1))
            left_s = due_s - monotonic()
            if left_s > 0:
                self._tick()
        # A longer delay is not made up in a burst.
        return due_s if left_s > -5 * STEP_S else monotonic()

    def _look(self, rate: FollowedRate) -> None:
        """Adapt the rate to how far behind the workers were when they last reported, of what was
        sent by then.
        """
        self._course.append((monotonic(), self.sent))
        counted_s, accounted = self._figures.counted
        if counted_s <= self._seen_s:
            return
        self._seen_s = counted_s
        while self._course and self._course[0][0] <= counted_s:
            self._sent_by_then = self._course.popleft()[1]
        rate.seen(max(self._sent_by_then - accounted, 0))

"""The acts of a demonstration, once everything runs: publish, account for all records, go on."""

from collections.abc import Callable
from pathlib import Path
from time import monotonic, sleep, time

from agents.trials.demo.failure import DemoFailed
from agents.trials.demo.pace import PublishingPace
from agents.trials.demo.positions import Broker, is_reached
from agents.trials.demo.present import going_on
from agents.trials.demo.replayed import learnt_again
from agents.trials.demo.screen import Screen, View
from agents.trials.demo.services import Deployment
from agents.trials.demo.shop import ShopConfig, estimate_events, simulate
from agents.trials.demo.summary import DemoSummary, summarize
from agents.trials.demo.watch import WATCHED_TOPICS, Watch
from agents.trials.demo.workers import Workers
from config.settings import load_settings
from config.topics import CUSTOMER_EVENTS, RAW_TOPICS
from models.learning.snapshot import Snapshot
from models.parameters import load_parameters
from streams.embedded.process import ServerFailedError
from streams.publisher import EventPublisher

#: Two workers, the broker and the publisher together sustain this on two shared cores.
RATE_PER_S = 4000
#: Faster, the time between two fetches would be days in a small shop, and events would count as
#: late that are not.
DAYS_PER_S_MAX = 10
#: The rate in the present: slow enough for people to follow.
GENTLE_PER_S = 10
#: The log is kept forever, so this also caps its size.
EVENTS_MAX = 1_000_000
READY_TIMEOUT_S = 60.0
#: After this long without progress, nothing more is expected.
STALL_S = 20.0
PROFILES_TIMEOUT_S = 5.0
TICK_S = 0.05
FOREVER_LINES_EVERY_S = 30.0


class LastMove:
    """The time of the last progress. A batch counts only when all of it is done, but on a busy
    machine its effects are visible long before, so they count as progress too.
    """

    def __init__(self, now_s: float) -> None:
        self._done, self._moved_s = (0, 0), now_s

    def note(self, accounted: int, brought_about: int, now_s: float) -> None:
        """Note how many records are done, and how many effects were seen, by now."""
        if (accounted, brought_about) != self._done:
            self._done, self._moved_s = (accounted, brought_about), now_s

    def stands_s(self, now_s: float) -> float:
        """Seconds since either count changed."""
        return now_s - self._moved_s


class Performance:
    """Everything that takes part, and the acts in turn."""

    def __init__(
        self,
        shop: ShopConfig,
        place: Deployment,
        workers: Workers,
        watch: Watch,
        broker: Broker,
        publisher: EventPublisher,
        screen: Screen,
    ) -> None:
        self.shop = shop
        self.settings = place.settings
        self._place = place
        self.watch = watch
        self.screen = screen
        self._workers = workers
        self._broker = broker
        self._publisher = publisher
        self._pace = PublishingPace(publisher, watch.figures, self._tick)
        self._last_move = LastMove(monotonic())
        self._view = View(watch.figures, _title(shop), estimate_events(shop))

    def wait_for_workers(self) -> None:
        """Wait until every partition has its worker; from then on each record is read once."""
        self.screen.say("Starting two workers")
        deadline_s = monotonic() + READY_TIMEOUT_S
        while not self.watch.is_everything_owned:
            self._require_all()
            if monotonic() > deadline_s:
                raise DemoFailed(
                    f"the workers did not share the partitions within {READY_TIMEOUT_S:.0f} s. "
                    f"{self._workers.last_words()}"
                )
            sleep(TICK_S)

    def publish_history(self) -> None:
        """Publish the shop's days as fast as the workers can follow."""
        self._last_move = LastMove(monotonic())
        at_most_per_s = estimate_events(self.shop) * DAYS_PER_S_MAX / self.shop.days
        self._pace.send(simulate(self.shop), min(RATE_PER_S, at_most_per_s))
        self._publisher.flush()
        self._view.total_words = f"{self._pace.sent:,}"
        self._view.expected = self._pace.sent

    def settle(self) -> DemoSummary:
        """Wait until every record has its fate and every trigger is out, and sum up.

        Raises ``DemoFailed`` if the figures do not add up.
        """
        figures = self.watch.figures
        ends = self._broker.ends(RAW_TOPICS)
        published = sum(ends.values())
        if published != self._pace.sent:
            raise DemoFailed(
                f"{self._pace.sent:,} records were acknowledged, but {published:,} are on the raw "
                f"topics: is somebody else publishing there?"
            )
        # This may take long, as long as there is progress.
        while figures.accounted < published:
            self._tick()
            sleep(TICK_S)
        seconds = monotonic() - self._pace.started_s
        ends |= self._broker.ends([CUSTOMER_EVENTS])
        self._wait("the workers to commit", lambda: is_reached(self._broker.committed(), ends))
        self._wait("the trainer", lambda: self.watch.is_all_learnt)
        outputs = self._broker.ends(WATCHED_TOPICS)
        self._wait("the last triggers", lambda: is_reached(self.watch.positions, outputs))
        self._await_profiles()
        return summarize(published, figures, seconds, self._learnt_again())

    def _learnt_again(self) -> Snapshot | None:
        """What a replay of the log teaches; None if the workers learnt nothing."""
        learnt = self.watch.figures.snapshot
        if learnt is None:
            return None
        self.screen.say("Replaying the log: it must teach the same")
        told = load_settings(self._workers.environ)
        parameters = load_parameters(Path(told.parameters) if told.parameters else None)
        return learnt_again(self.settings, parameters, learnt, self._workers.directory)

    def go_on(self) -> None:
        """Continue in the present until interrupted, up to a cap."""
        self.screen.say(
            f"The shop goes on in the present: {GENTLE_PER_S} events a second, and no more than "
            f"{EVENTS_MAX:,} in all, which caps the log at about 1 GB. Ctrl-C ends it."
        )
        view = self._view
        view.title = f"{_title(self.shop)}, now in the present; Ctrl-C ends it"
        view.plain_every_s = FOREVER_LINES_EVERY_S
        view.total_words, view.expected = f"at most {EVENTS_MAX:,}", EVENTS_MAX
        present = going_on(self.shop, lambda: int(time() * 1_000))
        if self._pace.sent < EVENTS_MAX:
            self._pace.send(present, GENTLE_PER_S, records_max=EVENTS_MAX - self._pace.sent)
        view.title = f"{_title(self.shop)}: the cap is reached, nothing more is published"
        while True:
            self._tick()
            sleep(TICK_S)

    def _tick(self) -> None:
        self._require_all()
        self._require_progress()
        self._view.sent = self._pace.sent
        self.screen.show(self._view)

    def _require_all(self) -> None:
        try:
            self._place.require_alive()
            self._workers.require_alive()
        except ServerFailedError as error:
            raise DemoFailed(str(error)) from None
        self.watch.require_sight()

    def _require_progress(self) -> None:
        """Raise ``DemoFailed`` if records have waited too long without any progress."""
        accounted, now_s = self.watch.figures.accounted, monotonic()
        self._last_move.note(accounted, sum(self.watch.positions.values()), now_s)
        if accounted < self._pace.sent and self._last_move.stands_s(now_s) > STALL_S:
            raise self._stalled("the next record to have its fate")

    def _wait(self, what: str, is_done: Callable[[], bool]) -> None:
        deadline_s = monotonic() + STALL_S
        while not is_done():
            self._tick()
            if monotonic() > deadline_s:
                raise self._stalled(what)
            sleep(TICK_S)

    def _stalled(self, what: str) -> DemoFailed:
        figures = self.watch.figures
        fates = ", ".join(f"{count:,} {fate}" for fate, count in sorted(figures.fates.items()))
        return DemoFailed(
            f"waited {STALL_S:.0f} s in vain for {what}: {self._pace.sent:,} records are published "
            f"and {figures.accounted:,} accounted for ({fates or 'none'}). "
            f"{self._workers.last_words()}"
        )

    def _await_profiles(self) -> None:
        """Wait for the profiles, which Redis gets later; the figures don't depend on them."""
        deadline_s = monotonic() + PROFILES_TIMEOUT_S
        figures = self.watch.figures
        while figures.profiles < len(figures.customers) and monotonic() < deadline_s:
            self._tick()
            sleep(TICK_S)


def _title(shop: ShopConfig) -> str:
    return (
        f"A simulated shop (nobody in it is real): {shop.customers:,} customers, {shop.days} days, "
        f"seed {shop.seed}"
    )

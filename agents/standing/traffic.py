"""A simulated shop's events for a standing deployment: half a year of history, then the present."""

import threading
from collections.abc import Iterator
from time import monotonic, time
from typing import Self

from agents.standing.services import Say
from agents.trials.demo.present import going_on
from agents.trials.demo.shop import ShopConfig, ShopRecord, estimate_events, simulate
from config.duration import DAY_MS
from config.settings import Settings
from models.catalogue import topic_of
from streams.publisher import EventPublisher

CUSTOMERS, DAYS, SEED = 1_000, 200, 1
#: One worker keeps up with this on a shared core.
HISTORY_PER_S = 1_500
#: Faster, the time between two fetches would be days in a small shop.
DAYS_PER_S_MAX = 10
PRESENT_PER_S = 5
#: A cap on what a forgotten terminal writes: about 1 GB.
EVENTS_MAX = 1_000_000
_TURN_S = 0.1
END_TIMEOUT_S = 10.0


def history_in_words(events: int, seconds: float) -> str:
    """What the shop sends first, how long that takes, and why to wait for its end."""
    return (
        f"A simulated shop (nobody in it is real) sends its last {DAYS} days, about {events:,} "
        f"events in {seconds:.0f} s or more. Send none of your own until it says that it has "
        f"reached today: they would make its earlier ones too late"
    )


class Traffic:
    """Publishes in its own thread until the end of the `with` block."""

    def __init__(self, settings: Settings, say: Say, *, with_history: bool) -> None:
        self._settings = settings
        self._say = say
        self._with_history = with_history
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="traffic", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(END_TIMEOUT_S)

    def _run(self) -> None:
        start_ms = (int(time() * 1_000) // DAY_MS - DAYS) * DAY_MS
        shop = ShopConfig(seed=SEED, customers=CUSTOMERS, start_ms=start_ms, days=DAYS)
        try:
            with EventPublisher(self._settings, topic_of) as publisher:
                if self._with_history:
                    events = estimate_events(shop)
                    rate_per_s = min(HISTORY_PER_S, events * DAYS_PER_S_MAX / DAYS)
                    self._say(history_in_words(events, events / rate_per_s))
                    self._send(publisher, simulate(shop), rate_per_s)
                if not self._stop.is_set():
                    self._say(
                        f"The simulated shop has reached today, and goes on with {PRESENT_PER_S} "
                        f"events a second"
                    )
                    present = going_on(shop, lambda: int(time() * 1_000))
                    self._send(publisher, present, PRESENT_PER_S)
        except Exception as error:  # noqa: BLE001 - its failure must not end the deployment
            self._say(f"The simulated shop has ended: {error}")

    def _send(
        self, publisher: EventPublisher, records: Iterator[ShopRecord], rate_per_s: float
    ) -> None:
        a_turn = max(1, round(rate_per_s * _TURN_S))
        due_s = monotonic()
        for count, record in enumerate(records, 1):
            publisher.forward(record.topic, record.key, record.value)
            if count % a_turn:
                continue
            due_s = max(due_s + a_turn / rate_per_s, monotonic() - 1)
            if self._stop.wait(max(due_s - monotonic(), 0)) or count >= EVENTS_MAX:
                return

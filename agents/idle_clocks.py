"""Advances the clocks of idle partitions by the wall clock, so that their timers become due."""

import asyncio
import time as clocks
from collections.abc import Callable
from time import monotonic, time

from agents.profile import ProfileAgent
from agents.trainer import TrainerAgent
from config import topics
from config.parameters import Parameters
from config.settings import Settings
from streams.faust_app import KeepstreamApp
from streams.outbox import Outbox
from streams.owned_partitions import OwnedPartitions
from streams.steady_clock import SteadyClock

#: The wall clock drives a partition after this many seconds without an event ...
IDLE_S = 5.0
#: ... if the partition's clock is at most this far behind: a backfill keeps its own time.
WALL_CLOCK_REACH_MS = 600_000
#: A clock that also runs while the machine is suspended, on systems that have one.
REAL_CLOCK = getattr(clocks, "CLOCK_BOOTTIME", clocks.CLOCK_MONOTONIC)
#: Seconds between rounds ...
LOOK_S = 1.0
#: ... and while rows are still to be read.
READING_LOOK_S = 0.25


class IdleClocks:
    """``has_unread``: whether rows of assigned partitions are still to be read."""

    def __init__(
        self,
        app: KeepstreamApp,
        partitions: OwnedPartitions,
        trainer: TrainerAgent,
        settings: Settings,
        parameters: Parameters,
        has_unread: Callable[[], bool],
    ) -> None:
        self._app = app
        self._partitions = partitions
        self._trainer = trainer
        self._events = settings.topic(topics.CUSTOMER_EVENTS)
        self._disorder_ms = parameters.time.disorder
        self._has_unread = has_unread

    async def drive(self, outbox: Outbox, watch: Callable[[], None]) -> None:
        """Write the current time to the log, until cancelled; ``watch`` is called each round."""
        steady = SteadyClock(*_clocks_ms())
        while True:
            await asyncio.sleep(READING_LOOK_S if self._has_unread() else LOOK_S)
            await self._open_idle()
            await self._trainer.go_on_idle(self._app.batch_consumer)
            watch()
            now_ms = steady.now_ms(*_clocks_ms())
            for owned in self._partitions:
                idle_s = monotonic() - owned.last_event_s
                clock_ms = owned.fold.state.clock_ms
                if owned.fold.state.live_at_ms is None:
                    # History may still arrive, so the wall clock does not apply.
                    continue
                if idle_s >= IDLE_S and 0 < now_ms - clock_ms < WALL_CLOCK_REACH_MS:
                    ProfileAgent.write_clock(owned, now_ms - self._disorder_ms, outbox)
            await outbox.flush()

    async def _open_idle(self) -> None:
        """Open assigned partitions that have no records to read."""
        consumer = self._app.batch_consumer
        # A batch in progress opens its partitions itself, and may be ahead of the changelog.
        if not consumer.ledger.is_idle(self._events):
            return
        for tp, offset in consumer.ledger.ended.items():
            if tp.topic != self._events or self._partitions.get(tp.partition) is not None:
                continue
            if tp not in consumer.to_come() and consumer.ledger.is_idle(self._events):
                await self._partitions.open(tp.partition, offset)
                if not consumer.ledger.has_position(tp):
                    # Reassigned while it was being recovered.
                    self._partitions.forget([tp.partition])


def _clocks_ms() -> tuple[int, int]:
    """The wall clock, and a clock that nobody sets and that also runs while the machine is
    suspended.
    """
    return int(time() * 1_000), int(clocks.clock_gettime(REAL_CLOCK) * 1_000)

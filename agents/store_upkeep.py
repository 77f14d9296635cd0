"""Keeps Redis up to date, in the time that folding leaves."""

import asyncio
from collections.abc import Callable
from math import inf
from time import monotonic

from streams.owned_partitions import OwnedPartitions
from streams.profile_views import ProfileViews
from streams.timed_loop import had_s
from streams.trigger_streams import TriggerStreams

#: Seconds between checks for an emptied store and for displaced decisions.
LOOK_S = 5.0
#: Seconds until a retry, when the store did not accept profiles or rows are not read yet.
RETRY_S = 1.0
#: Seconds between checks whether there is something to write.
LEAST_PAUSE_S = 0.05
#: The share of a worker's time for Redis while there are events to fold. A profile costs several
#: times as much as an event: one for each of a thousand events per second would take a core of its
#: own. So profiles are then some seconds old ...
CHANGING_SHARE = 0.05
#: ... and the share while filling a store that was emptied, or that may lack what another worker
#: left unfinished.
FILLING_SHARE = 0.2
#: CPU seconds for profiles in one burst while there are events to fold. A burst delays the events
#: that arrive meanwhile by as much.
BURST_S = 0.005


class StoreUpkeep:
    """Writes the profiles that are due, and all profiles to a store that was emptied."""

    def __init__(
        self, views: ProfileViews, streams: TriggerStreams, partitions: OwnedPartitions
    ) -> None:
        self._views = views
        self._streams = streams
        self._partitions = partitions

    async def run(
        self,
        is_changing_hands: Callable[[], bool],
        returns_displaced: Callable[[], bool],
        is_idle: Callable[[], bool],
    ) -> None:
        """Write until cancelled, but not while partitions change hands.

        ``returns_displaced``: whether this worker is the one that puts displaced decisions back, so
        that none is moved twice; ``is_idle``: whether no events are waiting to be folded.
        """
        looked_s = 0.0
        while True:
            if monotonic() - looked_s > LOOK_S:
                looked_s = monotonic()
                if returns_displaced():
                    await self._streams.return_displaced()
                was_emptied = await self._views.was_emptied()
                for owned in self._partitions:
                    if was_emptied or not owned.is_shown:
                        self._views.fill(owned.rows.customers())
                        # The worker that erased these customers may have died before it deleted
                        # their profiles.
                        self._views.remove(owned.gone)
                        owned.is_shown = True
            spent_s = self._views.spent_s
            if await self.write_some(is_changing_hands, is_idle):
                await self._rest(self._views.spent_s - spent_s, is_idle)
            else:
                await asyncio.sleep(RETRY_S)

    async def _rest(self, spent_s: float, is_idle: Callable[[], bool]) -> None:
        """Leave the worker to folding until the time spent is only its share.

        Measured in time that the worker had a core: on a busy machine, a share of wall-clock time
        would be most of that.
        """
        begun_s = had_s()
        while (share := self._share(is_idle)) < 1.0:
            await asyncio.sleep(LEAST_PAUSE_S)
            if had_s() - begun_s >= spent_s / share - spent_s:
                return

    def _share(self, is_idle: Callable[[], bool]) -> float:
        """The share of time for Redis: all of it while there is nothing to fold."""
        if self._views.due and is_idle():
            return 1.0
        return FILLING_SHARE if self._views.is_filling else CHANGING_SHARE

    async def write_some(
        self, is_changing_hands: Callable[[], bool], is_idle: Callable[[], bool]
    ) -> bool:
        """Write some of the profiles that are due, a full write if there is nothing to fold; return
        False if none can be written now.
        """
        if not self._views.due:
            return True
        if is_changing_hands():
            # Handing over partitions and reading rows come first: without its row, no decision is
            # made for a customer.
            return False
        return await self._views.write_some(inf if is_idle() else BURST_S)

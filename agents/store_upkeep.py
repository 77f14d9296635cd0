"""Keeps Redis up to date, in the time that folding leaves."""

import asyncio
from collections.abc import Callable
from math import inf
from time import monotonic

from streams.owned_partitions import OwnedPartitions
from streams.profile_views import ProfileViews
from streams.timed_loop import had_s
from streams.trigger_streams import TriggerStreams

#: Seconds between looks at whether the store was emptied, or something in it moved.
LOOK_S = 5.0
#: Seconds until profiles are written again that the store did not take, or that are not here yet.
RETRY_S = 1.0
#: Between looks at whether there is something to write.
LEAST_PAUSE_S = 0.05
#: The share of a worker's time for Redis while there are events to fold. A profile costs several
#: times as much as an event: at a thousand events a second, one after each would take a core to
#: itself. So a profile is some seconds old then ...
CHANGING_SHARE = 0.05
#: ... and while a store is filled that was emptied, or may lack what another worker left undone.
FILLING_SHARE = 0.2
#: CPU for profiles in one go while there are events to fold. A second's worth at once made each
#: event that came meanwhile late by as much.
BURST_S = 0.005


class StoreUpkeep:
    """Writes the profiles that wait, and all of them to a store that was emptied."""

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
        """Write as long as the worker runs; not while partitions change hands.

        ``returns_displaced``: whether this worker is the one that puts back what was moved, so that
        nothing is moved twice; ``is_idle``: whether nothing comes to be folded.
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
                        # Whoever erased them may have died before their profiles were deleted.
                        self._views.remove(owned.gone)
                        owned.is_shown = True
            spent_s = self._views.spent_s
            if await self.write_some(is_changing_hands, is_idle):
                await self._rest(self._views.spent_s - spent_s, is_idle)
            else:
                await asyncio.sleep(RETRY_S)

    async def _rest(self, spent_s: float, is_idle: Callable[[], bool]) -> None:
        """Leave the worker to folding until what was spent is its share of the time.

        Of the time that the worker had, that is: on a busy machine a share of all time would be
        most of it.
        """
        begun_s = had_s()
        while (share := self._share(is_idle)) < 1.0:
            await asyncio.sleep(LEAST_PAUSE_S)
            if had_s() - begun_s >= spent_s / share - spent_s:
                return

    def _share(self, is_idle: Callable[[], bool]) -> float:
        """The share of the time that is for Redis: all of it while there is nothing to fold."""
        if self._views.due and is_idle():
            return 1.0
        return FILLING_SHARE if self._views.is_filling else CHANGING_SHARE

    async def write_some(
        self, is_changing_hands: Callable[[], bool], is_idle: Callable[[], bool]
    ) -> bool:
        """Write some of the profiles that wait, all of a write if there is nothing to fold; False
        when none can be written for now.
        """
        if not self._views.due:
            return True
        if is_changing_hands():
            # For customers whose rows are not here nothing is decided: to hand over partitions and
            # to read them comes first.
            return False
        return await self._views.write_some(inf if is_idle() else BURST_S)

"""Keeps Redis up to date, in the time that folding leaves."""

import asyncio
from collections.abc import Callable
from time import monotonic

from streams.owned_partitions import OwnedPartitions
from streams.redis_views import ProfileViews, TriggerStreams

#: Seconds between looks at whether the store was emptied, or something in it moved.
LOOK_S = 5.0


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
        nothing is moved twice; ``is_idle``: whether there is nothing to fold.
        """
        looked_s = 0.0
        while True:
            started_s = monotonic()
            if started_s - looked_s > LOOK_S:
                looked_s = started_s
                if returns_displaced():
                    await self._streams.return_displaced()
                was_emptied = await self._views.was_emptied()
                for owned in self._partitions:
                    if was_emptied or not owned.is_shown:
                        self._views.offer(owned.rows.customers())
                        # Whoever erased them may have died before their profiles were deleted.
                        self._views.offer(owned.gone)
                        owned.is_shown = True
            wrote = await self.write_some(is_changing_hands)
            pause_s = pause_between_writes_s(
                took_s=monotonic() - started_s,
                wrote=wrote,
                is_idle=self._views.due > 0 and is_idle(),
            )
            await asyncio.sleep(pause_s)

    async def write_some(self, is_changing_hands: Callable[[], bool]) -> bool:
        """Write some of the profiles that wait; False when none can be written for now."""
        if is_changing_hands():
            # For customers whose rows are not here nothing is decided: to hand over partitions and
            # to read them comes first.
            return False
        return not self._views.due or await self._views.write_some()


def pause_between_writes_s(*, took_s: float, wrote: bool, is_idle: bool) -> float:
    """How long to leave the worker to folding after a write to Redis that ``took_s``.

    A fifth of the time is for Redis, and while there is nothing to fold, all of it: a store that
    was emptied is filled again as fast as profiles can be drawn up.
    """
    if not wrote:
        return 1.0
    if is_idle:
        return 0.0
    # Bounded, because a long write may be a stall and not the cost of writing.
    return min(max(4 * took_s, 0.05), 1.0)

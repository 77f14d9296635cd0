"""Keeps a set in Redis for each segment: its members' ids, written with their profiles."""

from collections.abc import Callable, Collection, Sequence
from typing import Any

import redis.asyncio as redis
from redis.exceptions import RedisError

from config.settings import Settings
from streams.store_keys import segment_key

#: Keys examined in one step.
KEYS_PER_LOOK = 2_000
#: Add a customer to the first ARGV[2] sets, and remove them from the others. A key of another type
#: is skipped.
_FOLLOW = """
local within = tonumber(ARGV[2])
for place, key in ipairs(KEYS) do
    redis.pcall(place <= within and "SADD" or "SREM", key, ARGV[1])
end
"""


class SegmentSets:
    """Keeps the sets of the segments ``names``. ``member_of`` says which segments a customer is in,
    as far as this worker knows; none for a customer without a profile.
    """

    def __init__(
        self, settings: Settings, names: Sequence[str], member_of: Callable[[str], Collection[str]]
    ) -> None:
        self._settings = settings
        self._names = names
        self._member_of = member_of

    def follow(self, pipeline: Any, customer: str) -> None:
        """Put a customer into the sets of their segments, and take them out of the others."""
        if not self._names:
            return
        members = self._member_of(customer)
        within = [name for name in self._names if name in members]
        without = [name for name in self._names if name not in members]
        keys = [segment_key(self._settings, name) for name in (*within, *without)]
        pipeline.eval(_FOLLOW, len(keys), *keys, customer, len(within))

    async def forget_gone(self, client: "redis.Redis") -> bool:
        """Delete the sets of segments that are no longer declared; False when Redis stopped
        answering.
        """
        kept = {segment_key(self._settings, name).encode() for name in self._names}
        cursor, pattern = 0, segment_key(self._settings, "*")
        try:
            while True:
                found: Any = await client.scan(
                    cursor, match=pattern, count=KEYS_PER_LOOK, _type="SET"
                )
                cursor, keys = found
                if gone := [key for key in keys if key not in kept]:
                    await client.unlink(*gone)
                if not cursor:
                    return True
        except (RedisError, OSError):
            return False

"""A store in memory that takes streams, and sometimes breaks off."""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable
from random import Random
from typing import Any, Self

from redis.exceptions import ConnectionError as Broken


class Store:
    """What was added to each stream. ``share_broken``: how many writes break off, before the store
    has them or after it.
    """

    def __init__(self, chance: Random) -> None:
        self._chance = chance
        self.share_broken = chance.choice((0.0, 0.0, 0.3))
        self.streams: dict[str, list[dict[Any, Any]]] = defaultdict(list)

    async def take(self, added: list[tuple[str, dict[Any, Any]]]) -> list[bytes]:
        is_broken = self._chance.random() < self.share_broken
        if is_broken and self._chance.random() < 0.5:
            raise Broken("before")
        for stream, fields in added:
            self.streams[stream].append(fields)
        await asyncio.sleep(0.01 * self._chance.random())
        if is_broken:
            raise Broken("after")
        return [b"1-1"] * len(added)


class Client:
    """As much of Redis's client as `TriggerStreams.append` uses. ``request``: as a `Reader` has."""

    def __init__(self, store: Store, request: Callable[[], Awaitable[None]]) -> None:
        self._store = store
        self._request = request

    def pipeline(self, *, transaction: bool) -> "_Pipeline":
        assert not transaction
        return _Pipeline(self._store, self._request)


class _Pipeline:
    def __init__(self, store: Store, request: Callable[[], Awaitable[None]]) -> None:
        self._store = store
        self._request = request
        self._added: list[tuple[str, dict[Any, Any]]] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    def xadd(self, stream: str, fields: dict[Any, Any], **_: object) -> None:
        self._added.append((stream, fields))

    async def execute(self, *, raise_on_error: bool) -> list[bytes]:
        assert not raise_on_error
        await self._request()
        return await self._store.take(self._added)

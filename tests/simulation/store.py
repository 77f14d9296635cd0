"""A store in memory with streams, whose connection sometimes breaks."""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable
from itertools import count
from random import Random
from typing import Any, Self

import orjson
from redis.exceptions import ConnectionError as Broken

from streams.trigger_streams import RAISE, REMOVE, WHOSE_ENTRIES

#: A stream, the marker of an erasure, the decision's offset, and the entry.
_Added = tuple[str, str, int, dict[Any, Any]]


class Store:
    """The entries of each stream. ``share_broken``: the share of writes that break, before the
    store has them or after it.
    """

    def __init__(self, chance: Random) -> None:
        self._chance = chance
        self.share_broken = chance.choice((0.0, 0.0, 0.3))
        #: The entries by their ids.
        self.streams: dict[str, dict[bytes, dict[Any, Any]]] = defaultdict(dict)
        #: The offsets in their topics up to which customers were erased.
        self.erased: dict[str, int] = {}
        self._ids = count(1)

    async def take(self, added: list[_Added]) -> list[bytes]:
        is_broken = self._chance.random() < self.share_broken
        if is_broken and self._chance.random() < 0.5:
            raise Broken("before")
        for stream, erased, offset, fields in added:
            if offset >= self.erased.get(erased, 0):
                self.streams[stream][b"%d-1" % next(self._ids)] = fields
        await asyncio.sleep(0.01 * self._chance.random())
        if is_broken:
            raise Broken("after")
        return [b"1-1"] * len(added)

    def breaks_off(self) -> bool:
        """Whether a read or a deletion gets no answer."""
        return self._chance.random() < self.share_broken


class Client:
    """The methods of Redis's client with which `TriggerStreams` appends and erases. ``request``: as
    in `Reader`.
    """

    def __init__(self, store: Store, request: Callable[[], Awaitable[None]]) -> None:
        self._store = store
        self._request = request

    def pipeline(self, *, transaction: bool) -> "_Pipeline":
        assert not transaction
        return _Pipeline(self._store, self._request)

    async def scan(self, cursor: int, *, match: str, **_: object) -> tuple[int, list[bytes]]:
        await self._asked()
        begin = match.removesuffix("*")
        return 0, [one.encode() for one in self._store.streams if one.startswith(begin)]

    async def type(self, stream: str) -> bytes:
        await self._asked()
        return b"stream" if stream in self._store.streams else b"none"

    async def get(self, key: str) -> bytes | None:
        await self._asked()
        found = self._store.erased.get(key)
        return None if found is None else b"%d" % found

    async def eval(self, script: str, _keys: int, key: str, *said: Any) -> Any:
        """Does what the scripts do."""
        await self._asked()
        if script == WHOSE_ENTRIES:
            told = [
                entry_id + b" " + orjson.dumps(orjson.loads(fields["trigger"])["userId"])
                for entry_id, fields in self._store.streams[key].items()
            ]
            return b"\n".join([b"", *told])
        marks = self._store.erased
        if script == RAISE:
            marks[key] = max(marks.get(key, 0), said[0])
            return None
        assert script == REMOVE
        done, offset, *entry_ids = said
        if marks.get(done, -1) < offset:
            for entry_id in entry_ids:
                self._store.streams[key].pop(entry_id, None)
        return None

    async def _asked(self) -> None:
        await self._request()
        if self._store.breaks_off():
            raise Broken("no answer")


class _Pipeline:
    def __init__(self, store: Store, request: Callable[[], Awaitable[None]]) -> None:
        self._store = store
        self._request = request
        self._added: list[_Added] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    def eval(
        self, _script: str, _keys: int, stream: str, erased: str, offset: int, _: int, *said: Any
    ) -> None:
        """Does what the script does that adds a decision."""
        fields = dict(zip(said[::2], said[1::2], strict=True))
        self._added.append((stream, erased, offset, fields))

    async def execute(self, *, raise_on_error: bool) -> list[bytes]:
        assert not raise_on_error
        await self._request()
        return await self._store.take(self._added)

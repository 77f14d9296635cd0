"""The snapshot store's reader, on the broker in memory."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from contextvars import ContextVar

from faust.types import TP

from config.settings import Settings
from tests.simulation.broker import Broker
from tests.streams.test_record_batches import FakeRecord

#: Records in an answer: few, so that reading a topic takes several answers.
RECORDS_MAX = 4


class Reader:
    """The methods of aiokafka's consumer that a reader of one partition uses. ``request``: waits
    for the time of a request, or ends the caller.
    """

    def __init__(self, broker: Broker, request: Callable[[], Awaitable[None]]) -> None:
        self._broker = broker
        self._request = request
        self._position = 0

    def assign(self, _partitions: Sequence[TP]) -> None:
        pass

    def seek(self, _partition: TP, offset: int) -> None:
        self._position = offset

    async def end_offsets(self, partitions: Sequence[TP]) -> dict[TP, int]:
        await self._request()
        return {tp: self._broker.end(TP(*tp)) for tp in partitions}

    async def beginning_offsets(self, partitions: Sequence[TP]) -> dict[TP, int]:
        return dict.fromkeys(partitions, 0)

    async def getmany(self, partition: TP, *, timeout_ms: int) -> dict[TP, list[FakeRecord]]:
        await self._request()
        found = self._broker.logs[TP(*partition)][self._position :][:RECORDS_MAX]
        if not found:
            await asyncio.sleep(timeout_ms / 1_000)
        self._position += len(found)
        return {partition: found}


#: Creates the reader for the worker whose task is running.
NEW_READER: ContextVar[Callable[[], Reader]] = ContextVar("NEW_READER")


def new_reader(_settings: Settings) -> Reader:
    """Replaces `streams.kafka_clients.new_reader`."""
    return NEW_READER.get()()


@asynccontextmanager
async def running(reader: Reader, _settings: Settings) -> AsyncIterator[Reader]:
    """Replaces `streams.kafka_clients.running`."""
    yield reader

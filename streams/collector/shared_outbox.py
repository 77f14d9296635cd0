"""Writes the records of many requests together, so that all of them wait for the broker once.

Records that come during a write go with the next one, so a busy collector writes large batches and
an idle one answers at once. The bytes that may wait are limited, and so is memory.
"""

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

from aiokafka.errors import KafkaError

from config.settings import Settings
from streams.kafka_clients import BrokerUnreachable, running
from streams.outbox import Outbox, new_outbox_producer
from streams.raw_records import Outgoing

log = logging.getLogger(__name__)

#: How long a request waits for its records to be durable.
WAIT_S = 8.0
#: A longer write is given up, and the producer replaced: the producer itself would never give up.
STUCK_S = 20.0
RECONNECT_S = 1.0
#: How much may wait for a write, and how much goes into one.
WAITING_BYTES_MAX = 32 * 1024 * 1024
WRITE_BYTES_MAX = 4 * 1024 * 1024


class NotWritten(ConnectionError):
    """The records may not be durable; their sender should send them again."""


class _Waiting:
    """Records that wait for a write, and the future that their request awaits."""

    __slots__ = ("bytes", "done", "records")

    def __init__(self, records: Sequence[Outgoing], size: int) -> None:
        self.records = records
        self.bytes = size
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()


class SharedOutbox:
    """Writes the records of requests; `serve` does the work, in a task of its own."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._waiting: deque[_Waiting] = deque()
        self._waiting_bytes = 0
        self._came = asyncio.Event()
        self._is_connected = False
        self._writing_since_s: float | None = None

    @property
    def waiting_bytes(self) -> int:
        """How many bytes wait to be written."""
        return self._waiting_bytes

    def problem(self) -> str | None:
        """Why nothing can be written now; None if it can."""
        if not self._is_connected:
            return "no Kafka broker is connected"
        if self._writing_since_s is not None:
            took_s = asyncio.get_running_loop().time() - self._writing_since_s
            if took_s > WAIT_S:
                return f"Kafka has not acknowledged a write for {took_s:.0f} s"
        return None

    async def write(self, records: Sequence[Outgoing]) -> None:
        """Return when all of ``records`` are durable. Raises `NotWritten`: at once if Kafka is
        away, else after at most `WAIT_S`.
        """
        if (problem := self.problem()) is not None:
            raise NotWritten(problem)
        size = _size(records)
        if self._waiting_bytes + size > WAITING_BYTES_MAX:
            raise NotWritten("too much waits for Kafka already")
        one = _Waiting(records, size)
        self._waiting.append(one)
        self._waiting_bytes += size
        self._came.set()
        try:
            async with asyncio.timeout(WAIT_S):
                await asyncio.shield(one.done)
        except TimeoutError:
            raise NotWritten(f"Kafka did not acknowledge it within {WAIT_S:.0f} s") from None
        finally:
            self._withdraw(one)

    async def serve(self) -> None:
        """Write what comes until cancelled; replace the producer after a failure."""
        while True:
            try:
                async with _connected(self._settings) as outbox:
                    self._is_connected = True
                    await self._write_all(outbox)
            except (KafkaError, BrokerUnreachable, TimeoutError) as error:
                log.warning("Kafka can't be written to (%s); trying again", _in_short(error))
            finally:
                self._is_connected = False
                self._writing_since_s = None
                self._refuse_waiting()
            await asyncio.sleep(RECONNECT_S)

    async def _write_all(self, outbox: Outbox) -> None:
        while True:
            await self._came.wait()
            self._came.clear()
            while taken := self._take():
                await self._write_some(outbox, taken)

    async def _write_some(self, outbox: Outbox, taken: list[_Waiting]) -> None:
        self._writing_since_s = asyncio.get_running_loop().time()
        try:
            for one in taken:
                for record in one.records:
                    outbox.add(
                        record.topic,
                        record.partition,
                        key=record.key,
                        value=record.value,
                        headers=record.headers,
                    )
            async with asyncio.timeout(STUCK_S):
                await outbox.flush()
        except (KafkaError, TimeoutError) as error:
            _fail(taken, f"Kafka did not take it ({_in_short(error)})")
            raise
        except asyncio.CancelledError:
            _fail(taken, "the collector is stopping")
            raise
        finally:
            self._writing_since_s = None
        for one in taken:
            if not one.done.done():
                one.done.set_result(None)

    def _take(self) -> list[_Waiting]:
        taken: list[_Waiting] = []
        size = 0
        while self._waiting and (not taken or size + self._waiting[0].bytes <= WRITE_BYTES_MAX):
            one = self._waiting.popleft()
            self._waiting_bytes -= one.bytes
            size += one.bytes
            taken.append(one)
        return taken

    def _withdraw(self, one: _Waiting) -> None:
        """Drop records whose request no longer waits, unless their write has begun."""
        with contextlib.suppress(ValueError):
            self._waiting.remove(one)
            self._waiting_bytes -= one.bytes
        one.done.cancel()

    def _refuse_waiting(self) -> None:
        waiting = list(self._waiting)
        self._waiting.clear()
        self._waiting_bytes = 0
        _fail(waiting, "no Kafka broker is connected")


@asynccontextmanager
async def shared_outbox(settings: Settings) -> AsyncIterator[SharedOutbox]:
    """A running shared outbox. At the end of the block it refuses what still waits, so answer the
    requests before.
    """
    outbox = SharedOutbox(settings)
    serving = asyncio.create_task(outbox.serve())
    try:
        yield outbox
    finally:
        serving.cancel()
        await asyncio.wait({serving})


@asynccontextmanager
async def _connected(settings: Settings) -> AsyncIterator[Outbox]:
    async with AsyncExitStack() as stack:
        producer = new_outbox_producer(settings)
        await stack.enter_async_context(running(producer, settings))
        yield Outbox(producer, settings)


def _fail(waiting: Sequence[_Waiting], reason: str) -> None:
    for one in waiting:
        if not one.done.done():
            one.done.set_exception(NotWritten(reason))


def _size(records: Sequence[Outgoing]) -> int:
    size = 0
    for record in records:
        size += len(record.value) + len(record.key or b"")
    return size


def _in_short(error: BaseException) -> str:
    return type(error).__name__

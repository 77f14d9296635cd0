"""An unreliable network: a proxy in front of a broker or a store."""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, Self

from streams.embedded.ports import HOST, free_ports

CHUNK_BYTES = 16 * 1024
#: How long a closed proxy waits for its connections.
CLOSE_S = 5.0


class Proxy:
    """Forwards bytes to ``target()``, a port on this machine, until a fault is set.

    Each fault applies to all connections, including new ones, until `heal`.
    """

    def __init__(self, target: Callable[[], int]) -> None:
        (self.port,) = free_ports(1)
        self._target = target
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._pumps: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._passes = asyncio.Event()
        self._passes.set()
        self._is_closed_to_new = False
        self._delay_s = 0.0
        self._bytes_per_s = 0.0
        #: How many bytes may still come back from the target; None for any number.
        self._answer_left: int | None = None

    def cut(self) -> None:
        """Break every connection once; new ones are accepted."""
        self._call(self._cut())

    def refuse(self) -> None:
        """Break every connection, and every new one at once."""
        self._is_closed_to_new = True
        self.cut()

    def swallow(self) -> None:
        """Keep connections and accept new ones, but forward nothing: a black hole."""
        self._call(self._set_passing(is_open=False))

    def delay(self, seconds: float) -> None:
        """Delay each piece by this much, in both directions."""
        self._delay_s = seconds

    def throttle(self, bytes_per_s: float) -> None:
        """Limit each connection to this rate, in each direction."""
        self._bytes_per_s = bytes_per_s

    def break_off_answers(self, after_bytes: int) -> None:
        """Forward this many bytes from the target, and then nothing: an answer that hangs half
        way.
        """
        self._answer_left = after_bytes

    def heal(self) -> None:
        """Forward everything again. Bytes that were held back are lost, with their connection."""
        self._is_closed_to_new = False
        self._delay_s = self._bytes_per_s = 0.0
        was_whole = self._passes.is_set() and self._answer_left is None
        self._answer_left = None
        if not was_whole:
            self.cut()
        self._call(self._set_passing(is_open=True))

    @property
    def has_broken_off(self) -> bool:
        """Whether an answer was only forwarded in part."""
        return self._answer_left == 0

    def __enter__(self) -> Self:
        self._thread.start()
        self._server = self._call(asyncio.start_server(self._connected, HOST, self.port))
        return self

    def __exit__(self, *_: object) -> None:
        self._call(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _call(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(CLOSE_S)

    async def _set_passing(self, *, is_open: bool) -> None:
        if is_open:
            self._passes.set()
        else:
            self._passes.clear()

    async def _cut(self) -> None:
        for writer in list(self._writers):
            # Without a clean close, as a broken network does.
            writer.transport.abort()
        for pump in list(self._pumps):
            pump.cancel()
        await asyncio.gather(*self._pumps, return_exceptions=True)

    async def _close(self) -> None:
        self._server.close()
        await self._cut()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            if self._is_closed_to_new:
                return
            there, back = await asyncio.open_connection(HOST, self._target())
            self._writers.add(back)
            ways = (self._pump(reader, back), self._pump(there, writer, is_answer=True))
            pumps = [self._loop.create_task(way) for way in ways]
            self._pumps.update(pumps)
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
            self._pumps.difference_update(pumps)
            back.transport.abort()
            self._writers.discard(back)
        except OSError:
            pass  # the target is down: so is this connection
        finally:
            writer.transport.abort()
            self._writers.discard(writer)

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, is_answer: bool = False
    ) -> None:
        with suppress(OSError):
            while piece := await reader.read(CHUNK_BYTES):
                await asyncio.sleep(self._pause_s(len(piece)))
                await self._passes.wait()
                writer.write(self._cut_short(piece) if is_answer else piece)
                await writer.drain()

    def _pause_s(self, size: int) -> float:
        return self._delay_s + (size / self._bytes_per_s if self._bytes_per_s else 0.0)

    def _cut_short(self, piece: bytes) -> bytes:
        if self._answer_left is None:
            return piece
        kept = piece[: self._answer_left]
        self._answer_left -= len(kept)
        return kept

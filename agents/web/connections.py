"""The connections of the web port: a limited number, and none that only waits.

A worker has so many file descriptors, and its brokers need theirs: whoever opens connections to
health and metrics, and sends nothing, must not take them. Nor must whoever asks without a pause
take the loop's time: where that is rationed, connections are accepted, requests read and answers
begun as they are earned.
"""

import asyncio
import resource
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from time import thread_time
from typing import cast

from aiohttp import web

from agents.ration import CONNECTION_S, READ_S, REQUEST_S, Ration, WebTime

#: A connection without a complete request for this long is closed, a new one or an old one.
WAITING_MAX_S = 10.0
#: A request that takes longer is given up.
REQUEST_MAX_S = 30.0
SWEEP_EVERY_S = 1.0
#: After a connection could not be accepted.
ACCEPT_AGAIN_S = 0.1
CONNECTIONS_MAX = 64
#: What tells nobody anything of customers, and is asked by what restarts a process.
HEALTH_PATHS = ("/health/live", "/health/ready")

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def connections_max(wanted: int | None = None) -> int:
    """How many connections there may be: as many as ``wanted``, and a quarter of the process's
    descriptors at most.
    """
    most = CONNECTIONS_MAX if wanted is None else wanted
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return most if soft == resource.RLIM_INFINITY else min(most, soft // 4)


class Connections:
    """Opens the protocol of each connection, and closes those that are too many or too slow.

    When there are too many, the one that has been without a request for the longest gives way: a
    probe comes through, whoever holds the others.
    """

    def __init__(self, limit: int, time: WebTime | None = None) -> None:
        #: Makes aiohttp's protocols, once it is set up.
        self.server: web.Server | None = None
        self.time = time
        self._limit = limit
        self._open: dict[asyncio.BaseProtocol, _Guarded] = {}

    def __len__(self) -> int:
        return len(self._open)

    @asynccontextmanager
    async def listen(self, host: str, port: int) -> AsyncIterator[int]:
        """Open what comes to ``host``:``port`` until the end of the block; yields the port. Raises
        ``OSError`` where nobody can listen.
        """
        if self.time is None:
            server = await asyncio.get_running_loop().create_server(self.new_protocol, host, port)
            try:
                yield server.sockets[0].getsockname()[1]
            finally:
                server.close()
            return
        sockets = await _bound(host, port)
        tasks = [asyncio.create_task(self._accept(one, self.time.connections)) for one in sockets]
        try:
            yield sockets[0].getsockname()[1]
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            for one in sockets:
                one.close()

    async def _accept(self, listener: socket.socket, ration: Ration) -> None:
        """Open what comes as it is earned, until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            await ration.turn()
            ration.charge(CONNECTION_S)
            try:
                client, _ = await loop.sock_accept(listener)
            except OSError:
                # A client that has gone again, or no descriptor left: others may come.
                await asyncio.sleep(ACCEPT_AGAIN_S)
                continue
            try:
                await loop.connect_accepted_socket(self.new_protocol, client)
            except OSError:
                client.close()

    def new_protocol(self) -> asyncio.Protocol:
        """The protocol of a new connection."""
        assert self.server is not None
        return _Guarded(cast(asyncio.Protocol, self.server()), self)

    def opened(self, connection: "_Guarded") -> None:
        """Count a connection; at the limit, close one that waits, or this one."""
        if len(self._open) >= self._limit:
            waiting = [one for one in self._open.values() if not one.is_busy]
            if not waiting:
                connection.abort()
                return
            oldest = min(waiting, key=lambda one: one.since_s)
            self.closed(oldest)
            oldest.abort()
        self._open[connection.inner] = connection

    def closed(self, connection: "_Guarded") -> None:
        """Count it no longer."""
        self._open.pop(connection.inner, None)

    async def watch_request(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """A middleware that notes when a connection's request begins and ends, and has it wait for
        its turn: meanwhile the connection may have to give way.
        """
        if self.time is None:
            with self._busy(request):
                return await handler(request)
        if (connection := self._open.get(request.protocol)) is not None:
            connection.turn(is_busy=False)
        ration = self.time.health if request.path in HEALTH_PATHS else self.time.answers
        await ration.turn()
        ration.charge(REQUEST_S)
        with self._busy(request):
            answer: web.StreamResponse = await ration.metered(_answer(request, handler))
            return answer

    @contextmanager
    def _busy(self, request: web.Request) -> Iterator[None]:
        connection = self._open.get(request.protocol)
        # One that had to give way is not there any more.
        if connection is None:
            yield
            return
        connection.turn(is_busy=True)
        try:
            yield
        finally:
            connection.turn(is_busy=False)

    async def sweep(self) -> None:
        """Close what takes too long, until cancelled."""
        while True:
            await asyncio.sleep(SWEEP_EVERY_S)
            now_s = asyncio.get_running_loop().time()
            for connection in list(self._open.values()):
                longest_s = REQUEST_MAX_S if connection.is_busy else WAITING_MAX_S
                if now_s - connection.since_s > longest_s:
                    connection.abort()


async def _bound(host: str, port: int) -> list[socket.socket]:
    """Sockets that listen at all that ``host`` resolves to."""
    loop = asyncio.get_running_loop()
    places = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    found: list[socket.socket] = []
    try:
        for family, _, _, _, address in places:
            listener = socket.create_server(address[:2], family=family)
            found.append(listener)
            listener.setblocking(False)
    except OSError:
        for listener in found:
            listener.close()
        raise
    return found


async def _answer(request: web.Request, handler: Handler) -> web.StreamResponse:
    return await handler(request)


class _Guarded(asyncio.Protocol):
    """A connection: passes everything on to aiohttp's protocol, and can be aborted."""

    def __init__(self, inner: asyncio.Protocol, connections: Connections) -> None:
        self.inner = inner
        self.is_busy = False
        self.since_s = asyncio.get_running_loop().time()
        self._connections = connections
        self._transport: asyncio.Transport | None = None
        self._resting: asyncio.Task[None] | None = None

    def turn(self, *, is_busy: bool) -> None:
        """Note that it has a request in hand from now on, or waits for one."""
        self.is_busy = is_busy
        self.since_s = asyncio.get_running_loop().time()

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._connections.opened(self)
        self.inner.connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._connections.closed(self)
        self.inner.connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        time = self._connections.time
        if time is None:
            self.inner.data_received(data)
            return
        begun_s = thread_time()
        self.inner.data_received(data)
        ration = time.connections
        ration.charge(thread_time() - begun_s + READ_S)
        if ration.is_owing and self._transport is not None and self._transport.is_reading():
            self._transport.pause_reading()
            self._resting = asyncio.create_task(self._read_on(ration))

    async def _read_on(self, ration: Ration) -> None:
        await ration.turn()
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    def eof_received(self) -> bool | None:
        return self.inner.eof_received()

    def pause_writing(self) -> None:
        self.inner.pause_writing()

    def resume_writing(self) -> None:
        self.inner.resume_writing()

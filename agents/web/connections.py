"""The connections of the web port: limited in number, and closed when idle for too long.

A worker's file descriptors are limited, and it needs some for its brokers. A client that opens
connections to health and metrics but sends nothing must not use them up. Nor must a client that
asks without pause take the loop's time: where time is rationed, connections are accepted, requests
read and answers begun only as time is earned.
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

#: A connection without a complete request for this long is closed, whether new or reused.
WAITING_MAX_S = 10.0
#: A request that takes longer is aborted.
REQUEST_MAX_S = 30.0
SWEEP_EVERY_S = 1.0
#: Seconds to wait after a connection could not be accepted.
ACCEPT_AGAIN_S = 0.1
CONNECTIONS_MAX = 64
#: These paths reveal nothing about customers, and are requested by what restarts a process.
HEALTH_PATHS = ("/health/live", "/health/ready")

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def connections_max(wanted: int | None = None) -> int:
    """The limit on connections: ``wanted``, but at most a quarter of the process's file
    descriptors.
    """
    most = CONNECTIONS_MAX if wanted is None else wanted
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return most if soft == resource.RLIM_INFINITY else min(most, soft // 4)


class Connections:
    """Creates the protocol of each connection, and closes connections that are too many or too
    slow.

    At the limit, the connection that has been without a request for longest is closed. So a health
    probe always gets through, whoever holds the others.
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
        """Accept connections on ``host``:``port`` until the end of the block; yield the port.
        Raises ``OSError`` if the address can't be used.
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
        """Accept connections as time is earned, until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            await ration.turn()
            ration.charge(CONNECTION_S)
            try:
                client, _ = await loop.sock_accept(listener)
            except OSError:
                # The client has gone again, or no descriptor is left: keep accepting.
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
        """Count a connection; at the limit, close the longest waiting one, or else this one."""
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
        """Stop counting a connection."""
        self._open.pop(connection.inner, None)

    async def watch_request(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Middleware that notes when a connection's request begins and ends, and makes it wait for
        its turn. While it waits, the connection may be closed in favour of another.
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
        # The connection was closed while it waited.
        if connection is None:
            yield
            return
        connection.turn(is_busy=True)
        try:
            yield
        finally:
            connection.turn(is_busy=False)

    async def sweep(self) -> None:
        """Close connections that take too long, until cancelled."""
        while True:
            await asyncio.sleep(SWEEP_EVERY_S)
            now_s = asyncio.get_running_loop().time()
            for connection in list(self._open.values()):
                longest_s = REQUEST_MAX_S if connection.is_busy else WAITING_MAX_S
                if now_s - connection.since_s > longest_s:
                    connection.abort()


async def _bound(host: str, port: int) -> list[socket.socket]:
    """Listening sockets for every address that ``host`` resolves to."""
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
    """A connection that passes everything on to aiohttp's protocol, and can be aborted."""

    def __init__(self, inner: asyncio.Protocol, connections: Connections) -> None:
        self.inner = inner
        self.is_busy = False
        self.since_s = asyncio.get_running_loop().time()
        self._connections = connections
        self._transport: asyncio.Transport | None = None
        self._resting: asyncio.Task[None] | None = None

    def turn(self, *, is_busy: bool) -> None:
        """Note that it now has a request in progress, or waits for one."""
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

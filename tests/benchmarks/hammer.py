"""Clients that send requests as fast as they are answered, or far more slowly than they should."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from itertools import count
from multiprocessing.connection import Connection

CLIENTS = 24
HALF_SENT = b"GET /health/live HTTP/1.1\r\nHost: x\r\nX-a: "
#: A client that is disconnected, or cannot connect, starts again after this time.
AGAIN_S = 0.01

Ask = Callable[[int], bytes]


def _get(path: str, *, more: str = "") -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: x\r\n{more}\r\n".encode()


def _profile(number: int) -> bytes:
    return _get(f"/customers/c-{number % 1_000:05d}")


def _list(number: int) -> bytes:
    return _get(f"/customers?where=net_365d%20%3E%20{number % 100}&by=value_at_stake&top=50")


class Client:
    """Opens one connection after the other to ``port``; counts the answers."""

    def __init__(self, port: int, numbers: "count[int]") -> None:
        self._port = port
        self._numbers = numbers
        self.answers = 0

    async def ask(self, ask: Ask, *, requests: int, depth: int = 1) -> None:
        """Send ``requests`` requests on one connection, ``depth`` at a time."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        try:
            for _ in range(requests):
                writer.write(b"".join(ask(next(self._numbers)) for _ in range(depth)))
                for _ in range(depth):
                    await self._answer(reader)
        finally:
            writer.transport.abort()

    async def _answer(self, reader: asyncio.StreamReader) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(
            int(line.partition(b":")[2])
            for line in head.lower().split(b"\r\n")
            if line.startswith(b"content-length:")
        )
        await reader.readexactly(length)
        self.answers += 1

    async def dawdle(self) -> None:
        """Send half a request, and wait until the server gives up."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        try:
            writer.write(HALF_SENT)
            await reader.read()
        finally:
            writer.transport.abort()


def _keeping(ask: Ask, *, depth: int = 1) -> Callable[[Client], Awaitable[None]]:
    return lambda client: client.ask(ask, requests=1_000_000, depth=depth)


#: What the clients repeat, by name.
KINDS: Mapping[str, Callable[[Client], Awaitable[None]]] = {
    "profiles": _keeping(_profile),
    "metrics": _keeping(lambda _: _get("/metrics")),
    "lists": _keeping(_list),
    "probes": _keeping(lambda _: _get("/health/ready")),
    "nothing-there": _keeping(lambda _: _get("/nothing")),
    "pipelined": _keeping(lambda _: _get("/health/live"), depth=100),
    "new-connections": lambda client: client.ask(lambda _: _get("/health/live"), requests=1),
    "slow": lambda client: client.dawdle(),
}


def hammer(port: int, kind: str, told: Connection) -> None:
    """Hammer while ``told`` says so, then reply with the number of answers."""
    asyncio.run(_hammer(port, KINDS[kind], told))


async def _hammer(port: int, act: Callable[[Client], Awaitable[None]], told: Connection) -> None:
    numbers = count()

    async def repeat(client: Client) -> None:
        while True:
            try:
                await act(client)
            except (OSError, EOFError):
                await asyncio.sleep(AGAIN_S)

    told.send(None)
    while await asyncio.to_thread(told.recv):
        clients = [Client(port, numbers) for _ in range(CLIENTS)]
        tasks = [asyncio.create_task(repeat(client)) for client in clients]
        await asyncio.to_thread(told.recv)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        told.send(sum(client.answers for client in clients))

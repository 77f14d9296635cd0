"""Slow and silent clients of the web port cost other clients nothing."""

import asyncio
import resource
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from agents.ration import WebTime
from agents.web import connections
from agents.web.connections import connections_max
from agents.web.server import LiveCustomers, Readiness, routes, serving
from config.settings import load_settings
from streams.metrics import Metrics

HALF_SENT = b"GET /health/live HTTP/1.1\r\nHost: x\r\nX-a: "
ASKED = b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"
WHOLE = b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n"

Client = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@pytest.fixture(autouse=True)
def limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "CONNECTIONS_MAX", 8)
    monkeypatch.setattr(connections, "SWEEP_EVERY_S", 0.02)


@asynccontextmanager
async def site(time: WebTime | None = None) -> AsyncIterator[int]:
    readiness = Readiness(list)
    application = routes(Metrics(), readiness, LiveCustomers(lambda _: None), lambda: None)
    async with serving(application, load_settings({}, web_port=0), time) as port:
        yield port


async def connected(port: int, content: bytes) -> Client:
    client = await asyncio.open_connection("127.0.0.1", port)
    client[1].write(content)
    await client[1].drain()
    return client


async def answer(client: Client) -> bytes:
    """The first line, or nothing from a closed connection."""
    try:
        async with asyncio.timeout(30):
            return await client[0].readline()
    except ConnectionError:
        return b""


def descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def leave(*clients: Client) -> None:
    for _, writer in clients:
        writer.transport.abort()


def test_half_sent_requests_hold_no_more_than_their_share() -> None:
    async def attack() -> None:
        before = descriptors()
        async with site() as port:
            slow = [await connected(port, HALF_SENT) for _ in range(40)]
            # The first of them gave way, so that these come through at once.
            for _ in range(3):
                probe = await connected(port, WHOLE)
                assert b"HTTP/1.1 200 OK\r\n" == await answer(probe)
                leave(probe)
            assert b"" == await answer(slow[0])
            # Both ends are in this process: the clients' own, the server's, and what asyncio needs.
            assert descriptors() - before <= len(slow) + 8 + 8
            leave(*slow)

    asyncio.run(attack())


def test_a_probe_comes_through_whoever_waits_for_other_answers() -> None:
    """Clients that wait for their turn have sent a request, and still give way."""

    async def hammer() -> None:
        time = WebTime()
        # Somebody is first in line, and stays there.
        async with time.answers._line, site(time) as port:
            waiting = [await connected(port, ASKED) for _ in range(30)]
            for _ in range(3):
                probe = await connected(port, WHOLE)
                assert b"HTTP/1.1 200 OK\r\n" == await answer(probe)
                leave(probe)
            assert b"" == await answer(waiting[0])
            leave(*waiting)

    asyncio.run(hammer())


def test_who_hangs_up_waits_no_longer() -> None:
    async def scenario() -> None:
        time = WebTime()
        async with site(time) as port:
            async with time.answers._line:
                gone = await connected(port, ASKED)
                while not time.answers._line._waiters:  # noqa: ASYNC110 - a lock tells nobody
                    await asyncio.sleep(0)
                leave(gone)
                while time.answers._line._waiters:  # noqa: ASYNC110
                    await asyncio.sleep(0)
            client = await connected(port, ASKED)
            assert b"HTTP/1.1 200 OK\r\n" == await answer(client)
            leave(client)

    asyncio.run(scenario())


def test_a_connection_without_a_request_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "WAITING_MAX_S", 0.1)

    async def wait() -> None:
        async with site() as port:
            silent, slow = await connected(port, b""), await connected(port, HALF_SENT)
            assert [b"", b""] == [await answer(silent), await answer(slow)]
            # Also after a request: it is idle from then on.
            again = await connected(port, WHOLE)
            assert b"HTTP/1.1 200 OK\r\n" == await answer(again)
            async with asyncio.timeout(30):
                await again[0].read()
            leave(silent, slow, again)

    asyncio.run(wait())


def test_who_does_not_read_the_answer_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "WAITING_MAX_S", 0.1)
    body = b"x" * 16_000_000

    async def wait() -> None:
        application = routes(
            Metrics(), Readiness(list), LiveCustomers(lambda _: body), lambda: None
        )
        async with serving(application, load_settings({}, web_port=0)) as port:
            loop = asyncio.get_running_loop()
            with socket.socket() as client:
                client.setblocking(False)
                client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
                await loop.sock_connect(client, ("127.0.0.1", port))
                await loop.sock_sendall(client, b"GET /customers/c HTTP/1.1\r\nHost: x\r\n\r\n")
                await asyncio.sleep(0.5)
                # What it had in its buffer by then, and no more.
                async with asyncio.timeout(30):
                    found = 0
                    try:
                        while part := await loop.sock_recv(client, 1_000_000):
                            found += len(part)
                    except ConnectionError:
                        pass
                assert found < len(body)

    asyncio.run(wait())


def test_the_brokers_keep_most_of_the_descriptors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "CONNECTIONS_MAX", 64)
    for soft, expected in [(20_000, 64), (100, 25), (resource.RLIM_INFINITY, 64)]:
        monkeypatch.setattr(resource, "getrlimit", lambda _, soft=soft: (soft, soft))
        assert expected == connections_max()


@pytest.mark.parametrize(
    "sent",
    [
        b"GET /" + b"canary" * 4_000 + b" HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nAuthorization: " + b"canary" * 4_000 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"canary: 1\r\n" * 4_000 + b"\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n-canary\r\n",
        b"GET / HTTP/1.1\r\nContent-Length: -5canary\r\n\r\n",
        b"canary / HTTP/1.1\r\n\r\n",
        b"\x16\x03\x01\x02\x00canary\r\n\r\n",
    ],
)
def test_what_is_no_http_is_answered_and_leaves_nothing_in_the_log(
    sent: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        async with site() as port:
            client = await connected(port, sent)
            assert (await answer(client))[8:12] in (b" 400", b" 404")
            leave(client)

    asyncio.run(scenario())
    assert [] == caplog.messages


def test_what_fails_here_is_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        readiness = Readiness(lambda: [str(1 // 0)])
        application = routes(Metrics(), readiness, LiveCustomers(lambda _: None), lambda: None)
        async with serving(application, load_settings({}, web_port=0)) as port:
            client = await connected(port, b"GET /health/ready HTTP/1.1\r\nHost: x\r\n\r\n")
            assert b" 500 " in await answer(client)
            leave(client)

    asyncio.run(scenario())
    assert "ZeroDivisionError" in caplog.text

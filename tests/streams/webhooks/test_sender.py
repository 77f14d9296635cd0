"""One try at a real server on loopback: the result of its answers, and of its misbehaviour."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

import msgspec
import pytest

from config.endpoints import Endpoint, EndpointRule
from models.events.times import milliseconds
from streams.webhooks.destinations import Request
from streams.webhooks.sender import HttpAnswer, HttpVerdict, Sender, answer_of

NOW_MS = milliseconds(datetime(2026, 10, 21, 7, 28, tzinfo=UTC))
RULE = EndpointRule(name="crm", allow_http=True, allow_private=True, timeout=500)  # type: ignore[arg-type]

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@pytest.mark.parametrize(
    ("status", "verdict"),
    [
        (200, "taken"), (201, "taken"), (202, "taken"), (204, "taken"), (299, "taken"),
        (301, "refused"), (302, "refused"), (304, "refused"), (307, "refused"), (308, "refused"),
        (400, "refused"), (401, "refused"), (403, "refused"), (404, "refused"), (405, "refused"),
        (409, "refused"), (413, "refused"), (422, "refused"), (451, "refused"),
        (0, "retry"), (99, "retry"), (101, "retry"), (199, "retry"),
        (408, "retry"), (425, "retry"), (429, "retry"),
        (500, "retry"), (502, "retry"), (503, "retry"), (504, "retry"), (599, "retry"),
        (410, "gone"),
    ],
)  # fmt: skip
def test_what_a_status_means(status: int, verdict: str) -> None:
    assert HttpAnswer(HttpVerdict(verdict), str(status)) == answer_of(status, None, NOW_MS)


@pytest.mark.parametrize(
    ("retry_after", "wait_ms"),
    [
        (None, 0),
        ("", 0),
        ("0", 0),
        ("120", 120_000),
        (" 7 ", 7_000),
        ("-5", 0),
        ("1.5", 0),
        ("soon", 0),
        ("٣", 0),
        ("9" * 40, 999_999_999_000),
        ("Wed, 21 Oct 2026 07:29:00 GMT", 60_000),
        ("Wed, 21 Oct 2026 07:27:00 GMT", 0),
        ("Wed, 99 Oct 2026 07:27:00 GMT", 0),
        ("Wed, 21 Oct 99999999999999999999 07:27:00 GMT", 0),
        ("Wed, 99999999999999999999 Oct 2026 07:27:00 GMT", 0),
        ("Wed, 21 Oct 2026 99999999999999999999:27:00 GMT", 0),
        ("Wed, 21 Oct 2026 07:27:00 +99999999999999999999", 0),
        ("Fri, 31 Dec 9999 23:59:59 -2359", 251_609_819_459_000),
        ("Mon, 01 Jan 0001 00:00:00 +2359", 0),
    ],
)
def test_a_wish_to_wait_is_read(retry_after: str | None, wait_ms: int) -> None:
    assert wait_ms == answer_of(503, retry_after, NOW_MS).wait_ms
    # Of an answer that ends the message it means nothing.
    assert 0 == answer_of(422, retry_after, NOW_MS).wait_ms


def posted(serve: Serve, rule: EndpointRule = RULE, host: str = "127.0.0.1") -> HttpAnswer:
    """The result of a post to a server that handles each connection this way."""

    async def run() -> HttpAnswer:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        async with server, Sender(Endpoint(rule, "", ())) as sender:
            request = Request(f"http://{host}:{port}/hook", {"webhook-id": "m"}, b"{}")
            return await sender.post(request, NOW_MS)

    return asyncio.run(run())


def saying(answer: bytes) -> Serve:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"{}")
        writer.write(answer)
        await writer.drain()
        writer.close()

    return serve


def test_a_redirect_is_not_followed() -> None:
    visits = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal visits
        visits += 1
        await reader.readuntil(b"{}")
        port = writer.get_extra_info("sockname")[1]
        moved = f"HTTP/1.1 307 x\r\nLocation: http://127.0.0.1:{port}/\r\nContent-Length: 0\r\n\r\n"
        writer.write(moved.encode())
        writer.close()

    assert (HttpAnswer(HttpVerdict.REFUSED, "307"), 1) == (posted(serve), visits)


async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()
    writer.close()


async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"{}")
    writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    try:
        while True:
            writer.write(b"10000\r\n" + b"x" * 65_536 + b"\r\n")
            await writer.drain()
    except OSError:
        writer.close()


async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"{}")
    writer.write(b"HTTP/1.1 204 No Content\r\nX: ")
    await reader.read()
    writer.close()


async def slow_body(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"{}")
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok")
    await reader.read()
    writer.close()


@pytest.mark.parametrize(
    ("serve", "expected"),
    [
        (saying(b"HTTP/1.1 204 No Content\r\n\r\n"), ("taken", "204")),
        (saying(b"HTTP/1.1 503 x\r\nContent-Length: 0\r\n\r\n"), ("retry", "503")),
        (saying(b""), ("retry", "connection")),
        (saying(b"nonsense\r\n\r\n"), ("retry", "connection")),
        (saying(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000 + b"\r\n\r\n"), ("retry", "connection")),
        (silent, ("retry", "timeout")),
        (slow, ("retry", "timeout")),
        # It has said that it took it, whatever else it says.
        (slow_body, ("taken", "200")),
        (endless, ("taken", "200")),
    ],
)
def test_a_server_that_misbehaves_costs_a_try_and_no_more(
    serve: Serve, expected: tuple[str, str]
) -> None:
    assert expected == posted(serve)[:2]


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "0.0.0.0"])
def test_this_machine_is_not_reached_by_any_name_unless_that_is_meant(host: str) -> None:
    reached = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        reached.append(await reader.read(1))
        writer.close()

    rule = msgspec.structs.replace(RULE, allow_private=False)
    assert ("retry", "address") == posted(serve, rule, host)[:2]
    assert [] == reached


def test_nobody_there_and_no_such_name_are_told_apart() -> None:
    async def run() -> list[str]:
        async with Sender(Endpoint(RULE, "", ())) as sender:
            urls = ("http://127.0.0.1:9/", "http://no-such-host.invalid/")
            return [(await sender.post(Request(url, {}, b""), NOW_MS)).reason for url in urls]

    assert ["connection", "name"] == asyncio.run(run())


def test_a_server_without_the_tls_it_should_speak_is_told() -> None:
    async def run() -> str:
        server = await asyncio.start_server(silent, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        async with server, Sender(Endpoint(RULE, "", ())) as sender:
            request = Request(f"https://127.0.0.1:{port}/", {}, b"{}")
            return (await sender.post(request, NOW_MS)).reason

    async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 x\r\n\r\n")
        writer.close()

    async def refused() -> str:
        server = await asyncio.start_server(plain, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        async with server, Sender(Endpoint(RULE, "", ())) as sender:
            request = Request(f"https://127.0.0.1:{port}/", {}, b"{}")
            return (await sender.post(request, NOW_MS)).reason

    assert ("timeout", "tls") == (asyncio.run(run()), asyncio.run(refused()))

"""The collector's answers, and what it publishes of the events that it receives."""

import asyncio
import gzip
import json
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from agents.collector import bodies
from agents.collector.running import LINGER_S
from agents.collector.site import collecting_site, operators_site
from agents.collector.taking import Collector
from agents.web import connections
from agents.web.server import ListenAddress, listening
from config.sources import SenderLimits, Senders, WebhookSource, hash_of
from config.topics import CLICKSTREAM, DEAD_LETTERS, RAW_TOPICS, TRANSACTIONS
from models.collecting.requests import BODY_BYTES_MAX, EVENTS_MAX, ROUTES
from models.events.dead_letter import decode_dead_letter
from models.events.wire import EVENT_BYTES_MAX
from models.parameters import load_parameters
from streams.collector.metrics import CollectorMetrics
from streams.collector.shared_outbox import NotWritten, SharedOutbox
from streams.raw_records import Outgoing

PARAMETERS = load_parameters()
PARTITIONS = dict.fromkeys((*RAW_TOPICS, DEAD_LETTERS), 4)
KEY, SLOW_KEY, SERVER_KEY = "c-web", "c-slow", "c-server"
ORDER = {
    "type": "track",
    "event": "Order Completed",
    "userId": "ada",
    "messageId": "m-1",
    "properties": {"order_id": "o-1", "revenue": 80.0},
}
VIEW = {"type": "page", "userId": "ada", "messageId": "m-2"}


class FakeOutbox(SharedOutbox):
    """Keeps what is written; `away`: whether Kafka is down."""

    def __init__(self) -> None:
        self.written: list[Outgoing] = []
        self.away = False
        self.begun, self.gate = asyncio.Event(), asyncio.Event()
        self.gate.set()
        self._waiting_bytes = 0

    def problem(self) -> str | None:
        return "Kafka is away" if self.away else None

    async def write(self, records: Sequence[Outgoing]) -> None:
        self.begun.set()
        await self.gate.wait()
        if self.away:
            raise NotWritten("Kafka is away")
        self.written += records

    def events(self, topic: str) -> list[dict[str, Any]]:
        return [json.loads(one.value) for one in self.written if one.topic == topic]


class Site:
    """A running collector, and a client for it."""

    def __init__(
        self, port: int, client: aiohttp.ClientSession, outbox: FakeOutbox, collector: Collector
    ) -> None:
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self.client = client
        self.outbox = outbox
        self.collector = collector
        self.metrics = collector._metrics

    async def post(
        self, path: str, content: Any, *, key: str | None = KEY, **more: Any
    ) -> tuple[int, dict[str, Any]]:
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        basic = {} if key is None else {"Authorization": aiohttp.encode_basic_auth(key, "")}
        more["headers"] = {**basic, **more.get("headers", {})}
        async with self.client.post(self.url + path, data=data, **more) as answer:
            assert "application/json" == answer.content_type
            assert "*" == answer.headers["Access-Control-Allow-Origin"]
            told = {**_retry(answer), **_allowed(answer)}
            return answer.status, {**json.loads(await answer.read()), **told}

    async def is_served(self) -> bool:
        return (await self.post("/v1/batch", {"batch": [ORDER]}))[0] == 200

    def count(self, name: str, **labels: str) -> float:
        return self.metrics.registry.get_sample_value(f"keepstream_collector_{name}", labels) or 0.0


def _allowed(answer: aiohttp.ClientResponse) -> dict[str, str]:
    allowed = answer.headers.get("Allow")
    return {} if allowed is None else {"allow": allowed}


def _retry(answer: aiohttp.ClientResponse) -> dict[str, int]:
    after = answer.headers.get("Retry-After")
    return {} if after is None else {"retry_s": int(after)}


@asynccontextmanager
async def site(
    connections_max: int = 100, webhooks: Mapping[str, WebhookSource] | None = None
) -> AsyncIterator[Site]:
    senders = Senders(
        {
            "web": SenderLimits(keys=[hash_of(KEY)]),
            "slow": SenderLimits(keys=[hash_of(SLOW_KEY)], events_per_second=1, burst=2),
            "server": SenderLimits(keys=[hash_of(SERVER_KEY)], is_trusted=True),
        },
        webhooks,
    )
    outbox = FakeOutbox()
    metrics = CollectorMetrics(senders.limits)
    collector = Collector(senders, PARAMETERS, PARTITIONS, outbox, metrics)
    place = ListenAddress("the collector", "127.0.0.1", 0, "HOST", "PORT", connections_max)
    options = {"auto_decompress": False, "lingering_time": LINGER_S}
    async with (
        listening(collecting_site(collector), place, **options) as port,
        # A connection each: one that waits for the next request may be closed as it is asked.
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as client,
    ):
        yield Site(port, client, outbox, collector)


@pytest.mark.parametrize("path", [*ROUTES, "/v1/batch/", "/batch/", "/v1/track/"])
def test_every_address_takes_events(path: str) -> None:
    route = ROUTES[path.rstrip("/")]

    async def scenario() -> None:
        async with site() as here:
            event: dict[str, Any] = {"userId": "ada", "event": "x", "previousId": "v"}
            if route.is_batch:
                event = {"batch": [{**event, "type": "track", "distinct_id": "ada"}]}
            assert (200, {"success": True, "accepted": 1}) == await here.post(path, event)
            [found] = here.outbox.events(CLICKSTREAM)
            assert (route.type or "track", "ada") == (found["type"], found["userId"])

    asyncio.run(scenario())


def test_events_go_to_their_topics_keyed_by_customer() -> None:
    async def scenario() -> None:
        async with site() as here:
            await here.post(
                "/v1/batch", {"batch": [ORDER, VIEW, {**ORDER, "event": "order done!"}]}
            )
            found = [(one.topic, one.key) for one in here.outbox.written]
            assert [(TRANSACTIONS, b"ada"), (CLICKSTREAM, b"ada"), (CLICKSTREAM, b"ada")] == found

    asyncio.run(scenario())


@pytest.mark.parametrize(
    "sent",
    [
        {},
        {"key": None, "headers": {"X-Write-Key": KEY}},
        {"key": None, "params": {"writeKey": KEY}},
        {"key": None, "in_body": {"writeKey": KEY}},
        {"key": None, "in_body": {"api_key": KEY}},
    ],
)
def test_the_write_key_may_come_in_every_way(sent: dict[str, Any]) -> None:
    async def scenario() -> None:
        async with site() as here:
            body = {"batch": [VIEW], **sent.pop("in_body", {})}
            assert 200 == (await here.post("/v1/batch", body, **sent))[0]

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("path", "content", "more", "status", "code"),
    [
        ("/v1/track", ORDER, {"key": None}, 401, "unauthorized"),
        ("/v1/track", ORDER, {"key": "nobody"}, 401, "unauthorized"),
        (
            "/v1/track",
            ORDER,
            {"key": None, "headers": {"Authorization": "Basic ?"}},
            401,
            "unauthorized",
        ),
        ("/v1/track", b"{", {}, 400, "bad_json"),
        ("/v1/batch", b"{}", {}, 400, "required_missing"),
        ("/v1/batch", b'{"a":' * 90_000, {}, 400, "bad_json"),
        ("/v1/batch", {"batch": [{}] * (EVENTS_MAX + 1)}, {}, 413, "too_large"),
        ("/v1/batch", b" " * (BODY_BYTES_MAX + 1), {}, 413, "too_large"),
        ("/v1/batch", gzip.compress(b" " * (BODY_BYTES_MAX + 1), mtime=0), {}, 413, "too_large"),
        ("/v1/batch", gzip.compress(b"{}", mtime=0)[:-3], {}, 400, "bad_gzip"),
        ("/v1/batch", gzip.compress(b"{}", mtime=0) * 2, {}, 400, "bad_gzip"),
        ("/v1/batch", b"\x1f\x8b nothing", {}, 400, "bad_gzip"),
        ("/v1/none", ORDER, {}, 404, "not_found"),
        ("/health/live", ORDER, {}, 405, "method_not_allowed"),
    ],
)
def test_what_is_refused_is_told_in_json(
    path: str, content: Any, more: dict[str, Any], status: int, code: str
) -> None:
    async def scenario() -> None:
        async with site() as here:
            found, body = await here.post(path, content, **more)
            assert (status, code) == (found, body["code"])
            # It says what to do.
            assert re.search(r"(: |; )(send|post|split)", body["message"])
            if status in (404, 405):
                assert "post events to /v1/track or /v1/batch" in body["message"]
                assert (status == 405) == ("allow" in body)
            assert [] == here.outbox.written
            assert await here.is_served()

    asyncio.run(scenario())


def test_gzip_is_known_by_its_first_bytes_whatever_it_is_called() -> None:
    content = json.dumps({"batch": [VIEW]}).encode()

    async def scenario() -> None:
        async with site() as here:
            for headers in (
                {"Content-Encoding": "gzip"},
                {"Content-Type": "application/x-www-form-urlencoded"},
                {},
            ):
                assert (
                    200
                    == (
                        await here.post(
                            "/v1/batch", gzip.compress(content, mtime=0), headers=headers
                        )
                    )[0]
                )
            # Not all that is called gzip is.
            headers = {"Content-Encoding": "gzip", "Content-Type": "text/plain"}
            assert 200 == (await here.post("/v1/batch", content, headers=headers))[0]
            assert 4 == len(here.outbox.written)

    asyncio.run(scenario())


def test_bad_events_become_dead_letters_and_the_others_are_published() -> None:
    bad: list[Any] = [
        {**ORDER, "properties": {"order_id": "o", "revenue": "much"}},
        {**ORDER, "userId": None},
        [],
        {**VIEW, "timestamp": "2026-03-01T10:00:00"},
        {**VIEW, "x": "x" * EVENT_BYTES_MAX},
        {"type": "clock", "timestamp": "2026-03-01T10:00:00Z"},
        {**ORDER, "event": "User Erase Requested", "properties": {}},
    ]
    reasons = [
        *("wrong_type", "no_identity", "wrong_type", "wrong_type", "too_large"),
        *("unknown_event", "unknown_event"),
    ]

    async def scenario() -> None:
        async with site() as here:
            status, body = await here.post("/v1/batch", {"batch": [ORDER, *bad, VIEW]})
            assert (200, 2, len(bad)) == (status, body["accepted"], body["refused"])
            assert reasons == [error["reason"] for error in body["errors"]]
            assert list(range(1, len(bad) + 1)) == [error["index"] for error in body["errors"]]
            letters = [
                decode_dead_letter(one.value)
                for one in here.outbox.written
                if one.topic == DEAD_LETTERS
            ]
            assert reasons == [letter.reason for letter in letters]
            assert {("collector", "web")} == {(one.step, one.sender) for one in letters}
            assert json.dumps(bad[2]).encode() == letters[2].content()
            assert bad[0].items() <= json.loads(letters[0].content()).items()
            assert 2 == here.count("events_total", source="web", fate="accepted")
            assert 3 == here.count("refused_events_total", source="web", reason="wrong_type")

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("name", "properties"),
    [
        ("User Erase Requested", {}),
        ("user_erase_requested", {}),
        ("Customer Merged", {"from_user_id": "bob"}),
        ("Customer Split", {"id": "v-1"}),
    ],
)
def test_only_a_trusted_source_says_who_is_whom_and_who_is_erased(
    name: str, properties: dict[str, str]
) -> None:
    event = {"type": "track", "event": name, "userId": "ada", "properties": properties}

    async def scenario() -> None:
        async with site() as here:
            assert 1 == (await here.post("/v1/track", event, key=SERVER_KEY))[1]["accepted"]
            _, refused = await here.post("/v1/track", event)
            assert (0, 1) == (refused["accepted"], refused["refused"])
            assert "is_trusted" in refused["errors"][0]["fix"]

    asyncio.run(scenario())


def test_who_sends_too_much_is_told_when_to_go_on() -> None:
    async def scenario() -> None:
        async with site() as here:
            assert 200 == (await here.post("/v1/batch", {"batch": [VIEW] * 9}, key=SLOW_KEY))[0]
            status, body = await here.post("/v1/batch", {"batch": [VIEW]}, key=SLOW_KEY)
            assert (429, "too_many_events") == (status, body["code"])
            assert 1 <= body["retry_s"] <= 7
            assert await here.is_served()

    asyncio.run(scenario())


def test_while_kafka_is_away_clients_are_told_to_come_back() -> None:
    async def scenario() -> None:
        async with site() as here:
            here.outbox.away = True
            status, body = await here.post("/v1/batch", {"batch": [ORDER]})
            assert (503, "unavailable", True) == (status, body["code"], body["retry_s"] >= 1)
            async with here.client.get(f"{here.url}/health/ready") as answer:
                assert 503 == answer.status
            # What was not taken is no repeat when it comes again.
            here.outbox.away = False
            assert await here.is_served()
            assert 0 == here.count("duplicate_events_total", source="web")
            assert await here.is_served()
            assert 1 == here.count("duplicate_events_total", source="web")

    asyncio.run(scenario())


def test_a_browser_may_send_from_any_page() -> None:
    asked = "authorization,content-type,anonymousid,sentat"

    async def scenario() -> None:
        async with site() as here:
            headers = {
                "Origin": "https://shop.example",
                "Access-Control-Request-Method": "POST",
                "Access-Control-Request-Headers": asked,
            }
            async with here.client.options(f"{here.url}/v1/t", headers=headers) as answer:
                assert 204 == answer.status
                assert "*" == answer.headers["Access-Control-Allow-Origin"]
                assert asked == answer.headers["Access-Control-Allow-Headers"]
                assert "POST" in answer.headers["Access-Control-Allow-Methods"]

    asyncio.run(scenario())


def test_libraries_in_browsers_are_told_to_send_here() -> None:
    async def scenario() -> None:
        async with site() as here:
            basic = {"Authorization": aiohttp.encode_basic_auth(KEY, "")}
            behind = {"X-Forwarded-Proto": "https"}
            for path, headers, status in (
                (f"/v1/projects/{KEY}/settings", behind, 200),
                ("/v1/projects/nobody/settings", {}, 401),
                (f"/sourceConfig/?writeKey={KEY}", {}, 200),
                ("/sourceConfig/", basic, 200),
                ("/sourceConfig/", {}, 401),
            ):
                async with here.client.get(here.url + path, headers=headers) as answer:
                    body = await answer.json()
                    assert status == answer.status
                    assert "*" == answer.headers["Access-Control-Allow-Origin"]
                if "integrations" in body:
                    told = body["integrations"]["Segment.io"]
                    assert (f"127.0.0.1:{here.port}/v1", "https") == (
                        told["apiHost"],
                        told["protocol"],
                    )

    asyncio.run(scenario())


def test_lateness_skew_and_what_is_missing_are_counted() -> None:
    old = {**VIEW, "timestamp": "2020-03-01T10:00:00Z", "messageId": None}

    async def scenario() -> None:
        async with site() as here:
            historical = {**old, "context": {"historical": True, "channel": "web"}}
            await here.post("/v1/batch", {"batch": [old, historical]})
            assert 1 == here.count("late_events_total", source="web")
            assert 2 == here.count("incomplete_events_total", source="web", missing="message_id")
            assert 1 == here.count("incomplete_events_total", source="web", missing="channel")
            await here.post("/v1/batch", {"batch": [VIEW], "sentAt": "2020-03-01T10:00:00Z"})
            text = here.metrics.exposition().decode()
            assert 'clock_skew_seconds{quantile="0.99",source="web"}' in text

    asyncio.run(scenario())


def test_operators_have_metrics_of_their_own_and_clients_have_none() -> None:
    async def scenario() -> None:
        async with site() as here:
            assert await here.is_served()
            async with here.client.get(f"{here.url}/metrics") as answer:
                assert 404 == answer.status
            own = operators_site(here.collector, here.metrics, here.outbox)
            place = ListenAddress("metrics", "127.0.0.1", 0, "HOST", "PORT", 8)
            async with listening(own, place) as port:
                async with here.client.get(f"http://127.0.0.1:{port}/metrics") as answer:
                    assert "keepstream_collector_events_total" in await answer.text()
                async with here.client.get(f"http://127.0.0.1:{port}/health/ready") as answer:
                    assert 200 == answer.status

    asyncio.run(scenario())


def test_on_stopping_what_was_begun_is_answered_and_nothing_new_is_taken() -> None:
    async def scenario() -> None:
        async with site() as here:
            here.outbox.gate.clear()
            begun = asyncio.create_task(here.post("/v1/batch", {"batch": [ORDER]}))
            await here.outbox.begun.wait()
            here.collector.is_closing = True
            settling = asyncio.create_task(here.collector.settle(30))
            status, body = await here.post("/v1/batch", {"batch": [VIEW]})
            assert (503, "stopping") == (status, body["code"])
            assert not settling.done()
            here.outbox.gate.set()
            await settling
            assert 200 == (await begun)[0]
            assert 1 == len(here.outbox.written)

    asyncio.run(scenario())


def descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def most_memory_kib() -> int:
    """This process's peak memory so far."""
    [line] = [one for one in Path("/proc/self/status").read_text().splitlines() if "VmHWM" in one]
    return int(line.split()[1])


HEAD = b"POST /v1/batch HTTP/1.1\r\nHost: x\r\n"
#: What hostile clients begin with, and send again and again until they are cut off.
HOSTILE = {
    "silent": (b"", b""),
    "a header that never ends": (HEAD, b"X-a: b\r\n"),
    "a header too large": (HEAD + b"X-a: ", b"b" * 4_096),
    "a body that never comes": (HEAD + b"Content-Length: 1000\r\n\r\n", b""),
    "a body that drips": (HEAD + b"Content-Length: 400000\r\n\r\n", b"["),
    "an endless body": (
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n",
        b"2000\r\n" + b"[" * 8_192 + b"\r\n",
    ),
    "a body larger than said": (HEAD + b"Content-Length: 900000000\r\n\r\n", b"[" * 8_192),
}


async def _attack(port: int, first: bytes, again: bytes) -> int:
    """Send until the server closes the connection; the number of bytes sent."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    sent = len(first)
    writer.write(first)
    hung_up = asyncio.create_task(reader.read(-1))
    try:
        while not hung_up.done():
            if again:
                writer.write(again)
                sent += len(again)
            await writer.drain()
            await asyncio.sleep(0.005)
    except ConnectionError:
        pass
    finally:
        hung_up.cancel()
        await asyncio.wait({hung_up})
        writer.transport.abort()
    return sent


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_clients_are_cut_off_and_others_are_served(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bodies, "BODY_S", 0.5)
    monkeypatch.setattr(connections, "WAITING_MAX_S", 0.5)
    monkeypatch.setattr(connections, "SWEEP_EVERY_S", 0.05)

    async def scenario() -> None:
        async with site() as here:
            assert await here.is_served()
            before = descriptors()
            attacks = [asyncio.create_task(_attack(here.port, *HOSTILE[kind])) for _ in range(20)]
            assert await here.is_served()
            async with asyncio.timeout(60):
                sent = await asyncio.gather(*attacks)
            assert await here.is_served()
            # What a client may have sent by then is a matter of buffers, not of what it wants.
            assert max(sent) < 64 * 1024 * 1024
            for _ in range(1_000):
                if descriptors() <= before:
                    return
                await asyncio.sleep(0.01)
            raise AssertionError(f"{descriptors()} descriptors, {before} before")

    asyncio.run(scenario())


def test_bombs_and_endless_bodies_leave_memory_flat() -> None:
    bomb = gzip.compress(b"[" * 200_000_000, 9, mtime=0)
    assert len(bomb) < BODY_BYTES_MAX

    async def scenario() -> None:
        async with site() as here:
            for _ in range(3):
                assert 413 == (await here.post("/v1/batch", bomb))[0]
            before = most_memory_kib()
            for _ in range(40):
                assert 413 == (await here.post("/v1/batch", bomb))[0]
            assert most_memory_kib() - before < 8 * 1024

    asyncio.run(scenario())


def test_more_connections_than_allowed_cost_the_idle_ones() -> None:
    async def scenario() -> None:
        async with site(connections_max=8) as here:
            idle = [await asyncio.open_connection("127.0.0.1", here.port) for _ in range(30)]
            assert await here.is_served()
            for _, writer in idle:
                writer.transport.abort()

    asyncio.run(scenario())

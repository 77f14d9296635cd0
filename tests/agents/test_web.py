"""A worker's answers over HTTP, and its refusals."""

import asyncio
import json
import socket
from collections.abc import Callable
from urllib.parse import quote

import aiohttp
import pytest
from faust.types import TP
from yarl import URL

from agents.web.server import (
    AddressRefused,
    LiveCustomers,
    Readiness,
    advertised_url,
    routes,
    serving,
)
from config.settings import Settings, SettingsError, load_settings
from streams.metrics import Metrics
from streams.progress import Progress

Answer = tuple[int, str, bytes]
PROFILES = {
    customer: json.dumps({"userId": customer}).encode()
    for customer in (
        "c-1",
        "a.b_c:d@e-f",
        "auth0|65f1c0",
        "a+b@example.org",
        "gid://shopify/Customer/7001",
        "100% Zoë/王?#",
    )
}


@pytest.fixture
def settings() -> Settings:
    return load_settings({}, web_port=0)


def answers(
    settings: Settings,
    *paths: str,
    problems: Callable[[], list[str]] = list,
    delays: Callable[[], list[str]] = list,
    method: str = "GET",
    customers: LiveCustomers | None = None,
) -> list[Answer]:
    """Status, content type and body of each path, exactly as written."""
    refreshed: list[bool] = []
    site = routes(
        Metrics(),
        Readiness(problems, delays),
        customers or LiveCustomers(PROFILES.get),
        lambda: refreshed.append(True),
    )

    async def ask() -> list[Answer]:
        found: list[Answer] = []
        async with serving(site, settings) as port, aiohttp.ClientSession() as session:
            for path in paths:
                url = URL(f"http://127.0.0.1:{port}{path}", encoded=True)
                async with session.request(method, url) as answer:
                    found.append((answer.status, answer.content_type, await answer.read()))
        return found

    return asyncio.run(ask())


def test_a_customer_of_this_worker_is_shown(settings: Settings) -> None:
    for customer, profile in PROFILES.items():
        paths = [f"/customers/{quote(customer, safe='')}", f"/customers/{quote(customer)}"]
        found = [(200, "application/json", profile)] * 2
        assert found == answers(settings, *paths)


def test_a_customer_that_is_not_there_is_not_found(settings: Settings) -> None:
    ((status, _, body),) = answers(settings, "/customers/c-2")
    assert (404, "no such customer") == (status, json.loads(body)["message"])


def test_a_customer_whose_owner_is_nowhere_is_told_from_one_that_there_is_not(
    settings: Settings,
) -> None:
    nobodys = LiveCustomers(PROFILES.get, is_known=lambda _: False)
    ((status, _, body),) = answers(settings, "/customers/c-2", customers=nobodys)
    assert 404 == status
    assert "KEEPSTREAM_WEB_ADVERTISED_URL" in json.loads(body)["message"]


def test_a_customer_of_another_worker_is_to_be_asked_there(settings: Settings) -> None:
    elsewhere = LiveCustomers(lambda _: None, is_known=lambda _: False)

    async def ask(customer: str) -> list[tuple[int, str]]:
        there = routes(Metrics(), Readiness(list), LiveCustomers(PROFILES.get), lambda: None)
        async with serving(there, settings) as port, aiohttp.ClientSession() as session:
            here = elsewhere._replace(owner=lambda _: f"http://127.0.0.1:{port}")
            site = routes(Metrics(), Readiness(list), here, lambda: None)
            async with serving(site, settings) as own:
                url = URL(
                    f"http://127.0.0.1:{own}/customers/{quote(customer, safe='')}", encoded=True
                )
                async with session.get(url, allow_redirects=False) as first:
                    told = first.status, first.headers["Location"].replace(str(port), "PORT")
                async with session.get(url) as followed:
                    return [told, (followed.status, (await followed.read()).decode())]

    for customer, profile in PROFILES.items():
        where = f"http://127.0.0.1:PORT/customers/{quote(customer, safe='')}"
        assert [(307, where), (200, profile.decode())] == asyncio.run(ask(customer))


@pytest.mark.parametrize(
    "path",
    [
        "/customers/with%1Bescape",
        "/customers/%00partition",
        "/customers/%C2%85",
        "/customers/" + "x" * 257,
        "/customers/" + "%C3%A9" * 129,
    ],
)
def test_what_can_be_no_customer_is_a_bad_request(settings: Settings, path: str) -> None:
    assert [(400, "application/json", b'{"message":"not a customer\'s id"}')] == answers(
        settings, path
    )


def test_nothing_else_is_served_and_nothing_is_taken(settings: Settings) -> None:
    unknown = ("/", "/customers", "/customers/", "/customers/c-1/more", "/table", "/router")
    assert [404] * len(unknown) == [status for status, _, _ in answers(settings, *unknown)]
    known = ("/metrics", "/health/ready", "/customers/c-1")
    refused = answers(settings, *known, method="POST")
    assert [405] * len(known) == [status for status, _, _ in refused]


@pytest.mark.parametrize(
    ("environment", "url"),
    [
        ({}, "http://127.0.0.1:8123"),
        ({"KEEPSTREAM_WEB_HOST": "::1"}, "http://[::1]:8123"),
        ({"KEEPSTREAM_WEB_HOST": "0.0.0.0"}, f"http://{socket.gethostname()}:8123"),
        (
            {"KEEPSTREAM_WEB_ADVERTISED_URL": "https://shop.example/w1/"},
            "https://shop.example/w1",
        ),
    ],
)
def test_a_worker_is_reached_where_it_listens_unless_it_is_told(
    environment: dict[str, str], url: str
) -> None:
    assert url == advertised_url(load_settings(environment), 8123)


@pytest.mark.parametrize("url", ["shop:8080", "http://", "http://a b", "ftp://a", "http://u:p@a"])
def test_an_address_that_nobody_can_be_reached_at_is_refused(url: str) -> None:
    with pytest.raises(SettingsError, match="KEEPSTREAM_WEB_ADVERTISED_URL is .*: set it as in"):
        load_settings({"KEEPSTREAM_WEB_ADVERTISED_URL": url})


def test_metrics_are_in_prometheus_text_format(settings: Settings) -> None:
    ((status, kind, body),) = answers(settings, "/metrics")
    assert (200, "text/plain") == (status, kind)
    assert b"# TYPE keepstream_events_total counter" in body


def test_a_worker_with_problems_lives_and_is_not_ready(settings: Settings) -> None:
    live, ready = answers(
        settings, "/health/live", "/health/ready", problems=lambda: ["joining the group"]
    )
    assert (200, {"status": "live"}) == (live[0], json.loads(live[2]))
    expected = {"status": "not ready", "problems": ["joining the group"]}
    assert (503, expected) == (ready[0], json.loads(ready[2]))


def test_what_waits_for_redis_is_told_and_takes_no_worker_out_of_service(
    settings: Settings,
) -> None:
    progress = Progress(stuck_s=0.0)
    folded, delivered = TP("customer-events", 0), TP("retention-triggers", 0)
    for _ in range(2):
        progress.update({folded: 7, delivered: 3}, {folded: 0, delivered: 12})

    def problems() -> list[str]:
        return progress.stuck([folded.topic])

    def delays() -> list[str]:
        return progress.stuck([delivered.topic])

    ((status, _, body),) = answers(settings, "/health/ready", problems=problems, delays=delays)
    assert 200 == status
    (delay,) = json.loads(body)["delays"]
    assert delay.startswith("retention-triggers-0: 12 records waiting, none done for ")

    progress.update({folded: 7, delivered: 3}, {folded: 1, delivered: 12})
    ((status, _, body),) = answers(settings, "/health/ready", problems=problems, delays=delays)
    assert 503 == status
    assert 1 == len(json.loads(body)["problems"])


def test_a_port_that_is_taken_is_refused_in_words(settings: Settings) -> None:
    site = routes(Metrics(), Readiness(list), LiveCustomers(PROFILES.get), lambda: None)

    async def serve_twice() -> None:
        async with serving(site, settings) as port:
            taken = load_settings({}, web_port=port)
            again = routes(Metrics(), Readiness(list), LiveCustomers(PROFILES.get), list)
            with pytest.raises(
                AddressRefused, match=f"127.0.0.1:{port} .*: set KEEPSTREAM_WEB_PORT"
            ):
                async with serving(again, taken):
                    pass

    asyncio.run(serve_twice())


def test_a_customer_of_a_partition_that_is_being_read_is_not_unknown(settings: Settings) -> None:
    site = routes(
        Metrics(),
        Readiness(list),
        LiveCustomers(PROFILES.get, lambda customer: customer == "c-9"),
        lambda: None,
    )

    async def ask() -> list[tuple[int, str]]:
        found = []
        async with serving(site, settings) as port, aiohttp.ClientSession() as session:
            for customer in ("c-1", "c-8", "c-9"):
                async with session.get(f"http://127.0.0.1:{port}/customers/{customer}") as answer:
                    found.append((answer.status, await answer.text()))
        return found

    known, unknown, recovering = asyncio.run(ask())
    assert (200, 404) == (known[0], unknown[0])
    assert 503 == recovering[0]
    assert "recovering" in recovering[1]

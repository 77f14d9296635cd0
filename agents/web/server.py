"""Metrics, health and live customers over HTTP, apart from Faust's own web server.

Faust's web server ignores the configured address and listens on all of them, and one open stream of
server-sent events keeps it from stopping.
"""

import asyncio
import logging
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, NamedTuple
from urllib.parse import quote

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from agents.web.connections import Connections, Handler, connections_max
from config.settings import Settings, variable_of
from models.events.ids import is_id
from streams.exposition import CONTENT_TYPE
from streams.metrics import Metrics

#: With an answer that will be another one soon.
RETRY = {"Retry-After": "1"}
#: No request has a body that is of use here.
CONTENT_BYTES_MAX = 1024
#: Addresses to listen on that are nobody's to be reached at.
_ANY = ("0.0.0.0", "::", "[::]", "*")  # noqa: S104 - told apart, not listened on

_NOBODY_KNOWN = (
    "unknown here: another worker owns their partition, and says no address of its own: see "
    "KEEPSTREAM_WEB_ADVERTISED_URL"
)

ListAnswer = Callable[[Mapping[str, str]], Awaitable[web.Response]]


class _OwnFaults(logging.Filter):
    """Leaves out what strangers send that is no HTTP: they are told so, and their words, which may
    hold a key, would fill the log.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        return not isinstance(error, HttpProcessingError)


_requests = logging.getLogger(f"{__name__}.requests")
_requests.addFilter(_OwnFaults())


class AddressRefused(OSError):
    """Health and metrics can't be served at the configured address; the message says what to do."""


class Readiness:
    """The answer of /health/ready.

    ``problems`` take the worker out of service. ``delays`` are only reported: records that wait for
    a store that is down would wait in every other worker, too.
    """

    def __init__(
        self, problems: Callable[[], list[str]], delays: Callable[[], list[str]] = list
    ) -> None:
        self.problems = problems
        self.delays = delays


class LiveCustomers(NamedTuple):
    """What this worker can say of customers.

    ``profile``: as JSON, if this worker owns the customer; ``is_recovering``: whether it might,
    once it has read their partition; ``owner``: the address of another worker that owns them, and
    ``is_known``: whether anybody is known to. ``listed`` answers the query of a list. ``person``:
    whose id it is, of one that is another customer's.
    """

    profile: Callable[[str], bytes | None]
    is_recovering: Callable[[str], bool] = lambda _: False
    owner: Callable[[str], str | None] = lambda _: None
    is_known: Callable[[str], bool] = lambda _: True
    listed: ListAnswer | None = None
    person: Callable[[str], str | None] = lambda _: None


def advertised_url(settings: Settings, port: int) -> str:
    """Where others reach this worker: as the settings say, else where it listens."""
    if settings.web_advertised_url:
        return settings.web_advertised_url.rstrip("/")
    host = socket.gethostname() if settings.web_host in _ANY else settings.web_host
    return f"http://{f'[{host}]' if ':' in host.strip('[]') else host}:{port}"


def routes(
    metrics: Metrics,
    readiness: Readiness,
    customers: LiveCustomers,
    refresh: Callable[[], None],
) -> web.Application:
    """The application."""

    async def expose(_: web.Request) -> web.Response:
        refresh()
        return web.Response(body=metrics.exposition(), headers={"Content-Type": CONTENT_TYPE})

    async def live(_: web.Request) -> web.Response:
        return web.json_response({"status": "live"})

    async def ready(_: web.Request) -> web.Response:
        refresh()
        problems, delays = readiness.problems(), readiness.delays()
        answer: dict[str, object] = {"status": "not ready" if problems else "ready"}
        answer |= {"problems": problems} if problems else {}
        answer |= {"delays": delays} if delays else {}
        return web.json_response(answer, status=503 if problems else 200)

    async def show(request: web.Request) -> web.Response:
        return _shown(customers, request.match_info["id"])

    async def show_list(request: web.Request) -> web.Response:
        assert customers.listed is not None
        query = request.query
        if len(query) != len(set(query)):
            return web.json_response({"message": "a name is asked twice"}, status=400)
        return await customers.listed(dict(query))

    application = web.Application(client_max_size=CONTENT_BYTES_MAX)
    application.add_routes(
        [
            web.get("/metrics", expose),
            web.get("/health/live", live),
            web.get("/health/ready", ready),
            web.get("/customers/{id:.+}", show),
        ]
    )
    if customers.listed is not None:
        application.router.add_get("/customers", show_list)
    return application


def _shown(customers: LiveCustomers, customer: str) -> web.Response:
    """The customer's profile, where to ask for it, or why there is none."""
    if not is_id(customer):
        return web.json_response({"message": "not a customer's id"}, status=400)
    if (person := customers.person(customer)) is not None:
        place = {"Location": f"/customers/{quote(person, safe='')}"}
        told = {"message": "an id of another customer", "customer": person}
        return web.json_response(told, status=307, headers=place)
    view = customers.profile(customer)
    if view is not None:
        return web.Response(body=view, content_type="application/json")
    if customers.is_recovering(customer):
        message = "recovering: the partition is being read, ask again soon"
        return web.json_response({"message": message}, status=503, headers=RETRY)
    if (url := customers.owner(customer)) is not None:
        there = f"{url}/customers/{quote(customer, safe='')}"
        message = f"another worker owns them: {there}"
        return web.json_response({"message": message}, status=307, headers={"Location": there})
    message = "no such customer" if customers.is_known(customer) else _NOBODY_KNOWN
    return web.json_response({"message": message}, status=404)


class ListenAddress(NamedTuple):
    """Where to listen, the settings that say so, and how many connections there may be."""

    what: str
    host: str
    port: int
    host_setting: str
    port_setting: str
    connections_max: int


@asynccontextmanager
async def serving(application: web.Application, settings: Settings) -> AsyncIterator[int]:
    """Serve until the end of the block; yields the port, a free one for port 0."""
    place = ListenAddress(
        "health and metrics",
        settings.web_host,
        settings.web_port,
        variable_of("web_host"),
        variable_of("web_port"),
        connections_max(),
    )
    async with listening(application, place) as port:
        yield port


@asynccontextmanager
async def listening(
    application: web.Application, place: ListenAddress, **options: Any
) -> AsyncIterator[int]:
    """As `serving`, at any place; ``options`` are those of aiohttp's protocol."""
    connections = Connections(place.connections_max)

    @web.middleware
    async def watched(request: web.Request, handler: Handler) -> web.StreamResponse:
        return await connections.watch_request(request, handler)

    application.middlewares.append(watched)
    runner = web.AppRunner(
        application, access_log=None, logger=_requests, shutdown_timeout=1.0, **options
    )
    await runner.setup()
    connections.server = runner.server
    try:
        try:
            server = await asyncio.get_running_loop().create_server(
                connections.new_protocol, place.host, place.port
            )
        except OSError as error:
            raise AddressRefused(
                f"can't serve {place.what} at {place.host}:{place.port} "
                f"({os.strerror(error.errno or 0)}): set {place.port_setting} to a free port, or "
                f"to 0, and {place.host_setting} to an address of this machine"
            ) from None
        sweeping = asyncio.create_task(connections.sweep())
        try:
            port: int = server.sockets[0].getsockname()[1]
            yield port
        finally:
            server.close()
            sweeping.cancel()
    finally:
        await runner.cleanup()

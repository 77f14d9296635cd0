"""Metrics, health and live customers over HTTP, apart from Faust's own web server.

Faust's web server ignores the configured address and listens on all of them, and one open stream of
server-sent events keeps it from stopping.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from urllib.parse import quote

from aiohttp import web

from agents.web.connections import Connections, Handler, connections_max
from config.settings import Settings
from models.events.ids import is_id
from streams.metrics import CONTENT_TYPE, Metrics

#: With an answer that will be another one soon.
RETRY = {"Retry-After": "1"}
#: No request has a body that is of use here.
CONTENT_BYTES_MAX = 1024


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


def routes(
    metrics: Metrics,
    readiness: Readiness,
    customer: Callable[[str], bytes | None],
    refresh: Callable[[], None],
    is_recovering: Callable[[str], bool] = lambda _: False,
    person_of: Callable[[str], str | None] = lambda _: None,
) -> web.Application:
    """The application; ``customer`` gives a profile as JSON if this worker owns the customer, and
    ``is_recovering`` says whether it might, once it has read their partition. ``person_of``: whose
    id it is, of one that is another customer's.
    """

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
        customer_id = request.match_info["id"]
        if not is_id(customer_id):
            return web.json_response({"message": "not a customer's id"}, status=400)
        if (person := person_of(customer_id)) is not None:
            there = {"Location": f"/customers/{quote(person, safe='')}"}
            answer = {"message": "an id of another customer", "customer": person}
            return web.json_response(answer, status=307, headers=there)
        view = customer(customer_id)
        if view is None and is_recovering(customer_id):
            message = "recovering: the partition is being read, ask again soon"
            return web.json_response({"message": message}, status=503, headers=RETRY)
        if view is None:
            message = "unknown here: no such customer, or another worker owns their partition"
            return web.json_response({"message": message}, status=404)
        return web.Response(body=view, content_type="application/json")

    application = web.Application(client_max_size=CONTENT_BYTES_MAX)
    application.add_routes(
        [
            web.get("/metrics", expose),
            web.get("/health/live", live),
            web.get("/health/ready", ready),
            web.get("/customers/{id:.+}", show),
        ]
    )
    return application


@asynccontextmanager
async def serving(application: web.Application, settings: Settings) -> AsyncIterator[int]:
    """Serve until the end of the block; yields the port, a free one for port 0."""
    connections = Connections(connections_max())

    @web.middleware
    async def watched(request: web.Request, handler: Handler) -> web.StreamResponse:
        return await connections.watch_request(request, handler)

    application.middlewares.append(watched)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    connections.server = runner.server
    try:
        try:
            server = await asyncio.get_running_loop().create_server(
                connections.new_protocol, settings.web_host, settings.web_port
            )
        except OSError as error:
            raise AddressRefused(
                f"can't serve health and metrics at {settings.web_host}:{settings.web_port} "
                f"({os.strerror(error.errno or 0)}): set KEEPSTREAM_WEB_PORT to a free port, or to "
                f"0, and KEEPSTREAM_WEB_HOST to an address of this machine"
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

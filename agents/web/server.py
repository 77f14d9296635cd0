"""Metrics, health and live customers over HTTP, separate from Faust's own web server.

Faust's web server ignores the configured address and listens on all of them, and one open stream of
server-sent events keeps it from stopping.
"""

import asyncio
import logging
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, NamedTuple
from urllib.parse import quote

import msgspec
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from msgspec import Struct

from agents.ration import WebTime
from agents.web.connections import Connections, Handler, connections_max
from agents.web.lists import RETRY
from agents.web.metrics import DrawnMetrics
from agents.web.operation import Answering, add_operations
from agents.web.operations import (
    CUSTOMER,
    CUSTOMERS,
    DRY_RUN,
    LIVE,
    METRICS,
    READY,
    SEGMENT,
    SEGMENTS,
    Health,
    WhyNot,
)
from agents.web.segments import SegmentAnswers
from agents.web.token import guarded
from config.settings import Settings, variable_of
from config.topics import RAW_TOPICS
from models.dry_run import DryRun
from models.events.ids import is_id
from streams.exposition import CONTENT_TYPE
from streams.metrics import Metrics

#: No request needs a body ...
CONTENT_BYTES_MAX = 1024
#: ... except a dry run, whose event may be larger than a topic accepts.
EVENT_BYTES_MAX = 64 * 1024
#: Addresses to listen on that no client can connect to.
_ANY = ("0.0.0.0", "::", "[::]", "*")  # noqa: S104 - only compared with

_NOBODY_KNOWN = (
    "unknown here: another worker owns their partition, and says no address of its own: see "
    "KEEPSTREAM_WEB_ADVERTISED_URL"
)

ListAnswer = Callable[[Mapping[str, str]], Awaitable[web.Response]]
#: Answers for an event, and the topic it would be published on, if one is given.
DryRunAnswer = Callable[[bytes, str | None], "DryRun | NotHere"]


class _OwnFaults(logging.Filter):
    """Drops log records about requests that are not valid HTTP. The client gets an error anyway;
    its bytes, which may contain a key, would fill the log.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        return not isinstance(error, HttpProcessingError)


_requests = logging.getLogger(f"{__name__}.requests")
_requests.addFilter(_OwnFaults())


class AddressRefused(OSError):
    """The configured address can't be used for health and metrics; the message says what to do."""


class Readiness:
    """The answer of /health/ready.

    ``problems`` take the worker out of service. ``delays`` are only reported: records that wait for
    a store that is down would wait in any other worker, too.
    """

    def __init__(
        self, problems: Callable[[], list[str]], delays: Callable[[], list[str]] = list
    ) -> None:
        self.problems = problems
        self.delays = delays


class NotHere(NamedTuple):
    """A customer whose partition is not on this worker."""

    customer: str


class LiveCustomers(NamedTuple):
    """What this worker knows about customers.

    ``profile``: a profile as JSON, if this worker owns the customer. ``is_recovering``: whether it
    may own the customer once it has read the partition. ``owner``: the address of the worker that
    owns the customer. ``is_known``: whether any worker is known to own the customer. ``listed``
    answers the query of a list. ``person``: the customer to whom an id belongs, if it is another
    customer's id. ``tried``: a dry run of an event. ``segments`` answers for segments and their
    members.
    """

    profile: Callable[[str], bytes | None]
    is_recovering: Callable[[str], bool] = lambda _: False
    owner: Callable[[str], str | None] = lambda _: None
    is_known: Callable[[str], bool] = lambda _: True
    listed: ListAnswer | None = None
    person: Callable[[str], str | None] = lambda _: None
    tried: DryRunAnswer | None = None
    segments: SegmentAnswers | None = None


def advertised_url(settings: Settings, port: int) -> str:
    """The address at which others reach this worker: the configured one, else where it listens."""
    if settings.web_advertised_url:
        return settings.web_advertised_url.rstrip("/")
    host = socket.gethostname() if settings.web_host in _ANY else settings.web_host
    return f"http://{f'[{host}]' if ':' in host.strip('[]') else host}:{port}"


def answer_in_json(
    content: Struct, status: int = 200, headers: Mapping[str, str] | None = None
) -> web.Response:
    return web.Response(
        body=msgspec.json.encode(content),
        status=status,
        headers=headers,
        content_type="application/json",
    )


def process_site(
    draw: Callable[[], bytes],
    readiness: Readiness,
    time: WebTime | None = None,
    refresh: Callable[[], None] = lambda: None,
    content_bytes_max: int = CONTENT_BYTES_MAX,
) -> web.Application:
    """The web port of every process: health, and the metrics that ``draw`` returns. ``refresh``
    updates what both report; ``time`` rations the loop's time.
    """

    def drawn_anew() -> bytes:
        refresh()
        return draw()

    drawn = DrawnMetrics(drawn_anew, None if time is None else time.answers)

    async def expose(_: web.Request) -> web.Response:
        return web.Response(body=drawn.content(), headers={"Content-Type": CONTENT_TYPE})

    async def live(_: web.Request) -> web.Response:
        return answer_in_json(Health("live"))

    async def ready(_: web.Request) -> web.Response:
        refresh()
        problems, delays = tuple(readiness.problems()), tuple(readiness.delays())
        status = "not ready" if problems else "ready"
        return answer_in_json(Health(status, problems, delays), 503 if problems else 200)

    application = web.Application(client_max_size=content_bytes_max, middlewares=[_told_in_json])
    add_operations(application, (LIVE, live), (READY, ready), (METRICS, expose))
    return application


def routes(
    metrics: Metrics,
    readiness: Readiness,
    customers: LiveCustomers,
    refresh: Callable[[], None],
    time: WebTime | None = None,
) -> web.Application:
    """The routes of a worker."""

    async def show(request: web.Request) -> web.Response:
        return _shown(customers, request.match_info["id"])

    async def show_list(request: web.Request) -> web.Response:
        assert customers.listed is not None
        query = request.query
        if len(query) != len(set(query)):
            return answer_in_json(WhyNot("a name is asked twice"), 400)
        return await customers.listed(dict(query))

    application = process_site(metrics.exposition, readiness, time, refresh, EVENT_BYTES_MAX)
    add_operations(application, (CUSTOMER, show))
    if customers.listed is not None:
        add_operations(application, (CUSTOMERS, show_list))
    if customers.segments is not None:
        add_operations(
            application,
            (SEGMENTS, customers.segments.all_of_them),
            (SEGMENT, customers.segments.members_of),
        )
    if customers.tried is not None:
        add_operations(application, (DRY_RUN, _trying(customers)))
    return application


def _trying(customers: LiveCustomers) -> Answering:
    """The handler for dry runs."""

    async def try_event(request: web.Request) -> web.Response:
        return await _tried(customers, request)

    return try_event


@web.middleware
async def _told_in_json(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn errors of routing into JSON, like all other answers."""
    try:
        return await handler(request)
    except web.HTTPException as error:
        headers = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else None
        return answer_in_json(WhyNot(f"{request.method}: {error.reason}"), error.status, headers)


def _shown(customers: LiveCustomers, customer: str) -> web.Response:
    """The customer's profile, the address to ask for it, or why there is none."""
    # Blanks are stripped as they are from events.
    customer = customer.strip(" ")
    if not is_id(customer):
        return answer_in_json(WhyNot("not a customer's id"), 400)
    if (person := customers.person(customer)) is not None:
        place = {"Location": f"/customers/{quote(person, safe='')}"}
        return answer_in_json(WhyNot("an id of another customer", person), 307, place)
    view = customers.profile(customer)
    if view is not None:
        return web.Response(body=view, content_type="application/json")
    return _elsewhere(customers, customer, f"/customers/{quote(customer, safe='')}")


async def _tried(customers: LiveCustomers, request: web.Request) -> web.Response:
    """A dry run of the event in the request, or the address to ask."""
    topic = request.query.get("topic")
    if topic is not None and topic not in RAW_TOPICS:
        return answer_in_json(WhyNot(f"topic is one of {', '.join(RAW_TOPICS)}"), 400)
    if not (event := await request.read()):
        return answer_in_json(WhyNot("there is no event: send it as the request's body"), 400)
    assert customers.tried is not None
    found = customers.tried(event, topic)
    if isinstance(found, NotHere):
        return _elsewhere(customers, found.customer, request.path_qs)
    return answer_in_json(found)


def _elsewhere(customers: LiveCustomers, customer: str, path: str) -> web.Response:
    """The address to ask about a customer whose row is not here, or why there is none."""
    if customers.is_recovering(customer):
        told = WhyNot("recovering: the partition is being read, ask again soon")
        return answer_in_json(told, 503, RETRY)
    if (url := customers.owner(customer)) is not None:
        told = WhyNot(f"another worker owns them: {url}{path}")
        return answer_in_json(told, 307, {"Location": f"{url}{path}"})
    is_known = customers.is_known(customer)
    return answer_in_json(WhyNot("no such customer" if is_known else _NOBODY_KNOWN), 404)


class ListenAddress(NamedTuple):
    """The address to listen on, the settings that define it, and the limit on connections."""

    what: str
    host: str
    port: int
    host_setting: str
    port_setting: str
    connections_max: int


@asynccontextmanager
async def serving(
    application: web.Application, settings: Settings, time: WebTime | None = None
) -> AsyncIterator[int]:
    """Serve until the end of the block, within the ration in ``time``; yield the port, a free one
    for port 0. If the settings have a token, everything but health requires it.
    """
    if settings.web_token:
        application.middlewares.append(guarded(settings.web_token))
    place = ListenAddress(
        "health and metrics",
        settings.web_host,
        settings.web_port,
        variable_of("web_host"),
        variable_of("web_port"),
        connections_max(),
    )
    # No body is waited for, and no answer is computed for a client that has gone.
    options = {"lingering_time": 0, "handler_cancellation": True}
    async with listening(application, place, time or WebTime(), **options) as port:
        yield port


@asynccontextmanager
async def listening(
    application: web.Application,
    place: ListenAddress,
    time: WebTime | None = None,
    **options: Any,
) -> AsyncIterator[int]:
    """Like `serving`, at any address; without ``time`` nothing is rationed. ``options`` are those
    of aiohttp's runner.
    """
    connections = Connections(place.connections_max, time)

    @web.middleware
    async def watched(request: web.Request, handler: Handler) -> web.StreamResponse:
        return await connections.watch_request(request, handler)

    application.middlewares.insert(0, watched)
    runner = web.AppRunner(
        application, access_log=None, logger=_requests, shutdown_timeout=1.0, **options
    )
    await runner.setup()
    connections.server = runner.server
    async with AsyncExitStack() as stack:
        stack.push_async_callback(runner.cleanup)
        try:
            port = await stack.enter_async_context(connections.listen(place.host, place.port))
        except OSError as error:
            raise AddressRefused(
                f"can't serve {place.what} at {place.host}:{place.port} "
                f"({os.strerror(error.errno or 0)}): set {place.port_setting} to a free port, or "
                f"to 0, and {place.host_setting} to an address of this machine"
            ) from None
        sweeping = asyncio.create_task(connections.sweep())
        stack.callback(sweeping.cancel)
        yield port

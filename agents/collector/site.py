"""The collector's two sites: one for senders, and one for operators."""

import logging
from collections.abc import Awaitable, Callable

from aiohttp import web

from agents.collector.answers import ANY_ORIGIN, Refused, error_answer, json_answer
from agents.collector.browsers import add_settings
from agents.collector.operations import TAKING, WEBHOOK, WEBHOOK_EXISTS, Exists
from agents.collector.taking import Collector
from agents.ration import WebTime
from agents.web.connections import Handler
from agents.web.operation import add_operations, add_with_slash
from agents.web.operations import LIVE, READY, Health
from agents.web.server import Readiness, process_site
from models.collecting.requests import Route
from streams.collector.metrics import CollectorMetrics
from streams.collector.shared_outbox import SharedOutbox

log = logging.getLogger(__name__)

_PREFLIGHT = {
    **ANY_ORIGIN,
    "Access-Control-Allow-Methods": "GET, POST, OPTIONS",
    "Access-Control-Max-Age": "86400",
}
#: A browser asks for a few headers; a longer list is not echoed.
_ASKED_LENGTH_MAX = 1_024

#: Added to the answer for an unknown address.
_HERE = ": post events to /v1/track or /v1/batch; docs/collector.md lists all addresses"

_Answer = Callable[[web.Request], Awaitable[web.Response]]


def collecting_site(collector: Collector) -> web.Application:
    """The site to which clients send events."""
    application = web.Application(middlewares=[_as_clients_expect])
    for operation, route in TAKING:
        add_with_slash(application, operation, _taking(collector, route))
    add_operations(application, (WEBHOOK, collector.answer_webhook), (WEBHOOK_EXISTS, _exists))
    add_settings(application, collector.source_named)
    _add_health(application, collector)
    return application


def operators_site(
    collector: Collector,
    metrics: CollectorMetrics,
    outbox: SharedOutbox,
    time: WebTime | None = None,
) -> web.Application:
    """Metrics and health, for operators only."""

    def draw() -> bytes:
        metrics.waiting_bytes.set(outbox.waiting_bytes)
        return metrics.exposition()

    return process_site(draw, Readiness(collector.problems), time)


async def _exists(_: web.Request) -> web.Response:
    """For people, and for vendors that check the address before they send: Intercom uses HEAD."""
    return json_answer(Exists(True, "post signed webhooks here"))


def _taking(collector: Collector, route: Route) -> _Answer:
    async def take(request: web.Request) -> web.Response:
        return await collector.answer(request, route)

    return take


def _add_health(application: web.Application, collector: Collector) -> None:
    async def live(_: web.Request) -> web.Response:
        return json_answer(Health("live"))

    async def ready(_: web.Request) -> web.Response:
        problems = collector.problems()
        if not problems:
            return json_answer(Health("ready"))
        return json_answer(Health("not ready", tuple(problems)), 503)

    add_operations(application, (LIVE, live), (READY, ready))


def _preflight(request: web.Request) -> web.Response:
    """Allow a page of any origin to send, with the headers that its library uses."""
    asked = request.headers.get("Access-Control-Request-Headers", "")
    headers = dict(_PREFLIGHT)
    if 0 < len(asked) <= _ASKED_LENGTH_MAX:
        headers["Access-Control-Allow-Headers"] = asked
    return web.Response(status=204, headers=headers)


@web.middleware
async def _as_clients_expect(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer preflight requests, and turn errors into JSON."""
    if request.method == "OPTIONS":
        return _preflight(request)
    try:
        return await handler(request)
    except web.HTTPException as error:
        code = (error.reason or "error").lower().replace(" ", "_")
        refused = Refused(error.status, code, f"{request.method} {error.reason}{_HERE}")
        response = error_answer(refused)
        if "Allow" in error.headers:
            response.headers["Allow"] = error.headers["Allow"]
        return response
    except Exception:
        log.exception("a request failed")
        return error_answer(Refused(500, "internal", "the collector failed; see its log"))

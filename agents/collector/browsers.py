"""The configuration that browser libraries fetch before they send: the destinations and their
addresses.

There is one destination, this collector. The answers contain what the libraries of Segment and
RudderStack need.
"""

from collections.abc import Callable

from aiohttp import web

from agents.collector.answers import Refused, error_answer, json_answer
from agents.collector.operations import RUDDERSTACK_SETTINGS, SEGMENT_SETTINGS
from agents.collector.taking import UNAUTHORIZED, write_key_of
from agents.web.operation import add_operations, add_with_slash

NameOf = Callable[[str], str | None]

_SCHEMES = ("http", "https")


def add_settings(application: web.Application, source_named: NameOf) -> None:
    """``source_named``: returns the source of a write key."""

    async def segment_settings(request: web.Request) -> web.Response:
        key = request.match_info["key"]
        if source_named(key) is None:
            return error_answer(Refused(*UNAUTHORIZED))
        here = {"apiKey": key, "apiHost": f"{request.host}/v1", "protocol": _scheme(request)}
        return json_answer({"integrations": {"Segment.io": here}})

    async def rudderstack_settings(request: web.Request) -> web.Response:
        key = write_key_of(request) or ""
        name = source_named(key)
        if name is None:
            return error_answer(Refused(*UNAUTHORIZED))
        off = {"enabled": False}
        source = {
            "id": name,
            "name": name,
            "writeKey": key,
            "enabled": True,
            "workspaceId": name,
            "updatedAt": "2026-01-01T00:00:00.000Z",
            # The library must not collect statistics about itself.
            "config": {"statsCollection": {"errors": off, "metrics": off}},
            "destinations": [],
            "dataplanes": {},
        }
        return json_answer({"source": source, "updatedAt": source["updatedAt"]})

    add_operations(application, (SEGMENT_SETTINGS, segment_settings))
    add_with_slash(application, RUDDERSTACK_SETTINGS, rudderstack_settings)


def _scheme(request: web.Request) -> str:
    """The client's scheme, as reported by the proxy that ends TLS."""
    stated = request.headers.get("X-Forwarded-Proto", "")
    return stated if stated in _SCHEMES else request.scheme

"""The console's site: who may enter, and the headers of every answer."""

import hmac
import logging
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import urlsplit

from aiohttp import web

from agents.console import (
    customer_pages,
    event_pages,
    live_pages,
    login_pages,
    model_pages,
    pipeline_pages,
    rules_pages,
    segment_pages,
    shop_pages,
)
from agents.console.console import SESSION, Console, cookie_name
from agents.web.connections import Handler

log = logging.getLogger(__name__)

#: A form has an id, a condition, a token, or an event; each character may take three bytes.
FORM_BYTES_MAX = 256 * 1024

#: Pages load nothing from elsewhere and run no inline scripts.
HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
        "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    # Not no-referrer: browsers would then omit the origin of a form, which is checked.
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}
_PAGES = (
    login_pages,
    live_pages,
    customer_pages,
    segment_pages,
    rules_pages,
    model_pages,
    shop_pages,
    pipeline_pages,
    event_pages,
)
_OPEN = ("/login", "/health/live", "/health/ready")
_ASSETS = "/static/"


class _Excuse(NamedTuple):
    """What to show instead of a page."""

    title: str
    words: str


_EXCUSES = {
    403: _Excuse("Not allowed", "This form is not of your session: go back, reload, try again."),
    404: _Excuse("Nothing here", "There is no such page. Links to customers last as long as the "
                 "console runs: find the customer by their id again."),
    413: _Excuse("Too much", "The form has more than the console takes."),
}  # fmt: skip


def console_site(console: Console) -> web.Application:
    """Return the application."""
    application = web.Application(
        middlewares=[_Outgoing(console).answered, _Incoming(console).admitted],
        client_max_size=FORM_BYTES_MAX,
    )
    health = _Health(console)
    application.router.add_get("/health/live", health.live)
    application.router.add_get("/health/ready", health.ready)
    application.router.add_get(_ASSETS + "{name}", _Assets(console).answer)
    for pages in _PAGES:
        pages.add_pages(application, console)
    return application


class _Health:
    """Whether the process answers, and whether it receives decisions. Neither needs a login."""

    def __init__(self, console: Console) -> None:
        self._console = console

    async def live(self, _: web.Request) -> web.Response:
        return web.json_response({"status": "live"})

    async def ready(self, _: web.Request) -> web.Response:
        if (problem := self._console.problem) is None:
            return web.json_response({"status": "ready"})
        return web.json_response({"status": "not ready", "problems": [problem]}, status=503)


class _Assets:
    def __init__(self, console: Console) -> None:
        self._assets = console.rendering.assets

    async def answer(self, request: web.Request) -> web.Response:
        asset = self._assets.get(request.match_info["name"])
        if asset is None:
            raise web.HTTPNotFound
        headers = {"Cache-Control": "public, max-age=31536000, immutable"}
        return web.Response(body=asset.content, content_type=asset.kind, headers=headers)


class _Outgoing:
    """Turns errors into pages, and adds headers to every answer that keep it private."""

    def __init__(self, console: Console) -> None:
        self._console = console

    @web.middleware
    async def answered(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            answer = await handler(request)
        except web.HTTPRedirection as moved:
            moved.headers.update(HEADERS)
            raise
        except web.HTTPException as error:
            answer = self._excused(request, error.status)
        except Exception:
            # Without the request's address, which may name a customer.
            log.exception("a page failed")
            answer = self._excused(request, 500)
        if not answer.prepared:
            for name, value in HEADERS.items():
                answer.headers.setdefault(name, value)
        return answer

    def _excused(self, request: web.Request, status: int) -> web.Response:
        title, words = _EXCUSES.get(
            status, _Excuse("It did not work", "The console's log has why.")
        )
        session = request.get(SESSION)
        return self._console.rendering.page(
            "excuse.html", status=status, title=title, words=words, session=session, here=""
        )


class _Incoming:
    """Sends visitors without a session to the login, and refuses a form that lacks the session's
    token.
    """

    def __init__(self, console: Console) -> None:
        self._console = console

    @web.middleware
    async def admitted(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.method == "POST" and not _is_from_here(request):
            raise web.HTTPForbidden
        if request.path in _OPEN or request.path.startswith(_ASSETS):
            return await handler(request)
        session = self._console.sessions.find(request.cookies.get(cookie_name(request), ""))
        if session is None:
            raise web.HTTPSeeOther("/login")
        request[SESSION] = session
        if request.method == "POST":
            given = (await request.post()).get("form_token", "")
            if not isinstance(given, str) or not hmac.compare_digest(
                given.encode(), session.form_token.encode()
            ):
                raise web.HTTPForbidden
        return await handler(request)


def _is_from_here(request: web.Request) -> bool:
    """Whether a form was sent by a page of this address. Browsers say so; other programs may omit
    it.
    """
    origin = request.headers.get("Origin")
    return origin is None or urlsplit(origin).netloc == request.host

"""Logging in with a token, and logging out."""

import logging

from aiohttp import web

from agents.console.console import Console, cookie_name
from agents.console.sessions import LASTS_S

log = logging.getLogger(__name__)

#: Longer than any token.
_TOKEN_LENGTH_MAX = 200


def add_pages(application: web.Application, console: Console) -> None:
    pages = _LoginPages(console)
    application.router.add_get("/login", pages.ask)
    application.router.add_post("/login", pages.enter)
    application.router.add_post("/logout", pages.leave)


class _LoginPages:
    def __init__(self, console: Console) -> None:
        self._console = console

    async def ask(self, _: web.Request) -> web.Response:
        return self._asked(200, "")

    async def enter(self, request: web.Request) -> web.Response:
        token = str((await request.post()).get("token", "")).strip()[:_TOKEN_LENGTH_MAX]
        found = self._console.people.find(token)
        if found is None:
            return self._asked(401, "Nobody has this token. Copy all of it, without blanks.")
        name, role = found
        log.info("%s has logged in as %s", name, role)
        answer = _moved("/")
        answer.set_cookie(
            cookie_name(request),
            self._console.sessions.open(name, role),
            max_age=int(LASTS_S),
            path="/",
            httponly=True,
            samesite="Strict",
            # A proxy that serves the console over HTTPS sets this header; the cookie is then for
            # HTTPS only.
            secure=request.headers.get("X-Forwarded-Proto") == "https",
        )
        return answer

    async def leave(self, request: web.Request) -> web.Response:
        self._console.sessions.close(request.cookies.get(cookie_name(request), ""))
        answer = _moved("/login")
        answer.del_cookie(cookie_name(request), path="/")
        return answer

    def _asked(self, status: int, problem: str) -> web.Response:
        return self._console.rendering.page(
            "login.html", status=status, session=None, here="", problem=problem
        )


def _moved(address: str) -> web.Response:
    """A redirect, on which a cookie may be set."""
    return web.Response(status=303, headers={"Location": address})

"""The rules in words."""

from aiohttp import web

from agents.console.console import Console
from agents.console.pages.rules import rules_view
from models.decisions.policy import compile_policy


def add_pages(application: web.Application, console: Console) -> None:
    view = rules_view(compile_policy(console.parameters), console.parameters)

    async def show(request: web.Request) -> web.Response:
        return console.page(request, "rules.html", "rules", rules=view)

    application.router.add_get("/rules", show)

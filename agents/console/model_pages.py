"""The models, and how good they are."""

from aiohttp import web

from agents.console.console import Console
from agents.console.pages.model import model_views

#: The doctor's checks that are of models.
CHECKS = ("model", "scores")


def add_pages(application: web.Application, console: Console) -> None:
    async def show(request: web.Request) -> web.Response:
        found = await console.checkup.found()
        snapshot = found.facts.snapshot if found is not None else None
        findings = [one for one in found.findings if one.check in CHECKS] if found else []
        return console.page(
            request,
            "model.html",
            "model",
            is_known=found is not None,
            findings=findings,
            models=model_views(snapshot),
        )

    application.router.add_get("/model", show)

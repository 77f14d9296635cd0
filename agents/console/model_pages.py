"""The models: which serves, how good each is and was, and whether features have drifted."""

from aiohttp import web

from agents.console.console import Console
from agents.console.pages.model import model_views, standing_of
from agents.console.pages.model_trends import drift_view, trend_views

#: The doctor's checks that concern models.
CHECKS = ("model", "scores")


def add_pages(application: web.Application, console: Console) -> None:
    async def show(request: web.Request) -> web.Response:
        found = await console.checkup.found()
        history = console.models
        snapshot = found.facts.snapshot if found is not None else None
        findings = [one for one in found.findings if one.check in CHECKS] if found else []
        models = model_views(snapshot)
        return console.page(
            request,
            "model.html",
            "model",
            is_known=found is not None,
            findings=findings,
            standing=standing_of(found.facts) if found is not None else (),
            models=models,
            trends={one.horizon: trend_views(history.points, one.horizon) for one in models},
            drifts={one.horizon: drift_view(history.shifts(one.horizon)) for one in models},
        )

    application.router.add_get("/model", show)

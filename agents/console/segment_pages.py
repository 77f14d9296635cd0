"""The segments: their definitions, their members, and how membership has changed."""

from aiohttp import web

from agents.console.console import Console
from agents.console.pages.segments import definitions_of, segment_views


def add_pages(application: web.Application, console: Console) -> None:
    definitions = definitions_of(console.parameters)

    async def show(request: web.Request) -> web.Response:
        latest = await console.shop.latest()
        found = latest.found if latest is not None else None
        partitions = found.partitions if found is not None else ()
        return console.page(
            request,
            "segments.html",
            "segments",
            is_known=latest is not None,
            problem=latest.problem if latest is not None else "",
            found=found,
            segments=segment_views(definitions, partitions, console.models.points),
            file=console.parameters.segments.file,
        )

    application.router.add_get("/segments", show)

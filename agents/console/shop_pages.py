"""The shop: RFM map, segments and other counts of customers, measures over time."""

from aiohttp import web

from agents.console.console import Console
from agents.console.pages.lift import lift_views, without_lift
from agents.console.pages.measure_tables import measure_tables
from agents.console.pages.segments import definitions_of, segment_views
from agents.console.pages.shop import (
    as_of,
    kinds_views,
    map_view,
    measure_views,
)
from agents.console.shop_counts import MAP, WORTH
from models.customer.registry import FACTS


def add_pages(application: web.Application, console: Console) -> None:
    definitions = definitions_of(console.parameters)

    async def show(request: web.Request) -> web.Response:
        latest = await console.shop.latest()
        found = latest.found if latest is not None else None
        counts = found.counts if found is not None else ()
        points = console.models.points
        return console.page(
            request,
            "shop.html",
            "shop",
            is_known=latest is not None,
            problem=latest.problem if latest is not None else "",
            found=found,
            worth=WORTH,
            map=map_view(counts, MAP),
            segments=segment_views(definitions, found.partitions) if found else (),
            facts=kinds_views(counts, FACTS, console.parameters),
            measures=measure_views(points),
            tables=measure_tables(without_lift(points[-1].samples) if points else ()),
            lift=lift_views(points[-1].samples if points else (), console.parameters),
            as_of=as_of(points),
        )

    application.router.add_get("/shop", show)

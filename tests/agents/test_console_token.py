"""The console sends the token to workers, also after a redirect."""

import asyncio
import json

from agents.console.knowledge import CustomersAsked
from agents.web.server import LiveCustomers, Readiness, routes, serving
from config.settings import load_settings
from streams.metrics import Metrics

TOKEN = "0123456789-abcdef"


def test_who_is_sent_on_to_another_worker_shows_it_the_token() -> None:
    settings = load_settings({"KEEPSTREAM_WEB_TOKEN": TOKEN}, web_port=0)

    async def ask() -> tuple[int, bytes]:
        there = routes(
            Metrics(), Readiness(list), LiveCustomers(lambda _: b'{"userId":"ada"}'), lambda: None
        )
        async with serving(there, settings) as port:
            sent_on = LiveCustomers(lambda _: None, owner=lambda _: f"http://127.0.0.1:{port}")
            here = routes(Metrics(), Readiness(list), sent_on, lambda: None)
            async with serving(here, settings) as own:
                url = f"http://127.0.0.1:{own}/customers/ada"
                return await CustomersAsked(settings)._got(url, {}, 30.0)

    status, content = asyncio.run(ask())
    assert (200, {"userId": "ada"}) == (status, json.loads(content))

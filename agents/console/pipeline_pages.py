"""The state of the pipeline, and the operator's button that puts dead letters back."""

import logging
from pathlib import Path

from aiohttp import web

from agents.console.console import SESSION, Console
from agents.console.pages.pipeline import (
    rate_view,
    reason_views,
    retried_in_words,
    waiting_by_topic,
    worst_first,
)
from config.settings import SettingsError
from config.sources import sources_in
from models.events.dead_letter import DeadLetter
from models.events.rejection import Reason
from models.events.times import iso
from streams.collector.mappings import mappings_in
from streams.collector.webhook_letters import WebhookReader
from streams.dead_letters import is_retried, retry_dead_letters
from streams.kafka_clients import BrokerUnreachable
from streams.rights import RightsError, require_rights
from streams.topics import TopicsError

log = logging.getLogger(__name__)


def add_pages(application: web.Application, console: Console) -> None:
    pages = _PipelinePages(console)
    application.router.add_get("/pipeline", pages.show)
    application.router.add_post("/pipeline/retry", pages.retry)


class _PipelinePages:
    def __init__(self, console: Console) -> None:
        self._console = console

    async def show(self, request: web.Request) -> web.Response:
        return await self._shown(request, "")

    async def retry(self, request: web.Request) -> web.Response:
        """Put the letters of one reason back on their topics: the only action on this page that
        writes.
        """
        session = request[SESSION]
        if not session.is_operator:
            raise web.HTTPForbidden
        form = await request.post()
        try:
            reason = Reason(str(form.get("reason", "")))
        except ValueError:
            raise web.HTTPNotFound from None

        def is_wanted(letter: DeadLetter) -> bool:
            return letter.reason == reason and is_retried(letter, include_late=False)

        try:
            require_rights(self._console.settings, "dead-letters retry")
            reader = self._webhook_reader()
            counts = await retry_dead_letters(self._console.settings, is_wanted, reader)
            self._console.letters.expire()
        except (BrokerUnreachable, TopicsError, RightsError, SettingsError) as error:
            return await self._shown(request, f"They could not be put back: {error}")
        log.info("%s has put back %d letters refused as %s", session.name, counts.total(), reason)
        stay = reader.unread
        for count in reader.unknown.values():
            stay += count
        return await self._shown(request, retried_in_words(counts.total(), str(reason), stay))

    def _webhook_reader(self) -> WebhookReader:
        """Translates refused webhooks again, as `keepstream dead-letters retry` does."""
        sources = self._console.settings.collector_sources
        return WebhookReader(mappings_in(sources_in(Path(sources))) if sources else {})

    async def _shown(self, request: web.Request, news: str) -> web.Response:
        console = self._console
        found = await console.checkup.found()
        waiting = waiting_by_topic(found.facts.positions) if found is not None else {}
        letters, problem = await console.letters.latest()
        rates = console.rates
        return console.page(
            request,
            "pipeline.html",
            "pipeline",
            news=news,
            findings=worst_first(found.findings) if found is not None else (),
            looked_at=iso(found.facts.at_ms) if found is not None else "",
            rates=[
                rate_view(topic, rates.per_second(topic), waiting.get(topic))
                for topic in rates.topics
            ],
            rates_problem=rates.problem,
            reasons=reason_views(letters),
            letters_problem=problem,
        )

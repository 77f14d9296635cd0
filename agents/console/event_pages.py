"""Dry runs of events; and, for operators, sending an event or mending a dead letter."""

import logging
from secrets import token_hex
from time import time
from typing import NamedTuple

from aiohttp import web

from agents.console.console import SESSION, Console
from agents.console.knowledge import CustomersAsked
from agents.console.pages.dry_run import DryRunView, dry_run_view
from config.topics import RAW_TOPICS
from models.events.dead_letter import WEBHOOK
from models.events.rejection import Rejected
from models.events.times import iso
from streams.dead_letters import StoredLetter, find_letter, mended, parcel_of, put_back
from streams.kafka_clients import BrokerUnreachable
from streams.mending import Draft, on_one_line, parcel_of_draft, publish, readable
from streams.rights import RightsError, require_rights
from streams.topics import TopicsError

log = logging.getLogger(__name__)

#: The event that the form starts with.
_EXAMPLE = """{{
  "type": "track",
  "event": "Product Added",
  "userId": "ada",
  "timestamp": "{now}",
  "properties": {{"product_id": "p-1", "price": 30.0, "quantity": 2}}
}}"""
_GONE = "There is no such dead letter, or it was put back."
_NOT_AN_EVENT = (
    "This is what a vendor sent, and no event: mend how it is read, and put its reason back."
)


class _Written(NamedTuple):
    """What the user wrote. ``letter``: the place of the dead letter that was copied, empty for a
    new event; ``message_id``: used if the event has none.
    """

    text: str
    topic: str = ""
    letter: str = ""
    message_id: str = ""

    @property
    def content(self) -> bytes:
        return on_one_line(self.text.encode())


def add_pages(application: web.Application, console: Console) -> None:
    pages = _EventPages(console)
    application.router.add_get("/pipeline/event", pages.ask)
    application.router.add_get("/pipeline/letters/{place}", pages.open)
    application.router.add_post("/pipeline/event", pages.look)
    application.router.add_post("/pipeline/event/send", pages.send)


class _EventPages:
    def __init__(self, console: Console) -> None:
        self._console = console
        self._customers = CustomersAsked(console.settings)

    async def ask(self, request: web.Request) -> web.Response:
        example = _EXAMPLE.format(now=iso(_now_ms()))
        return self._page(request, _Written(example, message_id=_new_id()))

    async def open(self, request: web.Request) -> web.Response:
        """Show a dead letter for editing."""
        written, problem = _Written("", letter=request.match_info["place"]), ""
        try:
            stored = await self._letter(written.letter)
        except (BrokerUnreachable, TopicsError) as error:
            return self._page(request, written, problem=str(error))
        if stored is None or stored.letter is None:
            raise web.HTTPNotFound(text=_GONE)
        if stored.letter.step == WEBHOOK:
            text = readable(stored.letter.content())
            return self._page(request, written._replace(text=text), problem=_NOT_AN_EVENT)
        parcel = parcel_of(stored.letter)
        written = written._replace(text=readable(parcel.value), topic=parcel.topic)
        return self._page(request, written, problem=problem, letter=stored)

    async def look(self, request: web.Request) -> web.Response:
        """Ask the customer's worker what the event would do; nothing is sent."""
        written = await _written(request)
        answer = await self._customers.dry_run(written.content, written.topic)
        if answer.found is None:
            return self._page(request, written, problem=answer.problem)
        view = dry_run_view(answer.found, self._console.currency)
        readable_one = written._replace(text=readable(written.content))
        return self._page(request, readable_one, view=view)

    async def send(self, request: web.Request) -> web.Response:
        """Publish the event, or put it back in place of its dead letter, if workers would accept
        it.
        """
        session, written = request[SESSION], await _written(request)
        if not session.is_operator:
            raise web.HTTPForbidden
        try:
            topic = await (self._put_back(written) if written.letter else self._publish(written))
        except Rejected as no:
            why = f"It would be refused, and was not sent: {no.reason} at {no.path}, {no.detail}"
            return self._page(request, written, problem=f"{why} → {no.fix}")
        except (BrokerUnreachable, TopicsError, RightsError) as error:
            return self._page(request, written, problem=str(error))
        what = f"dead letter {written.letter}, mended," if written.letter else "an event"
        log.info("%s has sent %s to %s", session.name, what, topic)
        self._console.letters.expire()
        again = _Written(written.text, message_id=_new_id())
        news = "It is closed. " if written.letter else ""
        return self._page(request, again, news=f"Sent to {topic}. {news}".strip())

    async def _publish(self, written: _Written) -> str:
        settings = self._console.settings
        draft = Draft(written.content, written.topic, written.message_id or _new_id())
        parcel = parcel_of_draft(draft, self._console.parameters, _now_ms())
        require_rights(settings, "publish")
        await publish(settings, parcel)
        return parcel.topic

    async def _put_back(self, written: _Written) -> str:
        settings, parameters = self._console.settings, self._console.parameters
        require_rights(settings, "dead-letters mend")
        stored = await self._letter(written.letter)
        if stored is None or stored.letter is None or stored.letter.step == WEBHOOK:
            raise TopicsError(_GONE)
        parcel = parcel_of(mended(stored.letter, written.content))
        # An event that workers would refuse again is not sent.
        parcel_of_draft(Draft(parcel.value, parcel.topic, _new_id()), parameters, _now_ms())
        await put_back(settings, stored, parcel)
        return parcel.topic

    async def _letter(self, place: str) -> StoredLetter | None:
        partition, _, offset = place.partition("-")
        if not (partition.isascii() and partition.isdigit() and len(partition) <= 6):
            return None
        if not (offset.isascii() and offset.isdigit() and len(offset) <= 18):
            return None
        return await find_letter(self._console.settings, int(partition), int(offset))

    def _page(
        self,
        request: web.Request,
        written: _Written,
        *,
        view: DryRunView | None = None,
        news: str = "",
        problem: str = "",
        letter: StoredLetter | None = None,
    ) -> web.Response:
        return self._console.page(
            request,
            "event.html",
            "pipeline",
            written=written,
            view=view,
            news=news,
            problem=problem,
            letter=letter.letter if letter is not None else None,
            topics=RAW_TOPICS,
        )


async def _written(request: web.Request) -> _Written:
    form = await request.post()
    given = {name: str(form.get(name, "")) for name in _Written._fields}
    topic = given["topic"] if given["topic"] in RAW_TOPICS else ""
    return _Written(**{**given, "topic": topic})


def _new_id() -> str:
    return f"console-{token_hex(8)}"


def _now_ms() -> int:
    return int(time() * 1_000)

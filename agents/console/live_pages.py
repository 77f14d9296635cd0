"""Decisions as they are made, and the receipt of each decision."""

import asyncio
import re

from aiohttp import web

from agents.console.console import Console
from agents.console.knowledge import CustomersAsked
from agents.console.ledger import look_in_ledger
from agents.console.memory import HeardMoment
from agents.console.pages.live import TONES, LiveEntry, entry_of
from agents.console.pages.receipt import receipt_of
from streams.decision_ledger import Found, Question

#: Entries on the page when it opens.
ENTRIES_MAX = 100
#: A stream ends after so long, and the browser reconnects where it stopped. So the console can
#: always stop, and connections that nobody reads are closed.
STREAM_S = 20.0
RETURN_MS = 300
#: Seconds between checks for a problem.
PROBLEM_LOOK_S = 1.0
_ID = re.compile(r"[0-9a-f]{32}")


def add_pages(application: web.Application, console: Console) -> None:
    pages = _LivePages(console)
    application.router.add_get("/", pages.show)
    application.router.add_get("/live/stream", pages.stream)
    application.router.add_get("/decisions/{id}", pages.receipt)


class _LivePages:
    def __init__(self, console: Console) -> None:
        self._console = console
        self._customers = CustomersAsked(console.settings)

    async def show(self, request: web.Request) -> web.Response:
        memory, tone = self._console.memory, _tone(request)
        entries = []
        for heard in memory.newest_first():
            if (entry := self._entry(heard.found, tone)) is not None:
                entries.append(entry)
            if len(entries) == ENTRIES_MAX:
                break
        return self._console.page(
            request,
            "live.html",
            "live",
            entries=entries,
            tones=TONES,
            tone=tone,
            since=f"{memory.run}-{memory.number}",
            problem=self._console.problem,
        )

    async def stream(self, request: web.Request) -> web.StreamResponse:
        """Server-sent events: each moment after the last one received, as the page shows it, and
        any problem that stops news. If the last one is from another run of the console, tells the
        page to reload.
        """
        memory, tone = self._console.memory, _tone(request)
        last = request.headers.get("Last-Event-ID") or request.query.get("since", "")
        run, _, number = last.partition("-")
        answer = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        answer.headers["Cache-Control"] = "no-store"
        await answer.prepare(request)
        if run != memory.run or not number.isdigit() or len(number) > 15:
            await answer.write(b"event: restart\ndata:\n\n")
            return answer
        await answer.write(b"retry: %d\n\n" % RETURN_MS)
        heard_of, told = int(number), None
        until_s = asyncio.get_running_loop().time() + STREAM_S
        while (left_s := until_s - asyncio.get_running_loop().time()) > 0:
            try:
                if self._console.problem != told:
                    told = self._console.problem
                    await answer.write(_problem_event(told))
                for heard in memory.after(heard_of):
                    heard_of = heard.number
                    await answer.write(self._event(heard, tone))
            except ConnectionResetError:
                # The user left the page.
                return answer
            await memory.wait(heard_of, min(left_s, PROBLEM_LOOK_S))
        return answer

    def _event(self, heard: HeardMoment, tone: str) -> bytes:
        place = f"id: {self._console.memory.run}-{heard.number}\n"
        entry = self._entry(heard.found, tone)
        if entry is None:
            # Only an id to resume from, without an event.
            return f"{place}\n".encode()
        text = self._console.rendering.text("entry.html", entry=entry)
        data = "".join(f"data: {line}\n" for line in text.splitlines() if line.strip())
        return f"event: moment\n{place}{data}\n".encode()

    def _entry(self, found: Found, tone: str) -> LiveEntry | None:
        entry = entry_of(found, self._console.currency)
        return entry if entry is not None and tone in ("", entry.tone) else None

    async def receipt(self, request: web.Request) -> web.Response:
        decision_id = request.match_info["id"]
        if not _ID.fullmatch(decision_id):
            raise web.HTTPNotFound
        memory = self._console.memory
        found = await self._moment(decision_id)
        if found is not None and found.withdrawal is not None:
            # The receipt of the withdrawn decision says so.
            found = await self._moment(found.withdrawal.decision_id)
        if found is None or not (found.action or found.triggers):
            raise web.HTTPNotFound
        first = found.action or found.triggers[0]
        answer = await self._customers.profile(first.user_id)
        receipt = receipt_of(
            found,
            self._console.currency,
            answer.profile.decisions if answer.profile is not None else (),
            memory.withdrawal(found.action.id) if found.action is not None else None,
        )
        return self._console.page(request, "receipt.html", "live", receipt=receipt)

    async def _moment(self, decision_id: str) -> Found | None:
        """The moment of a decision: from memory, else from the ledger if it is found in time."""
        if (known := self._console.memory.find(decision_id)) is not None:
            return known
        found = await look_in_ledger(self._console.settings, Question(decision_id))
        return found[0] if found else None


def _problem_event(problem: str | None) -> bytes:
    """The event that says why no news arrives; empty once news arrives again."""
    words = " ".join((problem or "").split())
    return f"event: problem\ndata: {words}\n\n".encode()


def _tone(request: web.Request) -> str:
    """The tone that the page is filtered by; empty for all."""
    tone = request.query.get("show", "")
    return tone if tone in TONES else ""

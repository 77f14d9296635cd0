"""One request of a client, from its body to what it is answered.

A batch with bad events in it is a 200: these are dead letters, and the rest is published. An answer
that is no 200 says that nothing of the request is known to be published.
"""

import asyncio
import contextlib
from base64 import b64decode
from collections.abc import Mapping
from time import monotonic, time

from aiohttp import web

from agents.collector.answers import Refused, error_answer, json_answer
from agents.collector.bodies import read_body
from agents.collector.operations import RefusedEvent, Taken
from config.parameters import Parameters
from config.sources import Senders
from models.collecting.arrival import Arrival
from models.collecting.requests import Body, Route, opened
from models.collecting.throttle import Throttle
from models.events.rejection import Rejected
from streams.collector.intake import Intake
from streams.collector.metrics import CollectorMetrics
from streams.collector.recent_ids import RecentIds
from streams.collector.shared_outbox import NotWritten, SharedOutbox

#: When Kafka is away, clients may try again after so many seconds.
RETRY_S = 5
#: Other requests are seen to after so many events of one.
EVENTS_A_TURN = 50

_NO_KEY = (
    "no known write key: send it as the user of basic authentication, as X-Write-Key, or as "
    "writeKey in the body"
)
UNAUTHORIZED = (401, "unauthorized", _NO_KEY)


class Collector:
    """Takes requests: one of these serves them all."""

    def __init__(
        self,
        senders: Senders,
        parameters: Parameters,
        partitions: Mapping[str, int],
        outbox: SharedOutbox,
        metrics: CollectorMetrics,
    ) -> None:
        self._senders = senders
        self._parameters = parameters
        self._partitions = partitions
        self._outbox = outbox
        self._metrics = metrics
        self._throttles = {
            name: Throttle(one.events_per_second, one.burst)
            for name, one in senders.sources.items()
        }
        self._recent = RecentIds()
        self._in_hand = 0
        self._settled = asyncio.Event()
        self.is_closing = False

    def source_named(self, write_key: str) -> str | None:
        """The source that a write key is of; None for a key of nobody."""
        return self._senders.name_of(write_key)

    def problems(self) -> list[str]:
        """The reasons why nothing can be taken; empty if all is well."""
        if self.is_closing:
            return ["the collector is stopping"]
        problem = self._outbox.problem()
        return [problem] if problem is not None else []

    async def settle(self, longest_s: float) -> None:
        """Wait until every request that was begun is answered, or this long."""
        if self._in_hand:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._settled.wait(), longest_s)

    async def answer(self, request: web.Request, route: Route) -> web.Response:
        """Take what a request brings, and say what became of it."""
        self._in_hand += 1
        try:
            return await self._answer(request, route)
        finally:
            self._in_hand -= 1
            if self.is_closing and not self._in_hand:
                self._settled.set()

    async def _answer(self, request: web.Request, route: Route) -> web.Response:
        source: str | None = None
        try:
            if self.is_closing:
                raise Refused(503, "stopping", "the collector is stopping", RETRY_S)
            content = await read_body(request)
            started_s = monotonic()
            body = _opened(content, route)
            source = self._source_of(request, body)
            response = json_answer(await self._take(source, body, route))
            self._metrics.seconds.observe(monotonic() - started_s)
        except Refused as refused:
            response = error_answer(refused)
            if not request.content.is_eof():
                # What is left of the body is not waited for.
                response.force_close()
        self._metrics.count_request(source, response.status)
        return response

    async def _take(self, source: str, body: Body, route: Route) -> Taken:
        throttle = self._throttles[source]
        if wait_s := throttle.wait_s(monotonic()):
            raise Refused(429, "too_many_events", "this source sends too much", wait_s)
        throttle.take(len(body.events), monotonic())
        arrival = Arrival(int(time() * 1_000), route.form, body.sent_at, route.type, body.context)
        intake = Intake(
            arrival,
            self._parameters,
            self._partitions,
            source,
            is_trusted=self._senders.sources[source].is_trusted,
        )
        for number, raw in enumerate(body.events):
            intake.take(number, raw)
            if number % EVENTS_A_TURN == EVENTS_A_TURN - 1:
                await asyncio.sleep(0)
        if intake.records:
            try:
                await self._outbox.write(intake.records)
            except NotWritten as error:
                raise Refused(503, "unavailable", str(error), RETRY_S) from None
        self._count(source, arrival, intake)
        errors = tuple(
            RefusedEvent(number, one.reason, one.path, one.detail, one.fix)
            for number, one in intake.refusals
        )
        refused = intake.refused.total()
        return Taken(success=True, accepted=intake.accepted, refused=refused, errors=errors)

    def _count(self, source: str, arrival: Arrival, intake: Intake) -> None:
        known = [self._recent.add(source, one) for one in intake.message_ids]
        self._metrics.count_events(
            source,
            accepted=intake.accepted,
            refused=intake.refused,
            duplicate=known.count(True),
            late=intake.late,
            left_out=intake.left_out,
            incomplete=intake.incomplete,
        )
        if (skew_ms := arrival.skew_ms) is not None:
            self._metrics.note_skew(source, skew_ms)

    def _source_of(self, request: web.Request, body: Body) -> str:
        key = write_key_of(request) or body.write_key
        source = self._senders.name_of(key) if key else None
        if source is None:
            raise Refused(*UNAUTHORIZED)
        return source


def write_key_of(request: web.Request) -> str | None:
    """The write key in a request's headers or query; None if there is none."""
    kind, _, credentials = request.headers.get("Authorization", "").partition(" ")
    if kind.lower() == "basic":
        try:
            user = b64decode(credentials, validate=True).decode().partition(":")[0]
        except ValueError:
            user = ""
        if user:
            return user
    return request.headers.get("X-Write-Key") or request.query.get("writeKey")


def _opened(content: bytes, route: Route) -> Body:
    try:
        return opened(content, route)
    except Rejected as rejected:
        status = 413 if rejected.reason == "too_large" else 400
        message = f"{rejected.path}: {rejected.detail}; {rejected.fix}"
        raise Refused(status, str(rejected.reason), message) from None

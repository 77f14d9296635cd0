"""Handles one request of a client, from its body to its answer.

A batch with some bad events is answered with 200: the bad ones become dead letters, and the rest is
published. Any other status means that no event of the request is known to be published.
"""

import asyncio
import contextlib
from base64 import b64decode
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from time import monotonic, time
from typing import TYPE_CHECKING

from aiohttp import web
from msgspec.structs import replace

from agents.collector.answers import Refused, error_answer, json_answer
from agents.collector.bodies import read_body, read_bytes
from agents.collector.known_sources import KnownSources
from agents.collector.operations import RefusedEvent, Taken
from config.parameters import Parameters
from config.sources import Senders
from models.collecting.arrival import Arrival
from models.collecting.requests import Body, Route, opened
from models.collecting.signatures import is_signed
from models.collecting.throttle import Throttle
from models.collecting.vendor_mapping import Webhook
from models.events.rejection import Reason, Rejected
from streams.collector.intake import Intake
from streams.collector.metrics import CollectorMetrics
from streams.collector.recent_ids import RecentIds
from streams.collector.shared_outbox import NotWritten, SharedOutbox

if TYPE_CHECKING:
    # OpenTelemetry is optional.
    from streams.tracing import TracedStep, Traces

#: Seconds after which clients may retry while Kafka is unreachable.
RETRY_S = 5
#: Events of one request to process before other requests get a turn.
EVENTS_A_TURN = 50

_NO_KEY = (
    "no known write key: send it as the user of basic authentication, as X-Write-Key, or as "
    "writeKey in the body"
)
UNAUTHORIZED = (401, "unauthorized", _NO_KEY)
_EVENT_FIX = "send one event as a JSON object in UTF-8; docs/collector.md has an example"
_BATCH_FIX = 'send {"batch": [event, …]} as JSON in UTF-8, each event an object'
_UNSIGNED = (
    "the signature in {header} is missing, too old, or not made with this source's secret: put the "
    "vendor's secret into its secret_file, and keep this machine's clock right"
)
_NO_WEBHOOKS = "no webhooks are taken under this name: declare [webhooks.NAME] in the sources file"


class _Asked:
    """A request in progress, and its source once that is known."""

    def __init__(self, request: web.Request) -> None:
        self.request = request
        self.source: str | None = None
        self.step: TracedStep | None = None


_Take = Callable[[_Asked], Awaitable[Taken]]


class Collector:
    """Handles requests; one instance serves all of them."""

    def __init__(
        self,
        senders: Senders,
        parameters: Parameters,
        partitions: Mapping[str, int],
        outbox: SharedOutbox,
        metrics: CollectorMetrics,
        traces: "Traces | None" = None,
    ) -> None:
        """Raises ``RuleError`` for webhooks whose mapping can't be used."""
        self._known = KnownSources(senders)
        self._parameters = parameters
        self._partitions = partitions
        self._outbox = outbox
        self._metrics = metrics
        self._traces = traces
        self._recent = RecentIds()
        self._in_hand = 0
        self._settled = asyncio.Event()
        self.is_closing = False

    def know(self, senders: Senders) -> None:
        """Accept events of these sources only, from now on. Raises ``RuleError`` for webhooks whose
        mapping can't be used, and then keeps the previous sources.
        """
        self._known = KnownSources(senders, self._known)
        self._metrics.know(senders.limits)

    def source_named(self, write_key: str) -> str | None:
        """The source of a write key; None for an unknown key."""
        return self._known.senders.name_of(write_key)

    def problems(self) -> list[str]:
        """The reasons why no event can be accepted; empty if all is well."""
        if self.is_closing:
            return ["the collector is stopping"]
        problem = self._outbox.problem()
        return [problem] if problem is not None else []

    async def settle(self, longest_s: float) -> None:
        """Wait until every request in progress is answered, or for ``longest_s`` at most."""
        if self._in_hand:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._settled.wait(), longest_s)

    async def answer(self, request: web.Request, route: Route) -> web.Response:
        """Handle a request of a client library, and answer it."""
        return await self._answer(request, partial(self._take_events, route))

    async def answer_webhook(self, request: web.Request) -> web.Response:
        """Handle a vendor's webhook, and answer it."""
        return await self._answer(request, self._take_webhook)

    async def _answer(self, request: web.Request, take: _Take) -> web.Response:
        self._in_hand += 1
        asked = _Asked(request)
        if self._traces is not None:
            asked.step = self._traces.begin("collect", request.headers.get("traceparent"), {})
        try:
            if self.is_closing:
                raise Refused(503, "stopping", "the collector is stopping", RETRY_S)
            response = json_answer(await take(asked))
        except Refused as refused:
            response = error_answer(refused)
            if not request.content.is_eof():
                # Don't wait for the rest of the body.
                response.force_close()
        finally:
            self._in_hand -= 1
            if self.is_closing and not self._in_hand:
                self._settled.set()
        if asked.step is not None:
            asked.step.end("" if response.status == 200 else str(response.status))
        self._metrics.count_request(asked.source, response.status)
        return response

    async def _take_events(self, route: Route, asked: _Asked) -> Taken:
        content = await read_body(asked.request)
        started_s = monotonic()
        body = _opened(content, route)
        known = self._known
        asked.source = source = _source_of(asked.request, body, known)
        _admit(known.throttles[source], len(body.events))
        arrival = Arrival(
            int(time() * 1_000),
            route.form,
            body.sent_at,
            route.type,
            body.context,
            known.limits[source].is_batched,
        )
        intake = self._intake(known, source, arrival)
        for number, raw in enumerate(body.events):
            intake.take(number, raw)
            if number % EVENTS_A_TURN == EVENTS_A_TURN - 1:
                await asyncio.sleep(0)
        answer = await self._publish(asked, source, intake)
        if (skew_ms := arrival.skew_ms) is not None:
            self._metrics.note_skew(source, skew_ms)
        self._metrics.seconds.observe(monotonic() - started_s)
        return answer

    async def _take_webhook(self, asked: _Asked) -> Taken:
        name = asked.request.match_info["source"]
        known = self._known
        webhook = known.senders.webhooks.get(name)
        if webhook is None:
            raise Refused(404, "not_found", _NO_WEBHOOKS)
        asked.source = name
        # The signature covers the bytes exactly as they were sent.
        content = await read_bytes(asked.request)
        started_s = monotonic()
        headers = {key.lower(): value for key, value in asked.request.headers.items()}
        now_ms = int(time() * 1_000)
        rule = webhook.vendor.signature
        if not is_signed(rule, webhook.secrets, headers, content, now_ms):
            raise Refused(401, "bad_signature", _UNSIGNED.format(header=rule.header))
        _admit(known.throttles[name], 1)
        intake = self._intake(
            known, name, Arrival(now_ms, is_batched=known.limits[name].is_batched)
        )
        kind = intake.take_webhook(Webhook(name, headers, content), known.mappings[name])
        answer = await self._publish(asked, name, intake)
        if not intake.records:
            self._metrics.count_ignored(name)
            answer = replace(answer, ignored=kind)
        self._metrics.seconds.observe(monotonic() - started_s)
        return answer

    def _intake(self, known: KnownSources, source: str, arrival: Arrival) -> Intake:
        return Intake(
            arrival,
            self._parameters,
            self._partitions,
            source,
            is_trusted=known.limits[source].is_trusted,
        )

    async def _publish(self, asked: _Asked, source: str, intake: Intake) -> Taken:
        """Write the events, count them, and return the result. Raises `Refused` if they are not
        written.
        """
        records = intake.records
        if (step := asked.step) is not None:
            step.note({"source": source, "events": intake.accepted})
            records = [replace(record, headers=step.headers) for record in records]
        if records:
            try:
                await self._outbox.write(records)
            except NotWritten as error:
                raise Refused(503, "unavailable", str(error), RETRY_S) from None
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
        errors = tuple(
            RefusedEvent(number, one.reason, one.path, one.detail, one.fix)
            for number, one in intake.refusals
        )
        refused = intake.refused.total()
        return Taken(success=True, accepted=intake.accepted, refused=refused, errors=errors)


def _source_of(request: web.Request, body: Body, known: KnownSources) -> str:
    key = write_key_of(request) or body.write_key
    source = known.senders.name_of(key) if key else None
    if source is None:
        raise Refused(*UNAUTHORIZED)
    return source


def _admit(throttle: Throttle, events: int) -> None:
    """Raise `Refused` for a source that exceeds its rate."""
    if wait_s := throttle.wait_s(monotonic()):
        raise Refused(
            429,
            "too_many_events",
            "this source sends more than it may: wait as Retry-After says",
            wait_s,
        )
    throttle.take(events, monotonic())


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
        is_large = rejected.reason == Reason.TOO_LARGE
        # The fix meant for lines of a file does not help here.
        fix = rejected.fix if is_large else _BATCH_FIX if route.is_batch else _EVENT_FIX
        message = f"{rejected.path}: {rejected.detail}; {fix}"
        raise Refused(413 if is_large else 400, str(rejected.reason), message) from None

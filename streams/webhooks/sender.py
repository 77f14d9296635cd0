"""One try at an endpoint: sends a request, and says what the answer means."""

import asyncio
import ssl
from contextlib import suppress
from datetime import UTC
from email.utils import parsedate_to_datetime
from enum import StrEnum
from types import TracebackType
from typing import NamedTuple, Protocol, Self

import aiohttp
from aiohttp.http import SERVER_SOFTWARE
from yarl import URL

from config import VERSION
from config.endpoints import Endpoint
from models.events.times import milliseconds
from streams.webhooks.addresses import AddressForbidden, EndpointResolver, socket_factory
from streams.webhooks.destinations import Request

#: How much of an answer is read, so that its connection can be used again; nothing is kept.
ANSWER_BYTES_MAX = 64 * 1024
_AGENT = f"keepstream/{VERSION} {SERVER_SOFTWARE.partition(' ')[0]}"
#: Statuses to retry after, besides 500 and above.
_TRY_AGAIN = frozenset({408, 425, 429})
_GONE = 410
#: The reason when nothing was sent because the address is not public.
ADDRESS = "address"
_OK, _REDIRECTED = 200, 300


class HttpVerdict(StrEnum):
    """What an answer means for the message."""

    TAKEN = "taken"
    RETRY = "retry"
    REFUSED = "refused"
    GONE = "gone"


class HttpAnswer(NamedTuple):
    """``reason``: the status, or why there was no answer; for metrics and dead letters.
    ``wait_ms``: how long the endpoint asks to be left alone.
    """

    verdict: HttpVerdict
    reason: str
    wait_ms: int = 0


class Posts(Protocol):
    """Sends a request: `Sender`, or a test's fake."""

    async def post(self, request: Request, now_ms: int) -> HttpAnswer: ...


class Sender:
    """One endpoint's connections, shared with no other."""

    def __init__(self, endpoint: Endpoint) -> None:
        rule = endpoint.rule
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=rule.concurrency,
                resolver=EndpointResolver(),
                socket_factory=socket_factory(allow_private=rule.allow_private),
            ),
            timeout=aiohttp.ClientTimeout(total=rule.timeout / 1_000),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            headers={"User-Agent": _AGENT},
        )

    async def post(self, request: Request, now_ms: int) -> HttpAnswer:
        """Send the request, and return what the answer means. Redirects are not followed: their
        target has not been checked.
        """
        try:
            async with self._session.post(
                # Encoded already: percent signs must stay as they are.
                URL(request.url, encoded=True),
                data=request.body,
                headers=request.headers,
                allow_redirects=False,
            ) as answer:
                # The status decides, whatever happens to the rest of the answer.
                with suppress(aiohttp.ClientError, OSError, TimeoutError):
                    await answer.content.read(ANSWER_BYTES_MAX)
                return answer_of(answer.status, answer.headers.get("Retry-After"), now_ms)
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            return HttpAnswer(HttpVerdict.RETRY, failure_of(error))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        await self._session.close()
        # The session's sockets close in the loop's next turn.
        await asyncio.sleep(0)


def answer_of(status: int, retry_after: str | None, now_ms: int) -> HttpAnswer:
    """The meaning of a status, and of a request to wait."""
    reason = str(status)
    if _OK <= status < _REDIRECTED:
        return HttpAnswer(HttpVerdict.TAKEN, reason)
    if status == _GONE:
        return HttpAnswer(HttpVerdict.GONE, reason)
    # A status below 200 is no final answer.
    if status in _TRY_AGAIN or status >= 500 or status < _OK:
        return HttpAnswer(HttpVerdict.RETRY, reason, _wait_ms(retry_after, now_ms))
    return HttpAnswer(HttpVerdict.REFUSED, reason)


def _wait_ms(retry_after: str | None, now_ms: int) -> int:
    """The wait in a `Retry-After` of seconds or a date; 0 for anything else."""
    text = (retry_after or "").strip()
    if text.isascii() and text.isdigit():
        return int(text[:9]) * 1_000
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return 0
    known = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return max(0, milliseconds(known) - now_ms)


def failure_of(error: Exception) -> str:
    """The kind of failure, for a metric's label; the error's text may contain the address."""
    cause = getattr(error, "os_error", error)
    if isinstance(cause, AddressForbidden):
        return ADDRESS
    if isinstance(error, TimeoutError):
        return "timeout"
    if isinstance(error, aiohttp.ClientSSLError | ssl.SSLError):
        return "tls"
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return "name"
    return "connection"

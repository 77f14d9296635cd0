"""Customers as workers know them now, or else as last stored in Redis."""

import asyncio
from typing import Any, NamedTuple
from urllib.parse import quote, urljoin

import aiohttp
import msgspec

from config.settings import Settings
from models.customer.profile import Profile
from models.customer_list import ANSWER, CustomerList
from models.dry_run import ANSWER as DRY_RUN
from models.dry_run import DryRun
from models.events.foreign import UNREADABLE
from streams.store_client import StoreUnreachable, store_client
from streams.store_keys import customer_key

PROFILE_TIMEOUT_S = 5.0
#: A worker aborts a list after 30 s.
LIST_TIMEOUT_S = 28.0
#: Redirects to follow: to the worker that has the customer, or to the person whose id it is.
HOPS_MAX = 4
_ELSEWHERE, _NOT_FOUND, _INCOMPLETE = 307, 404, 503
_REFUSED = 400


class ProfileAnswer(NamedTuple):
    """A profile, or None with the reason; ``note``: says that it is not current."""

    profile: Any
    note: str = ""


class ListAnswer(NamedTuple):
    """A list, or None with the reason."""

    found: CustomerList | None
    problem: str = ""


class DryRunAnswer(NamedTuple):
    """The result of a dry run, or None with the reason."""

    found: DryRun | None
    problem: str = ""


class CustomersAsked:
    """Asks one worker, which redirects to the others."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    async def profile(self, customer: str) -> ProfileAnswer:
        """A customer's current profile, or the one in Redis if no worker answers."""
        url = f"{self._settings.worker_url}/customers/{quote(customer, safe='')}"
        try:
            status, content = await self._got(url, {}, PROFILE_TIMEOUT_S)
        except (aiohttp.ClientError, TimeoutError):
            return await self._last_known(customer, "No worker answers")
        if status == _NOT_FOUND:
            return ProfileAnswer(None, "There is no customer with this id. Letters count.")
        if status != 200:
            return await self._last_known(customer, "The customer's worker is not ready")
        return _decoded(content, "")

    async def _got(
        self, url: str, query: dict[str, str], timeout_s: float, sent: bytes | None = None
    ) -> tuple[int, bytes]:
        """The answer of a worker, or of the worker that it redirects to. Both get the token: a
        client that follows redirects by itself would not send it to the second. ``sent``: the body
        to POST.
        """
        method = "GET" if sent is None else "POST"
        limit = aiohttp.ClientTimeout(total=timeout_s, connect=2.0)
        shown = self._settings.web_headers
        async with aiohttp.ClientSession(timeout=limit, headers=shown) as session:
            for _ in range(HOPS_MAX):
                async with session.request(
                    method, url, params=query, data=sent, allow_redirects=False
                ) as answer:
                    if answer.status != _ELSEWHERE:
                        return answer.status, await answer.read()
                    url, query = urljoin(url, answer.headers["Location"]), {}
        return _ELSEWHERE, b""

    async def _last_known(self, customer: str, why: str) -> ProfileAnswer:
        try:
            content = await asyncio.to_thread(self._in_store, customer)
        except StoreUnreachable:
            return ProfileAnswer(None, f"{why}, and neither does Redis.")
        if content is None:
            return ProfileAnswer(None, f"{why}, and Redis knows nobody with this id.")
        return _decoded(content, f"{why}: this is what Redis was told last.")

    def _in_store(self, customer: str) -> bytes | None:
        with store_client(self._settings) as client:
            content: Any = client.get(customer_key(self._settings, customer))
        return None if content is None else bytes(content)

    async def dry_run(self, event: bytes, topic: str) -> DryRunAnswer:
        """A dry run of an event on ``topic``; an empty ``topic`` is the event's usual one."""
        url, query = f"{self._settings.worker_url}/dry-run", {"topic": topic} if topic else {}
        try:
            status, content = await self._got(url, query, PROFILE_TIMEOUT_S, event)
        except (aiohttp.ClientError, TimeoutError):
            return DryRunAnswer(None, f"No worker answers at {self._settings.worker_url}.")
        if status != 200:
            return DryRunAnswer(None, _message(content) or f"The worker answered with {status}.")
        try:
            return DryRunAnswer(DRY_RUN.decode(content))
        except UNREADABLE:
            return DryRunAnswer(None, "The worker is of another release than the console.")

    async def customers(self, query: dict[str, str]) -> ListAnswer:
        """A list over all partitions that answered."""
        try:
            status, content = await self._got(
                f"{self._settings.worker_url}/customers", query, LIST_TIMEOUT_S
            )
        except (aiohttp.ClientError, TimeoutError):
            return ListAnswer(None, f"No worker answers at {self._settings.worker_url}.")
        if status == _REFUSED:
            return ListAnswer(None, _message(content))
        if status not in (200, _INCOMPLETE):
            return ListAnswer(None, f"The worker answered with {status}.")
        try:
            return ListAnswer(ANSWER.decode(content))
        except UNREADABLE:
            return ListAnswer(None, "The answer is no list: the worker is of another release.")


def _decoded(content: bytes, note: str) -> ProfileAnswer:
    try:
        return ProfileAnswer(msgspec.json.decode(content, type=Profile), note)
    except UNREADABLE:
        return ProfileAnswer(None, "The profile is of another release than the console.")


def _message(content: bytes) -> str:
    try:
        said = msgspec.json.decode(content, type=dict[str, Any])
    except msgspec.DecodeError:
        return "The worker does not understand the question."
    return str(said.get("message", ""))

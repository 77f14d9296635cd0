"""Views in Redis for fast reads: each customer's latest profile, and a stream for each trigger.

Redis is never the source of truth. While it is down the worker goes on; when it is back, even
empty, missing profiles are written again.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from secrets import token_hex
from typing import Any

import redis.asyncio as redis
from redis.exceptions import RedisError

from config.settings import Settings
from models.decisions.trigger import Decision
from streams.metrics import Metrics

log = logging.getLogger(__name__)

TRIGGERS_KEPT = 100_000
PROFILES_PER_WRITE = 50
#: Profiles drawn up before heartbeats and the agents get a turn.
PROFILES_PER_TURN = 10
TIMEOUT_S = 5.0


def customer_key(settings: Settings, customer: str) -> str:
    """The key of ``customer``'s profile, a JSON text."""
    return f"{settings.topic_prefix}keepstream:customer:{customer}"


def trigger_stream(settings: Settings, kind: str) -> str:
    """The Redis stream of one kind of trigger."""
    return f"{settings.topic_prefix}keepstream:triggers:{kind}"


def connect(settings: Settings) -> "redis.Redis":
    """A client that gives up on a silent server; it connects when it is first used."""
    return redis.Redis.from_url(
        settings.redis_url, socket_timeout=TIMEOUT_S, socket_connect_timeout=TIMEOUT_S
    )


class TriggerStreams:
    """Appends decisions to the streams of their kinds: an entry is the decision's id, its group
    and its JSON.
    """

    def __init__(self, client: "redis.Redis", settings: Settings, metrics: Metrics) -> None:
        self._client = client
        self._settings = settings
        self._metrics = metrics

    async def append(self, decisions: Sequence[tuple[Decision, bytes]]) -> bool:
        """Add each decision, given with its JSON; False when Redis did not take all of them.

        A retry may add one twice: readers drop repeated ids.
        """
        async with self._client.pipeline(transaction=False) as pipeline:
            for decided, content in decisions:
                entry: dict[Any, Any] = {"id": decided.id}
                # An earlier release's trigger does not say its group.
                if decided.group is not None:
                    entry["group"] = decided.group
                pipeline.xadd(
                    trigger_stream(self._settings, decided.kind),
                    {**entry, "trigger": content},
                    maxlen=TRIGGERS_KEPT,
                    approximate=True,
                )
            return await _written(pipeline.execute, self._metrics)


class ProfileViews:
    """Keeps the profiles in Redis up to date, with a delay after rows change.

    Only a customer's latest row is written, however often it changed meanwhile.
    """

    def __init__(
        self,
        client: "redis.Redis",
        settings: Settings,
        metrics: Metrics,
        render: Callable[[str], bytes | None],
    ) -> None:
        self._client = client
        self._settings = settings
        self._metrics = metrics
        self._render = render
        self._changed: dict[str, None] = {}
        # Every worker compares the marker's value with the one it saw last, so that a worker that
        # sets a new one does not hide from the others that the old one is gone.
        self._marker = f"{settings.topic_prefix}keepstream:filled"
        self._mark: bytes | None = None

    def offer(self, customers: Iterable[str]) -> None:
        """Note that these customers' profiles must be written again."""
        self._changed.update(dict.fromkeys(customers))

    @property
    def waiting(self) -> int:
        """The number of profiles still to be written."""
        return len(self._changed)

    async def write_some(self) -> bool:
        """Write the profiles that waited longest; False when Redis did not take them."""
        customers = list(self._changed)[:PROFILES_PER_WRITE]
        views: dict[str, bytes | None] = {}
        for number, customer in enumerate(customers, 1):
            views[customer] = self._render(customer)
            if not number % PROFILES_PER_TURN:
                # Heartbeats and batches come first, also while a whole store is filled.
                await asyncio.sleep(0)
        async with self._client.pipeline(transaction=False) as pipeline:
            for customer, view in views.items():
                if view is not None:
                    pipeline.set(customer_key(self._settings, customer), view)
            if not await _written(pipeline.execute, self._metrics):
                return False
        for customer in customers:
            # Even if the row changed again: the rendered profile is at least as new as the offer.
            self._changed.pop(customer, None)
        return True

    async def was_emptied(self) -> bool:
        """Whether Redis lost its data since the last call; False for the first call."""
        found: list[Any] = []

        async def mark() -> None:
            await self._client.set(self._marker, token_hex(8), nx=True)
            found.append(await self._client.get(self._marker))

        if not await _written(mark, self._metrics):
            return False
        before, self._mark = self._mark, found[0]
        return before is not None and before != self._mark


async def _written(write: Callable[[], object], metrics: Metrics) -> bool:
    try:
        await write()  # type: ignore[misc]
    except (RedisError, OSError) as error:
        metrics.redis_up.set(0)
        # Its text may hold an address with a password; the kind of error says enough.
        log.warning("Redis did not take a write (%s); trying again", type(error).__name__)
        return False
    metrics.redis_up.set(1)
    return True
